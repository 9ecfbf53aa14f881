"""A box's choice of precision, made once for each bundle, processor and version of the engine."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines.choice import Choice
from edge_inspect.edge.engines.choice_file import ChoiceFile, ChoiceKey
from edge_inspect.edge.engines.loading import engine_class
from edge_inspect.edge.engines.trial_process import TrialCrashed, try_apart
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.processor import describe

log = logging.getLogger(__name__)

MOST_BEGUN = 2
"""After as many trials that did not end, none is begun any more."""


def choose_once(
    bundle: Bundle, engine: str, record: ChoiceFile, *, threads: int = 0, cache: Path | None = None
) -> Choice | None:
    """Return this box's choice for a bundle: the recorded one, or the result of a trial now, which is recorded.

    Args:
        bundle: The bundle.
        engine: Name of the engine; one that `can_be_timed`.
        record: The record of this box's choices.
        threads: Number of processor threads; 0 means all.
        cache: Folder where the engine of the choice is kept.

    Returns:
        The choice; `None` if no precision can run, or if earlier trials have not ended. The log has the reason.
    """
    version = engine_class(engine).version()
    key = ChoiceKey(bundle=bundle.digest, engine=engine, version=version, processor=describe(), threads=threads)
    known, name = record.find(key), bundle.manifest.name
    if known is not None and known.choice is not None:
        return known.choice
    if known is not None and known.begun >= MOST_BEGUN:
        log.warning("%s: timing the precisions has crashed %d times; the bundle's order is used", name, known.begun)
        return None
    record.begin(key, name)
    try:
        choice = try_apart(bundle, engine, threads=threads, cache=cache)
    except TrialCrashed as error:
        log.warning("%s: %s; the bundle's order is used", name, error)
        return None
    except EngineError as error:
        log.warning("%s: the precisions cannot be timed: %s", name, error)
        record.end(key, None)
        return None
    log.info("%s: %s", name, choice)
    record.end(key, choice)
    return choice
