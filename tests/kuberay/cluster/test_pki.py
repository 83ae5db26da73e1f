"""Certificates as OpenSSL sees them, and as Kubernetes reads users from them."""

import subprocess
from pathlib import Path

import pytest

from tests.kuberay.cluster.pki import authority, signed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ca = authority("kubernetes")
    ca.write(tmp_path, "ca")
    authority("kubernetes").write(tmp_path, "other")
    hosts = ["kubernetes.default.svc", "10.96.0.1"]
    signed(ca, "kube-apiserver", hosts=hosts).write(tmp_path, "server")
    signed(ca, "admin", groups=["system:masters"]).write(tmp_path, "admin")
    return tmp_path


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "check",
    [
        ("-verify_hostname", "kubernetes.default.svc"),
        ("-verify_ip", "10.96.0.1"),
        ("-purpose", "sslserver"),
        ("-purpose", "sslclient"),
    ],
)
def test_a_server_is_known_by_its_names(folder: Path, check: tuple[str, str]) -> None:
    verified = openssl("verify", "-CAfile", f"{folder}/ca.crt", *check, f"{folder}/server.crt")

    assert verified.returncode == 0, verified.stderr


def test_a_name_that_it_does_not_have_is_refused(folder: Path) -> None:
    other = ("-verify_hostname", "example.com")
    assert openssl("verify", "-CAfile", f"{folder}/ca.crt", *other, f"{folder}/server.crt").stderr


def test_another_authority_of_the_same_name_did_not_sign_it(folder: Path) -> None:
    assert openssl("verify", "-CAfile", f"{folder}/other.crt", f"{folder}/server.crt").returncode


def test_a_user_has_its_groups(folder: Path) -> None:
    subject = openssl("x509", "-noout", "-subject", "-in", f"{folder}/admin.crt").stdout

    assert "O = system:masters" in subject
    assert "CN = admin" in subject


def test_keys_are_readable_by_their_owner_alone(folder: Path) -> None:
    assert (folder / "admin.key").stat().st_mode & 0o777 == 0o600
