"""Signs a request as the specification Standard Webhooks (standardwebhooks.com, version 1) says.

The receiver computes HMAC-SHA256 over `id.timestamp.body` with the same secret, compares, and refuses a time stamp that
is too old. The id is the same in every repetition, so the receiver can drop repeats by it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from pathlib import Path

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.mqtt.credentials import read_password

_PREFIX = "whsec_"
_LEAST_BYTES = 24
_REMEDY = f'make a secret with: echo "{_PREFIX}$(openssl rand -base64 32)" > FILE'


def read_secret(key: str, file: Path) -> bytes:
    """Read a secret from a file.

    Args:
        key: The setting that names the file, for messages.
        file: The file with one line of text: `whsec_` and the key of the HMAC in base64, which is what the libraries of
            Standard Webhooks read; or a text without this prefix, whose UTF-8 bytes are the key.

    Returns:
        The key of the HMAC.

    Raises:
        ConfigurationError: The file cannot be read, or the secret is too short.
    """
    text = read_password(file, key, _REMEDY)
    secret = text.encode()
    if text.startswith(_PREFIX):
        try:
            secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise ConfigurationError(
                f"{key}: {file}: what follows {_PREFIX} is no base64: {error}; {_REMEDY}"
            ) from error
    if len(secret) < _LEAST_BYTES:
        raise ConfigurationError(
            f"{key}: {file}: the secret has {len(secret)} bytes, and needs {_LEAST_BYTES}; {_REMEDY}"
        )
    return secret


def headers(identity: str, timestamp: int, body: bytes, secret: bytes | None) -> dict[str, str]:
    """Return the headers that identify a request and sign it.

    Args:
        identity: Id of the message; the same in every repetition.
        timestamp: Present time, in seconds since 1970.
        body: Body of the request.
        secret: The secret; `None`: the request is not signed.
    """
    found = {"Idempotency-Key": identity, "Webhook-Id": identity, "Webhook-Timestamp": str(timestamp)}
    if secret is not None:
        signed = f"{identity}.{timestamp}.".encode() + body
        digest = hmac.new(secret, signed, hashlib.sha256).digest()
        found["Webhook-Signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return found
