"""The TLS socket of a connection: it reports errors of certificates, which paho hides."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, TlsSettings
from edge_inspect.edge.mqtt.credentials import tls_context
from edge_inspect.edge.mqtt.failure import explain_alert
from edge_inspect.edge.mqtt.problem import ConnectionProblem


def secure_context(settings: MqttSettings, tls: TlsSettings) -> ssl.SSLContext:
    """Return the context with which paho makes the connection's TLS sockets."""

    class TlsSocket(ssl.SSLSocket):
        """A socket that closes itself if the handshake fails (paho leaves it open), and reports the broker's alert."""

        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
            except BaseException:
                self.close()
                raise

        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            # With TLS 1.3 the broker refuses this box's certificate only after the handshake.
            try:
                return super().recv(buflen, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as problem:
                raise ConnectionProblem(explain_alert(problem, settings), slow=True) from problem

        def send(self, data: Any, flags: int = 0) -> int:
            try:
                return super().send(data, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except OSError:
                # The broker has closed the connection, but its alert can still be read.
                with contextlib.suppress(OSError):
                    self.recv(1)
                raise

    context = tls_context(tls)
    context.sslsocket_class = TlsSocket
    return context
