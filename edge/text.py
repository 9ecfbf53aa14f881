"""Text from outside, made fit to be shown, logged, sent and stored."""

from __future__ import annotations

import os


def clean(text: str | os.PathLike[str]) -> str:
    r"""Return `text` as printable UTF-8: whatever cannot be shown becomes a backslash escape.

    Escaped are control characters, line ends, surrogates, characters that turn the direction of writing, and others
    that have no shape of their own. An odd byte of a file's name is shown as that byte: `teil_\xfc.png`.
    """
    return "".join(character if character.isprintable() else _escape(character) for character in os.fsdecode(text))


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
