"""What a bundle was taught, in words for `calibrate show`. It imports only what a box has."""

from __future__ import annotations

from edge_inspect.edge.bundle.manifest import TAUGHT, Manifest


def describe_lesson(manifest: Manifest) -> str | None:
    """Return by which labelled parts a bundle was taught, for a person; `None` for other bundles."""
    lesson = manifest.provenance.get(TAUGHT)
    if not isinstance(lesson, dict):
        return None
    try:
        labels, parent = lesson["labels"], lesson["parent"]
        said = (
            f"taught by {labels['good']} parts labelled good and {labels['defect']} labelled defect, from {parent['name']} "
            f"{parent['digest'][:16]}"
        )
        grown = lesson["prototypes"]
        return said if grown is None else f"{said}; memory of {grown[0]} prototypes a bank grew to {grown[1]}"
    except (KeyError, TypeError, IndexError):  # written by a later release
        return "taught by labelled parts"
