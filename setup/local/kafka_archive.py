"""Makes the archive of Kafka's classes: ``python -m setup.local.kafka_archive``.

A broker that starts spends most of its time on some 7,700 classes: reading, checking, linking them.
The JVM can do that once and map the result into memory at later starts (application class data
sharing, JEP 350). So three brokers are started once, do what ours do, and one of them leaves what
it has loaded in `ARCHIVE`. With it a broker is ready in 0.6 of the time and of the processor time,
and does not have to load the code of a leader at the moment when it becomes one.
"""

import asyncio
import logging
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from serve_app.core.settings import Settings
from serve_app.stores.tag_log import TagLog
from setup.local.errors import PartFailedError, SetupError
from setup.local.folder import RunFolder
from setup.local.parts.kafka import ARCHIVE, KafkaBroker
from setup.local.ports import HOST, load_ports
from setup.local.stacks import stack_named
from setup.local.waiting import tail, wait_for

RECORDS: Final = 300
_TOPIC: Final = "archived"
_PARTITIONS: Final = 3
_START_S: Final = 120.0
_USE_S: Final = 60.0
_END_S: Final = 60.0


def make(archive: Path = ARCHIVE) -> None:
    """Make ``archive``, completely or not at all.

    Raises:
        SetupError: a broker did not start or did not end, and why.
    """
    stack = stack_named("cluster")
    with TemporaryDirectory(prefix="kafka-archive-") as root, ExitStack() as running:
        folder = RunFolder(Path(root))
        folder.create()
        ports = load_ports(folder.root, free=True)
        brokers = [
            KafkaBroker(folder, stack, index, ports["kafka"], ports["kafka_controller"])
            for index in range(stack.kafka_brokers)
        ]
        new = archive.with_suffix(".new")
        processes = []
        for broker in brokers:
            for path, text in broker.files().items():
                path.write_text(text)
            broker.prepare()
            first = broker is brokers[0]
            command = broker.archiving_command(new) if first else broker.program().command
            log = running.enter_context(folder.log(broker.name).open("ab"))
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            running.callback(process.wait)
            running.callback(process.kill)
            processes.append(process)
        for broker in brokers:
            log_file = folder.log(broker.name)
            wait_for(broker.name, broker.problem, timeout_s=_START_S, log=log_file)
        bootstrap = ",".join(f"{HOST}:{broker.port}" for broker in brokers)
        asyncio.run(_use(bootstrap, stack.kafka_replication))
        # It hands its partitions over and writes the archive while the others still run.
        processes[0].terminate()
        try:
            processes[0].wait(_END_S)
        except subprocess.TimeoutExpired:
            raise PartFailedError(f"{brokers[0].name} did not end") from None
        if not new.exists():
            raise PartFailedError(f"no archive was written{tail(folder.log(brokers[0].name))}")
        new.replace(archive)


async def _use(bootstrap: str, replication: int) -> None:
    """Write and read as the platform does."""
    async with asyncio.timeout(_USE_S):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(_TOPIC, _PARTITIONS, replication)])
        await admin.close()
        log = TagLog(Settings(kafka_bootstrap=bootstrap), _TOPIC)
        log.start()
        await log.wait_ready()
        for number in range(RECORDS):
            await log.append([b"%d" % number])
        await log.stop()
        consumer = AIOKafkaConsumer(
            _TOPIC,
            bootstrap_servers=bootstrap,
            group_id=_TOPIC,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        read = 0
        while read < RECORDS:
            parts = await consumer.getmany(timeout_ms=500)
            read += sum(len(records) for records in parts.values())
        await consumer.commit()
        await consumer.stop()


if __name__ == "__main__":
    # A group's first member asks for its coordinator before there is one, and aiokafka says so.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        make()
    except (SetupError, TimeoutError) as error:
        sys.exit(f"error: {error or 'Kafka did not do what it was asked in time'}")
