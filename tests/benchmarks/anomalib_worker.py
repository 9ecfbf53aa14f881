"""The side of peer_patchcore.py that runs in anomalib's environment and knows nothing of this project.

    VENV/bin/python anomalib_worker.py fit CATEGORY WEIGHTS OUT SEED      # trains, scores the test split, exports
    VENV/bin/python anomalib_worker.py time CATEGORY OUT                  # milliseconds a frame, as JSON

All is anomalib's default but for the backbone, whose weights come from a file, and the order of computation of the
coreset (`greedy`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from anomalib.data import Folder
from anomalib.data.utils import read_image
from anomalib.deploy import ExportType, OpenVINOInferencer, TorchInferencer
from anomalib.engine import Engine
from anomalib.models import Patchcore
from anomalib.models.components import KCenterGreedy
from PIL import Image
from torch import Tensor

BACKBONE = "tf_efficientnet_lite0"
STRIDES = ("blocks.2", "blocks.4")
"""timm's names of the last features at strides 8 and 16."""

POOL = 4096
WARM, FRAMES = 2, 10


def main() -> None:
    """Does what the command line asks for."""
    os.environ["TRUST_REMOTE_CODE"] = "1"  # or anomalib does not load the model that it has just written
    task, category, *rest = sys.argv[1:]
    if task == "fit":
        weights, out, seed = rest
        fit(Path(category), Path(weights), Path(out), int(seed))
    else:
        print(json.dumps(times(Path(category), Path(rest[0]))))


def fit(category: Path, weights: Path, out: Path, seed: int) -> None:
    """Trains, takes the threshold as anomalib does, and writes scores and maps of the test split."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # of the random projection
    KCenterGreedy.select_coreset_idxs = greedy
    # Validated on the test split, as anomalib has MVTec AD by default: its threshold is the one with the best F1 there.
    kinds = sorted(path.name for path in (category / "test").iterdir() if path.name != "good")
    data = Folder(
        name=category.name,
        root=category,
        normal_dir="train/good",
        normal_test_dir="test/good",
        abnormal_dir=[f"test/{kind}" for kind in kinds],
        val_split_mode="same_as_test",
        num_workers=0,
        seed=seed,
    )
    model = Patchcore(backbone=BACKBONE, layers=STRIDES, pre_trained=False, visualizer=False, evaluator=False)
    missing, _ = model.model.feature_extractor.feature_extractor.load_state_dict(torch.load(weights), strict=False)
    if missing:
        sys.exit(f"{weights}: has no {', '.join(missing)}")
    engine = Engine(accelerator="cpu", default_root_dir=out / "lightning", logger=False, enable_progress_bar=False)
    started = time.perf_counter()
    engine.fit(model, datamodule=data)
    seconds = time.perf_counter() - started
    model.eval()
    paths = sorted(path for path in (category / "test").glob("*/*") if path.is_file())
    found = [predict(model, path) for path in paths]
    np.savez(
        out / "test.npz",
        paths=np.array([str(path.relative_to(category)) for path in paths]),
        scores=np.array([score for score, _ in found], np.float32),
        maps=np.stack([values for _, values in found]),
    )
    height, width = timed_frame(category).shape[:2]
    fixed = {"dynamic_shapes": None, "dynamic_axes": None}  # else this backbone comes out for two frames at a time
    engine.export(model, ExportType.TORCH, export_root=out)
    engine.export(model, ExportType.OPENVINO, export_root=out, input_size=(height, width), onnx_kwargs=fixed)
    facts = {
        "anomalib": version("anomalib"),
        "train_seconds": round(seconds, 1),
        "prototypes": len(model.model.memory_bank),
        "threshold": float(model.post_processor.image_threshold),
    }
    (out / "facts.json").write_text(json.dumps(facts))


@torch.inference_mode()
def predict(model: Patchcore, path: Path) -> tuple[float, np.ndarray]:
    """The score of a picture and its map, (256, 256) float32, neither of them normalised."""
    found = model.model(model.pre_processor.transform(read_image(path, as_tensor=True)[None]))
    return float(found.pred_score), found.anomaly_map[0, 0].numpy().astype(np.float32)


def times(category: Path, out: Path) -> dict[str, float]:
    """The median milliseconds from a frame in memory to anomalib's verdict, of each inferencer, with all cores."""
    torch.set_num_threads(os.cpu_count() or 1)
    frame = timed_frame(category)
    inferencers = {
        "torch_ms": TorchInferencer(next(out.glob("**/model.pt")), device="cpu"),
        "openvino_ms": OpenVINOInferencer(next(out.glob("**/model.xml")), device="CPU"),
    }
    taken: dict[str, list[float]] = {name: [] for name in inferencers}
    for name, inferencer in inferencers.items():
        for i in range(WARM + FRAMES):
            started = time.perf_counter()
            with torch.inference_mode():
                inferencer.predict(frame)
            if i >= WARM:
                taken[name].append(time.perf_counter() - started)
    return {name: round(float(np.median(values)) * 1000, 2) for name, values in taken.items()}


def timed_frame(category: Path) -> np.ndarray:
    """The first good test picture, (H, W, 3) uint8 RGB; OpenVINO's model is exported for frames of its size."""
    return np.asarray(Image.open(min((category / "test" / "good").iterdir())).convert("RGB"))


def greedy(sampler: KCenterGreedy) -> list[int]:
    """The same choice as anomalib's loop makes, in a fraction of its time: what takes 77 minutes there takes a few.

    anomalib compares every feature with each new centre, one centre at a time. Here the centres are chosen among the
    few thousand features that are farthest away, as long as one of them must be the farthest of all, and only then all
    are compared with the new centres, as one matrix product. Lengths after anomalib's random projection are kept.
    """
    sampler.model.fit(sampler.embedding)
    turned = torch.linalg.qr(sampler.model.sparse_random_matrix, mode="r").R  # |R x| is |P x|
    features = sampler.embedding @ turned.T
    squares = (features**2).sum(1)
    nearest = torch.full_like(squares, torch.inf)
    chosen = [int(torch.randint(len(features), (1,)))]
    known = 0
    while len(chosen) < sampler.coreset_size:
        for some in torch.tensor(chosen[known:]).split(64):
            nearest = torch.minimum(nearest, distances(features, squares, features[some]).amin(1))
            nearest[some] = -1
        known = len(chosen)
        far, pool = nearest.topk(min(POOL, len(nearest)))
        bound, points, lengths = far[-1], features[pool], squares[pool]
        while len(chosen) < sampler.coreset_size:
            best = far.argmax()
            if far[best] < bound:
                break
            chosen.append(int(pool[best]))
            far = torch.minimum(far, distances(points, lengths, points[best : best + 1])[:, 0])
            far[best] = -1
    return chosen


def distances(features: Tensor, squares: Tensor, centres: Tensor) -> Tensor:
    """Squared distances of features, (N, C), with the squares of their lengths, from centres, (K, C): (N, K)."""
    return squares[:, None] + (centres**2).sum(1) - 2 * features @ centres.T


if __name__ == "__main__":
    main()
