from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.configuration.yaml_file import parse_yaml, read_yaml
from edge_inspect.edge.errors import YamlError

# Each line's list names that of the line before nine times.
LAUGHS = b"x0: &x0 [ha]\n" + b"".join(
    b"x%d: &x%d [%s]\n" % (i, i, b",".join([b"*x%d" % (i - 1)] * 9)) for i in range(1, 10)
)


def refused(text: bytes) -> str:
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    return str(caught.value)


def test_scalars_are_what_they_look_like() -> None:
    text = b"""\
a: [on, No, yes, 1:30, 012, 0x1F, 1_000, 2026-11-29, 3.1.1, 1e, <a]
b: [true, FALSE, 5, -7, +3, 1.5, 1e3, .5, ~, null, 1.0e-05]
c: ["5", 'true', "null", '<<']
on: 1
5: 2
"""
    value = parse_yaml(text).value
    assert value["a"] == ["on", "No", "yes", "1:30", "012", "0x1F", "1_000", "2026-11-29", "3.1.1", "1e", "<a"]
    assert value["b"] == [True, False, 5, -7, 3, 1.5, 1000.0, 0.5, None, None, 1e-05]
    assert value["c"] == ["5", "true", "null", "<<"]
    assert (value["on"], value["5"]) == (1, 2)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(plain)
def test_what_a_program_has_written_is_read_back(value: Any) -> None:
    for allow_unicode in (False, True):
        assert parse_yaml(yaml.safe_dump(value, allow_unicode=allow_unicode).encode()).value == value


def test_merged_keys_and_aliases_are_taken() -> None:
    document = parse_yaml(b"- &a {x: 1, y: [2]}\n- &b {x: 5, z: 3}\n- <<: [*a, *b]\n  y: 4\n- *a\n")
    assert document.value[2:] == [{"x": 1, "z": 3, "y": 4}, {"x": 1, "y": [2]}]
    assert document.lines[(2, "y")] == 4 and document.lines[(2, "x")] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a: 1\nb: 2\na: 3\n", "a: is given twice, lines 1 and 3; keep one"),
        (b"a: {b: [{c: 1, d: 2, c: 3}]}\n", "a.b.0.c: is given twice, line 1; keep one"),
        (b"a:\n  x: 1\n  'x': 2\n  \"x\": 3\n", "a.x: is given 3 times, lines 2, 3 and 4; keep one"),
        (b"5: a\n'5': b\n", "5: is given twice, lines 1 and 2; keep one"),
        (b"a: &a {x: 1, x: 2}\nb: *a\nc: {<<: *a}\n", "a.x: is given twice, line 1; keep one"),
        (b"a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", "b.<<: is given twice, lines 3 and 4; write one list"),
        (b"~: 1\n~: 2\n", "~: is given twice, lines 1 and 2; keep one"),
    ],
)
def test_a_repeated_key_is_said_with_its_lines(text: bytes, said: str) -> None:
    (line,) = refused(text).splitlines()
    assert line.startswith(said)


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        (b"a: 1\nb:\n\tc: 2\n", 3, "indent with blanks, not with a tab"),
        (b"a: @home\n", 1, "in quotes"),
        (b"a: 1\nb: %d\n", 2, "in quotes"),
        (b"a: {{ host }}\n", 1, "a: a key must be text; put a value that begins with {, [ or ? in quotes"),
        (b"a: *name\n", 1, "in quotes"),
        (b"a: 1\nb: folder: /data\n", 2, "in quotes, or give all"),
        (b"a: 1\nb\nc: 2\n", 3, "write a colon and a blank after the key"),
        (b'a: "C:\\data"\n', 1, "single quotes"),
        (b"a: 1\nb: 'open\nc: 3\n", 2, "close the quote"),
        (b"a: 1\n---\na: 2\n", 2, "keep one document"),
        (b"a: !secret x\n", 1, "a: the tag !secret is not supported"),
        (b"a: !!python/object/apply:os.system [id]\n", 1, "the tag !!python/object/apply:os.system is not supported"),
        (b"a: !!binary aGk=\n", 1, "the tag !!binary is not supported"),
        (b"a: !!int many\n", 1, "does not fit the value"),
        (b"a: 1\nb: caf\xe9\n", 2, "save the file as UTF-8"),
        ("a: 1\nb: 2\n".encode("utf-16-le"), 1, "save the file as UTF-8"),
        (b"a: 1\nb: \x07\n", 2, "U+0007"),
        (b'a: "\\ud800"\n', 1, "half a surrogate pair"),
        (b"a: " + b"9" * 5000, 1, "a number of 5000 characters"),
        (b"[" * 100_000, 1, "more than 50 levels"),
        (b"a: &a [*a]\n", 1, "aliases"),
        (b"a: &a {<<: *a}\n", 1, "aliases"),
        (LAUGHS, 2, "aliases"),
    ],
)
def test_what_is_refused_has_its_line_and_remedy(text: bytes, line: int, remedy: str) -> None:
    said = refused(text)
    assert said.startswith(f"is no YAML: line {line}") and remedy in said and "\n" not in said


def test_an_escape_that_stands_for_nothing_is_refused() -> None:
    assert "names no character" in refused(b'a: "\\UFFFFFFFF"')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_so_are_read(encoding: str) -> None:
    assert parse_yaml("site: Köln\r\nline: a\r\n".encode(encoding)).value == {"site": "Köln", "line": "a"}


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"# large\n" * 2**18)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, why in {
            "pipe": "a device, a pipe or a socket",
            "socket": "a device, a pipe or a socket",
            ".": "a folder",
            "none": "No such file",
            "a\0b": "cannot be read",
            "x" * 300: "File name too long",
            "large": "more than 1048576 bytes",
        }.items():
            with pytest.raises(YamlError, match=why):
                read_yaml(tmp_path / name)
        with pytest.raises(YamlError, match="a device"):
            read_yaml(Path("/dev/zero"))


@given(st.text(alphabet="[]{}:-!&*#?|>'\"%@`<~ \n\tab10.\\xu", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_yaml(text.encode())
    except YamlError as error:
        assert str(error)
