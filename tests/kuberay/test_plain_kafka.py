"""Overlay plain's Kafka: the real server, started by its start.sh with the certificate of up.sh."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from serve_app.core.names import DEAD_LETTERS_TOPIC, USER_TAGS_TOPIC
from serve_app.core.settings import Settings
from serve_app.stores.kafka_clients import connection_options
from setup.local.tools import find_tool
from setup.topics import TopicError, TopicSettings, create
from tests.free_port import free_port
from tests.kuberay.manifests import CHECKOUT
from tests.marks import second_tier

SOURCE = CHECKOUT / "kuberay" / "overlays" / "plain" / "kafka"
JARS = CHECKOUT / ".cache" / "kafka" / "libs"
PASSWORD = "of-the-test"
MAIN_CLASSES = {
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-server-start.sh": "kafka.Kafka",
}

pytestmark = [
    second_tier,
    pytest.mark.skipif(not JARS.is_dir(), reason="Kafka's jars are not there: make setup"),
]


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int

    def settings(self, password: str = PASSWORD) -> Settings:
        """As the pods have them, but for the address."""
        return Settings(
            kafka_bootstrap=f"localhost:{self.port}",
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="SCRAM-SHA-512",
            kafka_username="user-tags",
            kafka_password=password,
            kafka_ca_file=str(self.folder / "tls" / "ca.crt"),
        )


def lay_out(folder: Path, port: int) -> None:
    """The pod's folders under ``folder``, other ports, and Kafka's commands as Java classes."""
    for name in ("tls", "config", "run", "data", "bin"):
        (folder / name).mkdir()
    certificate = f"""
        NAMESPACE=test
        source {CHECKOUT}/setup/kubernetes/secrets.sh
        make_ca {folder}/tls kafka-ca
        sign {folder}/tls localhost
    """
    subprocess.run(["bash", "-euc", certificate], check=True, capture_output=True)
    places = {
        "/etc/kafka-tls": folder / "tls",
        "/etc/kafka-server": folder / "config",
        "/run/kafka": folder / "run",
        "/data/log": folder / "data",
        "/opt/kafka/bin": folder / "bin",
        "TLS://:9093": f"TLS://127.0.0.1:{port}",
        "kafka-kafka-bootstrap:9093": f"localhost:{port}",
        "127.0.0.1:9091": f"127.0.0.1:{free_port()}",
        "127.0.0.1:9090": f"127.0.0.1:{free_port()}",
    }
    for name in ("server.properties", "start.sh"):
        text = (SOURCE / name).read_text()
        for place, here in places.items():
            text = text.replace(place, str(here))
        (folder / "config" / name).write_text(text)
    java = find_tool("java", "openjdk-17-jre-headless")
    for name, main in MAIN_CLASSES.items():
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {java} -Xmx256m -cp "{JARS}/*" {main} "$@"\n')
        script.chmod(0o755)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("kafka"), free_port()
    lay_out(folder, port)
    environment = {
        **os.environ,
        "CLUSTER_ID": "dXNlci10YWdzLXBsYWluMQ",
        "USER_PASSWORD": PASSWORD,
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", str(folder / "config" / "start.sh")], env=environment, stdout=log, stderr=log
        )
    try:
        yield Server(folder, port)
    finally:
        process.terminate()
        process.wait(30)


async def test_the_job_makes_the_topics_over_tls_with_the_password(server: Server) -> None:
    """What the job kafka-topics does, a second time too."""
    wanted = TopicSettings(replication=1, min_insync=1)

    made = await create(server.settings(), wanted, timeout_s=120)

    assert set(made) == {USER_TAGS_TOPIC, DEAD_LETTERS_TOPIC}
    assert await create(server.settings(), wanted) == []


async def test_the_job_adds_partitions_only_when_told_to(server: Server) -> None:
    more = TopicSettings(partitions=5, replication=1, min_insync=1)

    with pytest.raises(TopicError, match="3 partitions, should be 5"):
        await create(server.settings(), more)
    assert await create(server.settings(), more, add_partitions=True) == []
    assert await create(server.settings(), more) == []


async def test_a_tag_can_be_appended(server: Server) -> None:
    producer = AIOKafkaProducer(**connection_options(server.settings()), acks="all")
    await producer.start()
    try:
        sent = await producer.send_and_wait(USER_TAGS_TOPIC, b"{}")
    finally:
        await producer.stop()

    assert sent.offset == 0


async def test_a_wrong_password_gets_nobody_in(server: Server) -> None:
    producer = AIOKafkaProducer(**connection_options(server.settings(password="wrong")))
    with pytest.raises(KafkaError):
        async with asyncio.timeout(30):
            await producer.start()
    await producer.stop()


def test_the_key_is_readable_by_its_owner_alone(server: Server) -> None:
    assert (server.folder / "run" / "keystore.pem").stat().st_mode & 0o777 == 0o600
