"""Compares the demo's verdicts with the truth, in numbers and in a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.promise import promise_of
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.demo.line import StreamPart
from edge_inspect.edge.demo.subscriber import Message
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.frame.images import read_image, write_image
from edge_inspect.edge.inspection import draw_overlay
from edge_inspect.edge.overlay import contact_sheet


def accuracy(out: Path, truth: dict[str, StreamPart], verdicts: Sequence[Message]) -> dict[str, Any]:
    """Return the accuracy of the service's verdicts.

    `image_auroc` is null if no good or no defective part was inspected.
    """
    good = np.array([truth[f"{v['part_id']}.png"].ok for v in verdicts], bool)
    scores = np.array([v["score"] for v in verdicts], float)
    accepted = np.array([v["ok"] for v in verdicts], bool)
    higher = (scores[~good][:, None] > scores[good][None]) + 0.5 * (scores[~good][:, None] == scores[good][None])
    evaluation = json.loads((out / "evaluation.json").read_text())
    return {
        "image_auroc": round(float(higher.mean()), 4) if higher.size else None,
        "frames": len(truth),
        "false_rejects": int((good & ~accepted).sum()),
        "good_parts": int(good.sum()),
        "escapes": int((~good & accepted).sum()),
        "defective_parts": int((~good).sum()),
        "test_split_fp32": {name: evaluation[name] for name in ("image_auroc", "pixel_auroc", "aupro_0.3")},
    }


def speed(verdicts: Sequence[Message]) -> dict[str, Any]:
    """Return parts per second, latency, precision and engine of the verdicts; empty if there are no verdicts."""
    if not verdicts:
        return {}
    decided = [datetime.fromisoformat(v["decided_at"].replace("Z", "+00:00")) for v in verdicts]
    span = (decided[-1] - decided[0]).total_seconds()
    p50, p99 = np.percentile([v["latency_ms"] for v in verdicts], (50, 99))
    return {
        "fps": round((len(verdicts) - 1) / span, 2) if span > 0 else 0.0,
        "latency_ms_p50": round(float(p50), 3),
        "latency_ms_p99": round(float(p99), 3),
        "precision": verdicts[0]["precision"],
        "engine": verdicts[0]["engine"],
    }


def promise(bundle: Path) -> dict[str, Any]:
    """Return sentences on what the bundle's threshold does; `warning` is empty if most flaws are found."""
    return asdict(promise_of(open_bundle(bundle).manifest))


def write_sheet(
    sheet: Path, bundle_path: Path, stream: Path, truth: dict[str, StreamPart], verdicts: Sequence[Message]
) -> bool:
    """Draw at most 16 wrong verdicts and rejected parts, each beside its map; return false if there are none."""
    wrong = [v for v in verdicts if v["ok"] != truth[f"{v['part_id']}.png"].ok]
    chosen = [*wrong, *(v for v in verdicts if not v["ok"] and v not in wrong)][:16]
    if not chosen:
        return False
    bundle = open_bundle(bundle_path)
    rows = []
    with open_checked_engine(bundle) as engine:
        decider = Decider(bundle, engine.precision)
        for verdict in chosen:
            name = f"{verdict['part_id']}.png"
            frame = read_image(stream / name)
            anomaly = engine.infer(frame)
            overlay = draw_overlay(frame, anomaly, decider.decide(anomaly))
            known = "good" if truth[name].ok else truth[name].defect
            word = "accept" if verdict["ok"] else "REJECT"
            rows.append((f"{name}  {word}  score {verdict['score']:.3f}  is: {known}", [frame, overlay]))
    write_image(sheet, contact_sheet(rows, columns=2))
    return True
