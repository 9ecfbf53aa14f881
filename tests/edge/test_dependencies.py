"""What the programs say where a package does not load: run as processes whose imports are broken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_inspect.edge.demo.chain import run_demo
from edge_inspect.edge.dependencies import EXTRAS, NEEDED, explain, remedy
from edge_inspect.edge.errors import UsageError

ROOT = Path(__file__).parents[2]
NOT_THERE = "raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)"
LIBRARY = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
OLD_NUMPY = "raise ImportError('numpy.core.multiarray failed to import')"


def run(folder: Path, broken: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program that finds the modules of `broken`, with that source, before the real ones."""
    for name, source in broken.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src")])}
    whole = [sys.executable, "-m", *command]
    return subprocess.run(whole, capture_output=True, text=True, env=environment, check=False, cwd=folder)


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("cv2", LIBRARY, "apt-get install libgl1 libglib2.0-0 libxcb1"),
        ("cv2", OLD_NUMPY, "pip install 'numpy<2'"),
        ("cv2", NOT_THERE, "pip install 'opencv-python>=4.10.0.84'"),
        ("numpy", NOT_THERE, "pip install 'numpy>=1.23'"),
        ("openvino", "__version__ = '2024.6.0'", "cannot import name .*pip install 'openvino>=2025.0'"),
        ("openvino", "raise OSError('libtbb.so.12: cannot open shared object file')", "install the library"),
        ("pydantic", "import annotated_types_that_are_not_there", "pip install 'pydantic>=2.8'"),
        ("yaml", "raise RuntimeError('built for another Python')", "built for another Python; pip install 'pyyaml"),
    ],
)
def test_a_needed_package_that_does_not_load_is_a_sentence_and_status_69(
    tmp_path: Path, module: str, source: str, said: str
) -> None:
    bundle = str(ROOT / "edge/selftest.zip")
    done = run(tmp_path, {module: source}, "edge_inspect.edge.cli", "bench", bundle, "--frames", "1")
    assert done.returncode == 69, done.stderr
    assert "Traceback" not in done.stderr and re.search(said, done.stderr)
    assert done.stderr.startswith(f"edge-inspect: import {module} fails: ")


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("safetensors", ("edge_inspect.train.cli", "fit", "--data", ".", "--out", "run")),
        ("torch", ("edge_inspect.train.cli", "evaluate", "run", "--data", ".")),
        ("timm", ("edge_inspect.train.cli", "teacher", "--out", "teacher.safetensors")),
        ("onnx", ("edge_inspect.calibrate.cli", "bundle", "run", "--good", ".", "--out", "bundle")),
    ],
)
def test_without_the_extra_train_its_name_is_said(tmp_path: Path, module: str, command: tuple[str, ...]) -> None:
    done = run(tmp_path, {module: NOT_THERE}, *command)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "needs the extra [train]" in done.stderr and "pip install 'edge-inspect[train]'" in done.stderr


@pytest.mark.parametrize(
    ("module", "extra", "command"),
    [
        ("sqlalchemy", "archive", ("check", "--since", "2026-11-30")),
        ("alembic", "archive", ("migrate",)),
        ("pyarrow", "parquet", ("export", "parts.parquet")),
    ],
)
def test_without_an_extra_of_the_archive_its_name_is_said(
    tmp_path: Path, module: str, extra: str, command: tuple[str, ...]
) -> None:
    done = run(tmp_path, {module: NOT_THERE}, "edge_inspect.edge.cli", "archive", *command, "--config", "archive.yaml")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"needs the extra [{extra}]" in done.stderr and f"pip install 'edge-inspect[{extra}]'" in done.stderr


@pytest.mark.parametrize(
    ("module", "extra", "program", "settings"),
    [
        ("asyncua", "opcua", "opcua", "{}"),
        ("sqlalchemy", "archive", "archive", "database: sqlite:///a.db"),
        ("psycopg", "archive", "archive", "database: postgresql://a@b/c"),
        ("uvicorn", "page", "page", "{}"),
    ],
)
def test_check_says_that_an_extra_is_missing(
    tmp_path: Path, module: str, extra: str, program: str, settings: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"{settings}\n" if settings != "{}" else "stations: [a/b/c]\n")
    with config.open("a") as file:
        file.write(f"data: {tmp_path / 'data'}\n")
    command = ("edge_inspect.edge.cli", "check", f"--{program}", "--config", str(config))
    done = run(tmp_path, {module: NOT_THERE}, *command)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"needs the extra [{extra}]" in done.stderr and ": good" not in done.stderr


def test_the_demo_says_that_its_extra_is_missing_before_it_does_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"needs the extra \[train\], and torch is not installed; pip install"):
        run_demo(tmp_path / "demo", 10, 1)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("unit", sorted((ROOT / "systemd").glob("*.service")), ids=lambda path: path.stem)
def test_systemd_does_not_start_again_what_cannot_load(unit: Path) -> None:
    assert "\nRestartPreventExitStatus=69\n" in unit.read_text()


@pytest.mark.parametrize("program", ["edge_inspect.edge.cli", "edge_inspect.train.cli", "edge_inspect.calibrate.cli"])
@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_needs_the_standard_library_alone(tmp_path: Path, program: str, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, dict.fromkeys([*NEEDED, *EXTRAS], NOT_THERE), program, *arguments)
    assert done.returncode == 0 and done.stdout and not done.stderr


def test_an_import_that_is_a_mistake_of_ours_keeps_its_traceback() -> None:
    for statement in (
        "import edge_inspect.edge.no_such_module",
        "from edge_inspect.edge.errors import NoSuchError",
        "import no_such_package",
    ):
        try:
            exec(compile(statement, "edge/x.py", "exec"), {"__name__": "edge_inspect.edge.x"})
        except ImportError as error:
            assert explain(error) is None
        else:
            pytest.fail(statement)


def test_an_error_of_a_package_that_did_load_is_no_missing_package() -> None:
    try:
        exec(compile("import json; json.loads('{')", "edge/x.py", "exec"), {"__name__": "edge_inspect.edge.x"})
    except ValueError as error:
        assert explain(error) is None


def test_the_bounds_are_those_of_the_project() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for requirement in NEEDED.values():
        assert f'"{requirement}' in text, requirement
    for extra in set(EXTRAS.values()):
        assert re.search(rf"^{extra} = \[", text, re.MULTILINE), extra


@pytest.mark.parametrize("module", NEEDED)
def test_every_needed_module_has_a_remedy(module: str) -> None:
    assert NEEDED[module] in remedy(module, f"No module named {module!r}")
