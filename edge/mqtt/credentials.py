"""Credentials, each read from a file: those for the broker, and certificate and key of a server."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, TlsSettings
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.files import read_file
from edge_inspect.edge.mqtt.validity import date_problem

if TYPE_CHECKING:
    from cryptography import x509

_LARGEST_FILE = 2**20
# MQTT sends the length of a password in two bytes.
_LONGEST_PASSWORD = 0xFFFF
# The beginning of a PKCS#12 file: a sequence of any length that begins with version 3 (RFC 7292).
_PKCS12 = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...)\x02\x01\x03", re.DOTALL)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def credential_path(name: Path) -> Path:
    """Return the path of a credential. A relative name is looked up in $CREDENTIALS_DIRECTORY if systemd sets it."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / name if folder and not name.is_absolute() else name


def credential_remedy(name: Path) -> str:
    """Return the remedy for a credential that does not exist, as the end of a sentence; empty for an absolute path."""
    if name.is_absolute():
        return ""
    return f"; a name without a folder is a credential of systemd's: LoadCredential={name}:FILE in the unit provides it"


def read_password(file: Path, key: str = "mqtt.password_file", remedy: str = "save it as UTF-8") -> str:
    """Return the password in a file, without the line's end.

    Args:
        file: The file.
        key: The setting or option that names the file, for messages.
        remedy: What to do about a file that is not UTF-8, for the message.

    Raises:
        ConfigurationError: The file cannot be read, or contains no password. The message shows no part of it.
    """
    data = _read(key, file)
    try:
        password = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        # The text of the error contains bytes of the password.
        raise _mistake(key, file, f"is not UTF-8; {remedy}") from None
    if not password:
        raise _mistake(key, file, "is empty; write the password into it, or leave the key out")
    if "\n" in password or len(data) > _LONGEST_PASSWORD:
        raise _mistake(key, file, "has more than one line of text; write only the password into it")
    return password


def client_tls_context(key: str, ca_file: Path | None) -> ssl.SSLContext:
    """Return the context for a client's connection with TLS 1.2 or newer, without a certificate of its own.

    Every certificate in the CA file is trusted, also the server's own certificate, or a CA below the root. All versions
    of Python check certificates alike here, although Python 3.13 is stricter by default.

    Args:
        key: The setting that names the file, for messages.
        ca_file: PEM file with CAs; `None`: the CAs that the system trusts.

    Raises:
        ConfigurationError: The file cannot be read or used; the message names the key and says what to do.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca_file is None:
        context.load_default_certs()
    else:
        _trust(context, key, ca_file)
    return context


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Return the context for a connection to the broker; see `client_tls_context`.

    Raises:
        ConfigurationError: A file cannot be read or used; the message names its key and says what to do.
    """
    context = client_tls_context("mqtt.tls.ca_file", tls.ca_file)
    if tls.certificate is not None and tls.key is not None:
        _load_certificate(context, "mqtt.tls", tls.certificate, tls.key)
    return context


def check_credentials(settings: MqttSettings) -> tuple[list[str], list[str]]:
    """Check the files as a connection would.

    Returns:
        All mistakes; and a sentence for each file that cannot be checked here, because systemd provides it only to the
        service.
    """
    tls = settings.tls or TlsSettings()
    files = {
        "mqtt.password_file": settings.password_file,
        "mqtt.tls.ca_file": tls.ca_file,
        "mqtt.tls.certificate": tls.certificate,
        "mqtt.tls.key": tls.key,
    }
    unseen = {key: file for key, file in files.items() if file is not None and _is_systemds(file)}
    mistakes = []
    for key, file in files.items():
        if file is not None and key not in unseen:
            mistakes += _mistakes(_look, key, file)
    if not mistakes and not unseen:
        # Each file is good by itself; certificate and key must also belong together.
        mistakes += _mistakes(tls_context, tls)
    return mistakes, [_say_unseen(key, file) for key, file in unseen.items()]


def check_server_credentials(section: str, certificate: Path, key: Path) -> tuple[list[str], list[str]]:
    """Check certificate and key of a server as the server would; see `server_tls_context`.

    Returns:
        All mistakes; and a sentence for each file that cannot be checked here, as for `check_credentials`.
    """
    files = {f"{section}.certificate": certificate, f"{section}.key": key}
    unseen = [_say_unseen(name, file) for name, file in files.items() if _is_systemds(file)]
    return ([] if unseen else _mistakes(server_tls_context, section, certificate, key)), unseen


def check_ca_file(key: str, file: Path) -> tuple[list[str], list[str]]:
    """Check a file of CAs as a connection would. Returns the same as `check_credentials`."""
    return ([], [_say_unseen(key, file)]) if _is_systemds(file) else (_mistakes(_look, key, file), [])


def check_credential(key: str, file: Path) -> tuple[list[str], list[str]]:
    """Check that one file can be read. Returns the same as `check_credentials`."""
    return ([], [_say_unseen(key, file)]) if _is_systemds(file) else (_mistakes(_read, key, file), [])


