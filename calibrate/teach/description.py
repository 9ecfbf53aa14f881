"""From which parts of the line a bundle was made, in words for `calibrate show`. It imports only what a box has."""

from __future__ import annotations

from edge_inspect.calibrate.line.next_bundle import describe_source
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import TAUGHT, Manifest


def origins(bundle: Bundle) -> list[str]:
    """Return from which parts of the line the threshold and the memory of a bundle come; empty if from none."""
    return [text for text in (describe_source(bundle), describe_lesson(bundle.manifest)) if text is not None]


def describe_lesson(manifest: Manifest) -> str | None:
    """Return by which labelled parts a bundle was taught, for a person; `None` for other bundles."""
    lesson = manifest.provenance.get(TAUGHT)
    if not isinstance(lesson, dict):
        return None
    try:
        labels, parent, grown = lesson["labels"], lesson["parent"], lesson["prototypes"]
        parts = f"{labels['good']} parts labelled good and {labels['defect']} labelled defect"
        said = f"taught by {parts}, from {parent['name']} {parent['digest'][:16]}"
        return said if grown is None else f"{said}; memory of {grown[0]} prototypes a bank grew to {grown[1]}"
    except (KeyError, TypeError, IndexError):  # written by a later release
        return "taught by labelled parts"
