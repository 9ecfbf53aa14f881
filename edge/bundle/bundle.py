"""Opens, checks and writes bundles. Only `calibrate` writes them; all programs read them by `open_bundle`."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from edge_inspect.edge.bundle.container import Container, open_container
from edge_inspect.edge.bundle.manifest import (
    GOLDEN,
    MANIFEST,
    PRECISIONS,
    Manifest,
    complete,
    model_file,
    parse_manifest,
)
from edge_inspect.edge.bundle.signature import PublicKey, Signature, check_signature, read_signature
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import BundleError, UsageError
from edge_inspect.edge.files import new_folder
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE, Alignment
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame


class GoldenFrame(BaseModel):
    """A frame with the maps that the networks give for it.

    Attributes:
        frame: Frame as the camera gave it, (height, width, 3) uint8 BGR.
        score: Score in FP32.
        map: Anomaly map in FP32, (height, width) float32, of the size of the canvas.
        others: Anomaly maps in the other precisions; empty in bundles of older versions.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    frame: Frame
    score: float
    map: NDArray[np.float32]
    others: dict[Precision, NDArray[np.float32]] = {}

    def map_of(self, precision: Precision) -> NDArray[np.float32]:
        """Return the map that an engine must reproduce in a precision; that of FP32 if the precision has none."""
        return self.others.get(precision, self.map)


class Bundle:
    """An opened bundle; every file has the sha256 that the manifest states.

    Attributes:
        path: The folder or .zip.
        manifest: The manifest.
        digest: sha256 of the manifest, which identifies the whole bundle.
        signed_by: The trusted key that signed the bundle; `None` if no signature was required.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        digest: str,
        read: Callable[[str], bytes],
        signed_by: PublicKey | None = None,
    ) -> None:
        self.path, self.manifest, self.digest, self._read = path, manifest, digest, read
        self.signed_by = signed_by

    @cached_property
    def fit(self) -> Fit:
        """The fit that brings frames to the size of the network's input."""
        fit, alignment = Fit.from_dict(self.manifest.input.fit), self.manifest.input.alignment
        if alignment is None:
            return fit
        try:
            return replace(fit, alignment=Alignment.from_dict(alignment, self._read(ALIGNMENT_PICTURE)))
        except UsageError as error:
            raise BundleError(f"{self.path}: {error}") from error

    def model(self, precision: Precision) -> bytes:
        """Return the ONNX file of a precision.

        Raises:
            BundleError: The bundle has no such precision.
        """
        return self._read(self._model_file(precision))

    def model_path(self, precision: Precision) -> Path | None:
        """Return the path of the ONNX file of a precision; `None` if the bundle is a .zip or had to be signed.

        The path of a signed bundle is not given out, because the file could be replaced after it was checked.

        Raises:
            BundleError: The bundle has no such precision.
        """
        name = self._model_file(precision)
        return self.path / name if self.path.is_dir() and self.signed_by is None else None

    def file(self, name: str) -> bytes:
        """Return the content of a file that the manifest lists.

        Raises:
            BundleError: The manifest lists no such file, or the file has changed since the bundle was opened.
        """
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: has no {name}")
        return self._read(name)

    def signature(self) -> Signature | None:
        """Return the signature, unchecked; `None` if the bundle is not signed.

        Raises:
            SignatureError: The signature is damaged.
        """
        return read_signature(self.path, self._read)

    def golden(self) -> list[GoldenFrame]:
        """Return the golden frames.

        Raises:
            BundleError: `golden.npz` is damaged, or holds no golden frames.
        """
        try:
            with np.load(io.BytesIO(self._read(GOLDEN)), allow_pickle=False) as arrays:
                if not len(arrays["scores"]):
                    raise ValueError("there are none")
                others = {each: arrays[_maps_of(each)] for each in PRECISIONS if _maps_of(each) in arrays}
                return [
                    GoldenFrame(
                        frame=arrays[f"frame{i}"],
                        score=float(arrays["scores"][i]),
                        map=arrays["maps"][i],
                        others={each: maps[i] for each, maps in others.items()},
                    )
                    for i in range(len(arrays["scores"]))
                ]
        except (KeyError, IndexError, ValueError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.path}: {GOLDEN} does not hold golden frames: {error}") from error

    def _model_file(self, precision: Precision) -> str:
        if precision not in self.manifest.precisions:
            raise BundleError(f"{self.path}: has no {precision} model; it has {', '.join(self.manifest.precisions)}")
        return model_file(precision)


