"""Scores and pictures of a line's own parts: from the file that a station collects in shadow, or from its evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.evidence.saved_part import SavedPart
from edge_inspect.edge.files import read_file
from edge_inspect.edge.health.picture import PictureFigures
from edge_inspect.edge.station.shadow import LARGEST_FILE, read_collected
from edge_inspect.edge.text import clean

LEAST = 50
"""Smallest number of parts; with fewer, a new threshold is no better than the bundle's."""


class LineParts(NamedTuple):
    """Scores of parts of a line, bad ones among them.

    Attributes:
        source: Where the scores come from.
        precision: Precision in which the parts were judged.
        scores: Finite scores, `LEAST` at least.
        stations: Stations that judged the parts; empty if they are not known.
        in_order: Whether these are all parts of one station, in the order in which they came.
        pictures: Measures of the parts' pictures, one for each score; empty if they were not collected.
    """

    source: Literal["scores", "evidence"]
    precision: Precision
    scores: NDArray[np.float64]
    stations: tuple[str, ...]
    in_order: bool = False
    pictures: Sequence[PictureFigures | None] = ()


def read_scores(path: Path, bundle: Bundle) -> LineParts:
    """Return the scores in a file that a station has collected, or in a text file with one number on each line.

    Plain numbers are taken as scores of the bundle, in the precision that it prefers.

    Raises:
        UsageError: The file cannot be read, belongs to another bundle, or holds too few scores.
    """
    try:
        try:
            found = read_collected(path)
        except ValueError as error:
            numbers = list(_numbers(path, str(error)))
            return _enough(path, LineParts("scores", bundle.manifest.preferred, np.array(numbers), ()))
    except OSError as error:
        raise UsageError(f"--scores {clean(path)}: cannot be read: {error.strerror}") from error
    start = found.start
    if start.bundle.digest != bundle.digest:
        raise UsageError(
            f"--scores {clean(path)}: these scores are of the bundle {start.bundle.name}, digest "
            f"{start.bundle.digest[:16]}; {clean(bundle.path)} has {bundle.digest[:16]}; give the bundle that judged"
        )
    scores, pictures = np.array([each.score for each in found.scores]), [each.picture for each in found.scores]
    parts = LineParts("scores", start.precision, scores, (start.station,), in_order=True, pictures=pictures)
    return _enough(path, parts)


def read_evidence(folder: Path, bundle: Bundle) -> LineParts:
    """Return the scores of the parts that stations have saved evenly while they judged by the bundle in shadow.

    Other evidence is ignored, because it was saved on account of its score.

    Raises:
        UsageError: There are too few such parts, or they were judged in several precisions.
    """
    cases = [
        case
        for case in _cases(folder)
        if case.sample and case.verdict.bundle.digest == bundle.digest and case.verdict.not_found is None
    ]
    precisions = sorted({case.verdict.precision for case in cases})
    if len(precisions) > 1:
        raise UsageError(
            f"--evidence {clean(folder)}: parts were judged in {' and '.join(precisions)}, whose scores differ; give "
            "--scores with the file of one station"
        )
    scores = np.array([case.verdict.score for case in cases])
    stations = tuple(sorted({case.station for case in cases}))
    precision = precisions[0] if precisions else bundle.manifest.preferred
    return _enough(folder, LineParts("evidence", precision, scores, stations))


def _cases(folder: Path) -> Iterator[SavedPart]:
    for file in sorted(folder.glob("*/*/verdicts/*.json")):
        try:
            yield SavedPart.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):  # deleted while this runs, or not the description of a part
            continue


def _numbers(path: Path, why: str) -> Iterator[float]:
    for number, line in enumerate(read_file(path, LARGEST_FILE).decode(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = float(line)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(
                f"--scores {clean(path)}: {why}, and line {number} is no number: {clean(line[:40])!r}; give the "
                "station's *.shadow-*.jsonl, or one score a line"
            )
        yield value


def _enough(path: Path, parts: LineParts) -> LineParts:
    if parts.scores.size < LEAST:
        what = "parts that were saved evenly in shadow by this bundle" if parts.source == "evidence" else "scores"
        raise UsageError(
            f"--{parts.source} {clean(path)}: holds {parts.scores.size} {what}, and {LEAST} are the least; let the "
            "station collect more in shadow"
        )
    return parts
