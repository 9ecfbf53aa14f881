"""The stations that a command is for: SITE/LINE/STATION, where `*` stands for any characters of a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edge_inspect.edge.contract.topics import TOPIC_ROOT, check_level
from edge_inspect.edge.errors import UsageError

ANY = "*"


class Selectors:
    """Chooses stations by their names.

    Args:
        texts: Selectors such as `plant1/*/press-*`; a station is chosen if one of them matches. Without any, every
            station is chosen.

    Raises:
        UsageError: A text is no selector.

    Attributes:
        texts: The selectors, as they were written.
        named: The stations that a selector without `*` names, as site/line/station.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.texts = tuple(texts) or (f"{ANY}/{ANY}/{ANY}",)
        for text in self.texts:
            _check(text)
        self.named = tuple(text for text in self.texts if ANY not in text)
        self._named = frozenset(self.named)
        wild = [text for text in self.texts if ANY in text]
        self._pattern = re.compile("|".join(map(_expression, wild))) if wild else None

    def matches(self, key: str) -> bool:
        """Return whether a station is chosen.

        Args:
            key: The station, as site/line/station.
        """
        return key in self._named or (self._pattern is not None and self._pattern.fullmatch(key) is not None)

    def topics(self, kinds: Iterable[str]) -> list[str]:
        """Return the topics to subscribe to; their messages may also be of stations that are not chosen.

        Args:
            kinds: Last levels of the topics, such as `status`.
        """
        levels = ("/".join("+" if ANY in level else level for level in text.split("/")) for text in self.texts)
        # A dictionary keeps the order, and one subscription of each.
        return list(dict.fromkeys(f"{TOPIC_ROOT}/{each}/{kind}" for each in levels for kind in kinds))

    def __str__(self) -> str:
        return " ".join(self.texts)


def _check(text: str) -> None:
    levels = text.split("/")
    if len(levels) != 3:
        raise UsageError(f"--to {text!r}: write SITE/LINE/STATION, with * for any characters, such as 'plant1/*/*'")
    try:
        for name, level in zip(("site", "line", "station"), levels, strict=True):
            check_level(name, level)
    except ValueError as error:
        raise UsageError(f"--to {text!r}: {error}") from error


def _expression(text: str) -> str:
    return "[^/]*".join(map(re.escape, text.split(ANY)))
