"""The demo, from good pictures to verdicts at a subscriber; it runs the same programs as a user."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_inspect.edge.demo.folder_lock import locked
from edge_inspect.edge.demo.line import CATEGORY, StreamPart, write_dataset, write_stream
from edge_inspect.edge.demo.stream import BUNDLE, Delivery, inspect_stream
from edge_inspect.edge.demo.summary import accuracy, promise, speed, write_sheet
from edge_inspect.edge.dependencies import EXTRAS, require
from edge_inspect.edge.errors import CheckFailed, UsageError
from edge_inspect.edge.program import say, write_json

TRAIN_GOOD = 100
TEST_GOOD = 20
TEST_DEFECTS = 8
DEFECT_SHARE = 0.3
SEED = 7
BUNDLE_OPTIONS: tuple[str, ...] = ()
"""Further options of `calibrate bundle`. The demo uses its defaults; a test sets some to be quicker."""
MARKER = ".edge-inspect-demo"


def run_demo(out: Path, frames: int, steps: int) -> None:
    """Run the demo, and write data, bundle, messages, contact sheet and summary to `out`.

    Args:
        out: The folder. It is created if it is missing; files of an earlier demo in it are deleted.
        frames: Number of parts in the stream, at least 10.
        steps: Number of training steps, at least 1.

    Raises:
        UsageError: `out` holds other files, a number is too small, or the extra [train] is not installed.
        CheckFailed: A step failed, or verdicts did not arrive.
    """
    if frames < 10:
        raise UsageError(f"--frames {frames} must be at least 10")
    if steps < 1:
        raise UsageError(f"--steps {steps} must be at least 1")
    require(*(module for module, extra in EXTRAS.items() if extra == "train"))
    _clear(out)
    started = time.perf_counter()
    times: dict[str, float] = {}
    with _step("rendering the line", times):
        write_dataset(out / "data", train_good=TRAIN_GOOD, test_good=TEST_GOOD, test_defects=TEST_DEFECTS, seed=SEED)
        parts = write_stream(out / "stream", frames=frames, defect_share=DEFECT_SHARE, seed=SEED)
        truth = {part.file: part for part in parts}
    data = ["--data", str(out / "data"), "--category", CATEGORY]
    with _step(f"training on {TRAIN_GOOD} good parts", times):
        options = ["--model", "rd", "--fit", "crop", "--hold-out", "0.2", "--steps", str(steps)]
        _program("edge_inspect.train.cli", "fit", *data, *options, "--out", str(out / "run"))
    with _step("evaluating on the test parts", times):
        metrics = ["--json", str(out / "evaluation.json"), "--report", str(out / "evaluation")]
        _program("edge_inspect.train.cli", "evaluate", str(out / "run"), *data, *metrics)
    with _step("calibrating INT8", times):
        files = ["--good", str(out / "data" / CATEGORY / "train" / "good"), "--out", str(out / BUNDLE)]
        _program("edge_inspect.calibrate.cli", "bundle", str(out / "run"), *files, *BUNDLE_OPTIONS)
    with _step("inspecting the stream", times):
        delivery = inspect_stream(
            out, truth, lambda config: _program("edge_inspect.edge.cli", "run", "--config", str(config))
        )
    write_results(out, truth, delivery, times, started)
    check_arrived(out, frames, delivery)


def _clear(out: Path) -> None:
    """Empty the folder of an earlier demo; refuse any other folder that is not empty."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            raise UsageError(f"--out {out}: holds files that are not from a demo; give an empty or new folder")
        with locked(out):
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
    """Run another program of this project in a process of its own, because `edge` must not import it."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        name = {"train": "edge-train", "calibrate": "calibrate", "edge": "edge-inspect"}[module.split(".")[1]]
        raise CheckFailed(f"the step {name} {arguments[0]} ended with status {done.returncode}; its message is above")


def write_results(
    out: Path, truth: dict[str, StreamPart], delivery: Delivery, times: dict[str, float], started: float
) -> None:
    """Write `summary.json` and the contact sheet, and print the summary.

    Args:
        out: Folder of the demo.
        truth: The parts of the stream, by file name.
        delivery: What has arrived at the subscriber.
        times: Seconds that each step took.
        started: Start of the demo, in seconds of `time.perf_counter`.
    """
    summary = {
        "threshold": promise(out / BUNDLE),
        **accuracy(out, truth, delivery.verdicts),
        **speed(delivery.verdicts),
        "broker": delivery.broker,
        "verdicts_published": delivery.published,
        "verdicts_received": len(delivery.verdicts),
        "defects_received": len(delivery.defects),
        "seconds": {name: round(value, 1) for name, value in times.items()},
        "seconds_total": round(time.perf_counter() - started, 1),
    }
    sheet = out / "defects.png"
    drawn = write_sheet(sheet, out / BUNDLE, out / "stream", truth, delivery.verdicts)
    write_json(summary, out / "summary.json")
    write_json(summary, Path("-"))
    say((f"contact sheet: {sheet}   " if drawn else "") + f"summary: {out / 'summary.json'}")


def check_arrived(out: Path, frames: int, delivery: Delivery) -> None:
    """Check that every part has a verdict that arrived.

    Raises:
        CheckFailed: A verdict did not reach the broker or the subscriber.
    """
    received = len(delivery.verdicts)
    if received == delivery.published == frames:
        return
    raise CheckFailed(
        f"of {frames} verdicts {delivery.published} reached the broker ({delivery.broker}) and {received} the "
        f"subscriber; the broker's log is {delivery.log}; verdicts that were not sent are in {out / 'outbox.db'}"
    )
