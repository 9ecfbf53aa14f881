"""Keys, and bundles that are signed with them and packed."""

from __future__ import annotations

import zipfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge_inspect.edge.bundle.signature import SIGNATURE, Signature, key_id, signed_message


class SigningKey:
    """A new key pair; `public` is the file of the public key."""

    def __init__(self, folder: Path, name: str = "signing-key") -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = folder / f"{name}.pub.pem"
        self.public.write_bytes(self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, bundle: Path) -> Path:
        """Sign a folder."""
        value = self._key.sign(signed_message((bundle / "manifest.yaml").read_bytes()))
        (bundle / SIGNATURE).write_bytes(Signature(key_id(self._key.public_key()), value).line())
        return bundle


def pack(bundle: Path, archive: Path, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Pack a folder as `zip -r` does, and return the content of the .zip."""
    with zipfile.ZipFile(archive, "w", compression) as opened:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                opened.write(path, f"{bundle.name}/{path.relative_to(bundle)}")
    return archive.read_bytes()
