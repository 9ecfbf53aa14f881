"""A closed engine has released its resources, and raises an error if it is used again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from stand_in_tensorrt import HostCuda, HostStream, tensorrt

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines import Engine, opening
from edge_inspect.edge.engines.opening import open_checked_engine, open_engine
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.engines.registry import ENGINES
from edge_inspect.edge.engines.tensorrt import cached
from edge_inspect.edge.engines.tensorrt.cached import Device
from edge_inspect.edge.errors import DriftError, EngineError
from edge_inspect.edge.frame.images import Frame

DARK: Frame = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("tiled") / "bundle", tiles=(2, 2))


@pytest.fixture(params=list(ENGINES))
def engine_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Open each engine of the registry; TensorRT runs on a stand-in device in host memory."""
    made = Device(tensorrt("10.3.0")[0], HostCuda())
    monkeypatch.setattr(cached, "find_device", lambda: made)
    yield str(request.param)


@pytest.mark.parametrize("whole", [True, False])
def test_a_closed_engine_gives_no_map_and_says_why(
    engine_name: str, whole: bool, bundle: Bundle, tiled: Bundle, tmp_path: Path
) -> None:
    given = bundle if whole else tiled
    with open_engine(given, "fp32", engine=engine_name, cache=tmp_path) as engine:
        values = engine.infer(DARK).values
        kept = values.copy()
        engine.network_alone(given)()
    with pytest.raises(EngineError, match=f"the {engine_name} engine is closed"):
        engine.infer(DARK)
    engine.close()
    assert engine.name == engine_name and engine.precision == "fp32"  # as health and verdicts name it
    np.testing.assert_array_equal(values, kept)  # evidence may be writing it yet


def test_an_engine_is_closed_where_what_is_done_with_it_fails(engine_name: str, bundle: Bundle, tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        open_engine(bundle, "int8", engine=engine_name, cache=tmp_path) as engine,
    ):
        raise ZeroDivisionError
    with pytest.raises(EngineError, match="is closed"):
        engine.infer(DARK)


def test_no_graph_is_left_on_the_device(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[HostStream] = []
    made = Device(tensorrt("10.3.0")[0], HostCuda())
    make_stream = made.cuda.stream

    def stream() -> HostStream:
        streams.append(make_stream())
        return streams[-1]

    monkeypatch.setattr(made.cuda, "stream", stream)
    monkeypatch.setattr(cached, "find_device", lambda: made)
    with open_engine(bundle, "fp32", engine="tensorrt", cache=tmp_path) as engine:
        engine.infer(DARK)
        assert sum(stream.graphs for stream in streams) > 0
    assert [stream.graphs for stream in streams] == [0] * len(streams)


def test_an_engine_that_drifts_is_closed_before_the_next_one_is_opened(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Engine] = []
    check = opening.check_golden

    def drifts(bundle: Bundle, engine: Engine) -> float:
        for before in opened:
            with pytest.raises(EngineError, match="is closed"):
                before.infer(DARK)
        opened.append(engine)
        if engine.precision == "int8":
            raise DriftError("a map value differs")
        return check(bundle, engine)

    monkeypatch.setattr(opening, "check_golden", drifts)
    with open_checked_engine(bundle, engine="openvino") as engine:
        assert engine.precision == "fp32" and len(opened) == 2
        assert isinstance(engine, OpenVinoEngine)


def test_a_device_that_fails_while_an_engine_is_closed_is_told_and_costs_nothing_else(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = Device(tensorrt("10.3.0")[0], HostCuda())
    monkeypatch.setattr(cached, "find_device", lambda: made)
    engine = open_engine(bundle, "fp32", engine="tensorrt", cache=tmp_path)

    def fails(stream: HostStream) -> None:
        raise EngineError("CUDA: unspecified launch failure")

    monkeypatch.setattr(HostStream, "synchronize", fails)
    engine.close()
    assert "the tensorrt engine may still hold memory: CUDA: unspecified launch failure" in caplog.text
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.infer(DARK)
