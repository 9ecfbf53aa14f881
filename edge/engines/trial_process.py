"""A trial in a process of its own, which leaves no memory behind and can crash without the service.

    python -m edge_inspect.edge.engines.trial_process BUNDLE DIGEST ENGINE THREADS [CACHE]

It prints the choice as JSON, or ends with status 1 and prints why there is none.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.child_process import ends_with_parent
from edge_inspect.edge.engines.choice import Choice
from edge_inspect.edge.engines.loading import engine_class
from edge_inspect.edge.errors import EdgeInspectError, EngineError

MOST_S = 600.0
"""Longest time of a trial, in seconds; it is ended then. A slow box needs a minute to open three precisions."""

ASKED_TO_END = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
"""Exit statuses of a process that somebody has ended, such as systemd with the whole service."""


class TrialCrashed(EngineError):
    """The process of a trial has crashed, was killed, or took too long."""


def try_apart(bundle: Bundle, engine: str, *, threads: int = 0, cache: Path | None = None) -> Choice:
    """Return what `edge.engines.trial.try_precisions` finds in a process of its own.

    All precisions are open at once there, which takes several times the memory of one.

    Args:
        bundle: The bundle; it is opened anew by its path, and must have the same digest.
        engine: Name of the engine.
        threads: Number of processor threads; 0 means all.
        cache: Folder where the engine of the choice is kept, and the one for several frames at a time; opening them
            there takes the service less time and memory.

    Raises:
        TrialCrashed: The process crashed, was killed, or took longer than `MOST_S`.
        EngineError: No precision holds the golden frames, an engine failed, the bundle has changed, or the process was
            asked to end.
    """
    engine_class(engine)  # a package that does not load is reported from here, as everywhere
    words = [sys.executable, "-m", __name__, str(bundle.path), bundle.digest, engine, str(threads)]
    words += [] if cache is None else [str(cache)]
    try:
        done = subprocess.run(
            ends_with_parent(words, signal.SIGKILL), stdout=subprocess.PIPE, text=True, timeout=MOST_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TrialCrashed(f"the trial took longer than {MOST_S:.0f} s") from None
    except OSError as error:
        raise EngineError(f"the process of the trial cannot be started: {error.strerror}") from error
    if done.returncode == 0:
        return Choice.model_validate_json(done.stdout)
    if done.returncode in ASKED_TO_END:
        raise EngineError("the process of the trial was asked to end")
    if done.returncode == 1 and done.stdout:
        raise EngineError(done.stdout.strip())
    ended = f"status {done.returncode}" if done.returncode > 0 else signal.Signals(-done.returncode).name
    raise TrialCrashed(f"the process of the trial ended with {ended}")


def main() -> int:
    """Run the trial that the command line names."""
    from edge_inspect.edge.engines.opening import open_engine
    from edge_inspect.edge.engines.trial import try_precisions

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    path, digest, engine, threads, *cache = sys.argv[1:]
    try:
        bundle = open_bundle(Path(path))
        if bundle.digest != digest:
            raise EngineError(f"{path}: another bundle has taken the place of the one that was opened")
        choice = try_precisions(bundle, engine, threads=int(threads))
        if cache:
            kept = Path(cache[0])
            with open_engine(bundle, choice.precision, engine=engine, threads=int(threads), cache=kept) as chosen:
                chosen.prepare_several()
    except EdgeInspectError as error:
        print(error)
        return 1
    print(choice.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
