"""The files that browsers load: texts, size, and nothing that the page's strict policy forbids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from edge_inspect.edge.contract.commands import Refusal
from edge_inspect.edge.contract.fields import NotFound
from edge_inspect.edge.contract.health import HealthWarning, StageState
from edge_inspect.edge.page.app import STATIC

SCRIPTS = sorted(STATIC.glob("*.js"))
TEXTS = json.loads((STATIC / "texts.json").read_text())
PLURALS = {"one", "other"}


def keys(texts: dict[str, Any], before: str = "") -> Iterator[str]:
    """All keys with their dots."""
    for name, value in texts.items():
        if isinstance(value, dict) and not set(value) <= PLURALS:
            yield from keys(value, f"{before}{name}.")
        else:
            yield before + name


def source() -> str:
    return "\n".join(script.read_text() for script in SCRIPTS)


def test_all_files_together_are_small() -> None:
    assert sum(file.stat().st_size for file in STATIC.iterdir()) < 300_000


def test_every_text_that_a_script_says_is_there() -> None:
    said = set(re.findall(r'(?<!#)\bsay\(\s*"([\w.]+)"', source()))
    assert len(said) > 100
    assert said - set(keys(TEXTS)) == set()


def test_every_text_is_used() -> None:
    """A text that is composed, as `alarm.${name}`, counts by its group."""
    text = source()
    groups = set(re.findall(r'[`"]([\w.]+)\.\$\{', text)) | set(re.findall(r'sayWord\("([\w.]+)"', text))
    named = set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)+|[a-z_]+)"', text))
    unused = [
        key
        for key in keys(TEXTS)
        if key not in named
        and not any(key.startswith(f"{group}.") for group in groups | {"figure"})
        and not re.search(rf"`{re.escape(key.rsplit('_', 1)[0])}_\$", text)
    ]
    assert unused == ["language"]


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("alarm", HealthWarning), ("remedy", HealthWarning), ("not_found", NotFound), ("stage_state", StageState),
        ("refusal", Refusal),
    ],
)  # fmt: skip
def test_every_word_of_the_contract_has_a_text(group: str, words: Any) -> None:
    assert set(words.__args__) <= set(TEXTS[group])


def test_every_state_of_a_station_has_a_text() -> None:
    assert {"online", "paused", "offline", "starting", "stopping"} <= set(TEXTS["condition"])


@pytest.mark.parametrize(
    "forbidden",
    ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc", "http://", "https://"],
)  # fmt: skip
def test_nothing_reads_markup_or_asks_another_address(forbidden: str) -> None:
    text = source().replace("http://www.w3.org/2000/svg", "")
    assert forbidden not in text


def test_the_document_has_no_script_or_style_of_its_own() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == [] and "<style" not in page
    assert re.findall(r"\s(?:style|on\w+)=", page) == []
    assert re.findall(r'(?:src|href)="(?!static/|data:,|#)', page) == []


def test_every_visible_word_of_the_document_comes_from_the_texts() -> None:
    body = (STATIC / "index.html").read_text().split("<body>")[1]
    assert re.sub(r"<[^>]*>", "", body).strip() == ""


def test_every_script_says_what_it_is() -> None:
    assert [script.name for script in SCRIPTS if not script.read_text().startswith("// ")] == []
