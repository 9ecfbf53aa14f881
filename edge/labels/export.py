"""Packs labelled pictures as a zip, in the plain layout that `edge-train --data` reads.

    <site>.<line>.<station>/good/<id>.jpg               parts that are good
    <site>.<line>.<station>/defects/<id>.jpg            defects without a class
    <site>.<line>.<station>/defects/<class>/<id>.jpg    defects of a class
    <site>.<line>.<station>/labels.jsonl                the label of each picture: who, when, and the verdict

`<id>` is the id of the verdict. Parts that are labelled `unsure` are left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edge_inspect.edge.labels.label import Label
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

_LONGEST_NAME = 80  # bytes; a file system allows 255


class ExportedFile(NamedTuple):
    """One file of an export: its path in the zip, and its content."""

    path: str
    data: bytes


def export_zip(labels: Iterable[Label], pictures: Path) -> Iterator[bytes]:
    """Yield a zip of the labelled pictures in pieces, one picture at a time, so that memory holds only one.

    Args:
        labels: Labels with the present word of each part, as `LabelStore.current` returns them.
        pictures: Folder of the store's pictures.
    """
    stream = _Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for file in export_files(labels, pictures):
            entry = zipfile.ZipInfo(file.path)
            entry.external_attr = 0o644 << 16  # else the extracted file has no permissions at all
            archive.writestr(entry, file.data)
            yield stream.take()
    yield stream.take()


def export_files(labels: Iterable[Label], pictures: Path) -> Iterator[ExportedFile]:
    """Yield the files of an export; a picture that is missing or damaged is left out, and the log says so."""
    chosen = [label for label in labels if label.word in ("good", "defect")]
    stations = folder_names({_category(label) for label in chosen})
    classes = folder_names({label.defect_class for label in chosen if label.defect_class is not None})
    lines: dict[str, list[str]] = {}
    for label in chosen:
        category = stations[_category(label)]
        data = _read(pictures, label)
        if data is None:
            log.warning("labels: picture %s of part %s is missing or damaged; it is not exported", *_names(label))
            continue
        kind = "" if label.defect_class is None else f"{classes[label.defect_class]}/"
        folder = "good/" if label.word == "good" else f"defects/{kind}"
        path = f"{category}/{folder}{label.verdict.id}{Path(label.picture).suffix}"
        lines.setdefault(category, []).append(_line(label, path))
        yield ExportedFile(path, data)
    for category, written in lines.items():
        yield ExportedFile(f"{category}/labels.jsonl", "".join(written).encode())


def folder_names(names: Iterable[str]) -> dict[str, str]:
    """Return a folder name for each name, so that no two share one, not even where capitals do not count.

    Letters and digits of any alphabet stay, and so do `-`, `_` and spaces inside; other characters become %XX. A name
    that is too long, or that differs from another one only in capitals, gets a part of its digest as well.
    """
    wanted = {name: _escape(name) for name in set(names)}
    uses = Counter(escaped.casefold() for escaped in wanted.values())
    return {
        name: escaped
        if uses[escaped.casefold()] == 1 and len(escaped.encode()) <= _LONGEST_NAME
        # `~` is otherwise escaped, so no other name ends like this.
        else f"{_cut(escaped)}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        for name, escaped in wanted.items()
    }


def _category(label: Label) -> str:
    return "/".join((label.site, label.line, label.station))


def _escape(name: str) -> str:
    """Return a name without characters that mean something to a file system; different names stay different."""
    # Only levels are joined by a dot, because a dot inside a level is escaped.
    return ".".join(_escape_level(level) or "%" for level in name.split("/"))


def _escape_level(level: str) -> str:
    inner = range(1, len(level) - 1)
    kept = (
        character.isalnum() or character in "-_" or (character == " " and at in inner)
        for at, character in enumerate(level)
    )
    return "".join(
        character if keep else "".join(f"%{byte:02X}" for byte in character.encode())
        for character, keep in zip(level, kept, strict=True)
    )


def _cut(escaped: str) -> str:
    return escaped.encode()[: _LONGEST_NAME - 13].decode(errors="ignore")


def _read(pictures: Path, label: Label) -> bytes | None:
    if not label.picture or Path(label.picture).name != label.picture:  # a name that another program has changed
        return None
    try:
        data = (pictures / label.picture).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == label.picture_sha256 else None


def _names(label: Label) -> tuple[str, str]:
    return clean(label.picture), label.verdict.id


def _line(label: Label, path: str) -> str:
    said = label.model_dump(mode="json", exclude={"picture", "map", "undoes"})
    return json.dumps({"file": path.split("/", 1)[1], **said}, ensure_ascii=False) + "\n"


class _Stream(io.RawIOBase):
    """A file that cannot be searched; what is written to it is taken out piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
