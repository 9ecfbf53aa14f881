"""YAML as people write it: the one reader of configurations, manifests and checkpoints.

It is stricter than PyYAML's, and takes a scalar for what it looks like:

    a repeated key            is refused, with both lines
    on, off, yes, no, 1:30    are text; only true and false are truth values, and a field of that kind takes yes and no
    012, 2026-11-29           are text: no octal number, no date
    tags, several documents   are refused
    << and *aliases           are taken, as long as they do not multiply
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from yaml.composer import Composer
from yaml.error import MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from edge_inspect.edge.errors import YamlError
from edge_inspect.edge.files import read_file

Place = tuple[str | int, ...]
"""Where a value stands: the keys and the numbers in lists that lead to it."""

_LARGEST_FILE = 2**20
_DEEPEST = 50
_LONGEST_NUMBER = 400
_LONGEST_PLACE = 10
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}
_FLOATS = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}

# What people stumble over, by a piece of PyYAML's message.
_REMEDIES = {
    "'\\t'": "indent with blanks, not with a tab",
    "cannot start any token": "put a value that begins with this character in quotes",
    "mapping values are not allowed": "put a value that holds a colon and a blank in quotes, or indent the keys of one "
    "mapping alike",
    "could not find expected ':'": "write a colon and a blank behind the key: `key: value`",
    "<block end>": "indent the keys of one mapping alike, and the dashes of one list",
    "undefined alias": "put a value that begins with * in quotes",
    "unknown escape character": "put a value with backslashes in single quotes",
    "unexpected end of stream": "a quote or a bracket is not closed",
    "expected ',' or": "a bracket is not closed, or a comma is missing",
    "another document": "keep one document: take the line --- out",
    "directive": "put a value that begins with % in quotes",
    "the tag handle": "put a value that begins with ! in quotes",
    "levels": "is it the right file?",
}


class Document(NamedTuple):
    """What a YAML text says.

    Attributes:
        value: Mappings, lists, text, numbers, truth values and `None`. Every key is text.
        lines: In which line of the text each value's key stands, from 1; of what an alias brings, where it was named.
    """

    value: Any
    lines: dict[Place, int]


def read_yaml(path: Path) -> Document:
    """Return what a YAML file of at most 1 MiB says.

    Raises:
        YamlError: The file cannot be read, or as `parse_yaml`. The message does not name the file.
    """
    try:
        text = read_file(path, _LARGEST_FILE)
    except OSError as error:
        raise YamlError(f"cannot be read: {error.strerror}") from error
    return parse_yaml(text)


def parse_yaml(text: bytes) -> Document:
    """Return what a YAML text says; `None` where it is empty.

    Raises:
        YamlError: It is no YAML, or one of those that are refused here; the message has the line and the remedy. Of
            repeated keys, it has one line for each.
    """
    decoded = _decode(text)
    try:
        root = _Composer(decoded).get_single_node()
    except ReaderError as error:
        line = decoded.count("\n", 0, error.position) + 1
        remedy = "save the file as UTF-8" if "\0" in decoded else "take it out"
        raise YamlError(f"is no YAML: line {line}: it holds the character U+{error.character:04X}; {remedy}") from error
    except MarkedYAMLError as error:
        raise YamlError(f"is no YAML: {_explain(error)}") from error
    except (ValueError, OverflowError) as error:  # from chr(), where the scanner does not look
        raise YamlError('is no YAML: an escape ("\\U...") stands for no character; use single quotes') from error
    builder = _Builder(len(decoded))
    value = builder.build(root, ()) if root is not None else None
    if builder.repeated:
        raise YamlError("\n".join(builder.repeated), in_keys=True)
    return Document(value, builder.lines)


def show_place(place: Place) -> str:
    """Return a place as messages name it: `stations.0.name`."""
    shown = [str(part) for part in place]
    return ".".join(shown if len(shown) <= _LONGEST_PLACE else [*shown[: _LONGEST_PLACE - 1], "..."])


def _decode(text: bytes) -> str:
    encoding = "utf-16" if text.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return text.decode(encoding)
    except UnicodeDecodeError as error:
        line, found = text.count(b"\n", 0, error.start) + 1, text[error.start]
        name = encoding.removesuffix("-sig").upper()
        raise YamlError(
            f"is no YAML: line {line}: the byte 0x{found:02x} is not {name}; save the file as UTF-8"
        ) from error


def _explain(error: MarkedYAMLError) -> str:
    """Say in one line where a text is no YAML, why, and what to do about it."""
    problem = error.problem or error.context or "it cannot be read"
    remedy = next((remedy for piece, remedy in _REMEDIES.items() if piece in problem), "")
    # Where a quote is not closed, the line in which it opens helps, not the last of the file.
    mark = error.context_mark if "end of stream" in problem and error.context_mark else error.problem_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{where}{problem}" + (f"; {remedy}" if remedy else "")


class _Resolver(BaseResolver):
    """What a scalar without quotes stands for: the words and numbers of YAML 1.2, in decimal alone."""


for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
):
    _Resolver.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


class _Composer(Reader, Scanner, Parser, Composer, _Resolver):
    """The tree of a text's nodes."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Compose a node, unless it lies too deep: each level takes several of Python's."""
        self._depth += 1
        if self._depth > _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise MarkedYAMLError(problem=f"more than {_DEEPEST} levels", problem_mark=mark)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Builder:
    """Makes values of nodes.

    Args:
        length: Of the text: without aliases, it has no more values than characters.
    """

    def __init__(self, length: int) -> None:
        self.lines: dict[Place, int] = {}
        self.repeated: list[str] = []
        self._left = length + 10_000
        self._depth = 0
        self._seen: set[int] = set()

    def build(self, node: Node, place: Place) -> Any:
        """Return a node's value, and note its lines and repeated keys."""
        self._left -= 1
        if self._left < 0 or self._depth > _DEEPEST:
            raise self._problem(node, place, "aliases (*name) make too much of it; write the values out")
        if node.tag not in _PLAIN_TAGS:
            raise self._problem(
                node, place, f"the tag {_short(node.tag)} is not known here; write the value without it"
            )
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return self._scalar(node, place)
        self._depth += 1
        value = self._mapping(node, place) if isinstance(node, MappingNode) else self._list(node, place)
        self._depth -= 1
        return value

    def _list(self, node: Node, place: Place) -> list[Any]:
        return [self.build(item, (*place, i)) for i, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        places: dict[str, list[int]] = defaultdict(list)
        own: dict[str, Any] = {}
        merged: list[Node] = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._problem(key, place, "a key must be text; put a value that begins with {, [ or ? in quotes")
            places[key.value].append(key.start_mark.line + 1)
            if key.tag == f"{_TAG}merge":
                merged.append(value)
                continue
            at = (*place, key.value)
            self.lines.setdefault(at, key.start_mark.line + 1)
            own[key.value] = self.build(value, at)
        # What an alias names has been looked at where it stands.
        if id(node) not in self._seen:
            self._seen.add(id(node))
            self.repeated += [_say_repeated((*place, key), at) for key, at in places.items() if len(at) > 1]
        return {**self._merge(merged, place), **own}

    def _merge(self, nodes: list[Node], place: Place) -> dict[str, Any]:
        """Return what `<<` brings; of several mappings, the first that has a key counts."""
        sources = [item for node in nodes for item in (node.value if isinstance(node, SequenceNode) else [node])]
        found: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, MappingNode):
                raise self._problem(source, (*place, "<<"), "needs a mapping, as in `<<: *name`")
            found = {**self.build(source, place), **found}
        return found

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        text: str = node.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self._problem(node, place, "holds half of a surrogate pair, which is no text; write the character")
        kind = node.tag.removeprefix(_TAG)
        if kind in ("int", "float") and len(text) > _LONGEST_NUMBER:
            raise self._problem(node, place, f"is a number of {len(text)} characters; is a quote missing?")
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text)
            if kind == "float":
                return _FLOATS[text.lower()] if text.lower() in _FLOATS else float(text)
        except (KeyError, ValueError):  # only where a tag says so: !!int many
            raise self._problem(node, place, f"the tag !!{kind} does not fit the value; leave it out") from None
        return text

    def _problem(self, node: Node, place: Place, what: str) -> YamlError:
        where = f"{show_place(place)}: " if place else ""
        return YamlError(f"is no YAML: line {node.start_mark.line + 1}: {where}{what}")


def _say_repeated(place: Place, lines: list[int]) -> str:
    times = "twice" if len(lines) == 2 else f"{len(lines)} times"
    different = sorted(set(lines))
    where = f"lines {', '.join(map(str, different[:-1]))} and {different[-1]}" if different[1:] else f"line {lines[0]}"
    keep = "give a list of them, `<<: [*a, *b]`" if place[-1] == "<<" else "keep one"
    return f"{show_place(place)}: is there {times}, {where}; {keep}"


def _short(tag: str) -> str:
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
