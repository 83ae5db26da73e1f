"""A node: containerd, kubelet, kube-proxy and the network policies, in namespaces of its own."""

import json
import shutil
from typing import Final

from tests.kuberay.cluster.config import (
    SERVICE_CIDR,
    NodePaths,
    containerd_config,
    kubelet_config,
    node_address,
    pod_network,
    proxy_config,
)
from tests.kuberay.cluster.control_plane import ControlPlane
from tests.kuberay.cluster.namespaces import Namespaces
from tests.waiting import wait_until

# As a service manager does: kubelet ends when containerd, whose socket is there, is not ready yet.
_RESTARTED: Final = ("sh", "-c", 'until "$@"; do sleep 1; done', "kubelet")


def start(plane: ControlPlane, node: Namespaces, number: int) -> None:
    """Start what makes a node of it; returns when Kubernetes says that it is ready."""
    paths = NodePaths(node.folder, plane.pki)
    plane.introduce(node.name, number)
    # Of a node that was here before: what of it was true only as long as it ran.
    for name in ("cni", "cni-ipam", "containerd/state"):
        shutil.rmtree(node.folder / name, ignore_errors=True)
    paths.containerd_socket.unlink(missing_ok=True)
    for name in ("cni", "pod-logs", "kubelet", "containerd"):
        (node.folder / name).mkdir(exist_ok=True)
    (node.folder / "resolv.conf").write_text("# no name server: only cluster.local is served\n")
    (node.folder / "containerd.toml").write_text(containerd_config(paths))
    (node.folder / "kubelet.yaml").write_text(kubelet_config(paths, node.name, number))
    (node.folder / "kube-proxy.yaml").write_text(proxy_config(paths, node.name))
    node.start("containerd", ["containerd", f"--config={node.folder}/containerd.toml"])
    wait_until("containerd", paths.containerd_socket.exists, timeout_s=60)
    node.start(
        "kubelet",
        [
            *_RESTARTED,
            f"{plane.binaries}/kubelet",
            f"--config={node.folder}/kubelet.yaml",
            f"--kubeconfig={plane.pki}/{node.name}.kubeconfig",
            f"--root-dir={node.folder}/kubelet",
            f"--cert-dir={node.folder}/kubelet-pki",
            f"--hostname-override={node.name}",
            f"--node-ip={node_address(number)}",
        ],
    )
    cidr = wait_until(
        f"a range for the pods of {node.name}", lambda: pod_cidr(plane, node.name), timeout_s=180
    )
    # Only with it is the node ready.
    (node.folder / "cni" / "10-bridge.conflist").write_text(pod_network(paths, cidr))
    if number > 1:
        plane.node.run(
            "ip", "route", "add", cidr, "via", node_address(number), "dev", f"to-{number}"
        )
    node.start(
        "kube-proxy", [f"{plane.binaries}/kube-proxy", f"--config={node.folder}/kube-proxy.yaml"]
    )
    node.start(
        "kube-router",
        [
            f"{plane.binaries}/kube-router",
            f"--kubeconfig={plane.pki}/admin.kubeconfig",
            f"--hostname-override={node.name}",
            # Policies alone: the rest is done by the above.
            *("--run-router=false", "--run-firewall=true", "--run-service-proxy=false"),
            *("--run-loadbalancer=false", f"--service-cluster-ip-range={SERVICE_CIDR}"),
            *("--health-port=0", "--metrics-port=0"),
        ],
    )
    plane.kubectl("wait", f"node/{node.name}", "--for=condition=Ready", "--timeout=180s")


def pod_cidr(plane: ControlPlane, name: str) -> str:
    """Of a node, once the controller has given it one; until then empty."""
    try:
        node = json.loads(plane.kubectl("get", "node", name, "-o", "json"))
    except AssertionError:
        return ""
    return str(node["spec"].get("podCIDR", ""))
