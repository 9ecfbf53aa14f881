"""OpenVINO's effects on the process: signals work after engines are closed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import tiny_bundle

ROOT = Path(__file__).parents[3]

ENDED_BY_A_THREAD = """
import signal, sys, threading
from pathlib import Path
from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.engines.openvino import OpenVinoEngine

engines = [OpenVinoEngine(open_bundle(Path(sys.argv[1])), "int8")]
ending = threading.Thread(target=engines.clear)
ending.start()
ending.join()
signal.signal(signal.SIGTERM, lambda number, frame: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


def test_a_signal_is_handled_after_an_engine_was_ended_by_another_thread(tmp_path: Path) -> None:
    """The case of a bundle change: if each engine had its own core, SIGTERM would kill the process (status -11)."""
    tiny_bundle.write(tmp_path / "tiny")
    command = [sys.executable, "-c", ENDED_BY_A_THREAD, str(tmp_path / "tiny")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def test_the_process_has_one_core() -> None:
    """If another thread ended a second core, the first thread would have no memory for its signals."""
    made = [
        str(path.relative_to(ROOT))
        for package in ("edge", "calibrate", "train", "tests")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Core"
    ]
    assert made == ["edge/engines/openvino.py"]