def _say_unseen(key: str, file: Path) -> str:
    return f"{key}: {file} is not checked{credential_remedy(file)}"


def _is_systemds(file: Path) -> bool:
    return not file.is_absolute() and not os.environ.get("CREDENTIALS_DIRECTORY") and not os.path.lexists(file)


def _mistakes(look: Callable[..., object], *of: object) -> list[str]:
    try:
        look(*of)
    except ConfigurationError as error:
        return [str(error)]
    return []


def _look(key: str, file: Path) -> None:
    """Check one file; a mistake raises `ConfigurationError`."""
    if key == "mqtt.password_file":
        read_password(file)
    elif key == "mqtt.tls.key":
        _read_key(key, file)
    else:
        if key.endswith(".ca_file"):
            _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), key, file)
        else:
            _read_pem(key, file, "CERTIFICATE", "x509")
        # If the file has several CAs, some of them may have expired.
        problems = [date_problem(certificate) for certificate in read_certificates(key, file)]
        if problems and all(problems):
            raise _mistake(key, file, problems[0])


def read_certificates(key: str, file: Path) -> list[x509.Certificate]:
    """Return the certificates in a PEM file, without those that cannot be read.

    Raises:
        ConfigurationError: The file cannot be read; the message begins with the key.
    """
    from cryptography import x509

    found = []
    for pem in _CERTIFICATE.findall(_read(key, file)):
        with contextlib.suppress(ValueError):
            found.append(x509.load_pem_x509_certificate(pem))
    return found


def _trust(context: ssl.SSLContext, key: str, file: Path) -> None:
    data = _read_pem(key, file, "CERTIFICATE", "x509")
    try:
        context.load_verify_locations(cadata=data.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise _mistake(key, file, f"is damaged: {_reason(error)}; copy it again") from None


def server_tls_context(section: str, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a server that answers with TLS 1.2 or newer.

    Args:
        section: The section of the configuration with the keys `certificate` and `key`, for messages.
        certificate: PEM file with the certificate and its chain.
        key: PEM file with the certificate's private key, without a passphrase.

    Raises:
        ConfigurationError: A file cannot be read or used; the message names its key and says what to do.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, section, certificate, key)
    return context


def _load_certificate(context: ssl.SSLContext, section: str, certificate: Path, key: Path) -> None:
    _read_pem(f"{section}.certificate", certificate, "CERTIFICATE", "x509")
    _read_key(f"{section}.key", key)
    try:
        # Without this argument, ssl would ask for a password on the terminal.
        context.load_cert_chain(credential_path(certificate), credential_path(key), password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = _reason(error)
        if "MISMATCH" in reason:
            raise _mistake(
                f"{section}.key", key, f"does not belong to {section}.certificate {credential_path(certificate)}"
            ) from None
        raise _mistake(f"{section}.certificate", certificate, f"it or {section}.key cannot be used: {reason}") from None


def _read_key(key: str, file: Path) -> None:
    if b"ENCRYPTED" in _read_pem(key, file, "PRIVATE KEY", "pkey"):
        path = credential_path(file)
        raise _mistake(key, file, f"has a passphrase; write it without one: openssl pkey -in {path} -out {path}.plain")


def _read_pem(key: str, file: Path, wanted: str, command: str) -> bytes:
    """Return the content of a PEM file that must contain a section with the label `wanted`."""
    data = _read(key, file)
    found = [label.decode() for label in re.findall(rb"-----BEGIN ([A-Z0-9 ]+)-----", data)]
    if any(label.endswith(wanted) for label in found):
        return data
    if found:
        remedy = ""
        if "CERTIFICATE REQUEST" in found[0]:
            remedy = "; use the certificate that the CA has issued for the request"
        elif not key.endswith(".ca_file"):
            section = key.rpartition(".")[0]
            remedy = f"; are {section}.certificate and {section}.key swapped?"
        raise _mistake(key, file, f"contains {', '.join(dict.fromkeys(found))}, and no {wanted}{remedy}")
    if data.startswith(b"\x30"):
        path, kind = credential_path(file), "DER"
        write = f"openssl {command} -inform DER -in {path} -out {path}.pem"
        if _PKCS12.match(data):
            what = "-nocerts -nodes" if command == "pkey" else "-nokeys"
            kind, write = "PKCS#12", f"openssl pkcs12 {what} -in {path} -out {path}.pem"
        raise _mistake(key, file, f"is {kind}, not PEM; convert it to PEM: {write}")
    raise _mistake(key, file, f"is {'not a PEM file' if data else 'empty'}; it needs a line -----BEGIN {wanted}-----")


def _read(key: str, file: Path) -> bytes:
    try:
        return read_file(credential_path(file), _LARGEST_FILE)
    except OSError as error:
        there = os.path.lexists(credential_path(file))
        raise _mistake(key, file, f"{error.strerror}{'' if there else credential_remedy(file)}") from None


def _mistake(key: str, file: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"{key}: {credential_path(file)}: {what}")


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)
