"""The manifest of a bundle: what `manifest.yaml` holds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspect.edge.configuration.yaml_file import parse_yaml
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.name import EngineName
from edge_inspect.edge.errors import BundleError, UsageError, YamlError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.health.picture import PictureRange

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
    pictures: PictureRange | None = Field(default=None, description="what the held-out good images showed")

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
    method: str | None = Field(default=None, description="how `image` was found")
    image_low: float | None = Field(default=None, description="`image` from other good parts: a 90 % interval")
    image_high: float | None = None
    rate_low: float | None = Field(
        default=None, ge=0, le=1, description="share of good parts above `image`: a 90 % interval"
    )
    rate_high: float | None = Field(default=None, ge=0, le=1)
    scores: ScorePart | None = Field(default=None, description="what the service holds good parts' scores against")


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
    images_wanted: int | None = Field(
        default=None, ge=1, description="how many would promise no more than twice that share"
    )
    method: str = Field(description="how the threshold was found")
    flaws: list[FlawsFound] = Field(
        default=[], description="what the threshold finds of synthetic flaws, smallest first"
    )
    defects: list[DefectsFound] = Field(default=[], description="what it finds of the real defects that were given")
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
    order: dict[EngineName, list[Precision]] | None = Field(
        default=None,
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


def model_file(precision: str) -> str:
    """Return the name of the ONNX file: `bf16` has FP32's, as the engine rounds what it computes."""
    return f"model.{'fp32' if precision == 'bf16' else precision}.onnx"


def complete(manifest: dict[str, Any], contents: dict[str, bytes]) -> Manifest:
    """Return the manifest with its format and the digests of its files; arguments as of `bundle.write_bundle`."""
    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()}
    return Manifest.model_validate({"format": FORMAT, **manifest, "files": files})


def parse_manifest(path: Path, text: bytes) -> Manifest:
    """Return the manifest of the bundle at a path; raise `BundleError`, which says what is wrong with it."""
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
