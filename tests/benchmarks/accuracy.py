"""What a bundle is worth on real parts: its ranking, its verdicts at the threshold that ships, INT8's loss, its time.

    python tests/benchmarks/accuracy.py DATA --category BSData --category MTD --options '--model memory' --work runs

Each combination is trained by `edge-train fit` with its defaults and the `--options` given, made into a bundle by
`calibrate bundle` with its defaults from the training pictures alone, and judged as a station judges: every figure is
of the bundle's OpenVINO engines on the test split. No test picture decides anything. A finished run or bundle in --work
is taken as it is, an interrupted run goes on. The rows go to results/accuracy.csv, in the place of those with the same
data, options and seed. `--table` prints the means over seeds as Markdown instead.

The columns, of the precision that the bundle prefers unless they begin with the name of one:

    data, options, seed           what was trained; without options, the default
    model, teacher, memory        what that was; memory: prototypes in each bank, 0 without
    precision                     the one that the bundle prefers on this processor
    asked_rate                    the share of good parts that the shipped threshold asks to be rejected at most
    good, defects                 how many of them the test split has; copies count once
    false_rejects, found          good parts and defects above the shipped threshold
    int8_false_rejects, _found    the same of INT8 at its own threshold
    preferred_equal, int8_equal, fp16_equal
                                  test parts, good and defective, that get FP32's verdict, each precision at its own
                                  threshold; FP16 as a processor computes it, in float32, and empty where it is left out
    image_auroc                   of the scores by which a station judges
    recall_at_1, recall_at_5      the share of defects above a score that 1 and 5 % of the test's good parts exceed
    aupro, pixel_auroc, pixel_ap  in the plane of the frame (train/plane.py); aupro: to a false-positive rate of 0.3
    int8_less_image_auroc, _aupro what INT8 has less than FP32; below 0 where it has more
    flaws_image_auroc, _aupro     of flaws on held-out good images (`edge-train evaluate --synthetic`): choose by these
    frame_ms, int8_frame_ms       the median of `edge-inspect bench`, frames of the size of the first test picture;
                                  taken out by hand where the machine was busy with other work
    train_seconds, device         of the training; the processor that did all of it
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import shlex
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from table import RESULTS, Row, processor, program, store

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.images import read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.datasets import Category
from edge_inspect.train.evaluation import Evaluation, evaluate_frames

TABLE = RESULTS / "accuracy.csv"
KEY = ("data", "options", "seed")
SHORT, LONG = (0, 1, 2), (0,)
"""Seeds where a training takes seconds, and where it takes minutes."""


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--category", action="append", default=[])
    parser.add_argument(
        "--options",
        action="append",
        help="further options of `edge-train fit`, such as '--model memory'; several times for several systems",
    )
    parser.add_argument("--seed", type=int, action="append", help="default: 0, 1 and 2 of --model memory, 0 of others")
    parser.add_argument("--work", type=Path, default=Path("out/accuracy"), help="`runs` and `bundles` are kept here")
    parser.add_argument("--table", action="store_true", help="print the means of results/accuracy.csv as Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print_table()
        return
    for options, category in itertools.product(arguments.options or [""], arguments.category):
        for seed in arguments.seed or (SHORT if "--model memory" in options else LONG):
            row = measure(arguments.data, category, options, seed, arguments.work)
            store(TABLE, row, KEY)
            print(row)


def measure(data: Path, category: str, options: str, seed: int, work: Path) -> Row:
    """Trains and calibrates one combination where that is not done yet, and gives its row."""
    name = "-".join([category, *options.replace("--", "").replace("/", "-").split(), str(seed)])
    run, path = work / "runs" / name, work / "bundles" / name
    source = ["--data", str(data), "--category", category]
    if not (run / checkpoint.DESCRIPTION).exists():
        program("edge_inspect.train.cli", "fit", *source, *shlex.split(options), "--seed", str(seed), "--out", str(run))
    found = Category.open(data, category)
    if not path.exists():
        good = found.train_images()[0].parent
        program("edge_inspect.calibrate.cli", "bundle", str(run), "--good", str(good), "--out", str(path))
    flaws = run / "flaws.json"
    if not flaws.exists():
        program("edge_inspect.train.cli", "evaluate", str(run), *source, "--synthetic", "--json", str(flaws))
    bundle, (about, _) = open_bundle(path), checkpoint.load(run)
    synthetic = json.loads(flaws.read_text())
    return {
        "data": category,
        "options": options,
        "seed": seed,
        "model": about.model,
        "teacher": about.teacher,
        "memory": about.memory or about.options.get("prototypes", 0),
        **judged(bundle, found),
        "flaws_image_auroc": round(synthetic["image_auroc"], 4),
        "flaws_aupro": round(synthetic["aupro_0.3"], 4),
        **frame_times(path, bundle, found, run),
        "train_seconds": about.training["seconds"],
        "device": processor(),
    }


def judged(bundle: Bundle, category: Category) -> Row:
    """The columns of the test split: of the preferred precision, and INT8 beside FP32."""
    precision = bundle.manifest.preferred
    wanted: list[Precision] = [precision, "int8", "fp32", *(["fp16"] if "fp16" in bundle.manifest.precisions else [])]
    evaluations = {name: judge(bundle, name, category) for name in dict.fromkeys(wanted)}
    preferred, metrics = evaluations[precision], {name: seen.metrics() for name, seen in evaluations.items()}
    good = np.array([image.good for image in preferred.images])
    return {
        "precision": precision,
        "asked_rate": bundle.manifest.decision.false_reject_rate,
        "good": int(good.sum()),
        "defects": int((~good).sum()),
        **verdicts(bundle, precision, preferred.scores, good),
        **{f"int8_{name}": n for name, n in verdicts(bundle, "int8", evaluations["int8"].scores, good).items()},
        **equal_verdicts(bundle, {name: seen.scores for name, seen in evaluations.items()}),
        **ranking(preferred.scores, good, metrics[precision]),
        "int8_less_image_auroc": round(metrics["fp32"]["image_auroc"] - metrics["int8"]["image_auroc"], 4),
        "int8_less_aupro": round(metrics["fp32"]["aupro_0.3"] - metrics["int8"]["aupro_0.3"], 4),
    }


def judge(bundle: Bundle, precision: Precision, category: Category) -> Evaluation:
    """The test split through the engine of one precision."""
    return evaluate_frames(OpenVinoEngine(bundle, precision).infer, category.test_images(), bundle.fit.bits)


def verdicts(bundle: Bundle, precision: Precision, scores: NDArray[np.float32], good: NDArray[np.bool_]) -> Row:
    """How many good parts and defects are above the threshold that ships with a precision."""
    rejected = scores > bundle.manifest.decision.thresholds[precision].image
    return {"false_rejects": int(rejected[good].sum()), "found": int(rejected[~good].sum())}


def equal_verdicts(bundle: Bundle, scores: Mapping[Precision, NDArray[np.float32]]) -> Row:
    """How many parts get FP32's verdict, of the precision that the bundle prefers, INT8 and FP16."""
    thresholds = bundle.manifest.decision.thresholds
    rejected = {name: found > thresholds[name].image for name, found in scores.items()}
    columns = {"preferred": bundle.manifest.preferred, "int8": "int8", "fp16": "fp16"}
    return {
        f"{column}_equal": int((rejected[name] == rejected["fp32"]).sum()) if name in rejected else ""
        for column, name in columns.items()
    }


