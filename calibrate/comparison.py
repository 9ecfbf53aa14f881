"""Changes between two bundles: in their manifests, files and reports, and in their verdicts on images."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import REPORT
from edge_inspect.edge.bundle.signature import SIGNATURE
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.errors import BundleError, ImageError, SignatureError
from edge_inspect.edge.frame.images import Frame, pictures_of, read_image
from edge_inspect.edge.text import clean
from edge_inspect.train.progress import tracked

SHOWN = 20
"""Number of changed verdicts that are listed one by one."""
COLUMN = 36
"""Width of a column; longer texts get a line of their own."""
REPEATED = {"threshold", "threshold_low", "threshold_high", "method", "rate", "rate_low", "rate_high", "images_wanted"}
"""Entries of the report that repeat the manifest, whose values decide."""

Facts = dict[str, Any]
"""Entries of a bundle, by dotted key."""


@dataclass(frozen=True)
class Difference:
    """An entry in which the bundles differ.

    Attributes:
        key: Key of the entry: a key of the manifest, `report.*`, `files.*` or `manifest.sig`.
        a: Value in the first bundle; `None` if it has no such entry.
        b: Value in the second bundle; `None` if it has no such entry.
    """

    key: str
    a: Any
    b: Any

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as `--json` writes it."""
        return {"key": self.key, "a": self.a, "b": self.b}


@dataclass(frozen=True)
class Outcome:
    """The verdict of a bundle on an image: accept or not, and why."""

    ok: bool
    score: float
    threshold: float

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as `--json` writes it."""
        return {"ok": self.ok, "score": round(self.score, 6), "threshold": round(self.threshold, 6)}


@dataclass(frozen=True)
class ImagePair:
    """An image with the outcome of each bundle."""

    path: Path
    a: Outcome
    b: Outcome

    @property
    def changed(self) -> bool:
        """Whether the two verdicts differ."""
        return self.a.ok != self.b.ok


@dataclass(frozen=True)
class Comparison:
    """The result of `calibrate diff`.

    Attributes:
        a: The first bundle.
        b: The second bundle.
        differences: Differences in the order of the manifest.
        images: Outcomes for the images; `None` if no images were given.
    """

    a: Bundle
    b: Bundle
    differences: list[Difference]
    images: list[ImagePair] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as `--json` writes it."""
        return {
            "a": _identity(self.a),
            "b": _identity(self.b),
            "same": not self.differences,
            "differences": [difference.as_dict() for difference in self.differences],
            "images": None if self.images is None else _summary(self.images),
        }

    def lines(self) -> Iterator[str]:
        """Yield the comparison in lines for a person."""
        yield from (f"{letter}  {bundle.path}" for letter, bundle in (("A", self.a), ("B", self.b)))
        if not self.differences:
            yield "no difference"
        rows = [(d.key, _text(d.a), _text(d.b), _change(d.a, d.b)) for d in self.differences]
        short = [row for row in rows if max(len(row[1]), len(row[2])) <= COLUMN]
        wide = [max((len(row[i]) for row in short), default=0) for i in range(3)]
        for key, a, b, change in rows:
            if (key, a, b, change) in short:
                yield f"  {key:{wide[0]}}  {a:{wide[1]}}  ->  {b:{wide[2]}}  {change}".rstrip()
            else:
                yield from (f"  {key}", f"    A  {a}", f"    B  {b}")
        if self.images is not None:
            yield from _image_lines(self.images)


def compare(a: Bundle, b: Bundle, images: Sequence[Path] = ()) -> Comparison:
    """Compare two bundles, and run images through the engine that a station would run for each.

    Args:
        a: The first bundle.
        b: The second bundle.
        images: Image files, and folders of images.

    Raises:
        ImageError: There are no images, or one cannot be read.
        EngineError: No engine of a bundle reproduces its golden frames.
        BundleError: A report is not valid JSON.
    """
    if missing := [clean(path) for path in images if not path.exists()]:
        raise ImageError(f"{', '.join(missing)}: no such file or folder")
    paths = pictures_of(images)
    facts = _facts(a), _facts(b)
    keys = list(dict.fromkeys([*facts[0], *facts[1]]))
    found = [Difference(key, facts[0].get(key), facts[1].get(key)) for key in keys]
    differences = [difference for difference in found if difference.a != difference.b]
    return Comparison(a, b, differences, list(_judge(a, b, paths)) if paths else None)


