"""The bundle: everything a station needs to inspect one product, complete, checked and portable between boxes.

    NAME/manifest.yaml        what it is, how a frame is fitted, how it is decided, and the sha256 of every file
    NAME/model.<precision>.onnx
    NAME/golden.npz           frames, two with a flaw, and the map that the model of each precision gives for them
    NAME/report/              accuracy of each precision
    NAME/manifest.sig         where it is signed (edge/signature.py)

The same as one .zip is a bundle too. `calibrate` writes through `write_bundle`; everybody reads through `open_bundle`.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspect.edge.container import Container, open_container
from edge_inspect.edge.errors import BundleError, UsageError, YamlError
from edge_inspect.edge.files import new_folder
from edge_inspect.edge.fit import Fit
from edge_inspect.edge.health.picture import PictureRange
from edge_inspect.edge.images import Frame
from edge_inspect.edge.messages import Precision
from edge_inspect.edge.signature import PublicKey, Signature, check_signature, read_signature
from edge_inspect.edge.yaml_file import parse_yaml

FORMAT = 1
MANIFEST = "manifest.yaml"
GOLDEN = "golden.npz"
REPORT = "report/calibration.json"
THRESHOLD_SOURCE = "threshold"
"""Key of the provenance in bundles whose threshold was made from a line's own parts: `calibrate threshold`."""
PRECISIONS: tuple[Precision, ...] = ("int8", "bf16", "fp16", "fp32")
"""Fastest first, and from `bf16` on more precise from one to the next."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelPart(_Part):
    """Which networks these are."""

    system: str = Field(description="rd, aand or dmdd")
    teacher: str
    teacher_sha256: str
    category: str


class InputPart(_Part):
    """How a frame meets the network."""

    name: str = Field(description="the ONNX input, (N, 3, height, width) float32, RGB")
    fit: dict[str, Any] = Field(description="width, height, mode, region, grey, tiles, overlap, bits")
    mean: tuple[float, float, float] = Field(description="of R, G, B in [0, 1]")
    std: tuple[float, float, float]
    pictures: PictureRange | None = Field(None, description="what the held-out good images showed")

    @model_validator(mode="after")
    def _fit_is_one(self) -> InputPart:
        try:
            Fit.from_dict(self.fit)
        except (UsageError, TypeError, ValueError) as error:
            raise ValueError(f"fit: {error}") from error
        return self


class FeaturePairs(_Part):
    """The ONNX gives features of the scales, (N, C_k, H_k, W_k), to be compared pair by pair."""

    kind: Literal["feature_pairs"]
    teacher: list[str] = Field(min_length=1)
    student: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _paired(self) -> FeaturePairs:
        if len(self.teacher) != len(self.student):
            raise ValueError("teacher and student must name as many outputs")
        return self


class MapOutput(_Part):
    """The ONNX gives an anomaly map of lower resolution, (N, 1, h, w), to be upsampled and smoothed."""

    kind: Literal["map"]
    map: str


class ScorePart(_Part):
    """How the held-out good images score."""

    mean: float
    deviation: float = Field(ge=0, description="standard deviation of one score")
    wander: float = Field(
        default=0.0, ge=0, description="how far the moving average went from the mean in shadow, in these"
    )


class Thresholds(_Part):
    """The limits of one precision: a part is rejected when its score is above `image`."""

    image: float
    pixel: float = Field(description="map values above it form regions, where one of a region is above `image`")
    method: str | None = Field(None, description="how `image` was found")
    image_low: float | None = Field(None, description="`image` from other good parts: a 90 % interval")
    image_high: float | None = None
    rate_low: float | None = Field(None, ge=0, le=1, description="share of good parts above `image`: a 90 % interval")
    rate_high: float | None = Field(None, ge=0, le=1)
    scores: ScorePart | None = Field(None, description="what the service holds good parts' scores against")


class FlawsFound(_Part):
    """Synthetic flaws of one size, drawn on held-out good images, that the preferred precision finds."""

    width: float = Field(gt=0, le=1, description="how long a flaw is, as a share of the part's width")
    drawn: int = Field(ge=1)
    found: int = Field(ge=0)


class DefectsFound(_Part):
    """Images of real defects of one kind that the preferred precision finds; nothing was decided by them."""

    kind: str
    images: int = Field(ge=1)
    found: int = Field(ge=0)


class DecisionPart(_Part):
    """How maps become verdicts."""

    sigma: float = Field(gt=0, description="of the Gaussian over the map, in network pixels")
    top: int = Field(ge=1, description="the score is the mean of this many largest map values")
    min_area_px: int = Field(ge=1, description="smaller regions are not reported, in canvas pixels")
    false_reject_rate: float = Field(gt=0, lt=1, description="share of good parts the threshold is set to reject")
    held_out_images: int = Field(ge=1, description="good images, never trained on, that the threshold comes from")
    images_wanted: int | None = Field(None, ge=1, description="how many would promise no more than twice that share")
    method: str = Field(description="how the threshold was found")
    flaws: list[FlawsFound] = Field([], description="what the threshold finds of synthetic flaws, smallest first")
    defects: list[DefectsFound] = Field([], description="what it finds of the real defects that were given")
    thresholds: dict[Precision, Thresholds]


class GoldenPart(_Part):
    """How closely an engine must reproduce golden.npz."""

    tolerance: dict[Precision, float] = Field(description="largest difference of a map value, per precision")


class FilePart(_Part):
    """One file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Manifest(_Part):
    """`manifest.yaml`."""

    format: Literal[1]
    name: str = Field(min_length=1, max_length=128)
    created: str
    model: ModelPart
    input: InputPart
    outputs: FeaturePairs | MapOutput = Field(discriminator="kind")
    decision: DecisionPart
    golden: GoldenPart
    precisions: list[Precision] = Field(min_length=1, description="those there are, fastest first")
    preferred: Precision = Field(description="what a station runs with OpenVINO unless told otherwise")
    order: dict[Literal["openvino", "tensorrt"], list[Precision]] | None = Field(
        None,
        description="the precisions that each engine tries, in turn; without it the preferred, then those after it",
    )
    provenance: dict[str, Any] = Field(description="checkpoint, data, quantization and versions")
    files: dict[str, FilePart]

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        wanted = {GOLDEN, *(model_file(precision) for precision in self.precisions)}
        if missing := sorted(wanted - self.files.keys()):
            raise ValueError(f"files: {', '.join(missing)} missing")
        unset = [p for p in self.precisions if p not in self.decision.thresholds or p not in self.golden.tolerance]
        if unset or self.preferred not in self.precisions:
            raise ValueError(f"thresholds or tolerance missing for {', '.join(unset) or self.preferred}")
        for engine, tried in (self.order or {}).items():
            if not tried or len(set(tried)) < len(tried) or not set(tried) <= set(self.precisions):
                raise ValueError(f"order: {engine} must name precisions of the bundle, each once")
        return self

    def order_of(self, engine: str) -> list[Precision]:
        """Return the precisions that an engine tries where none is asked for, in turn; at least one."""
        if self.order is not None and engine in self.order:
            return [*self.order[engine]]
        return self.precisions[self.precisions.index(self.preferred) :]