def ranking(scores: NDArray[np.float32], good: NDArray[np.bool_], metrics: dict[str, float]) -> Row:
    """The columns that need no threshold; `metrics` are those of `train.evaluation`."""
    return {
        "image_auroc": round(metrics["image_auroc"], 4),
        "recall_at_1": round(recall(scores, good, 0.01), 4),
        "recall_at_5": round(recall(scores, good, 0.05), 4),
        "aupro": round(metrics["aupro_0.3"], 4),
        "pixel_auroc": round(metrics["pixel_auroc"], 4),
        "pixel_ap": round(metrics["pixel_ap"], 4),
    }


def recall(scores: NDArray[np.float32], good: NDArray[np.bool_], rate: float) -> float:
    """The share of defects above the score that at most this share of the test's own good parts exceeds."""
    falling = np.sort(scores[good])[::-1]
    return float((scores[~good] > falling[int(rate * len(falling))]).mean())


def frame_times(path: Path, bundle: Bundle, category: Category, notes: Path) -> Row:
    """The median milliseconds from a frame in memory to the verdict, of the preferred precision and of INT8.

    What `edge-inspect bench` says goes to the folder `notes`.
    """
    height, width = read_image(category.test_images()[0].path, bundle.fit.bits).shape[:2]
    taken: dict[Precision, float] = {}
    for precision in dict.fromkeys((bundle.manifest.preferred, "int8")):
        target = notes / f"bench-{precision}.json"
        options = ["--precision", precision, "--size", f"{width}x{height}", "--engine", "openvino"]
        program("edge_inspect.edge.cli", "bench", str(path), *options, "--json", str(target))
        taken[precision] = json.loads(target.read_text())["end_to_end_ms_p50"]
    return {"frame_ms": taken[bundle.manifest.preferred], "int8_frame_ms": taken["int8"]}


def print_table() -> None:
    """As Markdown: a line for each data set and system; means over seeds, their number beside."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            groups[row["data"], row["options"]].append(row)
    columns = ["image_auroc", "recall_at_1", "recall_at_5", "aupro", "pixel_auroc", "frame_ms", "train_seconds"]
    print("| data | options | seeds | false rejects | found |", " | ".join(columns), "|")
    print("|---" * (5 + len(columns)) + "|")
    for (data, options), rows in sorted(groups.items()):
        false, found = (mean(float(row[name]) for row in rows) for name in ("false_rejects", "found"))
        verdict = (f"{false:.1f} of {rows[0]['good']}", f"{found:.1f} of {rows[0]['defects']}")
        values = (f"{mean(float(row[name]) for row in rows):.3f}" if rows[0][name] else "" for name in columns)
        print("|", " | ".join([data, options or "default", str(len(rows)), *verdict, *values]), "|")


if __name__ == "__main__":
    main()
