"""VisA's split file: which pictures of a category are to learn from, and which are to test with.

The file is DIR/split_csv/1cls.csv. It has a line for each picture, with paths relative to DIR:

    object,split,label,image,mask
    candle,train,normal,candle/Data/Images/Normal/0836.JPG,
    candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png

It is published with the data set: https://github.com/amazon-science/spot-diff.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.edge.errors import DataSetError

SPLIT = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")


@dataclass(frozen=True)
class Row:
    """A picture of the split file.

    Attributes:
        image: File of the picture.
        train: Whether it is for training; otherwise it is for the test.
        good: Whether the part is good.
        mask: Ground truth of a defective part, if the file names one.
    """

    image: Path
    train: bool
    good: bool
    mask: Path | None


def read_split(data: Path, category: str) -> list[Row]:
    """Return the rows of one category, sorted by picture.

    Raises:
        DataSetError: The file cannot be read, has no row of this category, or a row is wrong: an invalid value, a
            missing file, a picture listed twice, or a defective part to learn from. The message names file and row.
    """
    file = data / SPLIT
    rows: dict[Path, Row] = {}
    objects = set()
    for number, fields in _read_table(file):
        objects.add(fields["object"])
        if fields["object"] == category:
            row = _parse(data, fields, f"{file}, row {number}")
            if row.image in rows:
                raise DataSetError(f"{file}, row {number}: {row.image} is listed twice; keep one of the rows")
            rows[row.image] = row
    if not rows:
        known = ", ".join(sorted(objects)) or "none at all"
        raise DataSetError(f"{file}: has no rows for object {category!r}; there are {known}")
    return [rows[image] for image in sorted(rows)]


def _read_table(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the fields of each row that are named in `COLUMNS`, with the row's line number; the header is line 1."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataSetError(f"{file}, row 1: lacks column {', '.join(missing)}; expected {','.join(COLUMNS)}")
            return [(reader.line_num, {name: row[name] or "" for name in COLUMNS}) for row in reader]
    except FileNotFoundError as error:
        raise DataSetError(
            f"{file}: no such file; it comes with VisA and says which images are for training"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataSetError(f"{file}: cannot be read as CSV in UTF-8: {error}") from error


def _parse(data: Path, fields: dict[str, str], place: str) -> Row:
    for name, known in (("split", ("train", "test")), ("label", ("normal", "anomaly"))):
        if fields[name] not in known:
            raise DataSetError(f"{place}: {name} is {fields[name]!r}; expected {' or '.join(known)}")
    row = Row(
        data / fields["image"],
        fields["split"] == "train",
        fields["label"] == "normal",
        data / fields["mask"] if fields["mask"] and fields["label"] == "anomaly" else None,
    )
    if row.train and not row.good:
        raise DataSetError(f"{place}: a defective part for training; models learn from good parts alone")
    for name, path in (("image", row.image), ("mask", row.mask)):
        if path is not None and not path.is_file():
            raise DataSetError(f"{place}: {name} {path} does not exist")
    return row
