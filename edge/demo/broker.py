"""The demo's broker on loopback, in a process of its own: mosquitto if it is installed, else amqtt from PyPI."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge_inspect.edge.child_process import ends_with_parent
from edge_inspect.edge.errors import CheckFailed, UsageError

START_S = 15.0
STOP_S = 10.0


@contextlib.contextmanager
def running_broker(log: Path = Path(os.devnull)) -> Iterator[tuple[str, int]]:
    """Run a broker on a free port of loopback; yield its name and port.

    If mosquitto is installed but does not start, amqtt is tried.

    Args:
        log: File for the output of the broker.

    Raises:
        UsageError: Neither mosquitto nor amqtt is installed.
        CheckFailed: No broker starts.
    """
    with tempfile.TemporaryDirectory(prefix="edge-inspect-") as folder, log.open("wb") as said:
        process, name, port = _start(Path(folder), said, log)
        try:
            yield name, port
        finally:
            _stop(process)


def _start(folder: Path, said: BinaryIO, log: Path) -> tuple[subprocess.Popen[bytes], str, int]:
    port = free_port()
    commands = dict(_commands(folder, port))
    if not commands:
        raise UsageError("the demo needs a broker: pip install 'edge-inspect[demo]', or apt-get install mosquitto")
    for name, command in commands.items():
        # In a session of its own: Ctrl-C is for the demo, which ends the broker after those that publish.
        command = ends_with_parent(command, signal.SIGTERM)
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        if _listens(process, port):
            return process, name, port
        _stop(process)
    raise CheckFailed(f"the demo's broker, {' or '.join(commands)}, did not start on port {port}; its log: {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _commands(folder: Path, port: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the start command of each installed broker, the better one first."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if mosquitto:
        config = folder / "mosquitto.conf"
        lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 100000", "log_dest stderr"]
        config.write_text("\n".join(lines) + "\n")
        yield "mosquitto", [mosquitto, "-c", str(config)]
    if importlib.util.find_spec("amqtt") is not None:
        yield "amqtt", [sys.executable, "-m", __name__, str(port)]


def free_port() -> int:
    """Return a TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False


async def _serve(port: int) -> None:
    """Run amqtt until SIGTERM."""
    import logging

    from amqtt.broker import Broker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
