"""Writes a bundle and signs it; it appears at its place complete and signed, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_inspect.calibrate.signing import sign_bundle
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle, write_bundle
from edge_inspect.edge.errors import BundleError
from edge_inspect.edge.files import sync_folder


def unfinished(out: Path) -> Path:
    """Return the hidden folder in which a bundle is written before it gets its place."""
    return out.with_name(f".{out.name}.unfinished")


def write_signed(
    out: Path, manifest: dict[str, Any], contents: Mapping[str, bytes], key: Ed25519PrivateKey | None
) -> Bundle:
    """Write a bundle folder.

    Args:
        out: The folder to create.
        manifest: Fields of the manifest, without `format` and `files`.
        contents: Content of each file, by its name inside the bundle.
        key: Private key to sign with; `None` leaves the bundle unsigned.

    Raises:
        BundleError: `out` exists already, or cannot be written.
    """
    temporary = unfinished(out)
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    try:
        write_bundle(temporary, manifest, dict(contents))
        if key is not None:
            sign_bundle(temporary, key)
        if out.exists():
            raise BundleError(f"{out}: was made meanwhile; give another --out")
        temporary.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise BundleError(f"{out}: cannot be written: {error.strerror}; nothing was left behind") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_bundle(out)
