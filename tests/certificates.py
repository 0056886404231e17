"""Certificates for tests, good for an hour: an authority, and identities that it vouches for."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVER_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Identity:
    """A private key and the certificate that says whose it is."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, password: str | None = None) -> bytes:
        encryption = (
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption()
        )
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )

    def write(self, folder: Path, name: str, password: str | None = None) -> tuple[Path, Path]:
        """Files with the certificate and with the key."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.certificate_pem())
        key.write_bytes(self.key_pem(password))
        return certificate, key


def authority(name: str = "Test CA") -> Identity:
    """Who signs, itself included."""
    key = ec.generate_private_key(ec.SECP256R1())
    built = _builder(key, name, name).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    return Identity(key, built.sign(key, hashes.SHA256()))


def signed_by(issuer: Identity, name: str, hosts: tuple[str, ...] = SERVER_NAMES) -> Identity:
    """Somebody by this name, who answers at these hosts."""
    key = ec.generate_private_key(ec.SECP256R1())
    [issuer_name] = issuer.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    alternatives = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    built = _builder(key, name, str(issuer_name.value)).add_extension(alternatives, critical=False)
    return Identity(key, built.sign(issuer.key, hashes.SHA256()))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(key: ec.EllipticCurvePrivateKey, subject: str, issuer: str) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    hour = dt.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - hour)
        .not_valid_after(now + hour)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