class GoldenFrame(BaseModel):
    """A frame with what the models say of it.

    Attributes:
        frame: The camera's.
        score: FP32's score.
        map: FP32's map, (height, width) float32 of the fit's canvas.
        others: The maps of the other precisions, likewise; bundles made by older versions have none.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    frame: Frame
    score: float
    map: NDArray[np.float32]
    others: dict[Precision, NDArray[np.float32]] = {}

    def map_of(self, precision: Precision) -> NDArray[np.float32]:
        """Return the map that an engine of a precision must reproduce: FP32's, where there is none of its own."""
        return self.others.get(precision, self.map)


class Bundle:
    """An opened bundle whose every file has the sha256 its manifest says.

    Attributes:
        path: The folder or .zip.
        manifest: What it says of itself.
        digest: sha256 of the manifest, which stands for the whole.
        signed_by: The trusted key it is signed with; `None` where no signature was asked for.
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

    @property
    def fit(self) -> Fit:
        """How frames are brought to the network."""
        return Fit.from_dict(self.manifest.input.fit)

    def model(self, precision: Precision) -> bytes:
        """Return the ONNX of a precision.

        Raises:
            BundleError: The bundle has none of that precision.
        """
        return self._read(self._model_file(precision))

    def model_path(self, precision: Precision) -> Path | None:
        """Return where the ONNX of a precision lies as a file of its own; `None` inside a .zip.

        `None` also where a signature was asked for: whoever reads the file later might find another than was checked.

        Raises:
            BundleError: The bundle has none of that precision.
        """
        name = self._model_file(precision)
        return self.path / name if self.path.is_dir() and self.signed_by is None else None

    def file(self, name: str) -> bytes:
        """Return any file that the manifest lists.

        Raises:
            BundleError: It lists none of that name, or the file has changed since the bundle was opened.
        """
        if name not in self.manifest.files:
            raise BundleError(f"{self.path}: has no {name}")
        return self._read(name)

    def signature(self) -> Signature | None:
        """Return what the bundle itself says of who signed it; `None` where it is not signed.

        Raises:
            SignatureError: It is damaged.
        """
        return read_signature(self.path, self._read)

    def golden(self) -> list[GoldenFrame]:
        """Return the golden frames.

        Raises:
            BundleError: `golden.npz` does not hold what it should.
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


