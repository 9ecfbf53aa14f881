"""A broker on loopback for the demo, as a process of its own: the box's mosquitto, or amqtt from PyPI."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edge.errors import UsageError

START_S = 15.0


@contextlib.contextmanager
def running_broker() -> Iterator[tuple[str, int]]:
    """Runs a broker on a free loopback port; gives its name and port.

    Raises:
        UsageError: Neither mosquitto nor amqtt is there, or it does not start.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="edge-inspect-") as folder:
        name, command = _command(Path(folder), port)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _await_listening(process, port, name)
            yield name, port
        finally:
            process.terminate()
            process.wait()


def _command(folder: Path, port: int) -> tuple[str, list[str]]:
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if mosquitto:
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n")
        return "mosquitto", [mosquitto, "-c", str(config)]
    if importlib.util.find_spec("amqtt") is None:
        raise UsageError("the demo needs a broker: pip install 'edge-inspect[demo]', or apt install mosquitto")
    return "amqtt", [sys.executable, "-m", __name__, str(port)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_listening(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise UsageError(f"the demo's broker, {name}, did not start on port {port}")


async def _serve(port: int) -> None:
    """Runs amqtt until SIGTERM."""
    from amqtt.broker import Broker

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
