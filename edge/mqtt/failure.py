"""Explanations why a broker cannot be reached: one sentence with the setting to change."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from typing import TYPE_CHECKING

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.mqtt.credentials import credential_path, read_certificates, tls_context
from edge_inspect.edge.mqtt.validity import common_names, date_problem, names

if TYPE_CHECKING:
    from cryptography import x509

_PROBE_S = 2.0
# MQTT 3.1.1, a clean session, and an empty client id, so that the broker chooses one.
_PLAIN_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"
_CONNACK = b"\x20"

# X509_V_ERR_* of OpenSSL.
_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_NAME = (62, 64)
_UNKNOWN_CA = (2, 7, 18, 19, 20, 21)
_TOO_WEAK = (66, 67, 68)

_OLD_TLS = "the broker does not support TLS 1.2 or newer; update it, or allow TLS 1.2 in its configuration"
# Explanations of the broker's TLS alerts, by the end of the alert's name.
_ALERTS = {
    "CERTIFICATE_REQUIRED": "the broker requires a certificate of this box; set mqtt.tls.certificate and mqtt.tls.key",
    "UNKNOWN_CA": "the broker does not know the CA of mqtt.tls.certificate; have the certificate issued by a CA that "
    "the broker trusts",
    "CERTIFICATE_EXPIRED": "the broker says that mqtt.tls.certificate is not valid now; renew it, or set the clocks",
    "CERTIFICATE_REVOKED": "the broker says that mqtt.tls.certificate is revoked; have a new one issued",
    "BAD_CERTIFICATE": "the broker refuses mqtt.tls.certificate; have one issued that meets its configuration",
    "UNSUPPORTED_CERTIFICATE": "the broker refuses mqtt.tls.certificate; it must be issued for clients (clientAuth)",
    "CERTIFICATE_UNKNOWN": "the broker refuses mqtt.tls.certificate; have one issued that meets its configuration",
    "DECRYPT_ERROR": "the broker refuses mqtt.tls.certificate: its signature is wrong; have a new one issued",
    "ACCESS_DENIED": "the broker gives mqtt.tls.certificate no rights; check the broker's access rules",
    "PROTOCOL_VERSION": _OLD_TLS,
    "INSUFFICIENT_SECURITY": "the broker requires other ciphers than this box has; allow those of TLS 1.2 and 1.3",
    "UNRECOGNIZED_NAME": "the broker does not know the name in mqtt.host; use a name of its certificate",
    "INTERNAL_ERROR": "the broker failed in the TLS handshake; see its log",
}
_REMEDY_NO_TLS = "set mqtt.port to the broker's port for TLS, often 8883, or leave mqtt.tls out"
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP", "RECORD_LAYER", "PACKET_LENGTH", "UNEXPECTED_MESSAGE", "BAD_RECORD")
_VERSIONS = ("UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION", "NO_PROTOCOLS_AVAILABLE", "UNSUPPORTED_SSL_VERSION")


def explain(problem: OSError | UnicodeError, settings: MqttSettings) -> str:
    """Return why a connection could not be made. This may connect to the broker again, for up to some seconds."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        # OpenSSL's words stay in the message, because people search for them.
        return f"TLS: certificate verify failed: {_explain_certificate(problem, settings)}"
    hung_up = isinstance(problem, ssl.SSLEOFError | ConnectionResetError | ConnectionAbortedError | BrokenPipeError)
    if hung_up and settings.tls is not None:
        return f"TLS: {_explain_hanging_up(settings)}"
    if isinstance(problem, ssl.SSLError):
        return explain_alert(problem, settings)
    return _explain_address(problem, settings)


def explain_alert(problem: ssl.SSLError, settings: MqttSettings) -> str:
    """Return the meaning of a TLS error of the broker or of OpenSSL, with the remedy."""
    reason = problem.reason or str(problem)
    shows_certificate = settings.tls is not None and settings.tls.certificate is not None
    for alert, said in _ALERTS.items():
        if reason.endswith(alert):
            return f"TLS: {said}"
    if reason.endswith("HANDSHAKE_FAILURE"):
        if shows_certificate:
            return "TLS: the broker ended the handshake: it refuses mqtt.tls.certificate, or has no cipher in common"
        return (
            "TLS: the broker ended the handshake: it requires a certificate of this box (set mqtt.tls.certificate and "
            "mqtt.tls.key), or has no cipher in common"
        )
    if any(version in reason for version in _VERSIONS):
        return f"TLS: {_OLD_TLS}"
    if any(sign in reason for sign in _NO_TLS):
        return f"TLS: {_place(settings)} does not answer in TLS; {_REMEDY_NO_TLS}"
    if "TOO_SMALL" in reason or "WEAK" in reason:
        return f"TLS: the broker's key is too weak ({reason}); give the broker a longer key"
    return f"TLS: {reason}; check mqtt.tls against the broker's configuration"


def explain_silence(settings: MqttSettings, *, ask: bool = False) -> str:
    """Return why the broker closed the connection without an answer to CONNECT.

    Args:
        settings: Settings of the connection.
        ask: Whether to connect again, to find out if the broker uses TLS at this port.
    """
    said = "the broker closed the connection without an answer"
    if settings.tls is not None:
        return f"{said}; check that it accepts this box's certificate"
    if not ask:
        return (
            f"{said}; if {_place(settings)} is its port for TLS, set mqtt.tls (edge-inspect check --connect finds that "
            "out)"
        )
    if _certificate(settings) is not None:
        return (
            f"{said}: {_place(settings)} requires TLS; set mqtt.tls, with the CA of the broker's certificate as its "
            "ca_file, or set mqtt.port to a port without TLS"
        )
    return f"{said}; see the broker's log"


