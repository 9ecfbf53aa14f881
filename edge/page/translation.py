"""The translated copy of the page's texts, which a plant may write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.text import clean

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def check_translation(file: Path) -> None:
    """Check that browsers can show the texts in a file. A text that is missing is shown as its key.

    Args:
        file: A translated copy of `texts.json`.

    Raises:
        ConfigurationError: The file cannot be read, or something in it is no text.
    """
    remedy = "copy the page's texts.json and translate the texts in it, or leave 'texts' out"
    try:
        texts = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"texts: {clean(file)}: {error.strerror}; copy it there, or name another") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"texts: {clean(file)} is no JSON in UTF-8: {clean(str(error))}; {remedy}") from error
    wrong = "it is no mapping" if not isinstance(texts, dict) else next(_mistakes(texts), None)
    if wrong is not None:
        raise ConfigurationError(f"texts: {clean(file)}: {wrong}; {remedy}")


def _mistakes(texts: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in texts.items():
        key = f"{before}{clean(name)}"
        if isinstance(value, dict):
            yield from _mistakes(value, f"{key}.")
        elif not isinstance(value, str):
            yield f"{key} must be a text in quotes"
        elif key == "language" and not _LANGUAGE.fullmatch(value):
            yield f"language: {clean(value)!r} is no language; write one such as de or de-CH"
