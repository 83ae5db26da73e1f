"""The cluster's certificates: a CA, servers and users, by the cryptography package.

Who is who: https://kubernetes.io/docs/setup/best-practices/certificates/
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = datetime.timedelta(days=2)
_USAGES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, folder: Path, name: str) -> None:
        """As ``NAME.crt`` and ``NAME.key``, the key readable by its owner alone."""
        pem = serialization.Encoding.PEM
        (folder / f"{name}.crt").write_bytes(self.certificate.public_bytes(pem))
        key = folder / f"{name}.key"
        key.touch(0o600)
        key.write_bytes(
            self.key.private_bytes(
                pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def authority(name: str) -> Identity:
    """A CA that signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name, ())
    builder = _builder(subject, subject, key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    return Identity(builder.sign(key, hashes.SHA256()), key)


def signed(
    by: Identity, name: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()
) -> Identity:
    """For a server with these host names and IP addresses, and a user in these groups."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(name, groups), by.certificate.subject, key)
    builder = builder.add_extension(_USAGES, critical=False)
    if hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return Identity(builder.sign(by.key, hashes.SHA256()), key)


def _subject(name: str, groups: Sequence[str]) -> x509.Name:
    # For Kubernetes a group is an organisation.
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of this one machine agree, but for rounding.
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + _LIFE)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
