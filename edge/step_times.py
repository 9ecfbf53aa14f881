"""Measure how long each step takes on a part's way from its file to the outbox: `bench --profile`."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.frame.images import Frame, read_image, write_image
from edge_inspect.edge.outbox import Kind
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.part import InspectedPart, outgoing

NAME = "bench"
WARM_UP = 3


def step_times(bundle: Bundle, engine: Engine, size: tuple[int, int], parts: int) -> dict[str, Any]:
    """Return the median time of each step, and of the engine by kind of layer.

    The parts are the bundle's golden frames, brought to the given size and saved as JPEG. Each is rejected, whatever
    its score, by a threshold just below it, so that regions and a defect message are part of the figures. The outbox is
    an SQLite file in the folder for temporary files.

    Args:
        bundle: The bundle.
        engine: The bundle's engine.
        size: Width and height of the frames.
        parts: Number of parts to time.

    Returns:
        `steps_ms`: `decode` (JPEG to frame), `fit`, `engine` (the rest of `Engine.infer`), `head` (the part of
        `engine` that comes behind the network, `None` if it is unknown), `regions`, `message` and `outbox`.
        `layers`: The fields of `LayerTime` for each kind of layer, whose times are those of all tiles of a frame.

    Raises:
        EngineError: The engine failed.
    """
    loaded = LoadedBundle(bundle, engine, StationSettings(name=NAME, camera=f"folder:{NAME}", bundle=bundle.path))
    frames = [cv2.resize(golden.frame, size, interpolation=cv2.INTER_AREA) for golden in bundle.golden()]
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="edge-inspect-") as name, SqliteOutbox(Path(name, "outbox.db")) as outbox:
        files = [_save(Path(name, f"{i}.jpg"), frame) for i, frame in enumerate(frames)]
        for i in range(WARM_UP + parts):
            if i == WARM_UP:
                clock = _Clock()
            _pass_part(loaded, files[i % len(files)], outbox, clock)
    tile, tiles = _first_tile(bundle, frames[0]), bundle.fit.grid.count
    layers = [replace(each, ms=round(each.ms * tiles, 4)) for each in engine.layer_times(bundle, tile, parts)]
    head = sum(each.ms for each in layers if each.part == "head") if layers else None
    steps = {
        "decode": clock.median("decode"),
        "fit": clock.median("fit"),
        "engine": clock.median("infer") - clock.median("fit"),
        "head": head,
        **{step: clock.median(step) for step in ("regions", "message", "outbox")},
    }
    rounded = {step: None if ms is None else round(ms, 4) for step, ms in steps.items()}
    return {"steps_ms": rounded, "layers": [asdict(each) for each in layers]}


def _pass_part(loaded: LoadedBundle, path: Path, outbox: SqliteOutbox, clock: _Clock) -> None:
    bundle, decider = loaded.bundle, loaded.decider
    with clock.step("decode"):
        frame = read_image(path)
    with clock.step("fit"):
        bundle.fit.apply(frame)
    with clock.step("infer"):  # which fits the frame once more
        anomaly = loaded.engine.infer(frame)
    decider.threshold = float(np.nextafter(anomaly.score, -np.inf))
    with clock.step("regions"):
        decision = decider.decide(anomaly)
    part = InspectedPart(Capture(frame, utc_now(), path.stem), loaded, decision, 0.0)
    with clock.step("message"):
        messages = outgoing(part.verdict(NAME, 1), decision.regions, _address)
    with clock.step("outbox"):
        outbox.put(NAME, lambda _: messages)


def _address(kind: Kind) -> str:
    topics = Topics(NAME, NAME, NAME)
    return topics.verdict if kind == "verdict" else topics.defect


def _save(path: Path, frame: Frame) -> Path:
    write_image(path, frame)
    return path


def _first_tile(bundle: Bundle, frame: Frame) -> Frame:
    canvas, _ = bundle.fit.apply(frame)
    tile: Frame = canvas[bundle.fit.grid.places()[0]]
    return tile


class _Clock:
    """Notes how long steps take."""

    def __init__(self) -> None:
        self._taken: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note the time of the block."""
        started = time.perf_counter()
        yield
        self._taken[name].append(time.perf_counter() - started)

    def median(self, name: str) -> float:
        """Return the median time of a step in milliseconds."""
        return float(np.median(self._taken[name])) * 1000
