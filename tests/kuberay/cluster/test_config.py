"""A node's files say what belongs together, and nothing of another node."""

import ipaddress
import json
import tomllib
from pathlib import Path

import yaml

from tests.kuberay.cluster import config
from tests.kuberay.cluster.config import NodePaths

ONE = NodePaths(Path("/t/node-1"), Path("/t/pki"))
TWO = NodePaths(Path("/t/node-2"), Path("/t/pki"))


def test_kubelet_and_containerd_meet_at_one_socket() -> None:
    containerd = tomllib.loads(config.containerd_config(ONE))
    kubelet = yaml.safe_load(config.kubelet_config(ONE, "node-1", 1))

    assert kubelet["containerRuntimeEndpoint"] == f"unix://{containerd['grpc']['address']}"


def test_nodes_share_nothing_but_the_pki() -> None:
    texts = [
        config.containerd_config(TWO),
        config.kubelet_config(TWO, "node-2", 2),
        config.pod_network(TWO, "10.244.1.0/24"),
        config.proxy_config(TWO, "node-2"),
    ]

    assert not any("node-1" in text for text in texts)


def test_pods_of_a_node_are_in_its_own_cgroup() -> None:
    assert yaml.safe_load(config.kubelet_config(TWO, "node-2", 2))["cgroupRoot"] == "/node-2"


def test_the_pod_network_has_the_range_that_it_was_given() -> None:
    network = json.loads(config.pod_network(ONE, "10.244.7.0/24"))

    assert network["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.7.0/24"}]]


def test_addresses_are_in_no_range_of_another_kind() -> None:
    pods, services = map(ipaddress.ip_network, (config.POD_CIDR, config.SERVICE_CIDR))
    node = ipaddress.ip_address(config.node_address(1))

    assert not pods.overlaps(services)
    assert node not in pods
    assert node not in services
    assert ipaddress.ip_address(config.API_SERVICE) == services[1]
    assert ipaddress.ip_address(config.DNS_SERVICE) in services
