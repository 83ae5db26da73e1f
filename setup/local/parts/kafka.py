"""A Kafka server: KRaft broker and controller in one JVM."""

import asyncio
import base64
import contextlib
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from setup.local.errors import MissingToolError
from setup.local.folder import CHECKOUT, RunFolder
from setup.local.parts.part import Kind
from setup.local.ports import HOST
from setup.local.stacks import Stack
from setup.local.supervision import Program
from setup.local.templates import CONF, render
from setup.local.tools import find_tool, run_tool

LIBS: Final = CHECKOUT / ".cache" / "kafka" / "libs"
ARCHIVE: Final = LIBS / "classes.jsa"
"""Kafka's classes as a JVM has them in memory: see `setup.local.kafka_archive`. One that finds none
here, or that of other jars or of another Java, loads them from the jars, and is slower to start."""

_JVM: Final = (
    "-Xms128m",
    # Two cores: no collector threads beside the broker's own. Pauses at this heap are some 10 ms.
    "-XX:+UseSerialGC",
    # Nor threads that compile for half a minute: a broker that starts takes two thirds of the
    # processor time until it is ready and half in its first ten seconds at 1,000 records/s, and
    # 0.05 ms a record more than fully compiled later on.
    "-XX:TieredStopAtLevel=1",
    # No statistics file in /tmp.
    "-XX:-UsePerfData",
    # A broker out of memory must die and be restarted.
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)


@dataclass(frozen=True)
class KafkaBroker:
    """One JVM; ``index`` counts from 0, Kafka's node.id from 1."""

    kind: ClassVar = Kind.KAFKA
    folder: RunFolder
    stack: Stack
    index: int
    first_port: int
    first_controller_port: int

    @property
    def name(self) -> str:
        """``kafka-1`` and so on."""
        return f"kafka-{self.index + 1}"

    @property
    def node_id(self) -> int:
        """Kafka's number of it."""
        return self.index + 1

    @property
    def port(self) -> int:
        """Clients' port."""
        return self.first_port + self.index

    @property
    def ports(self) -> dict[str, int]:
        """Clients' port, and the controllers' own."""
        return {
            "kafka": self.port,
            "kafka_controller": self.first_controller_port + self.index,
        }

    @property
    def _config(self) -> Path:
        return self.folder.conf / f"{self.name}.properties"

    def files(self) -> dict[Path, str]:
        """Its server.properties."""
        voters = ",".join(
            f"{index + 1}@{HOST}:{self.first_controller_port + index}"
            for index in range(self.stack.kafka_brokers)
        )
        text = render(
            "kafka.properties",
            node_id=self.node_id,
            voters=voters,
            port=self.port,
            controller_port=self.first_controller_port + self.index,
            data=self.folder.data(self.name),
            replication=self.stack.kafka_replication,
            min_insync=self.stack.kafka_min_insync,
            session_ms=self.stack.kafka_session_ms,
            heartbeat_ms=self.stack.kafka_session_ms // 5,
            # Only with several brokers; a single one keeps Kafka's default.
            imbalance_s=1 if self.stack.kafka_brokers > 1 else 300,
        )
        return {self._config: text}

    def prepare(self) -> None:
        """Format the storage when absent."""
        data = self.folder.data(self.name)
        if (data / "meta.properties").exists():
            return
        data.mkdir(parents=True, exist_ok=True)
        run_tool(
            f"{self.name}: formatting its storage",
            (
                *self._java("kafka.tools.StorageTool"),
                "format",
                f"--cluster-id={self._cluster_id()}",
                f"--config={self._config}",
            ),
            self.folder.log(self.name),
            timeout_s=120,
        )

    def program(self) -> Program:
        """The server in the foreground."""
        return Program(self.name, self._command(), stop_wait_s=30)

    def archiving_command(self, archive: Path) -> tuple[str, ...]:
        """The same; what it loaded is in ``archive`` once it has ended by itself or by SIGTERM."""
        return self._command(f"-XX:ArchiveClassesAtExit={archive}")

    def problem(self) -> str | None:
        """Ask it about the cluster: all brokers of the stack must be registered and unfenced."""
        try:
            # A closed port first: aiokafka would log each failed connection.
            socket.create_connection((HOST, self.port), timeout=1.0).close()
            brokers = asyncio.run(self._brokers())
        except (KafkaError, OSError, TimeoutError) as error:
            return f"no answer ({str(error) or type(error).__name__})"
        if brokers < self.stack.kafka_brokers:
            return f"{brokers} of {self.stack.kafka_brokers} brokers"
        return None

    async def _brokers(self) -> int:
        client = AIOKafkaAdminClient(
            bootstrap_servers=f"{HOST}:{self.port}", request_timeout_ms=2_000
        )
        try:
            await client.start()
            answer = await client.describe_cluster()
            return len(answer["brokers"])
        finally:
            await client.close()

    def _cluster_id(self) -> str:
        # Shared by all brokers of the instance: a random UUID in Kafka's own spelling.
        file = self.folder.root / "data" / "kafka_cluster_id"
        if not file.exists():
            own = file.with_name(f"{file.name}-{self.index + 1}")
            own.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
            # The brokers are prepared concurrently: the first link wins, and is complete.
            with contextlib.suppress(FileExistsError):
                file.hardlink_to(own)
            own.unlink()
        return file.read_text()

    def _command(self, classes: str = f"-XX:SharedArchiveFile={ARCHIVE}") -> tuple[str, ...]:
        return (*self._java("kafka.Kafka", classes), str(self._config))

    def _java(self, main: str, *options: str) -> tuple[str, ...]:
        if not any(LIBS.glob("kafka_*.jar")):
            raise MissingToolError(f"Kafka's jars are not in {LIBS}: run `make setup`")
        return (
            find_tool("java", "openjdk-17-jre-headless"),
            *_JVM,
            *options,
            # 1,000 small records a second need little heap; the page cache does the rest.
            f"-Xmx{self.stack.kafka_heap_mb}m",
            f"-Dlog4j2.configurationFile={CONF / 'kafka-log4j2.yaml'}",
            "-cp",
            f"{LIBS}/*",
            main,
        )
