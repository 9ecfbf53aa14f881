"""Verdicts, pictures and labels for tests."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import cv2
import numpy as np

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import BundleReference, FrameSize, Verdict
from edge_inspect.edge.labels.label import Label

SITE, LINE, STATION = "plant1", "line1", "station1"
KEY = f"{SITE}/{LINE}/{STATION}"


def verdict(sequence: int = 1, score: float = 1.5, threshold: float = 1.0, **fields: Any) -> Verdict:
    """Return a verdict; it rejects if the score is above the threshold."""
    moment = fields.pop("decided_at", datetime.now(timezone.utc))
    rejected = score > threshold and not fields.get("shadow", False)
    values: dict[str, Any] = {
        "boot_id": "boot",
        "id": uuid7(),
        "sequence": sequence,
        "captured_at": moment,
        "decided_at": moment,
        "ok": not rejected,
        "score": score,
        "threshold": threshold,
        "bundle": BundleReference(name="flange", digest="d" * 64),
        "precision": "fp32",
        "engine": "openvino",
        "latency_ms": 12.0,
        "frame": FrameSize(width=64, height=48),
        "reason": "defect" if score > threshold else None,
    }
    return Verdict(**{**values, **fields})


def picture(seed: int = 0, suffix: str = ".png", size: tuple[int, int] = (48, 64)) -> bytes:
    """Return a picture file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    return bytes(cv2.imencode(suffix, pixels)[1].tobytes())


def label(word: str | None = "good", by: str = "anna", of: Verdict | None = None, **fields: Any) -> Label:
    """Return a label on a part of `plant1/line1/station1`."""
    place = {"site": SITE, "line": LINE, "station": STATION, "at": utc_now()}
    return Label(**{**place, "by": by, "word": word, "verdict": of or verdict(), **fields})
