"""The API server with its etcd, the controllers and the scheduler, as processes of node 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.kuberay.cluster.config import (
    API_SERVICE,
    POD_CIDR,
    SERVICE_CIDR,
    kubeconfig,
    node_address,
)
from tests.kuberay.cluster.namespaces import Namespaces
from tests.kuberay.cluster.pki import Identity, authority, signed
from tests.waiting import wait_until

ETCD: Final = "http://127.0.0.1:2379"
USERS: Final = {
    # Users and groups that Kubernetes' own roles name.
    "admin": ("admin", ("system:masters",)),
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kube-proxy": ("system:kube-proxy", ()),
}
API_NAMES: Final = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    API_SERVICE,
    "127.0.0.1",
    node_address(1),
)


@dataclass(frozen=True)
class ControlPlane:
    """Of the cluster whose first node is ``node``."""

    node: Namespaces
    binaries: Path
    pki: Path
    authority: Identity

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """As administrator; AssertionError with what kubectl says when it fails."""
        config = f"{self.pki}/admin.kubeconfig"
        command = (f"{self.binaries}/kubectl", "--kubeconfig", config, *arguments)
        return self.node.run(*command, text=text)

    def ready(self) -> bool:
        """Whether the API server is up."""
        try:
            return self.kubectl("get", "--raw", "/readyz").strip() == "ok"
        except AssertionError:
            return False

    def introduce(self, name: str, number: int) -> None:
        """A certificate and a kubeconfig for a node's kubelet."""
        hosts = (name, node_address(number))
        identity = signed(self.authority, f"system:node:{name}", ("system:nodes",), hosts)
        identity.write(self.pki, name)
        (self.pki / f"{name}.kubeconfig").write_text(kubeconfig(self.pki, name))


def start(node: Namespaces, binaries: Path, pki: Path) -> ControlPlane:
    """Start all of it; returns when the API server is ready."""
    pki.mkdir(mode=0o700)
    plane = ControlPlane(node, binaries, pki, make_pki(pki))
    node.start(
        "etcd",
        [
            *("etcd", f"--data-dir={node.folder}/etcd", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}"),
            "--listen-peer-urls=http://127.0.0.1:2380",
        ],
    )
    node.start("kube-apiserver", [f"{binaries}/kube-apiserver", *api_server_flags(pki)])
    wait_until("the API server", plane.ready, timeout_s=180)
    for name, flags in (
        ("kube-controller-manager", controller_flags(pki)),
        ("kube-scheduler", ()),
    ):
        config = f"{pki}/{name}.kubeconfig"
        common = [
            *(f"--kubeconfig={config}", f"--authentication-kubeconfig={config}"),
            *(f"--authorization-kubeconfig={config}", "--bind-address=127.0.0.1"),
            "--leader-elect=false",
        ]
        node.start(name, [f"{binaries}/{name}", *common, *flags])
    return plane


def make_pki(folder: Path) -> Identity:
    """All certificates but the nodes'; returns the CA."""
    ca, front_proxy_ca = authority("kubernetes"), authority("front-proxy")
    ca.write(folder, "ca")
    front_proxy_ca.write(folder, "front-proxy-ca")
    signed(front_proxy_ca, "front-proxy-client").write(folder, "front-proxy")
    signed(ca, "kube-apiserver", hosts=API_NAMES).write(folder, "apiserver")
    signed(ca, "kube-apiserver-kubelet-client", ("system:masters",)).write(folder, "to-kubelets")
    for file, (user, groups) in USERS.items():
        signed(ca, user, groups).write(folder, file)
        (folder / f"{file}.kubeconfig").write_text(kubeconfig(folder, file))
    # Tokens of service accounts are signed with RSA.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM
    (folder / "accounts.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "accounts.pub").write_bytes(
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return ca


def api_server_flags(pki: Path) -> Sequence[str]:
    """Of kube-apiserver."""
    return (
        f"--etcd-servers={ETCD}",
        f"--advertise-address={node_address(1)}",
        f"--bind-address={node_address(1)}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-client-certificate={pki}/to-kubelets.crt",
        f"--kubelet-client-key={pki}/to-kubelets.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/accounts.pub",
        f"--service-account-signing-key-file={pki}/accounts.key",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
    )


def controller_flags(pki: Path) -> Sequence[str]:
    """Of kube-controller-manager."""
    return (
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={POD_CIDR}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki}/accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
    )
