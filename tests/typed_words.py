"""What a reader types in place of the words in capitals that documents and helps print."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORDS = {
    **dict.fromkeys(("K", "N", "MS", "S", "MIB", "PIXELS", "STEPS", "FROM", "TO", "PARTS"), "50"),
    **dict.fromkeys(("P", "R", "SHARE", "GB", "SCORE"), "0.1"),
    "WxH": "64x64",
    "CxR": "2x1",
    "X,Y,W,H": "0,0,64,64",
}
"""Words that stand for something other than a name or a path."""


def filled(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with a value for each placeholder; `RUN...` is one run."""
    return [WORDS.get(word, word) for word in (re.sub(r"^([A-Z]+)\.\.\.$", r"\1", word) for word in words)]
