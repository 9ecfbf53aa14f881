"""What tests and benchmarks of the OPC UA server share: its configuration, parts as it reads them, and clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from asyncua import Client
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua import MessageSecurityMode
from bridge_parts import defect, verdict
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mosquitto import free_port
from node_modules import node_program
from page_parts import Publisher, Station
from page_server import PASSWORDS, write_everybody
from service_process import Process

from edge_inspect.edge.opcua.received_messages import ReceivedPart
from edge_inspect.edge.opcua.settings import OpcuaSettings

KEY = "plant/line1/a"
PREFIX = f"ns=1;s={KEY}"
PATIENCE = 60.0
CLIENT_URI = "urn:test:client"
Result = TypeVar("Result")


def part(
    sequence: int, *, ok: bool = True, areas: tuple[int, ...] | None = (100,), at: datetime | None = None, **more: Any
) -> ReceivedPart:
    """A part as the server reads it: a rejected one with its regions, or without where `areas` is None."""
    made = verdict(sequence, ok=ok)
    if at is not None:
        made = made.model_copy(update={"decided_at": at})
    text = (made if ok or areas is None else defect(made, *areas)).to_json()
    return ReceivedPart.model_validate_json(json.dumps(json.loads(text) | more))


def write_opcua(folder: Path, broker_port: int, **more: Any) -> tuple[Path, OpcuaSettings]:
    """Writes a configuration with three users, one of each role; returns it and its content."""
    users = folder / "users.yaml"
    if not users.exists():
        write_everybody(users)
    fields = {
        "mqtt": {"host": "127.0.0.1", "port": broker_port, "backoff_cap_s": 0.5},
        "listen": {"port": free_port(), **more.pop("listen", {})},
        "users": str(users),
        "data": str(folder / "data"),
        # On a busy machine the tests of a module take longer than the usual 30 s, in which their station says nothing.
        "stale_after_s": 3600,
        **more,
    }
    path = folder / "opcua.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path, OpcuaSettings.model_validate_json(json.dumps(fields))


class Keys(NamedTuple):
    """Certificate and private key of a client program or of a user, as files."""

    certificate: Path
    key: Path


def make_keys(folder: Path, name: str = "client", uri: str = CLIENT_URI) -> Keys:
    """Writes a self-signed certificate for OPC UA and its key, unless they are there."""
    keys = Keys(folder / f"{name}.pem", folder / f"{name}-key.pem")
    if keys.key.exists():
        return keys
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = dict.fromkeys(("key_agreement", "crl_sign", "encipher_only", "decipher_only", "key_cert_sign"), False)
    usage |= dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), True)
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    keys.certificate.write_bytes(certificate.public_bytes(encoding))
    keys.key.write_bytes(private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return keys


@contextlib.asynccontextmanager
async def connected(
    settings: OpcuaSettings, keys: Keys, user: str | None = "otto", password: str | None = None, own: Keys | None = None
) -> AsyncIterator[Client]:
    """asyncua's client, logged in with a password, with a certificate of its own (`own`), or as nobody."""
    # asyncua's watchdog ends a connection that does not answer within its interval: 1 s is short on a busy machine.
    client = Client(settings.listen.url, timeout=30, watchdog_intervall=30)
    client.application_uri = CLIENT_URI
    await client.set_security(
        SecurityPolicyBasic256Sha256, str(keys.certificate), str(keys.key), mode=MessageSecurityMode.SignAndEncrypt
    )
    if own is not None:
        await client.load_client_certificate(str(own.certificate))
        await client.load_private_key(str(own.key))
    elif user is not None:
        client.set_user(user)
        client.set_password(PASSWORDS[user] if password is None else password)
    async with client:
        yield client


def ask(settings: OpcuaSettings, keys: Keys, work: Callable[[Client], Awaitable[Result]], **login: Any) -> Result:
    """Do something with asyncua's client."""

    async def run() -> Result:
        async with connected(settings, keys, **login) as client:
            return await work(client)

    return asyncio.run(run())


async def until(condition: Callable[[], Awaitable[Any]], what: str = "") -> None:
    """Wait for a condition, or fail."""
    for _ in range(int(PATIENCE / 0.05)):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


class Served(NamedTuple):
    """An OPC UA server that runs, with a station that publishes.

    Attributes:
        process: The server.
        settings: Its configuration.
        config: The file of it.
        folder: Folder for the client's files.
        broker: Port of the broker.
        publisher: Publishes what stations would.
        station: A station, which has said that it is online.
    """

    process: Process
    settings: OpcuaSettings
    config: Path
    folder: Path
    broker: int
    publisher: Publisher
    station: Station

    @property
    def keys(self) -> Keys:
        return make_keys(self.folder)

    def node(self, *steps: dict[str, Any], user: str | None = "otto", **more: Any) -> list[Any]:
        """What node-opcua gives for each step; see tests/node/opcua.mjs."""
        done = subprocess.run(
            self.node_command(*steps, user=user, **more),
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results: list[Any] = json.loads(done.stdout.strip().splitlines()[-1])["results"]
        return results

    def node_command(self, *steps: dict[str, Any], user: str | None = "otto", **more: Any) -> list[str]:
        """How to start node-opcua with these steps."""
        work = {"folder": str(self.folder), "steps": steps, "user": user, **more}
        if user is not None:
            work.setdefault("password", PASSWORDS[user])
        return [*node_program("opcua.mjs"), self.settings.listen.url, json.dumps(work)]
