from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority
from mosquitto import Broker, free_port

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import MQTT5
from edge_inspect.edge.mqtt.failure import explain
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.mqtt.trial import try_broker

Serve = Callable[..., int]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def serve(make_broker: Callable[..., Broker]) -> Serve:
    """Starts a broker with this certificate; returns its port."""

    def start(certificate: Path, *lines: str) -> int:
        files = [f"certfile {certificate}", f"keyfile {certificate.with_suffix('.key')}"]
        broker = make_broker(settings="\n".join(["allow_anonymous true", *files, *lines]))
        broker.start()
        return broker.port

    return start


def problem(port: int, host: str = "127.0.0.1", **more: object) -> str:
    """What is said of the attempt to connect; empty where it succeeds."""
    settings = MqttSettings(host=host, port=port, connect_timeout_s=5, **more)
    wake, other = socket.socketpair()
    session = None
    with wake, other:
        try:
            session = Session("box", Terms(MQTT5), settings, None, {})
            while not session.connected:
                session.turn(wake, 0.05)
        except ConnectionProblem as found:
            return str(found)
        finally:
            if session is not None:
                session.close(orderly=True)
    return ""


def test_a_certificate_for_other_names_is_said_with_those_names(serve: Serve, authority: Authority) -> None:
    port = serve(authority.make("broker", "broker.lan", "10.0.0.7", "localhost"))
    tls = {"ca_file": authority.file}
    said = problem(port, tls=tls)
    assert said == (
        "TLS: certificate verify failed: the broker's certificate is for broker.lan, 10.0.0.7, localhost, not for "
        "127.0.0.1; set mqtt.host to a name in the certificate, or have one issued for 127.0.0.1"
    )
    assert problem(port, "localhost", tls=tls) == ""


def test_a_certificate_with_a_common_name_alone_is_said_with_it(serve: Serve, authority: Authority) -> None:
    said = problem(serve(authority.make("broker")), tls={"ca_file": authority.file})
    assert "is for broker, not for 127.0.0.1" in said


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [(-9, -1, "the broker's certificate expired on "), (1, 9, "the broker's certificate is not valid before ")],
)
def test_dates_are_said_beside_this_boxs_clock(
    serve: Serve, authority: Authority, first: int, last: int, said: str
) -> None:
    port = serve(authority.make("broker", "127.0.0.1", first=first, last=last))
    found = problem(port, tls={"ca_file": authority.file})
    assert said in found and "this box's clock says " in found and "set the clock" in found


def test_an_expired_authority_is_told_from_the_brokers_certificate(serve: Serve, tmp_path: Path) -> None:
    old = Authority(tmp_path, "old", last=-0.5)
    said = problem(serve(old.make("broker", "127.0.0.1")), tls={"ca_file": old.file})
    assert said.startswith(
        "TLS: certificate verify failed: certificate of the broker's CA: certificate has expired; renew it"
    )


