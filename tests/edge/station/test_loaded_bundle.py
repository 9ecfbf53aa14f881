"""Engines that judges share are closed when the last has given them back, and never while one may be in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_bundle

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.configuration.settings import EngineSettings
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.engines.choice_file import ChoiceFile
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.station.loaded_bundle import SharedEngines

FRAME: Frame = np.full((40, 40, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture
def engines() -> SharedEngines:
    return SharedEngines(EngineSettings(name="openvino"))


def is_closed(engine: Engine) -> bool:
    try:
        engine.infer(FRAME)
    except EngineError as error:
        assert "is closed" in str(error)
        return True
    return False


@pytest.mark.parametrize("asked", [(None, None, None), (None, "int8", None), ("int8", None, "int8")])
def test_it_is_closed_when_the_last_has_given_it_back(engines: SharedEngines, bundle: Bundle, asked: tuple) -> None:
    given = [engines.open(bundle, precision) for precision in asked]
    assert len(set(map(id, given))) == 1
    for engine in given:
        assert not is_closed(engine)
        engines.give_back(engine)
    assert is_closed(given[0])
    again = engines.open(bundle, asked[0])
    assert again is not given[0] and not is_closed(again)


def test_the_box_decides_where_no_precision_is_named(tmp_path: Path) -> None:
    """The bundle prefers INT8, and FP32 is faster."""
    bundle, record = tiny_bundle.write(tmp_path / "slow", slow="int8"), tmp_path / "outbox.precisions.json"
    for again in (False, True):
        engines = SharedEngines(EngineSettings(name="openvino"), ChoiceFile(record))
        named = engines.open(bundle, "fp32")
        assert engines.why(bundle, "fp32", named) == "the configuration names this precision"
        assert record.exists() == again
        chosen = engines.open(bundle, None)
        assert chosen is named and engines.why(bundle, None, chosen).startswith("fp32 takes ")
        engines.close()
    preferring = SharedEngines(EngineSettings(name="openvino", precision="preferred"), ChoiceFile(record))
    engine = preferring.open(bundle, None)
    assert engine.precision == "int8"
    assert preferring.why(bundle, None, engine) == "the first in the bundle's order that runs on this box"


def test_a_chosen_precision_that_no_longer_holds_the_golden_frames_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle, record = tiny_bundle.write(tmp_path / "slow", slow="int8"), tmp_path / "outbox.precisions.json"
    engines = SharedEngines(EngineSettings(name="openvino"), ChoiceFile(record))
    engines.open(bundle, None)
    engines.close()
    golden = bundle.manifest.golden.model_copy(update={"tolerance": bundle.manifest.golden.tolerance | {"fp32": -1.0}})
    drifted = Bundle(
        bundle.path,
        bundle.manifest.model_copy(update={"golden": golden}),
        bundle.digest,
        lambda name: (bundle.path / name).read_bytes(),
    )
    engines = SharedEngines(EngineSettings(name="openvino"), ChoiceFile(record))
    engine = engines.open(drifted, None)
    assert engine.precision == "int8" and "does not reproduce the golden frames" in caplog.text
    assert engines.why(drifted, None, engine).startswith("fp32, which this box has chosen before, cannot run")


def test_one_that_hangs_is_not_closed_and_not_shared_any_more(engines: SharedEngines, bundle: Bundle) -> None:
    hanging = engines.open(bundle, None)
    engines.forget(hanging)
    engines.forget(hanging)  # another station asks for the same
    another = engines.open(bundle, None)
    assert another is not hanging
    engines.give_back(hanging)
    engines.close()
    assert is_closed(another) and not is_closed(hanging)


def test_at_the_end_all_are_closed_and_none_is_opened(engines: SharedEngines, bundle: Bundle, tmp_path: Path) -> None:
    other = tiny_bundle.write(tmp_path / "other", seed=5)
    opened = [engines.open(bundle, "fp32"), engines.open(bundle, "fp32"), engines.open(other, None)]
    engines.close()
    assert all(map(is_closed, opened))
    with pytest.raises(EngineError, match="the service is stopping"):
        engines.open(bundle, None)
    engines.give_back(opened[0])
    engines.close()
