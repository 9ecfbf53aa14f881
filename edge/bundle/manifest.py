"""The manifest of a bundle: the models of `manifest.yaml`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspect.edge.configuration.yaml_file import parse_yaml
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.name import EngineName
from edge_inspect.edge.engines.registry import EVERYWHERE
from edge_inspect.edge.errors import BundleError, UsageError, YamlError
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.health.picture import PictureRange

FORMAT = 1


MANIFEST = "manifest.yaml"


GOLDEN = "golden.npz"


REPORT = "report/calibration.json"


THRESHOLD_SOURCE = "threshold"
"""Key in the provenance of bundles whose threshold was made from a line's own parts, by `calibrate threshold`."""

PARENT = "parent"
"""Key in the provenance of bundles that were made from another bundle: name and digest of that bundle."""

TAUGHT = "teach"
"""Key in the provenance of bundles that were taught by labelled parts, by `calibrate teach`."""


PRECISIONS: tuple[Precision, ...] = ("int8", "bf16", "fp16", "fp32")
"""The precisions, fastest first; from `bf16` on, each is more precise than the one before it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelPart(_Part):
    """The origin of the network."""

    system: str = Field(description="name of the system, such as rd or memory")
    teacher: str = Field(description="name of the teacher network")
    teacher_sha256: str = Field(description="sha256 of the teacher's weights")
    category: str = Field(description="name of the product")


class InputPart(_Part):
    """How a frame becomes the input of the network."""

    name: str = Field(description="name of the ONNX input, (N, 3, height, width) float32, RGB")
    fit: dict[str, Any] = Field(description="fit of the frame: width, height, mode, region, grey, tiles, overlap, bits")
    alignment: dict[str, Any] | None = Field(
        default=None,
        description="how the part is found and brought to one pose before the fit; its picture is alignment.png",
    )
    mean: tuple[float, float, float] = Field(description="mean of R, G and B that is subtracted, on the scale 0 to 1")
    std: tuple[float, float, float] = Field(description="standard deviation of R, G and B that is divided by")
    pictures: PictureRange | None = Field(default=None, description="figures of the held-out good images")

    @model_validator(mode="after")
    def _fit_is_one(self) -> InputPart:
        try:
            Fit.from_dict(self.fit)
        except (UsageError, TypeError, ValueError) as error:
            raise ValueError(f"fit: {error}") from error
        return self


class FeaturePairs(_Part):
    """Outputs of a network whose features at each scale, (N, C_k, H_k, W_k), are compared in pairs."""

    kind: Literal["feature_pairs"]
    teacher: list[str] = Field(min_length=1, description="names of the teacher's outputs, one per scale")
    student: list[str] = Field(min_length=1, description="names of the student's outputs, in the same order")

    @model_validator(mode="after")
    def _paired(self) -> FeaturePairs:
        if len(self.teacher) != len(self.student):
            raise ValueError("teacher and student must name as many outputs")
        return self


class MapOutput(_Part):
    """Output of a network that gives an anomaly map of lower resolution, (N, 1, h, w), to be upsampled and smoothed."""

    kind: Literal["map"]
    map: str = Field(description="name of the output")


class ScorePart(_Part):
    """Mean and spread of the scores of the good parts that set the threshold."""

    mean: float = Field(description="mean score")
    deviation: float = Field(ge=0, description="standard deviation of one score")
    wander: float = Field(
        default=0.0,
        ge=0,
        description="largest distance of the moving average from the mean while in shadow, in standard deviations",
    )


class Thresholds(_Part):
    """The thresholds of one precision."""

    image: float = Field(description="threshold of the score; a part with a higher score is rejected")
    pixel: float = Field(
        description="threshold of the map; higher values form a region if one of them is above the image threshold"
    )
    method: str | None = Field(default=None, description="how the image threshold was found")
    image_low: float | None = Field(default=None, description="lower end of a 90 % interval of the image threshold")
    image_high: float | None = Field(default=None, description="upper end of that interval")
    rate_low: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="lower end of a 90 % interval of the share of good parts that are rejected",
    )
    rate_high: float | None = Field(default=None, ge=0, le=1, description="upper end of that interval")
    scores: ScorePart | None = Field(default=None, description="scores of good parts, for the warning score_drift")


class FlawsFound(_Part):
    """How many synthetic flaws of one size, drawn on held-out good images, the preferred precision finds."""

    width: float = Field(gt=0, le=1, description="length of a flaw, as a share of the part's width")
    drawn: int = Field(ge=1, description="number of flaws that were drawn")
    found: int = Field(ge=0, description="number of flaws that were found")


class DefectsFound(_Part):
    """How many images of real defects of one kind the preferred precision finds; they do not affect the threshold."""

    kind: str = Field(description="kind of the defects")
    images: int = Field(ge=1, description="number of images")
    found: int = Field(ge=0, description="number of images that are rejected")


class DecisionPart(_Part):
    """How maps become verdicts."""

    sigma: float = Field(gt=0, description="sigma of the Gaussian that smooths the map, in pixels of the network")
    top: int = Field(ge=1, description="the score is the mean of this many largest map values")
    min_area_px: int = Field(ge=1, description="regions with a smaller area are not reported, in pixels of the canvas")
    false_reject_rate: float = Field(gt=0, lt=1, description="share of good parts that the threshold is set to reject")
    held_out_images: int = Field(
        ge=1, description="number of good images, not used in training, that set the threshold"
    )
    images_wanted: int | None = Field(
        default=None, ge=1, description="number of good images that would be enough to promise at most twice that share"
    )
    method: str = Field(description="how the threshold was found")
    flaws: list[FlawsFound] = Field(
        default=[], description="share of synthetic flaws that is found, smallest flaws first"
    )
    defects: list[DefectsFound] = Field(default=[], description="share of the given real defects that is found")
    thresholds: dict[Precision, Thresholds] = Field(description="thresholds of each precision")


class GoldenPart(_Part):
    """How closely an engine must reproduce golden.npz."""

    tolerance: dict[Precision, float] = Field(description="largest difference of a map value, for each precision")


class FilePart(_Part):
    """One file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="sha256 of the file, in hexadecimal")
    bytes: int = Field(ge=0, description="size of the file")


