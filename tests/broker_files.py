"""The shipped configurations of brokers (docs/examples/brokers), with the addresses and folders of a test."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mosquitto import NO_MOSQUITTO, free_port, mosquitto_program, wait_until

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
BROKERS = EXAMPLES / "brokers"
_ARCHIVE = (sys.executable, str(EXAMPLES / "archive.py"))


def adapted(name: str, changes: dict[str, str]) -> str:
    """Return a shipped file with lines replaced.

    Args:
        name: Name of the file in docs/examples/brokers.
        changes: Each line to replace, and what takes its place. The file must have each of them once.
    """
    lines = (BROKERS / name).read_text(encoding="utf-8").splitlines()
    for old, new in changes.items():
        assert lines.count(old) == 1, f"{name}: {lines.count(old)} lines {old!r}"
        lines[lines.index(old)] = new
    return "\n".join(lines) + "\n"


class ShippedBroker:
    """A mosquitto with a shipped configuration on a free loopback port; it can be stopped, killed and started again."""

    def __init__(self, folder: Path, name: str, changes: dict[str, str]) -> None:
        found = mosquitto_program()
        if found is None:
            pytest.skip(NO_MOSQUITTO)
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.log = folder / "mosquitto.log"
        config = folder / name
        # Debian's mosquitto.conf has these lines before it reads the shipped file.
        debian = f"user root\npersistence true\npersistence_location {folder}/\n"
        config.write_text(debian + adapted(name, changes).replace("@PORT", str(self.port)))
        self._command = [found, "-c", str(config)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._answers, what=f"mosquitto starts; see {self.log}")

    def stop(self) -> None:
        """End it in order; it writes its queue to disk."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """End it as a power cut would, for the broker: nothing more is written to disk."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Central(ShippedBroker):
    """The central mosquitto, with users whose passwords are their names."""

    def __init__(self, folder: Path, users: tuple[str, ...] = ("bridge-berlin", "page", "archive")) -> None:
        folder.mkdir(exist_ok=True)
        passwords, acl = folder / "passwords", folder / "central.acl"
        passwords.touch(0o600)
        acl.write_text((BROKERS / "central.acl").read_text(encoding="utf-8"))
        acl.chmod(0o600)
        for user in users:
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, user], check=True, capture_output=True)
        changes = {
            "listener 1883": "listener @PORT 127.0.0.1",
            "password_file /etc/mosquitto/passwords": f"password_file {passwords}",
            "acl_file /etc/mosquitto/central.acl": f"acl_file {acl}",
        }
        super().__init__(folder, "central.conf", changes)


class StationBroker(ShippedBroker):
    """The mosquitto beside the stations; its bridge connects to a port of this machine as the user `bridge-berlin`."""

    def __init__(self, folder: Path, central_port: int, restart_timeout: str = "1 1", queue: int | None = None) -> None:
        lines = {
            "listener 1883 127.0.0.1": "listener @PORT 127.0.0.1",
            "address central.example:1883": f"address 127.0.0.1:{central_port}",
            "#remote_username bridge-plant1": "remote_username bridge-berlin",
            "#remote_password secret": "remote_password bridge-berlin",
            # A test does not wait for the longest pause.
            "restart_timeout 1 30": f"restart_timeout {restart_timeout}",
        }
        if queue is not None:
            lines["max_queued_messages 250000"] = f"max_queued_messages {queue}"
        super().__init__(folder, "station.conf", lines)


class Archive:
    """The example that archives: it records from a broker of this machine as the user `archive`, in its own process."""

    def __init__(self, folder: Path, port: int, *login: str) -> None:
        self.file = folder / "archive.db"
        login = login or ("--user", "archive", "--password-file", str(secret(folder, "archive")))
        self._command = [*_ARCHIVE, "record", str(self.file), "127.0.0.1", str(port), *login]
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Archive:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to record; return when it has subscribed."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "recording\n"

    def stop(self) -> None:
        """End it in order; the broker keeps its session."""
        if self.process is not None:
            with self.process:
                self.process.terminate()
            self.process = None

    def size(self) -> int:
        """Return the bytes of its file and of the file's log."""
        return sum(path.stat().st_size for path in self.file.parent.glob(f"{self.file.name}*"))

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the check of what is recorded."""
        return subprocess.run([*_ARCHIVE, "check", str(self.file)], capture_output=True, text=True, check=False)


def secret(folder: Path, user: str) -> Path:
    """Write the password of a user, which is its name, into a file."""
    path = folder / f"password-{user}"
    path.write_text(f"{user}\n")
    return path
