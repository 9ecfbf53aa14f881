"""The files that a fetch writes: one folder for each station, whose name comes from the network."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path

from edge_inspect.edge.contract.fields import format_time
from edge_inspect.edge.contract.reports import EvidenceRow, Kind, LogLine
from edge_inspect.edge.files import write_atomically

FILES: dict[Kind, str] = {"log": "log.txt", "evidence": "evidence.csv"}
COLUMNS = ("time", "id", "ok", "score", "files")
# Windows refuses these characters too, and fetched files are often copied there.
_UNSAFE = re.compile(r'[%<>:"/\\|?*\x00-\x1f\x7f]|^[. ]|[. ]$')
_LONGEST = 200


def folder_of(out: Path, key: str) -> Path:
    """Return the folder of a station. It lies below `out`, and no two stations have the same.

    Args:
        out: Folder of the fetch.
        key: The station, as site/line/station.
    """
    return out.joinpath(*map(safe_name, key.split("/")))


def safe_name(name: str) -> str:
    """Return a name that a file can have. Unsafe characters become %XX, and a long name is cut and gets a digest."""
    safe = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name)
    encoded = safe.encode("utf-8", "backslashreplace")
    if len(encoded) <= _LONGEST:
        return encoded.decode()
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    # An unescaped % is in no other name.
    return f"{encoded[: _LONGEST - 40].decode(errors='ignore')}%{digest}"


def write_log(folder: Path, lines: Sequence[LogLine | str]) -> None:
    """Write the lines of a log.

    Args:
        folder: Folder of the station.
        lines: The lines; a text stands for lines that are missing.

    Raises:
        OSError: The file cannot be written.
    """
    texts = (line if isinstance(line, str) else f"{format_time(line.at)} {line.text}" for line in lines)
    write_atomically(folder / FILES["log"], "".join(f"{text}\n" for text in texts).encode())


def write_evidence(folder: Path, rows: Sequence[EvidenceRow]) -> None:
    """Write an index of evidence as CSV. The files of a part are separated by spaces.

    Args:
        folder: Folder of the station.
        rows: The parts.

    Raises:
        OSError: The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        files = " ".join(row.files)
        writer.writerow((format_time(row.at), row.id, str(row.ok).lower(), repr(row.score), files))
    write_atomically(folder / FILES["evidence"], text.getvalue().encode())
