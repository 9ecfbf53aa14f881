"""anomalib's OpenVINOInferencer as a worker of runtime.py; runs in anomalib's environment.

    VENV/bin/python tests/benchmarks/runtime_anomalib.py export OUT SIZE HEIGHT WIDTH
    VENV/bin/python tests/benchmarks/runtime_anomalib.py judge MODEL.xml FRAMES

It is Reverse Distillation with ResNet-18, which has learned nothing; that costs the same time. All is anomalib's
default but the size of the input, and the size of the frames, for which the model is exported: with a size left open it
would be slower.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import runtime_turns


def export(out: Path, size: int, height: int, width: int) -> None:
    """Writes the model of an input size for frames of one size."""
    from anomalib.deploy import ExportType
    from anomalib.engine import Engine
    from anomalib.models import ReverseDistillation

    model = ReverseDistillation(
        backbone="resnet18",
        pre_trained=False,
        pre_processor=ReverseDistillation.configure_pre_processor((size, size)),
        visualizer=False,
        evaluator=False,
    )
    engine = Engine(accelerator="cpu", default_root_dir=out / "lightning", logger=False, enable_progress_bar=False)
    fixed = {"dynamic_shapes": None, "dynamic_axes": None}
    engine.export(model, ExportType.OPENVINO, export_root=out, input_size=(height, width), onnx_kwargs=fixed)


class Anomalib:
    """One inferencer for each frame that is under way, because an inferencer judges one frame at a time.

    It keeps a cache of compiled models in the folder where it runs, so that only its first start compiles.
    """

    def __init__(self, model: Path) -> None:
        from anomalib.deploy import OpenVINOInferencer

        self._open = lambda: OpenVINOInferencer(model, device="CPU")
        self._inferencers = [self._open()]

    def read(self, path: Path) -> Any:
        import numpy as np
        from PIL import Image

        return np.asarray(Image.open(path).convert("RGB"))  # as a camera would give it: its own reader gives floats

    def judge(self, frame: Any) -> bool:
        return self._judge(self._inferencers[0], frame)

    def stream(self, frames: Iterable[Any], in_flight: int) -> Iterator[bool]:
        if in_flight == 1:
            yield from map(self.judge, frames)
            return
        while len(self._inferencers) < in_flight:
            self._inferencers.append(self._open())
        found: SimpleQueue[bool | None] = SimpleQueue()
        source, lock = iter(frames), threading.Lock()

        def judge_some(inferencer: Any) -> None:
            while True:
                with lock:
                    frame = next(source, None)
                if frame is None:
                    found.put(None)
                    return
                found.put(self._judge(inferencer, frame))

        for inferencer in self._inferencers[:in_flight]:
            threading.Thread(target=judge_some, args=(inferencer,), daemon=True).start()
        running = in_flight
        while running:
            verdict = found.get()
            if verdict is None:
                running -= 1
            else:
                yield verdict

    def _judge(self, inferencer: Any, frame: Any) -> bool:
        return not bool(inferencer.predict(frame).pred_label.item())


def main() -> None:
    """Does what the command line asks for."""
    os.environ["TRUST_REMOTE_CODE"] = "1"  # or anomalib does not load the model that it has just written
    task, *rest = sys.argv[1:]
    if task == "export":
        export(Path(rest[0]), *map(int, rest[1:]))
    else:
        runtime_turns.work(lambda: Anomalib(Path(rest[0])), sorted(Path(rest[1]).glob("*.png")))


if __name__ == "__main__":
    main()
