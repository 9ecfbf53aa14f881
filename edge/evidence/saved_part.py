from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.edge.contract.messages import Region, Verdict
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.files import read_file
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.placement import Placement
from edge_inspect.edge.frame.pose import Pose
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

PICTURES = ("good", "defects")
FOLDERS = (*PICTURES, "maps", "verdicts")
SUFFIXES = {"png": ".png", "jpeg": ".jpg"}
_LARGEST_BYTES = 2**20
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)


class SavedPose(BaseModel):
    """Where the part was found in the frame (see `edge.frame.pose.Pose`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shift: tuple[float, float]
    angle: float
    centre: tuple[float, float]


class SavedMap(BaseModel):
    """The scale of a saved map's 16-bit values, and its position in the frame (see `edge.frame.fit.Placement`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float
    scale_x: float
    scale_y: float
    origin_x: float
    origin_y: float
    valid: tuple[int, int, int, int]
    pose: SavedPose | None = Field(default=None, description="where the part was found; null: it was not sought")

    @classmethod
    def of(cls, placement: Placement, low: float, high: float) -> SavedMap:
        """Return the position of a map with values from `low` to `high`."""
        place, pose = placement, placement.pose
        found = None if pose is None else SavedPose(shift=pose.shift, angle=pose.angle, centre=pose.centre)
        origin = {"origin_x": place.origin_x, "origin_y": place.origin_y}
        return cls(
            low=low, high=high, scale_x=place.scale_x, scale_y=place.scale_y, valid=place.valid, pose=found, **origin
        )

    @property
    def placement(self) -> Placement:
        """The position without weights."""
        pose = None if self.pose is None else Pose(self.pose.shift, self.pose.angle, centre=self.pose.centre)
        return Placement(self.scale_x, self.scale_y, self.origin_x, self.origin_y, self.valid, pose=pose)


class SavedPart(BaseModel):
    """The content of `verdicts/<id>.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str | None = Field(default=None, description="null: saved by a release that did not write it")
    line: str | None = Field(default=None, description="null: saved by a release that did not write it")
    station: str
    borderline: bool
    verdict: Verdict
    regions: tuple[Region, ...]
    map: SavedMap
    sample: bool = Field(default=False, description="saved in shadow regardless of its score, as an unbiased sample")


class PartToSave(NamedTuple):
    """A part to be saved.

    Attributes:
        station: Name of the station that inspected the part.
        verdict: Verdict on the part.
        regions: Defect regions of a rejected part.
        borderline: Whether its score is near the threshold.
        frame: Frame of the part.
        anomaly: Anomaly map; its values are not shared with the engine.
        sample: Whether the part is saved regardless of its score.
        site: Name of the plant.
        line: Name of the line.
    """

    station: str
    verdict: Verdict
    regions: tuple[Region, ...]
    borderline: bool
    frame: Frame
    anomaly: AnomalyMap
    sample: bool = False
    site: str | None = None
    line: str | None = None


def pack(part: PartToSave, format: Literal["png", "jpeg"]) -> dict[str, bytes]:
    """Return the files of a part, by their path inside the station's folder; the JSON file comes last."""
    values = part.anomaly.values
    low, high = float(values.min()), float(values.max())
    levels = np.round((values - low) * (65535 / max(high - low, 1e-12))).astype(np.uint16)
    saved = SavedPart(
        site=part.site,
        line=part.line,
        station=part.station,
        borderline=part.borderline,
        verdict=part.verdict,
        regions=part.regions,
        map=SavedMap.of(part.anomaly.placement, low, high),
        sample=part.sample,
    )
    # OpenCV's default for PNG is twice as fast as every setting that can be chosen.
    _, picture = cv2.imencode(SUFFIXES[format], part.frame, [] if format == "png" else _JPEG)
    return files_of(saved, picture.tobytes(), SUFFIXES[format], levels)


def files_of(saved: SavedPart, picture: bytes, suffix: str, levels: NDArray[np.uint16]) -> dict[str, bytes]:
    """Return the files of a part, by their path inside the station's folder; the JSON file comes last.

    Args:
        saved: Content of the JSON file.
        picture: Content of the picture's file.
        suffix: Suffix of the picture's file, one of `SUFFIXES`.
        levels: Values of the map, (height, width), on the scale that `saved.map` states.
    """
    identity, rejected = saved.verdict.id, saved.verdict.is_rejected
    _, map_ = cv2.imencode(".png", levels)
    return {
        f"{'defects' if rejected else 'good'}/{identity}{suffix}": picture,
        f"maps/{identity}.png": map_.tobytes(),
        f"verdicts/{identity}.json": saved.model_dump_json(indent=1).encode() + b"\n",
    }


def find_picture(folder: Path, identity: str) -> Path | None:
    """Return the picture of a part, in whichever folder the reviewer has put it; `None` if it is missing."""
    places = (folder / name / f"{identity}{suffix}" for name in PICTURES for suffix in SUFFIXES.values())
    return next((place for place in places if place.is_file()), None)


def read_part(folder: Path, identity: str) -> SavedPart | None:
    """Return a part of a station's folder; `None` if it was deleted or is damaged."""
    path = folder / "verdicts" / f"{identity}.json"
    try:
        saved = SavedPart.model_validate_json(read_file(path, _LARGEST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as problem:
        log.warning("%s is left out: %s", clean(path), clean(str(problem).splitlines()[0]))
        return None
    if saved.verdict.id != identity:
        log.warning("%s is left out: it holds the verdict of another part", clean(path))
        return None
    return saved


def read_map(folder: Path, saved: SavedPart) -> AnomalyMap | None:
    """Return the anomaly map of a part; `None` if it is missing or damaged."""
    path = folder / "maps" / f"{saved.verdict.id}.png"
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if levels is None or levels.dtype != np.uint16:
        return None
    map_ = saved.map
    values: NDArray[np.float32] = (map_.low + levels * ((map_.high - map_.low) / 65535)).astype(np.float32)
    return AnomalyMap(values, map_.placement, saved.verdict.score)
