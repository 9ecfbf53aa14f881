"""Nodes of RabbitMQ on this machine with the shipped configuration, each with ports and a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from broker_files import BROKERS, adapted
from mosquitto import free_port, wait_until

NO_RABBITMQ = "no RabbitMQ: apt-get install rabbitmq-server"
SCRIPTS = Path("/usr/lib/rabbitmq/bin")
PATIENCE = 120
_PEER = "cluster_formation.classic_config.nodes"


class Epmd:
    """Erlang's name server on a port of its own, so that it ends with the test."""

    def __init__(self) -> None:
        program = shutil.which("epmd")
        if program is None or not SCRIPTS.is_dir():
            pytest.skip(NO_RABBITMQ)
        self.port = free_port()
        self._process = subprocess.Popen([program, "-port", str(self.port), "-address", "127.0.0.1"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Node:
    """One of three nodes.

    Args:
        folder: Folder of this node.
        number: 1, 2 or 3.
        epmd: The name server that all nodes share.
        changes: Lines of rabbitmq.conf to replace.
    """

    def __init__(self, folder: Path, number: int, epmd: Epmd, changes: dict[str, str] | None = None) -> None:
        self.folder, self.mqtt_port = folder, free_port()
        self.name = f"rabbit{number}@localhost"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        for name in ("enabled_plugins", "definitions.json"):
            shutil.copy(BROKERS / name, folder)
        cookie = folder / ".erlang.cookie"
        cookie.write_text("benchmark")
        cookie.chmod(0o400)
        nodes = {f"{_PEER}.{n} = rabbit@central{n}": f"{_PEER}.{n} = rabbit{n}@localhost" for n in (1, 2, 3)}
        lines = {
            **nodes,
            "load_definitions = /etc/rabbitmq/definitions.json": f"load_definitions = {folder}/definitions.json",
            "listeners.tcp.default = 127.0.0.1:5672": f"listeners.tcp.default = 127.0.0.1:{free_port()}",
            "mqtt.listeners.tcp.default = 1883": f"mqtt.listeners.tcp.default = 127.0.0.1:{self.mqtt_port}",
            **(changes or {}),
        }
        (folder / "rabbitmq.conf").write_text(adapted("rabbitmq.conf", lines))
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(epmd.port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }

    def start(self) -> None:
        """Begin to start; `wait_started` waits until that is done."""
        with (self.folder / "said").open("ab") as said:
            command = [str(SCRIPTS / "rabbitmq-server")]
            self._process = subprocess.Popen(
                command, stdout=said, stderr=said, env=self._environment, start_new_session=True
            )

    def wait_started(self) -> None:
        said = self.folder / "said"
        wait_until(lambda: b"completed with" in said.read_bytes(), PATIENCE, f"{self.name}; see {self.folder}/log")

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            (self.folder / "said").unlink()

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node; return what it prints."""
        command = [str(SCRIPTS / "rabbitmqctl"), "--silent", "--node", self.name, *arguments]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout} {done.stderr}"
        return done.stdout