def _judge(a: Bundle, b: Bundle, paths: list[Path]) -> Iterator[ImagePair]:
    with open_checked_engine(a) as first, open_checked_engine(b) as second:
        judges = _Judge(a, first), _Judge(b, second)
        for path in tracked(paths, len(paths), "images", "compared"):
            frames = [read_image(path, bits) for bits in dict.fromkeys(judge.bits for judge in judges)]
            yield ImagePair(path, judges[0].outcome(frames[0]), judges[1].outcome(frames[-1]))


class _Judge:
    """The engine and the decision that a station would use for a bundle."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self._engine = engine
        self.bits = bundle.fit.bits
        self._decider = Decider(bundle, engine.precision)

    def outcome(self, frame: Frame) -> Outcome:
        decision = self._decider.decide(self._engine.infer(frame))
        return Outcome(decision.ok, decision.score, decision.threshold)


def _facts(bundle: Bundle) -> Facts:
    """Return all entries of a bundle: of its manifest, files, signature and report."""
    manifest = bundle.manifest.model_dump(mode="json")
    manifest["input"]["fit"] = bundle.fit.as_dict()  # adds the defaults that an older manifest leaves out
    files = manifest.pop("files")
    facts = dict(_flat("", manifest))
    for name, file in files.items():
        if name != REPORT:  # the report's content is compared instead, which says more
            facts[f"files.{name}"] = f"{file['bytes'] / 1e6:.2f} MB, sha256 {file['sha256'][:12]}"
    facts[SIGNATURE] = _signature(bundle)
    return facts | dict(_flat("report.", _report(bundle)))


def _signature(bundle: Bundle) -> str | None:
    try:
        signature = bundle.signature()
    except SignatureError:
        return "damaged"
    return f"by key {signature.key_id}" if signature else None


def _report(bundle: Bundle) -> Facts:
    if REPORT not in bundle.manifest.files:
        return {}
    try:
        report = json.loads(bundle.file(REPORT), parse_constant=lambda _: None)
    except ValueError as error:
        raise BundleError(f"{bundle.path}: {REPORT} is not valid JSON: {error}") from error
    return report if isinstance(report, dict) else {}


def _flat(prefix: str, value: Facts) -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values; for scores their number, median and largest value; no lists of tables."""
    for key, inner in value.items():
        if prefix.startswith("report.") and key in REPEATED:
            continue
        if isinstance(inner, dict):
            yield from _flat(f"{prefix}{key}.", inner)
        elif isinstance(inner, list) and key.endswith("scores") and inner and all(map(_is_number, inner)):
            name = f"{prefix}{key}"
            summary = len(inner), round(float(np.median(inner)), 6), round(float(np.max(inner)), 6)
            yield from zip((f"{name}.count", f"{name}.median", f"{name}.largest"), summary, strict=True)
        elif not (isinstance(inner, list) and any(isinstance(item, dict) for item in inner)):
            yield f"{prefix}{key}", inner


def _identity(bundle: Bundle) -> dict[str, str]:
    return {"path": str(bundle.path), "name": bundle.manifest.name, "digest": bundle.digest}


def _summary(images: Sequence[ImagePair]) -> dict[str, Any]:
    return {
        "count": len(images),
        "rejected": {"a": sum(not pair.a.ok for pair in images), "b": sum(not pair.b.ok for pair in images)},
        "changed": sum(pair.changed for pair in images),
        "verdicts": [
            {"path": clean(pair.path), "changed": pair.changed, "a": pair.a.as_dict(), "b": pair.b.as_dict()}
            for pair in images
        ],
    }


def _image_lines(images: Sequence[ImagePair]) -> Iterator[str]:
    summary = _summary(images)
    rejected = summary["rejected"]
    yield (
        f"images: A rejects {rejected['a']} and B {rejected['b']} of {len(images)}; "
        f"{summary['changed']} have another verdict"
    )
    for title, ok in (("accept -> reject", True), ("reject -> accept", False)):
        changed = [pair for pair in images if pair.changed and pair.a.ok == ok]
        for pair in changed[:SHOWN]:
            yield f"  {title}  {_reason(pair.a)}  ->  {_reason(pair.b)}  {clean(pair.path)}"
        if len(changed) > SHOWN:
            yield f"  {title}  {len(changed) - SHOWN} more; --json has them all"


def _reason(outcome: Outcome) -> str:
    return f"{outcome.score:.4f} {'<=' if outcome.score <= outcome.threshold else '> '} {outcome.threshold:.4f}"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return f"{value[:12]}..."
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _change(a: Any, b: Any) -> str:
    """Return by how much a number grew, in words."""
    return f"{(b - a) / abs(a):+.1%}" if _is_number(a) and _is_number(b) and a else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