class Manifest(_Part):
    """The content of `manifest.yaml`."""

    format: Literal[1]
    name: str = Field(min_length=1, max_length=128)
    created: str
    model: ModelPart
    input: InputPart
    outputs: FeaturePairs | MapOutput = Field(discriminator="kind")
    decision: DecisionPart
    golden: GoldenPart
    precisions: list[Precision] = Field(min_length=1, description="precisions in the bundle, fastest first")
    preferred: Precision = Field(description="fastest precision within the budget where the bundle was made")
    order: dict[EngineName, list[Precision]] | None = Field(
        default=None,
        description="precisions that each engine tries, in turn; none is beyond the budget; null: the preferred one, "
        "then the more precise ones",
    )
    provenance: dict[str, Any] = Field(description="origin of the bundle: checkpoint, data, quantization and versions")
    files: dict[str, FilePart] = Field(description="all files of the bundle but the manifest and its signature")

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        wanted = {
            GOLDEN,
            *((ALIGNMENT_PICTURE,) if self.input.alignment else ()),
            *(model_file(precision) for precision in self.precisions),
        }
        if missing := sorted(wanted - self.files.keys()):
            raise ValueError(f"files: {', '.join(missing)} missing")
        unset = [p for p in self.precisions if p not in self.decision.thresholds or p not in self.golden.tolerance]
        if unset or self.preferred not in self.precisions:
            raise ValueError(f"thresholds or tolerance missing for {', '.join(unset) or self.preferred}")
        for engine, tried in (self.order or {}).items():
            if not tried or len(set(tried)) < len(tried) or not set(tried) <= set(self.precisions):
                raise ValueError(f"order: {engine} must name precisions of the bundle, each once")
        return self

    @property
    def allowed(self) -> list[Precision]:
        """Precisions that may judge, fastest first. One that is beyond the budget is not in any engine's order."""
        if self.order is None:
            return self.order_of(EVERYWHERE)
        return [name for name in self.precisions if any(name in tried for tried in self.order.values())]

    def order_of(self, engine: str) -> list[Precision]:
        """Return the precisions that an engine tries in turn if the configuration names none; at least one."""
        if self.order is not None and engine in self.order:
            return [*self.order[engine]]
        return self.precisions[self.precisions.index(self.preferred) :]


def model_file(precision: str) -> str:
    """Return the name of the ONNX file; `bf16` uses the file of `fp32`, because the engine does the rounding."""
    return f"model.{'fp32' if precision == 'bf16' else precision}.onnx"


def complete(manifest: dict[str, Any], contents: dict[str, bytes]) -> Manifest:
    """Return the manifest with its format and the digests of its files; the arguments are those of `write_bundle`."""
    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()}
    return Manifest.model_validate({"format": FORMAT, **manifest, "files": files})


def parse_manifest(path: Path, text: bytes) -> Manifest:
    """Parse the manifest of the bundle at a path.

    Raises:
        BundleError: The text is no manifest of a known format; the message names each wrong field.
    """
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
