"""What is slow about the outbox's file, done beside the puts: flushing its log, and moving the log into the database.

SQLite's write-ahead log takes a transaction in a tenth of a millisecond; the disk takes several to flush it. So a put
only writes, and a thread here flushes whatever was written since its last flush, all of it at once: group commit. A
checkpoint, which moves the log into the database and flushes both, has another thread for the same reason.
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
_LONGEST_LOG_PAGES = 4000


class Worker:
    """A thread that does its work again whenever it is asked to, once for all who ask meanwhile.

    Args:
        work: What to do. It must not raise.
        name: Of the thread.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._asked = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Do the work, for all that has happened until now."""
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
    """Moves the log into the database after every so many transactions.

    Args:
        path: Of the database.
        puts: Held, no transaction is made: for a log that never comes to an end otherwise.
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
                if pages > _LONGEST_LOG_PAGES:
                    # The log begins anew only when all of it is moved, and puts add to it all the time.
                    with self._puts:
                        _, pages, moved = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    if moved < pages:
                        self._tell_reader(pages)
        except sqlite3.Error as problem:
            log.warning("outbox %s: its log cannot be moved into the database: %s", self._path, problem)

    def _tell_reader(self, pages: int) -> None:
        """Tell that another program still reads the log, which cannot begin anew and grows until that has read."""
        log.warning(
            "outbox %s: its log has %d MB and grows, since %s reads the file and does not end; close it there",
            self._path,
            pages * 4096 // 10**6,
            other_user(self._path) or "another program",
        )


class Flusher:
    """Flushes the log to the disk.

    Args:
        path: Of the database; its log exists.
        flush: Does it, given the log's file descriptor.
        done: Called in the flusher's thread after it has flushed.
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
