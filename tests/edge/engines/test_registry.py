"""The registry of engines: its names match the classes' names, and reading it loads no engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge_inspect.edge.engines.base import FittedEngine
from edge_inspect.edge.engines.loading import built_engine_class, engine_class
from edge_inspect.edge.engines.opening import best_engine, usable_engines
from edge_inspect.edge.engines.registry import DEFAULT, ENGINES, EVERYWHERE, EngineKind
from edge_inspect.edge.errors import EngineError


@pytest.mark.parametrize("kind", ENGINES.values(), ids=list(ENGINES))
def test_an_entry_leads_to_the_class_of_its_name(kind: EngineKind) -> None:
    engine = engine_class(kind.name)
    assert engine.name == kind.name and issubclass(engine, FittedEngine)
    assert hasattr(engine, "build") == kind.built


def test_the_first_runs_everywhere_and_help_says_which_is_preferred() -> None:
    engine_class(EVERYWHERE).check_box()
    assert EVERYWHERE == "openvino" and DEFAULT == "tensorrt if it can run here, else openvino"


@pytest.mark.parametrize("name", ["", "OpenVINO", "onnxruntime"])
def test_another_name_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(EngineError, match=f"engine '{name}' is unknown; there are openvino, tensorrt"):
        engine_class(name)


def test_an_engine_whose_package_is_missing_is_an_error_and_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "gone", EngineKind("gone", "nothing", "gone:Engine"))
    with pytest.raises(EngineError, match="the engine gone cannot be loaded: No module named .*; edge-inspect doctor"):
        engine_class("gone")
    assert "gone" not in usable_engines() and best_engine() != "gone"


def test_an_engine_that_is_ready_at_once_is_not_built_beforehand() -> None:
    assert built_engine_class("tensorrt").name == "tensorrt"
    with pytest.raises(EngineError, match="openvino is not built beforehand"):
        built_engine_class("openvino")


@pytest.mark.parametrize("module", ["engines.registry", "cameras.registry", "triggers", "cli", "doctor"])
def test_a_registry_is_read_where_nothing_is_installed(module: str) -> None:
    """Command lines and doctor list the engines even without packages from site-packages."""
    code = f"""
import sys
for name in ("numpy", "cv2", "yaml", "paho", "pydantic", "openvino", "simplejpeg", "cryptography", "gi", "gpiod"):
    sys.modules[name] = None
import edge_inspect.edge.{module}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
