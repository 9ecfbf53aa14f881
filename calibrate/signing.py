"""Keys and signatures of bundles, made where the private key is; `edge/bundle/signature.py` checks them on the box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.container import open_container
from edge_inspect.edge.bundle.manifest import MANIFEST
from edge_inspect.edge.bundle.signature import SIGNATURE, PublicKey, Signature, key_id, signed_message
from edge_inspect.edge.errors import BundleError, UsageError
from edge_inspect.edge.files import write_new

KEY_NAME = "signing-key.pem"


@dataclass(frozen=True)
class KeyPair:
    """The files of a new pair of keys.

    Attributes:
        private: PEM file, PKCS #8, that only its owner may read.
        public: PEM file for every box.
        id: Name of the key in messages.
    """

    private: Path
    public: Path
    id: str


def make_keys(out: Path, passphrase: bytes | None = None) -> KeyPair:
    """Make a pair of keys; existing files are left alone.

    Args:
        out: File of the private key if it ends in .pem, otherwise a folder for both. The public key lies beside it.
        passphrase: Passphrase that the private key is encrypted with.

    Raises:
        UsageError: A file exists already or cannot be written; neither is left behind.
    """
    private = out if out.suffix == ".pem" else out / KEY_NAME
    public = private.with_suffix(".pub.pem")
    for path in (private, public):
        if path.exists():
            raise UsageError(f"{path}: already exists, and a key is never overwritten; give another --out")
    key = Ed25519PrivateKey.generate()
    protection: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        private.parent.mkdir(parents=True, exist_ok=True)
        write_new(private, secret, mode=0o600)
        try:
            write_new(public, pem)
        except BaseException:
            private.unlink()
            raise
    except OSError as error:
        raise UsageError(f"{error.filename or private}: cannot be written: {error.strerror}") from error
    return KeyPair(private, public, key_id(key.public_key()))


def sign_bundle(path: Path, key: Ed25519PrivateKey) -> Bundle:
    """Sign a bundle, a folder or a .zip, after checking every file; an earlier signature is replaced.

    Returns:
        The bundle, opened anew with the key that signed it.

    Raises:
        BundleError: The bundle is damaged, or the signature cannot be written; an earlier signature is then kept.
    """
    open_bundle(path)
    files = open_container(path, MANIFEST)
    public = PublicKey(path, key.public_key())
    signature = Signature(public.id, key.sign(signed_message(files.read(MANIFEST))))
    try:
        files.write(SIGNATURE, signature.line())
    except OSError as error:
        raise BundleError(f"{path}: the signature cannot be written: {error.strerror}") from error
    return open_bundle(path, [public])


def read_private_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read the PEM file of a private key.

    Raises:
        UsageError: The file cannot be read, holds no private Ed25519 key, or the passphrase is missing or wrong.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: the private key cannot be read: {error.strerror}") from error
    if b"PUBLIC KEY" in data:
        raise UsageError(f"{path}: holds a public key; signing needs the private one, made beside it")
    locked = b"BEGIN ENCRYPTED PRIVATE KEY" in data
    if locked and passphrase is None:
        raise UsageError(f"{path}: is protected by a passphrase; give --passphrase-file FILE")
    try:
        key = load_pem_private_key(data, passphrase if locked else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "the passphrase is wrong, or the file is damaged" if locked else "holds no private key in PEM"
        raise UsageError(f"{path}: {why}; calibrate keygen makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: the key is not Ed25519; calibrate keygen makes one")
    return key


def read_passphrase(path: Path) -> bytes:
    """Return the first line of a file.

    Raises:
        UsageError: The file cannot be read, or its first line is empty.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{path}: the passphrase cannot be read: {error.strerror}") from error
    if not lines or not lines[0]:
        raise UsageError(f"{path}: holds no passphrase in its first line")
    return lines[0]


def is_open_to_others(path: Path) -> bool:
    """Return whether users other than its owner may read a private key."""
    return bool(path.stat().st_mode & 0o077)
