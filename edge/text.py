"""Escapes characters in text from outside, so that the text can be shown, logged, sent and stored."""

from __future__ import annotations

import os


def clean(text: str | os.PathLike[str]) -> str:
    r"""Return `text` as printable UTF-8, with a backslash escape for every character that cannot be shown.

    Escaped are control characters, line ends, surrogates, characters that change the direction of writing, and other
    invisible ones. A byte of a file name that is no UTF-8 is shown as that byte: `teil_\xfc.png`.
    """
    return "".join(character if character.isprintable() else _escape(character) for character in os.fsdecode(text))


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's surrogate for a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
