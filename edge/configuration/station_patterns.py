"""The setting `stations` of programs that follow many stations: patterns, and which stations they name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter, ValidationError

from edge_inspect.edge.configuration.section import Level
from edge_inspect.edge.contract.topics import check_level
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

ANY = "+"
"""Level of a pattern that stands for every name."""
_MOST_NAMES = 2000
_LEVEL: TypeAdapter[str] = TypeAdapter(Level)


def _pattern(text: str) -> str:
    levels = text.split("/")
    if len(levels) != 3:
        raise ValueError(f"{text!r}: write site/line/station, or '+' in place of a name, such as 'plant1/+/+'")
    for level in levels:
        if level != ANY:
            check_level("a station", level)
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


def named_stations(patterns: Iterable[str]) -> list[str]:
    """Return the patterns that name one station, which are keys `site/line/station`."""
    return [pattern for pattern in patterns if ANY not in pattern.split("/")]


class StationFilter:
    """Knows which stations a program follows. Used by one thread.

    A session that the broker keeps also has the subscriptions of an earlier configuration, so what comes must be
    filtered.

    Args:
        patterns: The setting `stations`.
        what: What the program does with its stations, for the log: "shown".
    """

    def __init__(self, patterns: Sequence[str], what: str) -> None:
        self._patterns, self._what = [pattern.split("/") for pattern in patterns], what
        self._known: dict[str, bool] = {}

    def follows(self, key: str) -> bool:
        """Return whether a station is followed. An impossible name is not, and is logged once.

        Args:
            key: Key of the station, `site/line/station`, as a topic has it.
        """
        if key not in self._known:
            if len(self._known) >= _MOST_NAMES:  # names that somebody makes up
                self._known.clear()
            self._known[key] = self._is_named(key)
        return self._known[key]

    def _is_named(self, key: str) -> bool:
        try:
            levels = [_LEVEL.validate_python(level) for level in key.split("/")]
        except ValidationError as error:
            why = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            log.warning("a station with an impossible name is not %s: %s", self._what, clean(why))
            return False
        return len(levels) == 3 and any(
            all(wanted in (ANY, level) for wanted, level in zip(pattern, levels, strict=True))
            for pattern in self._patterns
        )
