"""Who may import whom: the rules of docs/architecture.md, read from the source."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("edge", "models", "train", "calibrate")
NAMESPACE = "edge_inspect"
WITH_TORCH = {f"{NAMESPACE}.{name}" for name in PACKAGES[1:]}
NOT_IN_EDGE = {*WITH_TORCH, "torch", "torchvision", "timm", "onnx", "scipy", "tqdm"}
LONGEST = 350
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def modules(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"no module of {package} was found"
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            yield node.lineno, node.module


def top(name: str) -> str:
    """The package that an import is of; of this project's own, edge_inspect.train and the like."""
    return ".".join(name.split(".")[: 2 if name.startswith(f"{NAMESPACE}.") else 1])


def offences(package: str, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for line, name in imports(path)
        if top(name) in forbidden
    ]


def test_edge_imports_no_other_package_and_no_torch() -> None:
    assert offences("edge", NOT_IN_EDGE) == []


def test_models_imports_torch_timm_itself_and_the_standard_library() -> None:
    allowed = {"torch", "timm", f"{NAMESPACE}.models", *sys.stdlib_module_names}
    found = {top(name) for path in modules("models") for _, name in imports(path)}
    assert found <= allowed, offences("models", found - allowed)


def test_train_does_not_import_calibrate() -> None:
    assert offences("train", {f"{NAMESPACE}.calibrate"}) == []


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join((NAMESPACE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def graph(package: str) -> dict[str, set[str]]:
    """Which modules of a package each of them imports, at its top, inside functions or for types alone."""
    paths = {name_of(path): path for path in modules(package)}
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                # `from package import module` is of the module, `from module import name` of that module.
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                imported.update(each if each in paths else str(node.module) for each in inside)
        found[name] = (imported & paths.keys()) - {name}
    return found


def circles(imported: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that reach each other by their imports."""
    reached: dict[str, set[str]] = {}
    for start in imported:
        seen: set[str] = set()
        waiting = list(imported[start])
        while waiting:
            if (each := waiting.pop()) not in seen:
                seen.add(each)
                waiting.extend(imported[each])
        reached[start] = seen
    groups = {frozenset({b for b in reached[a] if a in reached[b]}) for a in imported if a in reached[a]}
    return sorted(sorted(group) for group in groups)


def test_a_circle_is_found_wherever_its_imports_stand() -> None:
    straight = {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": {"a"}}
    assert circles(straight) == []
    assert circles({**straight, "c": {"d"}}) == [["a", "b", "c", "d"]]
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}}) == [["a", "b"], ["c", "d"]]
    edge = graph("edge")
    service = f"{NAMESPACE}.edge.mqtt.sparkplug.session"
    assert service in edge[f"{NAMESPACE}.edge.mqtt.encodings"], "an import inside a function counts"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    assert circles(graph(package)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_long(package: str) -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(package)}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > LONGEST} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_imports_pickle(package: str) -> None:
    assert offences(package, PICKLES) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_imports_the_tests(package: str) -> None:
    assert offences(package, {"tests", "pytest", "hypothesis", "conftest"}) == []


def test_edge_runs_where_torch_and_the_broker_of_the_demo_are_not_installed() -> None:
    names = [NAMESPACE + "." + ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules("edge")]
    names = [name.removesuffix(".__init__") for name in names]
    missing = sorted({*NOT_IN_EDGE, "amqtt", "tensorrt", "pycuda"})
    code = f"""
import importlib, sys
for name in {missing}:
    sys.modules[name] = None
for name in {names}:
    importlib.import_module(name)
loaded = [name for name in {missing} if sys.modules.get(name) is not None]
assert not loaded, loaded
del sys.modules["torch"]
import edge_inspect.edge.cli
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_import_tells_the_internet_or_writes_to_the_home(tmp_path: Path) -> None:
    """OpenVINO's telemetry keeps an id in ~/intel before it sends; where CI is set it is still by itself."""
    environment = {**{name: value for name, value in os.environ.items() if name != "CI"}, "HOME": str(tmp_path)}
    doctor = "from edge_inspect.edge.doctor import examine; examine()"
    edge = "import edge_inspect.edge.cli, edge_inspect.edge.engines.openvino"
    calibrate = "import edge_inspect.calibrate.cli, edge_inspect.calibrate.bundling"
    for code in (edge, calibrate, doctor):
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
        assert list(tmp_path.iterdir()) == []
