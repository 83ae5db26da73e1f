"""The nodes' network: node 1 routes between the others, each joined to it by a pair of interfaces.

Nothing leaves: node 1's default route, without which a service's address has no way, ends in a pair
whose other end listens to nobody.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.kuberay.cluster.config import node_address
from tests.kuberay.cluster.namespaces import Namespaces

_FIRST: Final = f"""
ip link set lo up
ip link add node0 type veth peer name sink0
ip address add {node_address(1)}/32 dev node0
ip link set sink0 up
ip link set node0 arp off up
ip route add default dev node0 src {node_address(1)}
sysctl -qw net.ipv4.ip_forward=1
"""


def connect_first(node: Namespaces) -> None:
    """The network of node 1."""
    node.run("sh", "-ec", _FIRST)


def connect(node: Namespaces, number: int, first: Namespaces) -> None:
    """The network of node ``number``, from 2 on."""
    address, way = node_address(number), f"to-{number}"
    # From outside of the process namespaces: the other end is named by a process of this machine.
    enter = ["nsenter", "-t", str(first.pid), "-n", "--"]
    pair = ["ip", "link", "add", way, "type", "veth", "peer", "name", "node0"]
    subprocess.run([*enter, *pair, "netns", str(node.pid)], check=True, capture_output=True)
    first.run(
        "sh",
        "-ec",
        f"ip link set {way} up; ip route add {address} dev {way} src {node_address(1)}",
    )
    node.run(
        "sh",
        "-ec",
        f"ip link set lo up; ip address add {address}/32 dev node0; ip link set node0 up; "
        f"ip route add {node_address(1)} dev node0 src {address}; "
        f"ip route add default via {node_address(1)} dev node0 src {address}; "
        "sysctl -qw net.ipv4.ip_forward=1",
    )


def disconnect(number: int, first: Namespaces) -> None:
    """Cut node ``number`` off: what is sent to it is lost, and nobody says so."""
    first.run("ip", "link", "del", f"to-{number}")


@contextmanager
def way_in(first: Namespaces, port: int) -> Iterator[None]:
    """The one way into the cluster: this machine's loopback leads to the API server.

    By a socket in the file system, since no address is known on both sides.
    """
    socket = first.folder / "api.sock"
    inner = ["socat", f"UNIX-LISTEN:{socket},fork", f"TCP:{node_address(1)}:6443"]
    first.start("way-in", inner)
    outer = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork", f"UNIX-CONNECT:{socket}"),
        ],
        stdin=subprocess.DEVNULL,
        # It tells of every client that hangs up first.
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        outer.kill()
        outer.wait()
