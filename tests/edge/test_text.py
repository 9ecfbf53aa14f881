import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.text import clean


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("Prüfplatz 7 部品.png", "Prüfplatz 7 部品.png"),
        (os.fsdecode(b"teil_\xfc.png"), r"teil_\xfc.png"),
        (os.fsdecode(b"\xff\xfe"), r"\xff\xfe"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[2Jred", r"\x1b[2Jred"),
        ("\ud800", r"\ud800"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
    ],
)
def test_what_cannot_be_shown_is_escaped(raw: str, shown: str) -> None:
    assert clean(raw) == shown
    assert clean(clean(raw)) == shown


def test_a_path_is_taken_as_its_name() -> None:
    assert clean(Path("in") / os.fsdecode(b"\xe9.jpg")) == r"in/\xe9.jpg"


@given(st.text(st.characters()) | st.binary().map(os.fsdecode))
def test_any_text_is_one_printable_line_of_utf8(raw: str) -> None:
    shown = clean(raw)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
