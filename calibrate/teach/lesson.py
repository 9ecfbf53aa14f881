"""The labelled parts that a bundle was taught by, in a file inside the bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from edge_inspect.calibrate.teach.judgement import Judged
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision

LESSON = "report/teaching.json"
"""File in the bundle with the labelled parts."""


def lesson_file(parent: Bundle, precision: Precision, judged: Iterable[Judged], learned: Iterable[str]) -> Any:
    """Return the content of the file.

    Args:
        parent: The bundle that was taught.
        precision: Precision of the scores.
        judged: The labelled parts, with their scores by both bundles.
        learned: Digests of the pictures that the network has now learned from.
    """
    parts = [
        {
            "id": each.part.id,
            "label": each.part.word,
            **({"kind": each.part.kind} if each.part.kind else {}),
            "picture": each.part.digest,
            "score_before": round(each.before, 6) if each.found else None,
            "score_after": round(each.after, 6) if each.found else None,
        }
        for each in judged
    ]
    return {
        "parent": parent.digest,
        "precision": precision,
        "parts": parts,
        "learned": sorted({*learned_pictures(parent), *learned}),
    }


def learned_pictures(bundle: Bundle) -> set[str]:
    """Return the digests of pictures that a bundle's network has learned from labelled parts."""
    if LESSON not in bundle.manifest.files:
        return set()
    try:
        return set(json.loads(bundle.file(LESSON))["learned"])
    except (ValueError, KeyError, TypeError):  # written by a later release
        return set()
