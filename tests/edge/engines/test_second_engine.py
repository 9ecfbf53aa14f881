"""The second engine: several frames at a time, with the maps of the first one."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from mosquitto import wait_until

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines import AnomalyMap, BegunMap, openvino, second_engine
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.engines.second_engine import OFTEN, SecondEngine
from edge_inspect.edge.errors import DriftError, EngineError
from edge_inspect.edge.frame.areas import Area, Areas
from edge_inspect.edge.frame.images import Frame


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("tiny") / "bundle")


def frames(count: int) -> list[Frame]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (48, 80, 3), np.uint8) for _ in range(count)]


def ask_until_open(engine: OpenVinoEngine) -> None:
    """Frames wait often enough, and then until the second engine is open."""
    frame = frames(1)[0]
    for _ in range(OFTEN):
        engine.begin(frame)
    wait_until(lambda: engine.networks == 2, 60)


def begin(engine: OpenVinoEngine, frame: Frame) -> BegunMap:
    begun = engine.begin(frame)
    assert begun is not None
    return begun


def read(begun: BegunMap) -> AnomalyMap:
    anomaly = begun.wait()
    assert anomaly is not None
    return anomaly


def test_it_is_opened_when_frames_have_waited_often(bundle: Bundle) -> None:
    with OpenVinoEngine(bundle, "fp32") as engine:
        assert all(engine.begin(frame) is None for frame in frames(OFTEN - 1))
        assert not any(thread.name == "second-engine" for thread in threading.enumerate())
        assert engine.networks == 1
        ask_until_open(engine)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_maps_that_were_begun_together_are_those_of_the_first_engine(bundle: Bundle, precision: str) -> None:
    with OpenVinoEngine(bundle, precision) as engine:
        ask_until_open(engine)
        some = frames(7)
        wanted = [(each.values.copy(), each.score) for each in map(engine.infer, some)]
        begun = [begin(engine, some[0]), begin(engine, some[1])]
        assert begun[0].at_a_time >= 2 and begun[0].engine is engine
        for i, frame in enumerate(some):
            if i + 2 < len(some):
                begun.append(begin(engine, some[i + 2]))
            anomaly = read(begun.pop(0))
            np.testing.assert_allclose(anomaly.values, wanted[i][0], atol=1e-5)
            assert anomaly.score == pytest.approx(wanted[i][1], abs=1e-5)
            assert anomaly.placement == engine.infer(frame).placement


def test_areas_weigh_its_maps_too(tmp_path: Path) -> None:
    left = Area(name="left", rings=(((0, 0), (30, 0), (30, 47), (0, 47)),))
    bundle = tiny_bundle.write(tmp_path / "bundle", areas=Areas(size=(80, 48), ignore=(left,)))
    with OpenVinoEngine(bundle, "fp32") as engine:
        ask_until_open(engine)
        (frame,) = frames(1)
        wanted = engine.infer(frame)
        assert (wanted.values[:, :8] == 0).all()
        np.testing.assert_allclose(read(begin(engine, frame)).values, wanted.values, atol=1e-5)


def test_a_map_is_lost_and_no_other_frames_if_too_many_are_begun_after_it(bundle: Bundle) -> None:
    with OpenVinoEngine(bundle, "fp32") as engine:
        ask_until_open(engine)
        some = frames(6)
        first = begin(engine, some[0])
        begun = [begin(engine, frame) for frame in some[1 : first.at_a_time + 1]]
        assert first.wait() is None
        for frame, each in zip(some[1:], begun, strict=False):
            np.testing.assert_allclose(read(each).values, engine.infer(frame).values, atol=1e-5)


def test_a_map_that_is_not_read_costs_no_other_one(bundle: Bundle) -> None:
    with OpenVinoEngine(bundle, "fp32") as engine:
        ask_until_open(engine)
        some = frames(8)
        for frame in some[:7]:
            begin(engine, frame)
        np.testing.assert_allclose(read(begin(engine, some[7])).values, engine.infer(some[7]).values, atol=1e-5)


def test_it_ends_with_the_first_one_while_maps_are_begun(bundle: Bundle) -> None:
    engine = OpenVinoEngine(bundle, "fp32")
    ask_until_open(engine)
    begun = [begin(engine, frame) for frame in frames(2)]
    engine.close()
    assert engine.networks == 1
    with pytest.raises(EngineError, match="is closed"):
        engine.begin(frames(1)[0])
    del begun


def test_one_that_does_not_hold_the_golden_frames_is_not_used(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[str] = []

    def drifts(bundle: Bundle, engine: OpenVinoEngine) -> float:
        close = engine.close
        monkeypatch.setattr(engine, "close", lambda: closed.append("closed") or close())
        raise DriftError("a map value differs by 2")

    monkeypatch.setattr(openvino, "check_golden", drifts)
    with OpenVinoEngine(bundle, "fp32") as engine:
        for frame in frames(OFTEN):
            engine.begin(frame)
        wait_until(lambda: caplog.text, 60)
        assert "frames that wait are inspected one at a time: a map value differs by 2" in caplog.text
        assert closed == ["closed"]
        assert all(engine.begin(frame) is None for frame in frames(OFTEN + 1)), "it is not tried again"
        assert engine.networks == 1


def test_one_that_is_ready_only_after_the_end_is_closed() -> None:
    go, closed = threading.Event(), threading.Event()

    class Engine:
        def close(self) -> None:
            closed.set()

    def open_checked() -> Engine:
        go.wait()
        return Engine()

    second = SecondEngine(open_checked)
    for _ in range(OFTEN):
        second.ask()
    second.close()
    go.set()
    assert closed.wait(20)
    assert second.ask() is None


def test_a_box_that_is_short_of_memory_does_without(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(second_engine, "available_bytes", lambda: 200_000_000)
    with OpenVinoEngine(bundle, "fp32") as engine:
        assert not engine.prepare_several()
        assert "256 MB of memory are available; there are 200" in caplog.text
        assert engine.begin(frames(1)[0]) is None and engine.networks == 1


def test_a_bug_while_it_is_opened_costs_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> OpenVinoEngine:
        raise ZeroDivisionError

    second = SecondEngine(fails)
    for _ in range(OFTEN):
        assert second.ask() is None
    wait_until(lambda: "ZeroDivisionError" in caplog.text, 20)
    assert second.ask() is None
    assert second_engine.OFTEN == OFTEN


def test_tiles_are_computed_several_at_a_time(tmp_path: Path) -> None:
    bundle = tiny_bundle.write(tmp_path / "bundle", tiles=(2, 2))
    with OpenVinoEngine.load(bundle, "fp32") as engine, OpenVinoEngine(bundle, "fp32") as one_at_a_time:
        for frame in frames(3):
            np.testing.assert_allclose(engine.infer(frame).values, one_at_a_time.infer(frame).values, atol=1e-5)
        assert all(engine.begin(frame) is None for frame in frames(OFTEN + 1))
        assert engine.networks == 1