def test_an_authority_that_is_not_known_is_named(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    port = serve(authority.make("broker", "127.0.0.1"))
    said = problem(port, tls={})
    assert "is signed by the CA 'test CA', not by a CA that this box trusts; set mqtt.tls.ca_file" in said
    other = Authority(tmp_path, "other", "another CA")
    assert f"not by mqtt.tls.ca_file {other.file}; set mqtt.tls.ca_file" in problem(port, tls={"ca_file": other.file})
    anew = Authority(tmp_path, "anew")
    assert "with another key than that of mqtt.tls.ca_file" in problem(port, tls={"ca_file": anew.file})


def test_a_certificate_signed_by_itself_can_be_trusted_by_its_copy(serve: Serve, tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=broker"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "broker.key", "-out", "broker.pem"]
    subprocess.run([*command.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    port = serve(tmp_path / "broker.pem")
    assert "is self-signed, not by a CA that this box trusts" in problem(port, tls={})
    assert problem(port, tls={"ca_file": tmp_path / "broker.pem"}) == ""


def test_the_broker_says_what_is_wrong_with_this_boxs_certificate(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    port = serve(authority.make("broker", "127.0.0.1"), "require_certificate true", f"cafile {authority.file}")
    assert problem(port, tls=shows(authority, authority.make("box"))) == ""
    see_refusals(port, authority, tmp_path)


def test_so_it_does_with_tls_1_2(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.make("broker", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    with answering(context) as port:
        see_refusals(port, authority, tmp_path)


def shows(authority: Authority, certificate: Path) -> dict[str, Path]:
    return {"ca_file": authority.file, "certificate": certificate, "key": certificate.with_suffix(".key")}


def see_refusals(port: int, authority: Authority, tmp_path: Path) -> None:
    said = problem(port, tls={"ca_file": authority.file})
    assert "requires a certificate of this box" in said and "mqtt.tls.certificate and mqtt.tls.key" in said
    stranger = Authority(tmp_path, "stranger", "stranger").make("box of a stranger")
    assert "the broker does not know the CA of mqtt.tls.certificate" in problem(port, tls=shows(authority, stranger))
    old = authority.make("old box", first=-9, last=-1)
    assert "the broker says that mqtt.tls.certificate is not valid now" in problem(port, tls=shows(authority, old))


def test_tls_at_a_port_without_and_the_other_way_round(serve: Serve, authority: Authority, broker: Broker) -> None:
    said = problem(broker.port, tls={})
    assert said == (
        f"TLS: port {broker.port} uses MQTT without TLS; set mqtt.port to the broker's port for TLS, often 8883, or "
        "leave mqtt.tls out"
    )
    port = serve(authority.make("broker", "127.0.0.1"))
    assert f"if port {port} is its port for TLS, set mqtt.tls" in problem(port)
    with pytest.raises(ConnectionProblem, match=f"port {port} requires TLS; set mqtt.tls"):
        try_broker(MqttSettings(host="127.0.0.1", port=port), [], [])


@contextlib.contextmanager
def answering(answer: bytes | ssl.SSLContext | None) -> Iterator[int]:
    """A server that answers whatever comes with these bytes, in its TLS, or never."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listening.accept()[0])
                    if isinstance(answer, ssl.SSLContext):
                        with contextlib.suppress(OSError):
                            answer.wrap_socket(taken[-1], server_side=True).close()
                    elif answer is not None:
                        taken[-1].recv(4096)
                        taken[-1].sendall(answer)

        taken: list[socket.socket] = []
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for one in taken:
                one.close()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x20\x02\x00\x01" * 8]
)
def test_what_answers_something_else_than_tls_is_told(answer: bytes) -> None:
    with answering(answer) as port:
        said = problem(port, tls={})
    assert f"port {port} does not answer in TLS; set mqtt.port to the broker's port for TLS" in said


def test_who_does_not_answer_the_handshake_is_told() -> None:
    with answering(None) as port:
        settings = MqttSettings(host="127.0.0.1", port=port, tls={}, connect_timeout_s=0.2)
        with pytest.raises(ConnectionProblem, match="TLS: no answer in the handshake within 0.2 s; check that port"):
            Session("box", Terms(MQTT5), settings, None, {})


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_broker_with_old_tls_is_told(authority: Authority) -> None:
    certificate = authority.make("broker", "127.0.0.1")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with answering(old) as port:
        said = problem(port, tls={"ca_file": authority.file})
    assert said.startswith("TLS: the broker does not support TLS 1.2 or newer")


def test_where_nothing_listens_is_told() -> None:
    assert "nothing listens at port" in problem(free_port())


def test_a_name_that_is_not_known_is_told() -> None:
    said = problem(1883, "no-such-broker.invalid")
    assert "the name no-such-broker.invalid is unknown" in said or "no DNS server answers for no-such" in said


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),
            "no DNS server answers for localhost; check this box's",
        ),
        (
            socket.gaierror(socket.EAI_NONAME, "Name not known"),
            "the name localhost is unknown (Name not known); check",
        ),
        (TimeoutError("timed out"), "no answer within 5 s; check mqtt.host, the network and its firewalls"),
        (OSError(113, "No route to host"), "No route to host; check mqtt.host, this box's address and its gateway"),
        (OSError(101, "Network is unreachable"), "Network is unreachable; check mqtt.host, this box's address"),
        (UnicodeError("label too long"), "is not a valid host name; check mqtt.host"),
    ],
)
def test_what_a_network_can_do_is_told(failure: OSError | UnicodeError, said: str) -> None:
    assert said in explain(failure, MqttSettings())
