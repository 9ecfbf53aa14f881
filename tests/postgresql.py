"""A real PostgreSQL in a folder of its own, which can be killed and started again; nothing but its socket is open."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

NO_POSTGRESQL = "no PostgreSQL server: apt-get install postgresql"
_PATIENCE_S = 120
USER = "edge"


@functools.cache
def programs() -> Path | None:
    """The folder of the server's programs, which Debian puts where no path leads; the newest release counts."""
    found = shutil.which("postgres")
    folders = [Path(os.path.realpath(found)).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def _owner() -> pwd.struct_passwd | None:
    """The user that the server runs as where the tests run as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


class PostgreSQL:
    """A server. Its folder is below /tmp, because the user that it runs as may not look into a folder of root's.

    Args:
        settings: Lines for postgresql.conf.
    """

    def __init__(self, settings: str = "") -> None:
        found = programs()
        if found is None:
            pytest.skip(NO_POSTGRESQL)
        self._programs = found
        self._owner = _owner()
        self.folder = Path(tempfile.mkdtemp(prefix="edge-pg-"))
        if self._owner is not None:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        self._data = self.folder / "data"
        options = ["--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", "--pgdata", str(self._data), *options)
        lines = [
            "listen_addresses = ''",
            f"unix_socket_directories = '{self.folder}'",
            "max_connections = 30",
            settings,
        ]
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, as the archive's configuration has it."""
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            command = [self._programs / "postgres", "-D", str(self._data)]
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, **self._as_owner()
            )
        deadline = time.monotonic() + _PATIENCE_S
        while self._answers() != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                pytest.fail(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, with all of its processes, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End it and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, database: str) -> str:
        """Create a database; return its URL."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_PATIENCE_S)
            self._process = None

    def _answers(self) -> int:
        done = subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", str(self.folder)], capture_output=True, check=False
        )
        return done.returncode

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, check=False, **self._as_owner()
        )
        assert done.returncode == 0, done.stderr

    def _as_owner(self) -> dict[str, object]:
        if self._owner is None:
            return {"cwd": self.folder}
        return {"cwd": self.folder, "user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
