"""Leaves the demo's line running with its page open on loopback, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from edge_inspect.edge.child_process import ends_with_parent
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.commands import VERBS
from edge_inspect.edge.demo.broker import STOP_S, free_port, running_broker
from edge_inspect.edge.demo.folder_lock import locked
from edge_inspect.edge.demo.stream import BUNDLE, LINE, SITE
from edge_inspect.edge.errors import CheckFailed, UsageError
from edge_inspect.edge.program import say
from edge_inspect.edge.signals import Signals

USER = "demo"
STATIONS = {"station1": 2.0, "station2": 0.7}
"""Names of the stations, and how many parts each sees in a second."""
START_S = 60.0
_POLL_S = 0.2


def keep_running(out: Path, port: int) -> None:
    """Run a broker, two stations on the demo's stream and the page, until Ctrl-C or until one of them ends.

    Args:
        out: Folder of a finished demo, with its stream and its bundle. All files are written below `out`/live.
        port: TCP port of the page on 127.0.0.1; 0 is any that is free.

    Raises:
        UsageError: The folder holds no finished demo, or another line runs there; the port is taken; or the packages of
            the page are missing.
        CheckFailed: A process does not start, or ended by itself.
    """
    if not is_finished(out):
        raise UsageError(f"{out}: holds no finished demo; run `edge-inspect demo --out {out}` first")
    _check_port(port)
    # A terminal that is closed sends SIGHUP, and the line must not stay behind.
    with Signals(reload=False) as signals, contextlib.ExitStack() as stack:
        lock = stack.enter_context(locked(out))
        folder = _prepare(out)
        say("starting a broker, two stations and the page; this takes some seconds")
        port = port or free_port()
        password = _add_user(folder / "page-users.yaml")
        _, broker = stack.enter_context(running_broker(folder / "broker.log"))
        service, page = _service(out, folder, broker), _page(folder, broker, port)
        processes = {
            name: stack.enter_context(_running(name, content, folder, lock))
            for name, content in (("run", service), ("page", page))
        }
        _wait_until_served(port, processes, folder, signals)
        say(
            f"\nThe line is running. Watch it, label parts and teach it here: http://127.0.0.1:{port}/\n"
            f"Log in as {USER} with the password {password}\n"
            f"Configurations, logs and evidence are in {folder}. Ctrl-C ends the line; the next start begins "
            "without its labels and taught bundles."
        )
        while signals.stop is None:
            time.sleep(_POLL_S)
            _check_alive(processes, folder)
        say("\nEnding the line")


def is_finished(out: Path) -> bool:
    """Return whether a folder holds all that `keep_running` needs of a demo."""
    return (out / BUNDLE / "manifest.yaml").is_file() and (out / "stream").is_dir() and (out / "summary.json").is_file()


def _check_port(port: int) -> None:
    """Refuse a port that is taken, because whoever listens there would be taken for the page."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "ports are numbers from 1 to 65535"
        raise UsageError(f"--port {port}: {why}; give another port, or 0 for any that is free") from error


def _prepare(out: Path) -> Path:
    """Return the folder of the live line, emptied, with a copy of the bundle that teaching may add bundles to."""
    folder = out / "live"
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "page").mkdir(parents=True)
    shutil.copytree(out / BUNDLE, folder / "bundles" / BUNDLE)
    return folder.absolute()


def _add_user(file: Path) -> str:
    """Write the file of users with one engineer; return the password, which is random and stored nowhere else."""
    try:
        from edge_inspect.edge.page.passwords import PasswordHash
        from edge_inspect.edge.page.users import User, write_users
    except ModuleNotFoundError as error:
        raise UsageError(f"--page: {error}; pip install 'edge-inspect[page]'") from error
    password = secrets.token_urlsafe(12)
    write_users(file, [User(USER, "engineer", PasswordHash.of(password))])
    return password


def _service(out: Path, folder: Path, broker: int) -> dict[str, Any]:
    stream = os.path.abspath(out / "stream")
    return {
        "site": SITE,
        "line": LINE,
        "mqtt": _mqtt(broker),
        "outbox": {"path": str(folder / "outbox.db")},
        "evidence": {"folder": str(folder / "evidence")},
        "bundles": {"folder": str(folder / "bundles")},
        "commands": {"allow": list(VERBS)},
        "stations": [
            {
                "name": name,
                "camera": f"folder:{stream}?fps={fps:g}&loop=true",
                "bundle": str(folder / "bundles" / BUNDLE),
                "defect_share": 0.3,  # as many parts of the demo's stream are defective
            }
            for name, fps in STATIONS.items()
        ],
    }


def _page(folder: Path, broker: int, port: int) -> dict[str, Any]:
    return {
        "mqtt": _mqtt(broker),
        "listen": {"port": port},
        "users": str(folder / "page-users.yaml"),
        "data": str(folder / "page"),
        "evidence": [str(folder / "evidence")],
        "bundles": str(folder / "bundles"),
    }


def _mqtt(port: int) -> dict[str, Any]:
    return MqttSettings(host="127.0.0.1", port=port).model_dump(mode="json", exclude_unset=True)


@contextlib.contextmanager
def _running(name: str, configuration: dict[str, Any], folder: Path, lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a subcommand of edge-inspect with a configuration and a log in `folder`; end it at the end.

    It is in a session of its own, so that Ctrl-C reaches this process first, which then ends all in order. If this
    process is killed, it ends too.
    """
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(configuration, sort_keys=False))
    command = [sys.executable, "-m", "edge_inspect.edge.cli", name, "--config", str(config)]
    with (folder / f"{name}.log").open("wb") as said:
        command = ends_with_parent(command, signal.SIGTERM)
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True, pass_fds=[lock])
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_served(
    port: int, processes: dict[str, subprocess.Popen[bytes]], folder: Path, signals: Signals
) -> None:
    deadline = time.monotonic() + START_S
    while signals.stop is None and time.monotonic() < deadline:
        _check_alive(processes, folder)
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            return
        time.sleep(_POLL_S)
    if signals.stop is None:
        raise CheckFailed(f"the page does not answer on port {port}; its log: {folder / 'page.log'}")


def _check_alive(processes: dict[str, subprocess.Popen[bytes]], folder: Path) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            log = folder / f"{name}.log"
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise CheckFailed(f"edge-inspect {name} ended with status {process.returncode}: {last}; its log: {log}")
