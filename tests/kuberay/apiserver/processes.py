"""An API server with its etcd, and the KubeRay operator, on loopback while a test runs."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.free_port import free_port
from tests.kuberay.manifests import Document
from tests.waiting import wait_until

HOST: Final = "127.0.0.1"
TOKEN: Final = "token-of-the-test"


@dataclass(frozen=True)
class Cluster:
    """An API server, asked with kubectl."""

    folder: Path

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator."""
        return self.folder / "kubeconfig"

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """Standard output; AssertionError with what kubectl says when it fails."""
        ran = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def ready(self) -> bool:
        """Whether the API server is up."""
        try:
            return self.kubectl("get", "--raw", "/readyz").strip() == "ok"
        except AssertionError:
            return False

    def apply(self, documents: Sequence[Document]) -> str:
        """Server-side, and strictly: an unknown field is an error."""
        return self.kubectl(
            "apply",
            "--server-side",
            "--validate=strict",
            "--field-manager=user-tags",
            "-f",
            "-",
            text=yaml.safe_dump_all(documents),
        )

    def get(self, *what: str) -> Any:
        """As JSON."""
        return json.loads(self.kubectl("-n", "user-tags", "get", *what, "-o", "json"))

    def items(self, *what: str) -> list[Document]:
        """Items of a list."""
        items: list[Document] = self.get(*what)["items"]
        return items


@contextmanager
def process(
    folder: Path, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Runs until the block ends; its output goes to ``folder/NAME.log``."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            ["nice", "-n", "10", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
        )
        try:
            yield
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@contextmanager
def api_server(folder: Path, binaries: Path) -> Iterator[Cluster]:
    """Kube-apiserver on an etcd: no controller, no scheduler, no node."""
    etcd_url, peers_url = (f"http://{HOST}:{free_port()}" for _ in range(2))
    port = free_port()
    etcd = shutil.which("etcd")
    assert etcd is not None, "etcd is not installed: apt-get install etcd-server"
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
    cluster = {"server": f"https://{HOST}:{port}", "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    subprocess.run(
        ["openssl", "genrsa", "-out", str(folder / "sa.key"), "2048"],
        check=True,
        capture_output=True,
    )
    with ExitStack() as stack:
        stack.enter_context(
            process(
                folder,
                [
                    etcd,
                    f"--data-dir={folder / 'etcd'}",
                    f"--listen-client-urls={etcd_url}",
                    f"--advertise-client-urls={etcd_url}",
                    f"--listen-peer-urls={peers_url}",
                    "--unsafe-no-fsync",
                ],
            )
        )
        stack.enter_context(
            process(
                folder,
                [
                    str(binaries / "kube-apiserver"),
                    f"--etcd-servers={etcd_url}",
                    f"--bind-address={HOST}",
                    f"--secure-port={port}",
                    f"--cert-dir={folder / 'certs'}",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-signing-key-file={folder / 'sa.key'}",
                    f"--service-account-key-file={folder / 'sa.key'}",
                    f"--token-auth-file={folder / 'tokens.csv'}",
                    "--authorization-mode=RBAC",
                    "--service-cluster-ip-range=10.0.0.0/24",
                ],
            )
        )
        up = Cluster(folder)
        wait_until("the API server", up.ready)
        yield up


@contextmanager
def kuberay_operator(cluster: Cluster, binaries: Path, proxy_url: str) -> Iterator[None]:
    """The operator, with what it says over HTTP going to ``proxy_url``."""
    command = [
        str(binaries / "ray-operator"),
        "--enable-leader-election=false",
        f"--metrics-addr={HOST}:{free_port()}",
        f"--health-probe-bind-address={HOST}:{free_port()}",
    ]
    environment = {"KUBECONFIG": str(cluster.kubeconfig), "HTTP_PROXY": proxy_url}
    with process(cluster.folder, command, environment):
        yield
