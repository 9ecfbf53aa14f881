"""The one reader of YAML, for configurations, manifests and checkpoints.

It is stricter than PyYAML's reader, and guesses less about values without quotes:

    a repeated key            is refused; the message names both lines
    on, off, yes, no, 1:30    are text; only true and false are truth values (a setting of that kind accepts yes and no)
    012, 2026-11-29           are text, not an octal number and not a date
    tags, several documents   are refused
    << and *aliases           are accepted, unless they multiply the size of the document
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
"""The path to a value: the keys, and the indices in lists."""

_LARGEST_FILE = 2**20
_DEEPEST = 50
_LONGEST_NUMBER = 400
_LONGEST_PLACE = 10
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}
_FLOATS = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}

# Remedies for common mistakes, each under a part of PyYAML's message.
_REMEDIES = {
    "'\\t'": "indent with blanks, not with a tab",
    "cannot start any token": "put a value that begins with this character in quotes",
    "mapping values are not allowed": "put a value that holds a colon and a blank in quotes, or give all keys of a "
    "mapping the same indent",
    "could not find expected ':'": "write a colon and a blank after the key: `key: value`",
    "<block end>": "give all keys of a mapping the same indent, and all dashes of a list",
    "undefined alias": "put a value that begins with * in quotes",
    "unknown escape character": "put a value with backslashes in single quotes",
    "unexpected end of stream": "close the quote or bracket",
    "expected ',' or": "close the bracket, or add the missing comma",
    "another document": "keep one document, and remove the line ---",
    "directive": "put a value that begins with % in quotes",
    "the tag handle": "put a value that begins with ! in quotes",
    "levels": "is it the right file?",
}


class Document(NamedTuple):
    """The content of a YAML text.

    Attributes:
        value: Mappings, lists, text, numbers, truth values and `None`. Every key is text.
        lines: Line number of each value's key, from 1; for a value that an alias inserts, the line of the alias.
    """

    value: Any
    lines: dict[Place, int]


def read_yaml(path: Path) -> Document:
    """Return the content of a YAML file of at most 1 MiB.

    Raises:
        YamlError: The file cannot be read or parsed (see `parse_yaml`). The message does not name the file.
    """
    try:
        text = read_file(path, _LARGEST_FILE)
    except OSError as error:
        raise YamlError(f"cannot be read: {error.strerror}") from error
    return parse_yaml(text)


def parse_yaml(text: bytes) -> Document:
    """Return the content of a YAML text; its value is `None` if the text is empty.

    Raises:
        YamlError: The text is no YAML, or uses something that this reader refuses. The message names the line and the
            remedy; it has one line for each repeated key.
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
        raise YamlError('is no YAML: an escape ("\\U...") names no character; use single quotes') from error
    builder = _Builder(len(decoded))
    value = builder.build(root, ()) if root is not None else None
    if builder.repeated:
        raise YamlError("\n".join(builder.repeated), in_keys=True)
    return Document(value, builder.lines)


def show_place(place: Place) -> str:
    """Return a place in dots, for a message: `stations.0.name`."""
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
    """Return one line that says where the YAML is wrong, why, and how to correct it."""
    problem = error.problem or error.context or "it cannot be read"
    remedy = next((remedy for piece, remedy in _REMEDIES.items() if piece in problem), "")
    # If a quote is not closed, name the line in which it opens; PyYAML names the last line of the file.
    mark = error.context_mark if "end of stream" in problem and error.context_mark else error.problem_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{where}{problem}" + (f"; {remedy}" if remedy else "")


class _Resolver(BaseResolver):
    """The types of scalars without quotes: the words of YAML 1.2, and decimal numbers."""


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
        """Compose a node; raise an error if it is nested too deeply for Python's recursion limit."""
        self._depth += 1
        if self._depth > _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise MarkedYAMLError(problem=f"more than {_DEEPEST} levels", problem_mark=mark)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Builder:
    """Builds the values of nodes.

    Args:
        length: Number of characters of the text. A text without aliases has no more values than characters, so more
            values than that mean that aliases multiply.
    """

    def __init__(self, length: int) -> None:
        self.lines: dict[Place, int] = {}
        self.repeated: list[str] = []
        self._left = length + 10_000
        self._depth = 0
        self._seen: set[int] = set()

    def build(self, node: Node, place: Place) -> Any:
        """Return the value of a node; record its lines and repeated keys."""
        self._left -= 1
        if self._left < 0 or self._depth > _DEEPEST:
            raise self._problem(node, place, "aliases (*name) make the document too large; write the values out")
        if node.tag not in _PLAIN_TAGS:
            raise self._problem(node, place, f"the tag {_short(node.tag)} is not supported; write the value without it")
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
        # A mapping that an alias repeats is checked once, where it is written.
        if id(node) not in self._seen:
            self._seen.add(id(node))
            self.repeated += [_say_repeated((*place, key), at) for key, at in places.items() if len(at) > 1]
        return {**self._merge(merged, place), **own}

    def _merge(self, nodes: list[Node], place: Place) -> dict[str, Any]:
        """Return the keys that `<<` inserts; if several mappings have a key, the first one counts."""
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
            raise self._problem(node, place, "holds half a surrogate pair, which is no character; write the character")
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
        except (KeyError, ValueError):  # only a tag leads here, as in `!!int many`
            raise self._problem(node, place, f"the tag !!{kind} does not fit the value; remove the tag") from None
        return text

    def _problem(self, node: Node, place: Place, what: str) -> YamlError:
        where = f"{show_place(place)}: " if place else ""
        return YamlError(f"is no YAML: line {node.start_mark.line + 1}: {where}{what}")


def _say_repeated(place: Place, lines: list[int]) -> str:
    times = "twice" if len(lines) == 2 else f"{len(lines)} times"
    different = sorted(set(lines))
    where = f"lines {', '.join(map(str, different[:-1]))} and {different[-1]}" if different[1:] else f"line {lines[0]}"
    keep = "write one list, `<<: [*a, *b]`" if place[-1] == "<<" else "keep one"
    return f"{show_place(place)}: is given {times}, {where}; {keep}"


def _short(tag: str) -> str:
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
