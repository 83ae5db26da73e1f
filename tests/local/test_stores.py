"""The stores as real processes: up twice, a killed one, everything killed, down."""

import time
from pathlib import Path

import psutil
import pytest
import redis

from setup.local.leftovers import marked_processes
from setup.local.parts.kafka import ARCHIVE
from setup.local.platform import STORES, Platform
from tests.marks import second_tier

pytestmark = second_tier


needs_autogroups = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel has no autogroups"
)


def pids(platform: Platform) -> dict[str, int]:
    return {name: state.pid for name, state in platform.supervisor.states().items()}


def niceness(process: psutil.Process) -> int:
    """Of its whole session (sched(7): ``/autogroup-25 nice 0``).

    Only of sessions that somebody made: the first one of a container, where a CI's shell may be,
    is in no autogroup, and its file is empty.
    """
    return int(Path(f"/proc/{process.pid}/autogroup").read_text().split()[-1])


def wait_until_healthy(platform: Platform, name: str) -> None:
    (part,) = (part for part in platform.parts if part.name == name)
    deadline = time.monotonic() + 30
    while part.problem():
        assert time.monotonic() < deadline, part.problem()
        time.sleep(0.1)


def test_up_again_changes_nothing_and_is_quick(stores: Platform) -> None:
    before = pids(stores)
    start = time.monotonic()
    stores.up(STORES)
    assert pids(stores) == before
    assert time.monotonic() - start < 10
    assert all(part.problem() is None for part in stores.parts if part.name != "ray")


def test_they_listen_on_loopback_only(stores: Platform) -> None:
    for process in marked_processes(stores.folder.root):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in {"127.0.0.1", "::ffff:127.0.0.1"}, process.cmdline()


@needs_autogroups
def test_their_session_has_the_share_of_any_other(stores: Platform) -> None:
    running = marked_processes(stores.folder.root)
    assert {niceness(process) for process in running} == {0}


@pytest.mark.skipif(not ARCHIVE.exists(), reason="`make setup` could not archive Kafka's classes")
def test_kafka_has_its_classes_from_the_archive(stores: Platform) -> None:
    mapped = psutil.Process(pids(stores)["kafka-1"]).memory_maps()
    assert str(ARCHIVE.resolve()) in {file.path for file in mapped}


def test_a_killed_store_is_restarted_with_its_data(stores: Platform) -> None:
    pid = pids(stores)["redis-1"]
    port = stores.ports["redis"]
    with redis.RedisCluster("127.0.0.1", port) as client:
        client.set("kept", "1")
        time.sleep(1.1)  # its file is synced each second
        psutil.Process(pid).kill()
        deadline = time.monotonic() + 20
        while pids(stores)["redis-1"] in {0, pid}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        wait_until_healthy(stores, "redis-1")
        assert client.get("kept") == b"1"


def test_up_after_everything_was_killed(stores: Platform) -> None:
    for process in marked_processes(stores.folder.root):
        process.kill()
    stores.up(STORES)
    assert all(part.problem() is None for part in stores.parts if part.name != "ray")


def test_up_after_the_supervisor_alone_was_killed_then_down(stores: Platform) -> None:
    orphans = set(pids(stores).values()) - {0}
    (supervisor,) = (
        process
        for process in marked_processes(stores.folder.root)
        if process.pid not in orphans and process.ppid() not in orphans
    )
    supervisor.kill()
    stores.up(STORES)
    assert orphans.isdisjoint(pids(stores).values())
    stores.down()
    assert marked_processes(stores.folder.root) == []
