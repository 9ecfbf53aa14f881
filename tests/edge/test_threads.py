"""Threads end in one way: with a time limit, and those that hang are left behind, named in the log."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import pytest

from edge_inspect.edge.threads import wait_for_end

EDGE = Path(__file__).parents[2] / "edge"


def test_a_thread_that_ends_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    thread = threading.Thread(target=lambda: None, daemon=True)
    assert wait_for_end(thread, 0.01), "it was never started"
    thread.start()
    assert wait_for_end(thread, 30) and not thread.is_alive() and not caplog.records


def test_a_thread_that_hangs_is_left_behind_and_named(caplog: pytest.LogCaptureFixture) -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait, args=(60,), name="camera-a", daemon=True)
    thread.start()
    assert not wait_for_end(thread, 0.01)
    assert "thread camera-a did not end within 0.01 s and is left behind" in caplog.text
    go.set()
    assert wait_for_end(thread, 30)


def starts(path: Path) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func) == "threading.Thread"]


@pytest.mark.parametrize(
    "path", sorted(path for path in EDGE.rglob("*.py") if starts(path)), ids=lambda path: path.stem
)
def test_every_thread_is_a_daemon_and_has_a_name(path: Path) -> None:
    for call in starts(path):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("daemon") == "True" and "name" in given, f"{path}:{call.lineno}"
