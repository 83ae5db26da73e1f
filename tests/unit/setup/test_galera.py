"""Who begins after all Galera nodes were down, and what the nodes are told."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setup.local.catalogue import Catalogue
from setup.local.folder import RunFolder
from setup.local.galera_node import NodeState
from setup.local.galera_start import (
    NO_UUID,
    GaleraPosition,
    Starter,
    StartError,
    leader,
    parse_grastate,
    read_gently,
)
from setup.local.parts.ray import SERVE_CONFIG
from setup.local.ports import load_ports
from setup.local.stacks import STACKS

CLUSTER = "3ea96256-e8e3-11f1-8af5-8aa7f052ceeb"
EMPTY = GaleraPosition(NO_UUID, -1)
GRASTATE = f"""\
# GALERA saved state
version: 2.1
uuid:    {CLUSTER}
seqno:   52
safe_to_bootstrap: 0
"""


def test_reads_the_saved_state() -> None:
    assert parse_grastate(GRASTATE) == GaleraPosition(CLUSTER, 52)
    assert parse_grastate(GRASTATE.replace("seqno:   52", "seqno:   -1")) == GaleraPosition(
        CLUSTER, -1
    )
    assert parse_grastate("") == EMPTY


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=3, max_size=3))
def test_whoever_begins_has_every_commit_that_any_node_has(seqnos: list[int | None]) -> None:
    positions = {
        f"mariadb-{index + 1}": EMPTY if seqno is None else GaleraPosition(CLUSTER, seqno)
        for index, seqno in enumerate(seqnos)
    }
    first = leader(positions)
    known = [seqno for seqno in seqnos if seqno is not None]
    if known:
        assert positions[first] == GaleraPosition(CLUSTER, max(known))
    # Each node works it out for itself, in an order of its own.
    assert leader(dict(reversed(positions.items()))) == first
    assert all(name >= first for name, at in positions.items() if at == positions[first])


def test_data_of_two_clusters_are_left_to_a_person() -> None:
    with pytest.raises(StartError, match="different clusters"):
        leader({"mariadb-1": GaleraPosition(CLUSTER, 5), "mariadb-2": GaleraPosition("f" * 36, 7)})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    folder = RunFolder(tmp_path)
    folder.create()
    yield folder
    folder.remove_link()


def test_a_position_counts_only_while_its_node_holds_the_lock(folder: RunFolder) -> None:
    starter = Starter(folder, 1, 3)
    assert starter.shown("mariadb-2") is None
    with (folder.root / "run" / "mariadb-2.deciding").open("w") as file:
        file.write(f"{CLUSTER} 7")
        file.flush()
        assert starter.shown("mariadb-2") is None, "left behind by a process that ended"
        fcntl.flock(file, fcntl.LOCK_EX)
        assert starter.shown("mariadb-2") == GaleraPosition(CLUSTER, 7)
        file.truncate(0)
        assert starter.shown("mariadb-2") is None, "still looking for its position"


def test_nodes_join_one_by_one(folder: RunFolder) -> None:
    names = ["mariadb-1", "mariadb-2", "mariadb-3"]
    ready = NodeState(True, True, "Synced", cluster_size=1, connections=1)
    joining = NodeState(True, False, "Joined", cluster_size=2, connections=1)

    def before(number: int, **there: NodeState) -> list[str]:
        states = {f"mariadb-{name[1:]}": state for name, state in there.items()}
        return Starter(folder, number, 3).before(states)

    with ExitStack() as running:
        assert before(2, n1=ready) == before(3, n1=ready) == [], "alone"
        deciding = {name: running.enter_context(ExitStack()) for name in names}
        for name in names[1:]:
            hold(deciding[name], folder, f"{name}.deciding", f"{CLUSTER} 7")
        assert before(2, n1=ready) == [], "the first by name goes first"
        assert before(3, n1=ready) == ["mariadb-2"]
        server = running.enter_context(ExitStack())
        hold(server, folder, "mariadb-2.server")
        deciding["mariadb-2"].close()
        assert before(3, n1=ready) == ["mariadb-2"], "its server starts"
        assert before(3, n1=ready, n2=joining) == ["mariadb-2"], "is given what it missed"
        assert before(3, n1=ready, n2=ready) == []
        server.close()
        assert before(3, n1=ready) == [], "has ended, and does not come again"


def hold(until: ExitStack, folder: RunFolder, name: str, text: str = "") -> None:
    file = until.enter_context((folder.root / "run" / name).open("w"))
    file.write(text)
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)


def test_one_node_has_the_address_and_clients_are_led_there(folder: RunFolder) -> None:
    ports = load_ports(folder.root)
    built = Catalogue(folder, STACKS["cluster"], ports, SERVE_CONFIG, {})
    (address,) = (part for part in built.parts if part.name == "mariadb-address")
    (text,) = address.files().values()
    servers = [line.split() for line in text.splitlines() if line.strip().startswith("server ")]
    assert [server[-1] == "backup" for server in servers] == [False, True, True]
    assert built.client_environment()["TAGS_MYSQL_PORT"] == str(ports["mariadb_address"])
    alone = Catalogue(folder, STACKS["dev"], ports, SERVE_CONFIG, {})
    assert alone.client_environment()["TAGS_MYSQL_PORT"] == str(ports["mariadb"])
    for node in built.mariadb:
        # No port of a node listens on another interface.
        lines = node.files()[node.config].splitlines()
        assert "sockopt = bind=127.0.0.1" in lines
        for name in ("wsrep_sst_receive_address", "wsrep_node_incoming_address", "bind_address"):
            (value,) = (line for line in lines if line.startswith(f"{name} ="))
            assert "= 127.0.0.1" in value


def test_memory_limits_of_the_cluster_profile_leave_room_for_ray_in_12_gib() -> None:
    stack = STACKS["cluster"]
    limits = (
        stack.redis_nodes * stack.redis_max_mb
        + stack.kafka_brokers * stack.kafka_heap_mb
        + stack.mariadb_nodes * stack.mariadb_buffer_pool_mb
    )
    # Ray takes 2.5 GiB; the rest is what each server has beside its heap or pool.
    assert limits <= (12 - 2.5 - 2.5) * 1024


def test_a_file_is_in_memory_before_the_server_maps_it(tmp_path: Path) -> None:
    path = tmp_path / "galera.cache"
    with path.open("wb") as file:
        file.write(b"written" * 100_000)
        os.fsync(file.fileno())
        os.truncate(file.fileno(), 16 << 20)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert _resident_bytes(path) < 16 << 20
    read_gently(path)
    assert _resident_bytes(path) == 16 << 20


def test_a_new_node_has_no_such_file(tmp_path: Path) -> None:
    read_gently(tmp_path / "galera.cache")


def _resident_bytes(path: Path) -> int:
    command = ("fincore", "--bytes", "--noheadings", "--output", "RES", str(path))
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
