"""follow-addresses.sh: nodes that were given new addresses find each other again."""

import os
import subprocess
from pathlib import Path

from tests.kuberay.manifests import CHECKOUT

SCRIPT = CHECKOUT / "kuberay" / "base" / "redis" / "follow-addresses.sh"
NODES = """\
aaa 10.0.0.1:6379@16379,redis-0.redis myself,master - 0 0 1 connected 0-5460
bbb 10.0.0.2:6379@16379,redis-1.redis master - 0 0 2 connected 5461-10922
ccc 10.0.0.3:6379@16379,redis-2.redis master,fail - 1 1 3 disconnected 10923-16383
ddd 10.0.0.4:6379@16379,redis-3.redis slave,fail aaa 1 1 1 disconnected
eee 10.0.0.5:6379@16379,redis-4.redis slave,fail bbb 1 1 2 disconnected
fff 10.0.0.6:6379@16379 slave,fail ccc 1 1 3 disconnected
"""
# redis-2 moved, redis-3 is where it was, redis-4 has no address at all.
HOSTS = {"redis-2.redis": "10.0.9.3", "redis-3.redis": "10.0.0.4"}


def run(tmp_path: Path, nodes: str) -> list[str]:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tmp_path / "nodes").write_text(nodes)
    hosts = "".join(f"{name}) echo '{ip} {name}' ;;\n" for name, ip in HOSTS.items())
    stand_ins = {
        "redis-cli": f'echo "$@" >> {tmp_path}/calls\n'
        f'case "$*" in *"cluster nodes"*) cat {tmp_path}/nodes ;; esac\n',
        "getent": f'case "$2" in\n{hosts}*) exit 2 ;;\nesac\n',
    }
    for name, text in stand_ins.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}")
        (tools / name).chmod(0o755)
    subprocess.run(
        ["sh", str(SCRIPT)],
        env={
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "ROUNDS": "1",
            "POD_NAME": "redis-0",
            "SERVICE": "redis",
            "REDIS_PASSWORD": "secret",
        },
        check=True,
        capture_output=True,
    )
    return (tmp_path / "calls").read_text().splitlines()


def test_only_peers_that_moved_are_met_again(tmp_path: Path) -> None:
    calls = run(tmp_path, NODES)

    assert [call.partition("cluster meet ")[2] for call in calls if "meet" in call] == [
        "10.0.9.3 6379"
    ]
    assert not any("secret" in call for call in calls)


def test_a_peer_without_an_address_is_met_where_its_name_leads(tmp_path: Path) -> None:
    """As Redis 7.4 had it of two pods of one host that came back with each other's address."""
    nodes = NODES.replace(
        "10.0.0.3:6379@16379,redis-2.redis master,fail",
        ":0@0,redis-2.redis slave,noaddr",
    )

    calls = run(tmp_path, nodes)

    assert [call.partition("cluster meet ")[2] for call in calls if "meet" in call] == [
        "10.0.9.3 6379"
    ]


def test_a_peer_that_is_said_to_be_connected_is_met_where_its_name_leads(tmp_path: Path) -> None:
    """As long as a connection to an address that nobody has is neither made nor refused."""
    calls = run(tmp_path, NODES.replace("disconnected", "connected").replace(",fail", ",fail?"))

    assert [call.partition("cluster meet ")[2] for call in calls if "meet" in call] == [
        "10.0.9.3 6379"
    ]


def test_a_whole_cluster_is_left_alone(tmp_path: Path) -> None:
    calls = run(tmp_path, NODES.replace("10.0.0.3", HOSTS["redis-2.redis"]))

    assert not any("meet" in call for call in calls)