def _place(settings: MqttSettings) -> str:
    return f"port {settings.port}"


def _explain_certificate(problem: ssl.SSLCertVerificationError, settings: MqttSettings) -> str:
    code, certificate = problem.verify_code, _certificate(settings)
    if code in _OTHER_NAME:
        held = f"for {names(certificate)}, not" if certificate is not None else "not"
        return (
            f"the broker's certificate is {held} for {settings.host}; set mqtt.host to a name in the certificate, or "
            f"have one issued for {settings.host}"
        )
    if code in (_EXPIRED, _NOT_YET_VALID):
        if certificate is not None and (why := date_problem(certificate)):
            return f"the broker's certificate {why}"
        return (
            f"certificate of the broker's CA: {problem.verify_message}; renew it, or set this box's clock if that is "
            "wrong"
        )
    if code in _UNKNOWN_CA:
        return _explain_authority(certificate, settings)
    if code in _TOO_WEAK:
        return f"the broker's certificate is too weak: {problem.verify_message}; have one issued with a longer key"
    return f"the broker's certificate is not accepted: {problem.verify_message}; have a new one issued"


def _explain_authority(certificate: x509.Certificate | None, settings: MqttSettings) -> str:
    ca_file = settings.tls.ca_file if settings.tls is not None else None
    trusted = f"not by mqtt.tls.ca_file {credential_path(ca_file)}" if ca_file else "not by a CA that this box trusts"
    remedy = "set mqtt.tls.ca_file to the certificate of that CA, in PEM"
    if certificate is None:
        return f"the broker's certificate is signed {trusted}; {remedy}"
    if certificate.issuer == certificate.subject:
        return (
            f"the broker's certificate is self-signed, {trusted}; set mqtt.tls.ca_file to a copy of the broker's "
            "certificate, in PEM"
        )
    issuer = ", ".join(common_names(certificate.issuer)) or certificate.issuer.rfc4514_string()
    if ca_file and any(ca.subject == certificate.issuer for ca in read_certificates("mqtt.tls.ca_file", ca_file)):
        return (
            f"the broker's certificate is signed by the CA {issuer!r} with another key than that of mqtt.tls.ca_file "
            f"{credential_path(ca_file)}; copy the CA's certificate again, because the CA has a new key"
        )
    return f"the broker's certificate is signed by the CA {issuer!r}, {trusted}; {remedy}"


def _explain_hanging_up(settings: MqttSettings) -> str:
    if _speaks_plain_mqtt(settings):
        return f"{_place(settings)} uses MQTT without TLS; {_REMEDY_NO_TLS}"
    return (
        f"the broker closed the connection in the handshake; check that {_place(settings)} is its port for TLS, and "
        "that it allows TLS 1.2 or 1.3"
    )


def _explain_address(problem: OSError | UnicodeError, settings: MqttSettings) -> str:
    if isinstance(problem, UnicodeError):
        return f"{settings.host!r} is not a valid host name; check mqtt.host"
    host = settings.host
    if isinstance(problem, socket.gaierror):
        if problem.errno == socket.EAI_AGAIN:
            return (
                f"not reachable: no DNS server answers for {host}; check this box's network, or set mqtt.host to an "
                "address"
            )
        return f"not reachable: the name {host} is unknown ({problem.strerror}); check mqtt.host, and this box's DNS"
    if isinstance(problem, TimeoutError):
        within = f"within {settings.connect_timeout_s:g} s"
        if "handshake" in str(problem):
            return (
                f"TLS: no answer in the handshake {within}; check that {_place(settings)} is the broker's port for TLS"
            )
        return f"not reachable: no answer {within}; check mqtt.host, the network and its firewalls"
    if isinstance(problem, ConnectionRefusedError):
        return (
            f"not reachable: {problem.strerror}: nothing listens at {_place(settings)}; check mqtt.port, and that the "
            "broker runs and accepts connections from other machines"
        )
    if problem.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN):
        return f"not reachable: {problem.strerror}; check mqtt.host, this box's address and its gateway"
    return f"not reachable: {problem.strerror or problem}"


def _certificate(settings: MqttSettings) -> x509.Certificate | None:
    """Return the broker's certificate without checking it; `None` if the broker does not show one."""
    from cryptography import x509

    with contextlib.suppress(OSError, ValueError, ConfigurationError):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if settings.tls is None else tls_context(settings.tls)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((settings.host, settings.port), _probe_s(settings)) as plain,
            context.wrap_socket(plain, server_hostname=settings.host) as connection,
        ):
            if (found := connection.getpeercert(binary_form=True)) is not None:
                return x509.load_der_x509_certificate(found)
    return None


def _speaks_plain_mqtt(settings: MqttSettings) -> bool:
    with (
        contextlib.suppress(OSError),
        socket.create_connection((settings.host, settings.port), _probe_s(settings)) as plain,
    ):
        plain.sendall(_PLAIN_CONNECT)
        return plain.recv(1) == _CONNACK
    return False


def _probe_s(settings: MqttSettings) -> float:
    return min(_PROBE_S, settings.connect_timeout_s)
