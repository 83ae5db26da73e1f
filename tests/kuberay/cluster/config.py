"""Configuration files of a node, as text; nothing here touches the machine.

What differs from a node with systemd and all capabilities, and why, stands beside each setting.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

POD_CIDR: Final = "10.244.0.0/16"
SERVICE_CIDR: Final = "10.96.0.0/16"
API_SERVICE: Final = "10.96.0.1"
DNS_SERVICE: Final = "10.96.0.10"
PAUSE_IMAGE: Final = "registry.k8s.io/pause:3.10.1"


@dataclass(frozen=True)
class NodePaths:
    """Where things of one node are; ``pki`` is the cluster's."""

    folder: Path
    pki: Path

    @property
    def containerd_socket(self) -> Path:
        """Kubelet and ctr talk to it; at most 107 bytes, as every unix socket."""
        return self.folder / "containerd.sock"


def node_address(number: int) -> str:
    """Of node 1, 2, …: on a network that exists in the nodes' namespaces alone."""
    return f"10.200.0.{number}"


def containerd_config(paths: NodePaths) -> str:
    """TOML, version 2."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{paths.folder}/containerd/root"
state = "{paths.folder}/containerd/state"
[grpc]
  address = "{paths.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{paths.folder}/containerd/opt"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE a score cannot be lowered.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
  # There is no systemd to ask.
  SystemdCgroup = false
[{cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{paths.folder}/cni"
"""


def pod_network(paths: NodePaths, cidr: str) -> str:
    """A CNI list: the node's pods on a bridge, each routed by the node."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        # Nothing leaves the nodes, so no address needs to be hidden.
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{paths.folder}/cni-ipam",
            "ranges": [[{"subnet": cidr}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]})


def kubelet_config(paths: NodePaths, name: str, number: int) -> str:
    """A KubeletConfiguration."""
    return _yaml(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node_address(number),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{paths.pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{paths.pki}/{name}.crt",
            "tlsPrivateKeyFile": f"{paths.pki}/{name}.key",
            "cgroupDriver": "cgroupfs",
            # All of the node's pods are in its own cgroup, which is removed with it.
            "cgroupRoot": f"/{name}",
            "cgroupsPerQOS": True,
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDomain": "cluster.local",
            "clusterDNS": [DNS_SERVICE],
            # Of no name server: only cluster.local is served.
            "resolvConf": f"{paths.folder}/resolv.conf",
            "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
            "podLogsDir": f"{paths.folder}/pod-logs",
            "volumePluginDir": f"{paths.folder}/volume-plugins",
            "healthzBindAddress": "127.0.0.1",
            # The images are the test's own, and there is no registry to fetch them from again.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "200Mi",
                "nodefs.available": "2%",
                "imagefs.available": "2%",
            },
            "oomScoreAdj": 0,
        }
    )


def proxy_config(paths: NodePaths, name: str) -> str:
    """A KubeProxyConfiguration."""
    return _yaml(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": f"{paths.pki}/kube-proxy.kubeconfig"},
            "mode": "iptables",
            "clusterCIDR": POD_CIDR,
            "hostnameOverride": name,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            # Zero leaves the kernel's own, which may not be written.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }
    )


API_SERVER: Final = f"https://{node_address(1)}:6443"


def kubeconfig(pki: Path, user: str, server: str = API_SERVER) -> str:
    """Of ``USER.crt`` and ``USER.key``; ``server`` is as nodes reach it."""
    return _yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {
                        "server": server,
                        "certificate-authority": f"{pki}/ca.crt",
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate": f"{pki}/{user}.crt",
                        "client-key": f"{pki}/{user}.key",
                    },
                }
            ],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
    )


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False)
