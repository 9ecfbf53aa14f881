"""The signature of a bundle: an Ed25519 signature (RFC 8032) of its manifest, which holds the sha256 of every file.

    NAME/manifest.sig         one line: ed25519, the id of the key, the signature in base64

`calibrate keygen` makes a pair of keys, `calibrate sign` signs with the private key, and a station checks with the
public key. The signed message is `PREFIX` followed by the manifest, so that no other message signed with the key can
pass for a bundle. A signature proves who made a bundle. It does not prove that the bundle is the newest, or for which
product it is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.errors import SignatureError, UsageError

if TYPE_CHECKING:  # at run time, cryptography is imported only if a signature is checked or made
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE = "manifest.sig"
PREFIX = b"edge-inspect bundle manifest, version 1\n"

_LINE = re.compile(rb"ed25519 ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)\n")


@dataclass(frozen=True)
class Signature:
    """The content of `manifest.sig`, which is only a claim until a `PublicKey` has checked it.

    Attributes:
        key_id: Id of the key that the signature claims to be made with.
        value: The 64 bytes of the signature.
    """

    key_id: str
    value: bytes

    @classmethod
    def parse(cls, line: bytes) -> Signature:
        """Parse the content of `manifest.sig`.

        Raises:
            ValueError: The line is no signature.
        """
        found = _LINE.fullmatch(line)
        signature = cls(found[1].decode(), base64.b64decode(found[2])) if found else None
        if signature is None or signature.line() != line:  # base64 has several spellings, of which one is accepted
            raise ValueError("it is no line of ed25519, key id and signature")
        return signature

    def line(self) -> bytes:
        """Return the content of `manifest.sig`."""
        return f"ed25519 {self.key_id} {base64.b64encode(self.value).decode()}\n".encode()


@dataclass(frozen=True)
class PublicKey:
    """A public key that signatures are checked with.

    Attributes:
        path: File of the key.
        key: The key.
    """

    path: Path
    key: Ed25519PublicKey

    @property
    def id(self) -> str:
        """Short name of the key for messages; see `key_id`."""
        return key_id(self.key)

    def made(self, signature: Signature, manifest: bytes) -> bool:
        """Return whether the signature was made with this key for this manifest."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature.value, signed_message(manifest))
        except InvalidSignature:
            return False
        return True


def signed_message(manifest: bytes) -> bytes:
    """Return the message that is signed for a manifest."""
    return PREFIX + manifest


def key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of the key's 32 bytes, a name that only people use."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def read_public_key(path: Path) -> PublicKey:
    """Read the PEM file of a public key.

    Raises:
        UsageError: The file cannot be read, or holds no public Ed25519 key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the public key cannot be read: {error.strerror}") from error
    if b"PRIVATE KEY" in data:
        raise UsageError(f"{path}: holds a private key, which must not be on a box; give the public one, *.pub.pem")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: holds no public key in PEM; calibrate keygen makes one") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: the key is not Ed25519; calibrate keygen makes one")
    return PublicKey(path, key)


def read_signature(path: Path, read: Callable[[str], bytes]) -> Signature | None:
    """Return the signature of a bundle, unchecked; `None` if it has none.

    Args:
        path: Path of the bundle, for messages.
        read: Returns the content of a file of the bundle.

    Raises:
        SignatureError: `manifest.sig` exists but cannot be read, or is no signature.
    """
    try:
        line = read(SIGNATURE)
    except (FileNotFoundError, KeyError):
        return None
    except OSError as error:
        raise SignatureError(f"{path}: {SIGNATURE} cannot be read: {error.strerror}") from error
    try:
        return Signature.parse(line)
    except ValueError as error:
        raise SignatureError(f"{path}: {SIGNATURE} is damaged: {error}; {_sign_again(path)}") from error


def check_signature(
    path: Path, manifest: bytes, signature: Signature | None, trusted: Sequence[PublicKey]
) -> PublicKey:
    """Return the trusted key with which the manifest is signed.

    Raises:
        SignatureError: The signature is missing, made with another key, or made for another manifest.
    """
    if signature is None:
        raise SignatureError(f"{path}: is not signed, and a signature is required; {_sign_again(path)}")
    for key in trusted:
        if key.made(signature, manifest):
            return key
    if any(key.id == signature.key_id for key in trusted):
        raise SignatureError(
            f"{path}: manifest.yaml or {SIGNATURE} was changed after key {signature.key_id} signed the bundle; copy "
            f"the bundle again, or, if the change is intended, {_sign_again(path)}"
        )
    names = ", ".join(f"{key.id} ({key.path})" for key in trusted)
    raise SignatureError(
        f"{path}: is signed with key {signature.key_id}, but only {names} is trusted; {_sign_again(path)}, or trust "
        "that key too, if you know its owner"
    )


def _sign_again(path: Path) -> str:
    return f"sign it where the private key is: calibrate sign {path} --key FILE"