def _maps_of(precision: Precision) -> str:
    """Return the name in `golden.npz` of the maps of a precision other than FP32."""
    return f"maps_{precision}"


def pack_golden(frames: Sequence[GoldenFrame]) -> bytes:
    """Return the content of `golden.npz`; all frames must have maps of the same precisions."""
    arrays: dict[str, Any] = {f"frame{i}": golden.frame for i, golden in enumerate(frames)}
    arrays |= {_maps_of(each): np.stack([golden.others[each] for golden in frames]) for each in frames[0].others}
    scores, maps = np.array([golden.score for golden in frames]), np.stack([golden.map for golden in frames])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, scores=scores, maps=maps)
    return buffer.getvalue()


def open_bundle(path: Path, trusted: Sequence[PublicKey] = ()) -> Bundle:
    """Open a bundle and check it completely: signature, format, manifest, presence and sha256 of every file.

    Args:
        path: The folder or .zip.
        trusted: Keys, with one of which the bundle must be signed; if empty, it needs no signature.

    Raises:
        SignatureError: The bundle is not signed with one of these keys.
        BundleError: The bundle is missing, damaged, incomplete or of another format; the message names the file.
    """
    files = open_container(path, MANIFEST)
    try:
        text = files.read(MANIFEST)
    except (OSError, KeyError) as error:
        raise BundleError(f"{path}: holds no {MANIFEST}; it is no bundle, or an incomplete copy of one") from error
    # Check the signature before the manifest is even parsed, because an untrusted manifest may be malicious.
    signed_by = check_signature(path, text, read_signature(path, files.read), trusted) if trusted else None
    manifest = parse_manifest(path, text)
    for name in manifest.files:
        _check_file(path, manifest, name, files)

    def read(name: str) -> bytes:
        data = files.read(name)
        if name in manifest.files:
            _check_digest(path, manifest, name, hashlib.sha256(data).hexdigest())
        return data

    return Bundle(path, manifest, hashlib.sha256(text).hexdigest(), read, signed_by)


def write_bundle(path: Path, manifest: dict[str, Any], contents: dict[str, bytes]) -> Bundle:
    """Write a bundle folder, completely or not at all.

    Args:
        path: The folder to create.
        manifest: Fields of the manifest, without `format` and `files`.
        contents: Content of each file, by its name inside the bundle.

    Raises:
        BundleError: `path` exists, or cannot be written (full disk, no permission).
    """
    try:
        with new_folder(path) as folder:
            for name, data in contents.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            whole = complete(manifest, contents)
            text = yaml.safe_dump(whole.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
            (folder / MANIFEST).write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise BundleError(f"{path}: already exists; give another --out or remove it") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}; nothing was left behind") from error
    return open_bundle(path)


def _check_file(path: Path, manifest: Manifest, name: str, files: Container) -> None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise BundleError(f"{path}: {MANIFEST} names a file outside the bundle: {name}")
    try:
        found = files.digest(name)
    except (OSError, KeyError, ValueError) as error:
        raise BundleError(f"{path}: {name} is missing or cannot be read; copy the bundle again") from error
    _check_digest(path, manifest, name, found)


def _check_digest(path: Path, manifest: Manifest, name: str, found: str) -> None:
    wanted = manifest.files[name].sha256
    if found == wanted:
        return
    twins = [other for other, file in manifest.files.items() if file.sha256 == found]
    swapped = f" (it is {twins[0]})" if twins else ""
    raise BundleError(
        f"{path}: {name} was changed after the bundle was made: sha256 {found[:16]}...{swapped}, "
        f"the manifest says {wanted[:16]}...; copy the bundle again"
    )
