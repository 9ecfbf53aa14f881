"""Translated texts: what they lack is English, and a mistake in them leaves no page without texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.page.texts import ENGLISH, read_texts, served_texts


@pytest.mark.parametrize(
    "given",
    [
        {"language": "de-DE", "menu": {"line": "Linie"}},
        {"ago": "il y a {duration}"},
        {"stations": {"running": {"one": "{count} běží", "few": "{count} běží", "other": "{count} běží"}}},
        {},
    ],
)
def test_what_is_not_translated_is_english(tmp_path: Path, given: dict[str, object]) -> None:
    file = tmp_path / "texts.json"
    file.write_text(json.dumps(given), encoding="utf-8-sig")  # some editors write a byte order mark
    texts, english = read_texts(file), read_texts(None)
    assert english == json.loads(ENGLISH.read_text())
    assert texts["login"] == english["login"] and set(texts) == set(english)
    for name, text in given.items():
        assert texts[name] == (text if isinstance(text, str) else english[name] | text)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"title": "Linie",}', "is not JSON"),
        (b'{"title": "Pr\xfcfung"}', "UTF-8"),
        (b'["Linie"]', "must be an object"),
        (b'{"menu": "Linie"}', "menu: must be an object"),
        (b'{"menu": {"line": 3}}', "menu: line must be a text"),
        (b"[" * 100_000, "is not JSON"),
        (None, "is missing"),
    ],
)
def test_a_mistake_is_named_and_the_page_is_english(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None, says: str
) -> None:
    file = tmp_path / "texts.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=says) as error:
        read_texts(file)
    assert str(file) in str(error.value)
    assert served_texts(file) == read_texts(None)
    assert says in caplog.text