def model_file(precision: str) -> str:
    """Return the name of the ONNX file: `bf16` has FP32's, as the engine rounds what it computes."""
    return f"model.{'fp32' if precision == 'bf16' else precision}.onnx"


def _maps_of(precision: Precision) -> str:
    """Return the name in `golden.npz` of the maps of a precision other than FP32."""
    return f"maps_{precision}"


def pack_golden(frames: Sequence[GoldenFrame]) -> bytes:
    """Return the content of `golden.npz`; all frames have maps of the same precisions."""
    arrays: dict[str, Any] = {f"frame{i}": golden.frame for i, golden in enumerate(frames)}
    arrays |= {_maps_of(each): np.stack([golden.others[each] for golden in frames]) for each in frames[0].others}
    scores, maps = np.array([golden.score for golden in frames]), np.stack([golden.map for golden in frames])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, scores=scores, maps=maps)
    return buffer.getvalue()


def open_bundle(path: Path, trusted: Sequence[PublicKey] = ()) -> Bundle:
    """Open a bundle and check it whole: signature, format, manifest, presence and sha256 of every file.

    Args:
        path: The folder or .zip.
        trusted: It must be signed with one of these keys; without any, no signature is asked for.

    Raises:
        SignatureError: It is not signed with one of them.
        BundleError: It is not there, damaged, incomplete or of another format; the message names the file.
    """
    files = open_container(path, MANIFEST)
    try:
        text = files.read(MANIFEST)
    except (OSError, KeyError) as error:
        raise BundleError(f"{path}: holds no {MANIFEST}; it is no bundle, or an unfinished one") from error
    # Before the manifest is so much as parsed: nothing of a bundle is believed that nobody trusted has signed.
    signed_by = check_signature(path, text, read_signature(path, files.read), trusted) if trusted else None
    manifest = _parse_manifest(path, text)
    for name in manifest.files:
        _check_file(path, manifest, name, files)

    def read(name: str) -> bytes:
        data = files.read(name)
        if name in manifest.files:
            _check_digest(path, manifest, name, hashlib.sha256(data).hexdigest())
        return data

    return Bundle(path, manifest, hashlib.sha256(text).hexdigest(), read, signed_by)


def write_bundle(path: Path, manifest: dict[str, Any], contents: dict[str, bytes]) -> Bundle:
    """Write a bundle folder: whole, or not at all.

    Args:
        path: The folder to make.
        manifest: All of `Manifest` but `format` and `files`.
        contents: The files by their name inside the bundle.

    Raises:
        BundleError: `path` exists, or it cannot be written (full disk, no permission).
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
        raise BundleError(f"{path}: is there already; give another --out or remove it") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}; nothing was left behind") from error
    return open_bundle(path)


def complete(manifest: dict[str, Any], contents: dict[str, bytes]) -> Manifest:
    """Return the manifest with its format and the digests of its files; arguments as of `write_bundle`."""
    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()}
    return Manifest.model_validate({"format": FORMAT, **manifest, "files": files})


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


def _parse_manifest(path: Path, text: bytes) -> Manifest:
    try:
        fields = parse_yaml(text).value
    except YamlError as error:
        raise BundleError(f"{path}: {MANIFEST}{': ' if error.in_keys else ' '}{error}") from error
    version = fields.get("format") if isinstance(fields, dict) else None
    if version != FORMAT:
        raise BundleError(f"{path}: {MANIFEST} has format {version!r}; this program reads format {FORMAT}")
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BundleError(f"{path}: {MANIFEST}: {wrong}") from error
