"""The demo: good images to verdicts at a subscriber, through the same programs a user runs, on a rendered line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edge.bundle import open_bundle
from edge.command import say, write_json
from edge.decision import Decider
from edge.demo.broker import running_broker
from edge.demo.line import CATEGORY, StreamPart, write_dataset, write_stream
from edge.demo.subscriber import Message, Subscriber
from edge.engines import open_engine
from edge.errors import CheckFailed, UsageError
from edge.images import read_image, write_image
from edge.inspection import draw_overlay
from edge.outbox.sqlite import SqliteOutbox
from edge.overlay import contact_sheet

TRAIN_GOOD = 100
TEST_GOOD = 20
TEST_DEFECTS = 8
DEFECT_SHARE = 0.3
EPOCHS = 24
SEED = 7
STATION = "station1"
BUNDLE = "flange-v1"
MARKER = ".edge-inspect-demo"


def run_demo(out: Path, frames: int) -> None:
    """Runs the demo and leaves data, bundle, messages, contact sheet and summary in `out`.

    Raises:
        UsageError: `out` holds something else, `frames` is too small, or an extra is not installed.
        CheckFailed: A step failed, or verdicts did not arrive.
    """
    if frames < 10:
        raise UsageError(f"--frames {frames} is too few to show anything; take at least 10")
    _clear(out)
    started = time.perf_counter()
    times: dict[str, float] = {}
    with _step("rendering the line", times):
        write_dataset(out / "data", train_good=TRAIN_GOOD, test_good=TEST_GOOD, test_defects=TEST_DEFECTS, seed=SEED)
        truth = {
            part.file: part
            for part in write_stream(out / "stream", frames=frames, defect_share=DEFECT_SHARE, seed=SEED)
        }
    data = ["--data", str(out / "data"), "--category", CATEGORY]
    with _step(f"training on {TRAIN_GOOD} good parts", times):
        options = ["--fit", "crop", "--hold-out", "0.2", "--epochs", str(EPOCHS)]
        _program("train.cli", "fit", *data, *options, "--out", str(out / "run"))
    with _step("evaluating on the test parts", times):
        metrics = ["--json", str(out / "evaluation.json"), "--report", str(out / "evaluation")]
        _program("train.cli", "evaluate", str(out / "run"), *data, *metrics)
    with _step("calibrating INT8", times):
        good = out / "data" / CATEGORY / "train" / "good"
        _program("calibrate.cli", "bundle", str(out / "run"), "--good", str(good), "--out", str(out / BUNDLE))
    with _step("inspecting the stream", times):
        verdicts, defects, published = _inspect_stream(out, truth)
    summary = {
        **_accuracy(out, truth, verdicts),
        **_speed(verdicts),
        "verdicts_published": published,
        "verdicts_received": len(verdicts),
        "defects_received": len(defects),
        "seconds": {**{name: round(value, 1) for name, value in times.items()}},
        "seconds_total": round(time.perf_counter() - started, 1),
    }
    _write_sheet(out, truth, verdicts)
    write_json(summary, out / "summary.json")
    write_json(summary, Path("-"))
    say(f"contact sheet: {out / 'defects.png'}   summary: {out / 'summary.json'}")
    if published != len(verdicts) or len(verdicts) != frames:
        raise CheckFailed(f"{frames} parts, {published} verdicts published, {len(verdicts)} received")


def _clear(out: Path) -> None:
    """Empties the folder of an earlier demo; anything else is left alone."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            raise UsageError(f"--out {out}: is not empty and no earlier demo's folder; give another")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


@contextmanager
def _step(what: str, times: dict[str, float]) -> Iterator[None]:
    say(f"\n== {what}")
    started = time.perf_counter()
    yield
    times[what.split()[0]] = time.perf_counter() - started


