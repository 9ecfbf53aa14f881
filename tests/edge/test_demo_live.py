"""`edge-inspect demo --page`: the line keeps running with its page, and Ctrl-C ends all of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny_bundle

from edge_inspect.edge.cli import main
from edge_inspect.edge.demo.chain import MARKER
from edge_inspect.edge.demo.folder_lock import locked
from edge_inspect.edge.demo.line import write_stream
from edge_inspect.edge.demo.stream import BUNDLE
from edge_inspect.edge.errors import UsageError

pytest.importorskip("starlette")
pytest.importorskip("amqtt")


def finished_demo(folder: Path) -> Path:
    """Return the folder of a demo that has ended, with a bundle that was made quickly."""
    write_stream(folder / "stream", frames=10, defect_share=0.3, seed=1)
    tiny_bundle.write(folder / BUNDLE)
    (folder / "summary.json").write_text("{}")
    return folder


def ask(opener: Any, url: str, content: Any = None) -> Any:
    request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
    with opener.open(request, None if content is None else json.dumps(content).encode(), timeout=30) as answer:
        return json.loads(answer.read())


def wait_for(done: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if found := done():
                return found
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGHUP])
def test_the_line_keeps_running_until_ctrl_c(tmp_path: Path, ending: signal.Signals) -> None:
    demo = finished_demo(tmp_path / "demo")
    command = [sys.executable, "-m", "edge_inspect.edge.cli", "demo", "--page", "--port", "0", "--out", str(demo)]
    said = tmp_path / "said"
    with said.open("w") as file:
        # A shell that runs this test in the background has it ignore Ctrl-C.
        process = subprocess.Popen(
            command, stderr=file, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
        )
    try:
        password = wait_for(lambda: re.search(r"with the password (\S+)", said.read_text()))[1]
        found = re.search(r"http://127\.0\.0\.1:\d+/", said.read_text())
        assert found is not None
        url = found[0]
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3  # broker, service and page; and the service's trial of precisions, for a moment
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert ask(opener, f"{url}api/login", {"user": "demo", "password": password})["role"] == "engineer"
        stations = wait_for(
            lambda: [s for s in ask(opener, f"{url}api/stations")["stations"] if s["shift"]["inspected"]]
        )
        assert stations[0]["key"].startswith("demo/line1/station")
    finally:
        process.send_signal(ending)
        assert process.wait(60) == 0
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert password not in (demo / "live" / "page.log").read_text()


def test_a_process_that_ends_by_itself_ends_the_line(tmp_path: Path) -> None:
    demo = finished_demo(tmp_path / "demo")
    (demo / BUNDLE / "manifest.yaml").write_text("damaged: true\n")
    command = [sys.executable, "-m", "edge_inspect.edge.cli", "demo", "--page", "--port", "0", "--out", str(demo)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.search(r"edge-inspect run ended with status \d+: .*manifest", done.stderr), done.stderr


def test_a_port_that_is_taken_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = finished_demo(tmp_path / "demo")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["demo", "--page", "--port", port, "--out", str(demo)]) == 2
    assert f"--port {port}: Address already in use; give another port" in capsys.readouterr().err
    for port in ("70000", "-1"):
        assert main(["demo", "--page", f"--port={port}", "--out", str(demo)]) == 2
        assert f"--port {port}: ports are numbers from 1 to 65535" in capsys.readouterr().err
    assert not (demo / "live").exists()


def test_a_second_demo_leaves_the_files_of_a_line_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo = finished_demo(tmp_path / "demo")
    (demo / MARKER).touch()
    (demo / "live").mkdir()
    with locked(demo):
        assert main(["demo", "--page", "--port", "0", "--out", str(demo)]) == 2
        assert f"process {os.getpid()}" in capsys.readouterr().err
        assert main(["demo", "--out", str(demo)]) == 2
        assert "runs a demo there; end it first" in capsys.readouterr().err
    assert (demo / "live").exists() and (demo / "stream").exists()


def test_a_process_that_was_left_behind_holds_the_folder(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
        left = subprocess.Popen(["sleep", "60"], pass_fds=[lock])
    try:
        with pytest.raises(UsageError, match=r"fuser -k .*\.lock"), locked(tmp_path):
            pass
    finally:
        left.kill()
        left.wait()
    with locked(tmp_path):
        pass


def test_an_unfinished_demo_is_run_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    assert main(["demo", "--page", "--out", str(tmp_path)]) == 2
    assert "holds files that are not from a demo" in capsys.readouterr().err
