"""What alignment is worth: the same rendered parts lying still, moved, and moved but aligned.

    python tests/benchmarks/moved_line.py [--only TEXT]

Renders flanges that lie still, and others shifted by up to 15 % of the frame and turned by up to 20 degrees, each lit
as it lies. Trains a memory (`edge-train fit --model memory`), or the default (`--model auto`), on 100 good pictures,
makes a bundle, and measures on 60 good and 100 defective ones in the precision that the bundle prefers. Writes
results/moved_line.csv; with --only, the runs whose name has that text, in the place of their old rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from moved_parts import FLANGE, Part, drawn, flanges

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.demo.defects import DEFECTS
from edge_inspect.edge.engines.opening import open_engine
from edge_inspect.edge.frame.images import list_images, read_image, write_image
from edge_inspect.train.metrics import auroc

RESULTS = Path(__file__).parent / "results" / "moved_line.csv"
GOOD, TEST_GOOD, TEST_DEFECTS = 100, 60, 100
REGION = ",".join(map(str, FLANGE))
RUNS = {
    "still": ("still", ["--region", REGION]),
    "moved": ("moved", []),
    "moved, --align rigid": ("moved", ["--align", "rigid"]),
    "moved, --align rigid --memory 4000": ("moved", ["--align", "rigid", "--memory", "4000"]),
    "still, --align rigid": ("still", ["--align", "rigid"]),
    "still, --model auto": ("still", ["--region", REGION, "--model", "auto"]),
    "moved, --model auto": ("moved", ["--model", "auto"]),
    "moved, --align rigid --model auto": ("moved", ["--align", "rigid", "--model", "auto"]),
}


def main() -> None:
    """Render, train and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/moved_line"), help="folder for pictures and bundles")
    parser.add_argument("--only", default="", metavar="TEXT", help="only runs whose name has this text")
    arguments = parser.parse_args()
    for moved in (False, True):
        render(arguments.work / ("moved" if moved else "still"), moved)
    for name in RUNS:
        if arguments.only in name:
            store_run({"run": name, **measure(arguments.work, name)})


def store_run(row: dict[str, object]) -> None:
    """Write a run's row in the place of its old one."""
    with RESULTS.open(newline="") as file:
        rows = {old["run"]: old for old in csv.DictReader(file)} | {row["run"]: row}
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in RUNS if name in rows)


def render(folder: Path, moved: bool) -> None:
    """Write the pictures, unless they are there."""
    kinds = list(DEFECTS)
    wanted = [("train/good", i, None) for i in range(GOOD)]
    wanted += [("test/good", GOOD + i, None) for i in range(TEST_GOOD)]
    wanted += [(f"test/{kinds[i % len(kinds)]}", 10_000 + i, kinds[i % len(kinds)]) for i in range(TEST_DEFECTS)]
    for where, seed, defect in wanted:
        path = folder / "flange" / where / f"{seed:05d}.png"
        if not path.exists():
            rng = np.random.default_rng(seed)
            part = drawn(rng, defect=defect) if moved else Part(defect=defect)
            write_image(path, flanges(seed, [part]))


def measure(work: Path, name: str) -> dict[str, object]:
    """Train and calibrate as the run says; return its figures."""
    which, options = RUNS[name]
    data, run = work / which, work / "runs" / name.replace(",", "").replace(" ", "")
    bundle = run.with_suffix(".bundle")
    if not bundle.exists():
        model = [] if "--model" in options else ["--model", "memory"]
        fit = ["--data", data, "--category", "flange", "--out", run, *model, *options]
        command("train", "fit", *fit)
        command("calibrate", "bundle", run, "--good", data / "flange" / "train" / "good", "--out", bundle)
    opened = open_bundle(bundle)
    good, scores, found, lost = [], [], [], []
    with open_engine(opened) as engine:
        decider = Decider(opened, engine.precision)
        for folder in sorted((data / "flange" / "test").iterdir()):
            for path in list_images(folder):
                anomaly = engine.infer(read_image(path))
                decision = decider.decide(anomaly)
                good.append(folder.name == "good")
                scores.append(anomaly.score)
                found.append(not decision.ok)
                lost.append(decision.not_found is not None)
        precision = engine.precision
    is_good, rejected, missing = np.array(good), np.array(found), np.array(lost)
    finite = np.where(np.isfinite(scores), scores, np.nanmax(np.where(np.isfinite(scores), scores, np.nan)) + 1)
    row = {
        "precision": precision,
        "image_auroc": round(auroc(finite.astype(np.float32), ~is_good), 4),
        "good": int(is_good.sum()),
        "good_rejected": int((rejected & is_good).sum()),
        "good_not_found": int((missing & is_good).sum()),
        "defects": int((~is_good).sum()),
        "defects_found": int((rejected & ~is_good).sum()),
        "defects_not_found": int((missing & ~is_good).sum()),
    }
    print(name, json.dumps(row), flush=True)
    return row


def command(program: str, *words: object) -> None:
    """Run a program of this project."""
    subprocess.run([sys.executable, "-m", f"edge_inspect.{program}.cli", *map(str, words)], check=True)


if __name__ == "__main__":
    main()