def _program(module: str, *arguments: str) -> None:
    """Runs one of the other programs, which this package must not import."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise CheckFailed(
            f"{module.split('.')[0]} failed with status {done.returncode}; "
            "the demo needs the extras: pip install 'edge-inspect[train,demo]'"
        )


def _inspect_stream(out: Path, truth: dict[str, StreamPart]) -> tuple[list[Message], list[Message], int]:
    """Runs broker, subscriber and service over the stream; gives verdicts, defects and how many were published."""
    right = 0

    def show(verdict: Message) -> None:
        nonlocal right
        part = truth[f"{verdict['part_id']}.png"]
        right += verdict["ok"] == part.ok
        word = "accept" if verdict["ok"] else "REJECT"
        known = "good" if part.ok else str(part.defect)
        score, latency = verdict["score"], verdict["latency_ms"]
        say(f"  {verdict['sequence']:4d}  {word}  score {score:.3f}  {latency:6.1f} ms  is: {known}")

    with running_broker() as (broker, port):
        say(f"{broker} on 127.0.0.1:{port}")
        config = out / "config.yaml"
        config.write_text(yaml.safe_dump(_configuration(out, port), sort_keys=False))
        with Subscriber(port, show) as subscriber:
            _program("edge.cli", "run", "--config", str(config))
            subscriber.wait_for(len(truth), 10)
            verdicts = sorted(subscriber.verdicts.values(), key=lambda v: v["sequence"])
            defects = list(subscriber.defects.values())
    with SqliteOutbox(out / "outbox.db") as outbox:  # what the broker has not acknowledged is still in there
        waiting = sum(entry.kind == "verdict" for entry in outbox.pending(STATION, 0, 2 * len(truth)))
        published = outbox.sequence(STATION) - waiting
    with (out / "verdicts.jsonl").open("w") as file:
        file.writelines(json.dumps(verdict) + "\n" for verdict in verdicts)
    say(f"{right} of {len(verdicts)} verdicts agree with the truth")
    return verdicts, defects, published


def _configuration(out: Path, port: int) -> dict[str, Any]:
    return {
        "site": "demo",
        "line": "line1",
        "mqtt": {"host": "127.0.0.1", "port": port},
        "outbox": {"path": str(out / "outbox.db")},
        "stations": [
            {
                "name": STATION,
                "camera": f"folder:{os.path.abspath(out / 'stream')}",
                "bundle": str(out / BUNDLE),
                "policy": "every",
                "queue": 1,  # as on a line: a part is judged before the next one comes
            }
        ],
    }


def _accuracy(out: Path, truth: dict[str, StreamPart], verdicts: Sequence[Message]) -> dict[str, Any]:
    """What the service's own verdicts are worth against the known truth."""
    good = np.array([truth[f"{v['part_id']}.png"].ok for v in verdicts])
    scores = np.array([v["score"] for v in verdicts])
    accepted = np.array([v["ok"] for v in verdicts])
    higher = (scores[~good][:, None] > scores[good][None]) + 0.5 * (scores[~good][:, None] == scores[good][None])
    evaluation = json.loads((out / "evaluation.json").read_text())
    return {
        "image_auroc": round(float(higher.mean()), 4),
        "frames": len(truth),
        "false_rejects": int((good & ~accepted).sum()),
        "good_parts": int(good.sum()),
        "escapes": int((~good & accepted).sum()),
        "defective_parts": int((~good).sum()),
        "test_split_fp32": {name: evaluation[name] for name in ("image_auroc", "pixel_auroc", "aupro_0.3")},
    }


def _speed(verdicts: Sequence[Message]) -> dict[str, Any]:
    from datetime import datetime

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


def _write_sheet(out: Path, truth: dict[str, StreamPart], verdicts: Sequence[Message], most: int = 16) -> None:
    """The rejected parts and the wrong verdicts, each frame beside its map."""
    bundle = open_bundle(out / BUNDLE)
    engine = open_engine(bundle)
    decider = Decider(bundle, engine.precision)
    wrong = [v for v in verdicts if v["ok"] != truth[f"{v['part_id']}.png"].ok]
    chosen = [*wrong, *(v for v in verdicts if not v["ok"] and v not in wrong)][:most]
    rows = []
    for verdict in chosen:
        name = f"{verdict['part_id']}.png"
        frame = read_image(out / "stream" / name)
        anomaly = engine.infer(frame)
        overlay = draw_overlay(frame, anomaly, decider.decide(anomaly))
        known = "good" if truth[name].ok else truth[name].defect
        word = "accept" if verdict["ok"] else "REJECT"
        rows.append((f"{name}  {word}  score {verdict['score']:.3f}  is: {known}", [frame, overlay]))
    if rows:
        write_image(out / "defects.png", contact_sheet(rows, columns=2))
