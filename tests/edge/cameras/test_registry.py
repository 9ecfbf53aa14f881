"""docs/cameras.md has every entry of the registries of cameras and triggers, and every entry leads to a file."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from edge_inspect.edge.cameras.kind import CameraKind
from edge_inspect.edge.cameras.opening import parse_uri
from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.errors import CameraError
from edge_inspect.edge.triggers import TRIGGERS

DOCUMENT = (Path(__file__).parents[3] / "docs" / "cameras.md").read_text(encoding="utf-8")
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]


def row_of(scheme: str) -> str:
    (row,) = [row for row in ROWS if f"`{scheme}:" in row]
    return row


def documented(scheme: str) -> set[str]:
    """Return the options in a scheme's row, including those of a row to which it refers."""
    cell = row_of(scheme).split(" | ")[2]
    named = set(re.findall(r"`(\w+)`", cell))
    others = {other for other in named if other in CAMERAS}
    return (named - others).union(*(documented(other) for other in others))


@pytest.mark.parametrize("kind", CAMERAS.values(), ids=list(CAMERAS))
def test_the_document_has_every_camera_with_its_options(kind: CameraKind) -> None:
    assert documented(kind.scheme) == set(kind.options)


@pytest.mark.parametrize("kind", TRIGGERS, ids=[kind.form for kind in TRIGGERS])
def test_the_document_has_every_trigger(kind: object) -> None:
    form = re.split(r"[ :]", kind.form)[0]
    assert [row for row in ROWS if row.startswith(f"| `{form}")], form


@pytest.mark.parametrize("kind", CAMERAS.values(), ids=list(CAMERAS))
def test_an_entry_leads_to_what_opens_the_camera(kind: CameraKind) -> None:
    module, _, name = kind.source.partition(":")
    assert callable(getattr(importlib.import_module(f"edge_inspect.edge.cameras.{module}"), name))


@pytest.mark.parametrize("kind", CAMERAS.values(), ids=list(CAMERAS))
def test_a_camera_takes_its_own_options_and_no_others(kind: CameraKind) -> None:
    mark = "#" if kind.scheme in ("rtsp", "rtsps", "gst") else "?"
    where = {"rtsp": "//cam/a", "rtsps": "//cam/a", "gst": "videotestsrc"}.get(kind.scheme, "/a")
    for option in {name for each in CAMERAS.values() for name in each.options}:
        uri = f"{kind.scheme}:{where}{mark}{option}="
        with pytest.raises(CameraError, match=f"option {option}"):
            parse_uri(uri)
        with pytest.raises(CameraError) as raised:
            parse_uri(uri)
        assert ("unknown option" in str(raised.value)) == (option not in kind.options)
