"""edge-inspect, or its engine alone, as a worker of runtime.py.

    python tests/benchmarks/runtime_worker.py edge BUNDLE int8 FRAMES      # `preferred`: what a station would run
    python tests/benchmarks/runtime_worker.py bare BUNDLE int8 FRAMES
    python tests/benchmarks/runtime_worker.py streams BUNDLE int8 FRAMES

`edge` does what a station does from a frame in memory to the decision, after it has checked the golden frames; what it
compiles at its first start is kept beside FRAMES, as a station keeps it. `bare` is the graph that the engine compiles,
compiled in the same way, on an input that stays in place: nothing that uses this engine can be faster. `streams` is the
same graph, compiled for throughput.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import runtime_turns

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.engines import BegunMap
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.frame.images import Frame, read_image


class Edge:
    """A bundle as a station runs it, without the service around it."""

    def __init__(self, bundle: Bundle, precision: Precision | None, cache: Path) -> None:
        self._engine = open_checked_engine(bundle, precision, engine="openvino", cache=cache)
        self._decider = Decider(bundle, self._engine.precision)

    def read(self, path: Path) -> Frame:
        return read_image(path)

    def judge(self, frame: Frame) -> bool:
        return self._decider.decide(self._engine.infer(frame)).ok

    def stream(self, frames: Iterable[Frame], in_flight: int) -> Iterator[bool]:
        """As a station does while frames wait: so many are begun, or fewer if the engine computes fewer at a time."""
        if in_flight == 1:
            yield from map(self.judge, frames)
            return
        self._engine.prepare_several()
        begun: deque[BegunMap] = deque()
        for frame in frames:
            if begun and len(begun) == min(in_flight, begun[0].at_a_time):
                yield self._decider.decide(begun.popleft().wait()).ok
            following = self._engine.begin(frame)
            assert following is not None
            begun.append(following)
        while begun:
            yield self._decider.decide(begun.popleft().wait()).ok


class Bare:
    """The engine's graph alone; a frame is a fitted one, and each request computes on the one that it was given first.

    Args:
        bundle: The bundle.
        precision: The precision; `None` is the one that the bundle prefers.
        hint: What OpenVINO compiles for; the engine compiles for latency.
    """

    def __init__(self, bundle: Bundle, precision: Precision | None, hint: Literal["LATENCY", "THROUGHPUT"]) -> None:
        from edge_inspect.edge.engines import openvino
        from edge_inspect.edge.engines.openvino_graph import with_head

        precision = precision or bundle.manifest.order_of("openvino")[0]
        self._fit = bundle.fit
        computes = "bf16" if precision == "bf16" else "f32"
        model = with_head(openvino.read_network(bundle, precision), bundle.manifest)
        if hint == "LATENCY":
            self._compiled = openvino.compile_model(model, computes=computes)
        else:
            options = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": computes}
            self._compiled = openvino.CORE.compile_model(model, "CPU", options)
        self._requests: list[Any] = []

    def read(self, path: Path) -> Frame:
        canvas, _ = self._fit.apply(read_image(path))
        tile: Frame = canvas[self._fit.grid.places()[0]]
        return tile

    def judge(self, frame: Frame) -> bool:
        self._first(1, frame)[0].infer()
        return True

    def stream(self, frames: Iterable[Frame], in_flight: int) -> Iterator[bool]:
        free, busy = deque[Any](), deque[Any]()
        for frame in frames:
            if not busy and not free:
                free.extend(self._first(in_flight, frame))
            if not free:
                busy[0].wait()
                free.append(busy.popleft())
                yield True
            free[0].start_async()
            busy.append(free.popleft())
        while busy:
            busy.popleft().wait()
            yield True

    def _first(self, count: int, frame: Frame) -> list[Any]:
        """Return so many requests; a new one is given the frame, and keeps it."""
        while len(self._requests) < count:
            self._requests.append(self._compiled.create_infer_request())
            self._requests[-1].get_input_tensor().data[0] = frame
        return self._requests[:count]


def main() -> None:
    """Opens what the command line names and works."""
    kind, path, name, frames = sys.argv[1:]
    precision = None if name == "preferred" else cast(Precision, name)

    def open_system() -> runtime_turns.System:
        bundle = open_bundle(Path(path))
        if kind == "edge":
            return Edge(bundle, precision, Path(frames).with_name("engines"))
        return Bare(bundle, precision, "LATENCY" if kind == "bare" else "THROUGHPUT")

    runtime_turns.work(open_system, sorted(Path(frames).glob("*.png")))


if __name__ == "__main__":
    main()
