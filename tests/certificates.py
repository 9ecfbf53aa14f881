"""Certificates to test TLS with: a CA, and what it signs."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """A CA in a folder: `NAME.pem` and `NAME.key`."""

    def __init__(
        self, folder: Path, name: str = "ca", common_name: str = "test CA", *, first: float = -1, last: float = 2
    ):
        self._folder, self.file = folder, folder / f"{name}.pem"
        self._name, self._key = common_name, ec.generate_private_key(ec.SECP256R1())
        self._write(name, self._key, self._sign(common_name, self._key, first, last, ca=True))

    def make(self, name: str, *hosts: str, first: float = -1, last: float = 2, passphrase: bytes = b"") -> Path:
        """Write `NAME.pem`, for these names and addresses and from `first` to `last` days from now, and `NAME.key`."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, key, self._sign(name, key, first, last, hosts), passphrase)

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        first: float,
        last: float,
        hosts: tuple[str, ...] = (),
        ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + first * DAY)
            .not_valid_after(now + last * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            # Clients of Python 3.13 want these.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if ca:
            signs = dict.fromkeys(("key_cert_sign", "crl_sign", "digital_signature"), True)
            never = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
            usage = x509.KeyUsage(**signs, **dict.fromkeys((*never, "decipher_only"), False))
            builder = builder.add_extension(usage, critical=True)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(
        self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, passphrase: bytes = b""
    ) -> Path:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase)
        file = self._folder / f"{name}.pem"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self._folder / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
        return file


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
