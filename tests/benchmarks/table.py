"""What the benchmarks share: the table of results as CSV, the machine's name, and how a program is run."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"

Row = dict[str, object]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Writes rows; the columns are those of the row that has most, and a cell that a row lacks is empty."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, max(rows, key=len), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def store(path: Path, row: Row, key: Iterable[str]) -> None:
    """Adds a row, in the place of that with the same values of `key` where there is one; sorted by `key`."""
    names = list(key)
    rows: list[Row] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [old for old in csv.DictReader(file) if any(str(old[k]) != str(row[k]) for k in names)]
    write(path, sorted([*rows, row], key=lambda r: tuple(str(r[k]) for k in names)))


def processor() -> str:
    """The processor's name and how many of it there are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} x{len(names)}" if names else "unknown"


def program(module: str, *arguments: str) -> None:
    """Runs one of the project's programs as its user would."""
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)
