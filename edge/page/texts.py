"""The visible texts of the page: the English ones, and a plant's translation of them."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from edge_inspect.edge.errors import UsageError

ENGLISH = Path(__file__).parent / "static" / "texts.json"
"""The file with the English texts, which a plant copies and translates."""

log = logging.getLogger(__name__)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def read_texts(file: Path | None) -> dict[str, Any]:
    """Return the texts of a translation; a text that it does not have, such as one of a newer version, is English.

    Args:
        file: The translation; `None` for the English texts alone.

    Raises:
        UsageError: The file cannot be read, or is not such a file of texts.
    """
    english: dict[str, Any] = json.loads(ENGLISH.read_text(encoding="utf-8"))
    if file is None:
        return english
    try:
        given = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file} is missing or cannot be read; copy it there, or name another") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: is not in UTF-8; save it in this encoding") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: is not JSON: {error}; correct it there") from error
    return _translated(english, given, str(file))


def served_texts(file: Path | None) -> dict[str, Any]:
    """Return the texts as `read_texts` does, but the English ones if the translation has a mistake, which is logged."""
    try:
        return read_texts(file)
    except UsageError as error:
        log.warning("texts: %s; the page is in English", error)
        return read_texts(None)


def _translated(english: dict[str, Any], given: Any, where: str) -> dict[str, Any]:
    """Return the English texts with those that are given in their places."""
    if not isinstance(given, dict):
        raise UsageError(f"{where}: must be an object of texts, {{...}}, as in the English file")
    # A language may have other plural forms than English, so forms that English lacks are kept.
    merged = english | given
    for name, text in english.items():
        if name not in given:
            continue
        if isinstance(text, dict):
            merged[name] = _translated(text, given[name], f"{where}: {name}")
        elif not isinstance(given[name], str):
            raise UsageError(f"{where}: {name} must be a text in quotes")
        elif name == "language" and not _LANGUAGE.fullmatch(given[name]):
            raise UsageError(f"{where}: language: {given[name]!r} is no language; write one such as de or de-CH")
    return merged
