"""The threads for the slow work on the outbox's file: flushing its log, and moving the log into the database.

SQLite writes a transaction to its write-ahead log in a tenth of a millisecond, but the disk needs several milliseconds
to flush it. So a put only writes, and a thread flushes everything that was written since its last flush at once (group
commit). A checkpoint, which moves the log into the database and flushes both, has another thread for the same reason.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

from edge_inspect.edge.outbox.fault import other_user
from edge_inspect.edge.outbox.file import connect

log = logging.getLogger(__name__)

# A transaction is about 5 pages of 4 KiB.
_CHECKPOINT_AFTER = 500
LONGEST_LOG_PAGES = 4000
"""Pages that the write-ahead log may have before it is checkpointed, even if that waits."""


class Worker:
    """A thread that does its work whenever it is asked to. Requests that come while it works are served together.

    Args:
        work: The work; it must not raise.
        name: Name of the thread.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._asked = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Ask the thread to do its work once more."""
        self._asked.set()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._asked.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            if self._closing:
                return
            self._asked.clear()
            self._work()


class Checkpointer:
    """Moves the log into the database after every 500 transactions.

    Args:
        path: Path of the database.
        puts: Lock that stops all transactions; it is taken if the log cannot be emptied otherwise.
    """

    def __init__(self, path: Path, puts: AbstractContextManager[object]) -> None:
        self._path, self._puts = path, puts
        self._transactions = 0
        self._worker = Worker(self._checkpoint, "outbox-checkpoint")

    def count(self) -> None:
        """Count a transaction."""
        self._transactions += 1
        if self._transactions % _CHECKPOINT_AFTER == 0:
            self._worker.ask()

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def _checkpoint(self) -> None:
        try:
            with closing(connect(self._path)) as database:
                _, pages, _ = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if pages > LONGEST_LOG_PAGES:
                    # SQLite reuses the log only when all of it was moved, and puts add to it all the time.
                    with self._puts:
                        _, pages, moved = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    if moved < pages:
                        self._warn_of_reader(pages)
        except sqlite3.Error as problem:
            log.warning("outbox %s: its log cannot be moved into the database: %s", self._path, problem)

    def _warn_of_reader(self, pages: int) -> None:
        """Warn that the log grows, because another program still reads from it."""
        log.warning(
            "outbox %s: its log has %d MB and grows, because %s keeps the file open for reading; close it there",
            self._path,
            pages * 4096 // 10**6,
            other_user(self._path) or "another program",
        )


class Flusher:
    """Flushes the log to the disk.

    Args:
        path: Path of the database; its log must exist.
        flush: Function that flushes the log, given its file descriptor.
        done: Called in the flusher's thread after each flush.
    """

    def __init__(self, path: Path, flush: Callable[[int], None], done: Callable[[], None]) -> None:
        # SQLite holds no locks on this file, which closing it here would release.
        self._log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        self._flush, self._done = flush, done
        self._worker = Worker(self._run, "outbox-flush")

    def ask(self) -> None:
        """Flush soon, in the flusher's thread."""
        self._worker.ask()

    def flush(self) -> None:
        """Flush now."""
        self._flush(self._log)

    def _run(self) -> None:
        self.flush()
        self._done()

    def close(self) -> None:
        """End the thread."""
        self._worker.close()
        os.close(self._log)
