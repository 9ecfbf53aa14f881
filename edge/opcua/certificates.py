"""Certificates: the server's own, which it makes if none is given, and those of clients and users that it trusts."""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.files import read_file, write_atomically, write_new
from edge_inspect.edge.mqtt.credentials import credential_path, credential_remedy
from edge_inspect.edge.mqtt.validity import date_problem
from edge_inspect.edge.opcua.settings import OpcuaSettings
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

_BITS = 3072
_VALID = timedelta(days=3652)
_LARGEST_FILE = 2**16
_PEM = b"-----BEGIN CERTIFICATE-----"


class ServerCertificate(NamedTuple):
    """The server's certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes


def server_certificate(settings: OpcuaSettings) -> ServerCertificate:
    """Return the certificate that the configuration names, or the one in `data`, which is made on the first start.

    Raises:
        ConfigurationError: A file cannot be read, written or used; the message names its key and the remedy.
    """
    listen = settings.listen
    if listen.certificate is not None and listen.key is not None:
        names = {"listen.certificate": listen.certificate, "listen.key": listen.key}
        found = ServerCertificate(*(_read_named(name, file) for name, file in names.items()))
        where = f"listen.certificate: {credential_path(listen.certificate)}"
    else:
        found, where = _kept_or_made(settings)
    certificate = _check(found, where)
    names_in = _uris(certificate)
    if settings.application_uri not in names_in:
        log.warning(
            "%s: the certificate is for %s, and this server is %s; clients may refuse it. Make a certificate with this "
            "URI as a subject alternative name%s",
            where,
            ", ".join(map(clean, names_in)) or "no URI",
            settings.application_uri,
            "" if listen.certificate else ": delete the file, and the next start makes one",
        )
    thumbprint = certificate.fingerprint(hashes.SHA1()).hex()  # OPC UA's tools show this one
    log.info("%s, thumbprint %s, valid until %s", where, thumbprint, f"{certificate.not_valid_after_utc:%Y-%m-%d}")
    return found


def _read_named(name: str, file: Path) -> bytes:
    path = credential_path(file)
    try:
        return read_file(path, _LARGEST_FILE)
    except OSError as error:
        raise ConfigurationError(f"{name}: {path} cannot be read: {error.strerror}{credential_remedy(file)}") from error


def _kept_or_made(settings: OpcuaSettings) -> tuple[ServerCertificate, str]:
    """Return the certificate in the folder of the data, and what to call it. It is made if it is not there."""
    files = [settings.data / name for name in ("server.pem", "server.key")]
    try:
        if all(file.exists() for file in files):
            kept = ServerCertificate(*(read_file(file, _LARGEST_FILE) for file in files))
            return kept, f"the server's certificate {clean(files[0])}"
        made = _make(settings)
        settings.data.mkdir(parents=True, exist_ok=True)
        files[1].unlink(missing_ok=True)
        write_new(files[1], made.key, mode=0o600)
        write_atomically(files[0], made.certificate)
    except OSError as error:
        raise ConfigurationError(
            f"data: {clean(settings.data)}: the server's certificate cannot be read or written: {error.strerror}; make "
            "the folder writable for this user, or set data to another folder"
        ) from error
    return made, f"made a certificate for {', '.join(settings.listen.hosts)}: {clean(files[0])}"


def _make(settings: OpcuaSettings) -> ServerCertificate:
    """Return a new certificate as OPC 10000-6, section 6.2.2, asks for: self-signed, with the application's URI."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"edge-inspect {settings.name}"[:64])])
    alternatives = [x509.UniformResourceIdentifier(settings.application_uri), *map(_host, settings.listen.hosts)]
    usage = dict.fromkeys(("key_agreement", "crl_sign", "encipher_only", "decipher_only"), False)
    usage |= dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_cert_sign"), True
    )
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A client whose clock is behind would refuse it as not valid yet.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    no_passphrase = serialization.NoEncryption()
    return ServerCertificate(
        certificate.public_bytes(encoding),
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_passphrase),
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _check(found: ServerCertificate, where: str) -> x509.Certificate:
    """Return the certificate.

    Raises:
        ConfigurationError: It or its key cannot be used.
    """
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate)
        key = serialization.load_pem_private_key(found.key, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{where}: it or its key cannot be used: {clean(str(error).splitlines()[0])}; both must be PEM, and the "
            "key must have no passphrase"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise ConfigurationError(f"{where}: OPC UA needs an RSA key of 2048 bits or more; make another one")
    if key.public_key() != certificate.public_key():
        raise ConfigurationError(f"{where}: the key does not belong to the certificate; name the two that do")
    if certificate.not_valid_after_utc < datetime.now(timezone.utc):
        raise ConfigurationError(
            f"{where}: the certificate has expired on {certificate.not_valid_after_utc:%Y-%m-%d}; replace it, or "
            "delete the one that this server has made, and the next start makes another"
        )
    return certificate


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def load_certificate(data: bytes) -> x509.Certificate:
    """Return the first certificate in a PEM or DER file.

    Raises:
        ValueError: There is none.
    """
    return (x509.load_pem_x509_certificate if _PEM in data else x509.load_der_x509_certificate)(data)


def user_certificate(key: str, file: Path) -> x509.Certificate:
    """Return the certificate of a user.

    Args:
        key: The setting that names the file, for messages.
        file: The file, PEM or DER.

    Raises:
        ConfigurationError: The file cannot be read, or holds no certificate.
    """
    try:
        return load_certificate(_read_named(key, file))
    except ValueError as error:
        raise ConfigurationError(f"{key}: {credential_path(file)} holds no certificate, PEM or DER") from error


class TrustFolder:
    """A folder with the certificates that are trusted, which is read anew at every question.

    Args:
        folder: The folder. Files that hold no certificate are skipped, and logged once.

    Raises:
        ConfigurationError: The folder cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._skipped: set[Path] = set()
        try:
            os.listdir(folder)
        except OSError as error:
            raise ConfigurationError(f"trusted: {self._unreadable(error)}") from error

    def problem(self, certificate: x509.Certificate) -> str | None:
        """Return why a certificate is not trusted; `None` if it is, or a CA in the folder has signed it."""
        if problem := date_problem(certificate):
            return f"it {problem}"
        try:
            for trusted in self._certificates():
                if trusted == certificate or (not date_problem(trusted) and _has_signed(trusted, certificate)):
                    return None
        except OSError as error:
            return self._unreadable(error)
        return f"it is not in {clean(self._folder)}"

    def _unreadable(self, error: OSError) -> str:
        return (
            f"{clean(self._folder)} cannot be read: {error.strerror}; create the folder and put the clients' "
            "certificates into it, or leave trusted out"
        )

    def _certificates(self) -> Iterator[x509.Certificate]:
        for path in sorted(self._folder.iterdir()):
            try:
                yield load_certificate(read_file(path, _LARGEST_FILE))
            except (OSError, ValueError) as error:
                if path not in self._skipped:
                    self._skipped.add(path)
                    log.warning("trusted: %s is skipped: %s", clean(path), clean(str(error)))


def _has_signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        if not authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return True
