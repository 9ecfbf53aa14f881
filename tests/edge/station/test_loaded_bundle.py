"""Engines that judges share are closed when the last has given them back, and never while one may be in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_bundle

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.configuration.settings import EngineSettings
from edge_inspect.edge.engines import Engine
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
