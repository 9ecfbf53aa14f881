"""VisA's split file: its rows, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_inspect.edge.errors import DataSetError
from edge_inspect.train.visa import Row, read_split

HEADER = "object,split,label,image,mask"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the files that rows may name; what is in them is not looked at."""
    for name in ("good/0.JPG", "good/1.JPG", "bad/0.JPG", "masks/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def write(data: Path, *lines: str, encoding: str = "utf-8") -> None:
    (data / "split_csv").mkdir(exist_ok=True)
    (data / "split_csv" / "1cls.csv").write_text("".join(f"{line}\n" for line in lines), encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_rows_of_the_category_come_sorted(data: Path, encoding: str) -> None:
    write(
        data,
        HEADER,
        "nut,train,normal,good/1.JPG,",
        "bolt,train,normal,not there.JPG,",
        "nut,test,normal,good/0.JPG,",
        "nut,test,anomaly,bad/0.JPG,masks/0.png",
        encoding=encoding,
    )
    assert read_split(data, "nut") == [
        Row(data / "bad/0.JPG", train=False, good=False, mask=data / "masks/0.png"),
        Row(data / "good/0.JPG", train=False, good=True, mask=None),
        Row(data / "good/1.JPG", train=True, good=True, mask=None),
    ]


def test_columns_may_come_in_any_order_and_number(data: Path) -> None:
    write(data, "note,mask,image,label,split,object", "x,masks/0.png,bad/0.JPG,anomaly,test,nut")
    assert [row.mask for row in read_split(data, "nut")] == [data / "masks/0.png"]


def test_a_defect_may_have_no_mask(data: Path) -> None:
    write(data, HEADER, "nut,test,anomaly,bad/0.JPG")
    assert [row.mask for row in read_split(data, "nut")] == [None]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("nut,train,normal,good/7.JPG,", r"image .*good/7.JPG does not exist"),
        ("nut,test,anomaly,bad/0.JPG,masks/7.png", r"mask .*masks/7.png does not exist"),
        ("nut,train,normal", r"image .* does not exist"),
        ("nut,validation,normal,good/1.JPG,", r"split is 'validation'; expected train or test"),
        ("nut,test,bad,bad/0.JPG,", r"label is 'bad'; expected normal or anomaly"),
        ("nut,train,anomaly,bad/0.JPG,", r"a defective part for training; models learn from good parts alone"),
        ("nut,test,normal,good/0.JPG,", r".*good/0.JPG is listed twice; keep one of the rows"),
    ],
)
def test_a_wrong_row_is_named(data: Path, row: str, said: str) -> None:
    write(data, HEADER, "nut,train,normal,good/0.JPG,", row)
    with pytest.raises(DataSetError, match=rf"split_csv/1cls\.csv, row 3: {said}"):
        read_split(data, "nut")


@pytest.mark.parametrize("header", ["object,split,image", "", "object;split;label;image;mask"])
def test_missing_columns_are_named(data: Path, header: str) -> None:
    write(data, header, "nut,train,good/0.JPG")
    with pytest.raises(DataSetError, match=r"1cls\.csv, row 1: lacks column .*label.*; expected object,split,label"):
        read_split(data, "nut")


def test_a_category_without_rows_is_answered_with_those_there_are(data: Path) -> None:
    write(data, HEADER, "nut,train,normal,good/0.JPG,", "bolt,train,normal,good/1.JPG,")
    with pytest.raises(DataSetError, match=r"has no rows for object 'cap'; there are bolt, nut$"):
        read_split(data, "cap")
    write(data, HEADER)
    with pytest.raises(DataSetError, match=r"has no rows for object 'cap'; there are none at all$"):
        read_split(data, "cap")


def test_no_split_file(data: Path) -> None:
    with pytest.raises(DataSetError, match=r"split_csv/1cls\.csv: no such file; it comes with VisA"):
        read_split(data, "nut")


def test_a_split_file_that_is_no_text(data: Path) -> None:
    write(data)
    (data / "split_csv" / "1cls.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataSetError, match=r"1cls\.csv: cannot be read as CSV in UTF-8"):
        read_split(data, "nut")
