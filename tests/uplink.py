"""An uplink that can be cut: a TCP proxy on loopback, which is a process of its own (uplink.py PORT TARGET ...)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys

from mosquitto import free_port


class Uplink:
    """A proxy to a port of this machine.

    Args:
        targets: Ports of the brokers at the other end; each connection goes to the first that accepts it.
    """

    def __init__(self, *targets: int) -> None:
        self.port = free_port()
        self._command = [sys.executable, __file__, str(self.port), *map(str, targets)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Uplink:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def start(self) -> None:
        """Begin to pass bytes; return when connections are accepted."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def cut(self) -> None:
        """Kill the proxy: both ends see their connections closed, and new ones are refused."""
        if self._process is not None:
            self._process.kill()
            with self._process:
                self._process = None

    def go_silent(self) -> None:
        """Stop the proxy: connections stay open and new ones are accepted, but not a byte passes any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    sink.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, targets: list[int]) -> None:
    for target in targets:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            return
    writer.close()


async def _serve(port: int, targets: list[int]) -> None:
    server = await asyncio.start_server(lambda reader, writer: _pass(reader, writer, targets), "127.0.0.1", port)
    print("accepting", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
