"""A broker on loopback for the demo: amqtt inside the process, or the box's mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
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
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    runner = _mosquitto(mosquitto, port) if mosquitto else _amqtt(port)
    with runner:
        _await_listening(port)
        yield ("mosquitto" if mosquitto else "amqtt"), port


@contextlib.contextmanager
def _mosquitto(program: str, port: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="edge-inspect-") as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n")
        process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def _amqtt(port: int) -> Iterator[None]:
    try:
        from amqtt.broker import Broker
    except ImportError as error:
        raise UsageError("the demo needs a broker: pip install 'edge-inspect[demo]', or install mosquitto") from error
    loop = asyncio.new_event_loop()
    # Started and stopped inside the loop's own thread; amqtt binds to the loop it was made in.
    thread = threading.Thread(target=loop.run_forever, name="broker", daemon=True)
    thread.start()
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }

    async def start() -> Broker:
        broker = Broker(config)
        await broker.start()
        return broker

    broker = asyncio.run_coroutine_threadsafe(start(), loop).result(START_S)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(broker.shutdown(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_listening(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise UsageError(f"the demo's broker did not start on port {port}")
