from __future__ import annotations

import io
import json
import logging
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_parts import label, picture, verdict

from edge_inspect.edge.labels.export import export_zip, folder_names
from edge_inspect.edge.labels.label import Label
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.train.datasets import Category

CATEGORY = "plant1.line1.station1"


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    """Ten good parts, three defects and one that is unsure."""
    store = LabelStore(tmp_path / "labels")
    for number in range(1, 11):
        store.add(label("good", of=verdict(number)), picture(number, ".jpg"))
    for number, kind in ((11, None), (12, "dent"), (13, "../../a: b")):
        store.add(label("defect", of=verdict(number), defect_class=kind), picture(number))
    store.add(label("unsure", of=verdict(14)), picture(14))
    return store


def zipped(labels: list[Label], pictures: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(export_zip(labels, pictures))))


def test_edge_train_reads_it(tmp_path: Path, store: LabelStore) -> None:
    zipped(store.current(), store.pictures).extractall(tmp_path / "out")
    category = Category.open(tmp_path / "out", CATEGORY)
    test = category.test_images()
    assert len(category.train_images()) + sum(image.good for image in test) == 10
    assert sorted(image.kind for image in test if not image.good) == ["%2E%2E.%2E%2E.a%3A b", "defect", "dent"]
    lines = [json.loads(line) for line in (tmp_path / "out" / CATEGORY / "labels.jsonl").read_text().splitlines()]
    assert {line["file"] for line in lines} == {
        path.relative_to(tmp_path / "out" / CATEGORY).as_posix() for path in (tmp_path / "out").rglob("*.[jp][pn]g")
    }
    assert {(line["by"], line["verdict"]["bundle"]["name"]) for line in lines} == {("anna", "flange")}
    assert {line["defect_class"] for line in lines} == {None, "dent", "../../a: b"}


def test_files_that_are_extracted_may_be_read(store: LabelStore) -> None:
    archive = zipped(store.current(), store.pictures)
    assert archive.testzip() is None
    assert all(entry.external_attr >> 16 == 0o644 for entry in archive.infolist())


def test_a_zip_holds_one_picture_in_memory(store: LabelStore) -> None:
    pieces = list(export_zip(store.current(), store.pictures))
    assert len(pieces) == 13 + 1 + 1
    assert max(map(len, pieces)) < 20_000


def test_stations_are_categories(tmp_path: Path, store: LabelStore) -> None:
    for site, station in (("a.b", "c"), ("a", "b.c"), ("..", "."), ("Plant1", "station1")):
        store.add(label(site=site, line="line1", station=station), picture())
    names = {name.split("/")[0] for name in zipped(store.current(), store.pictures).namelist()}
    assert len({name.casefold() for name in names}) == 5
    assert {"a%2Eb.line1.c", "a.line1.b%2Ec", "%2E%2E.line1.%2E"} < names


@pytest.mark.parametrize("fault", ["missing", "changed", "elsewhere"])
def test_a_picture_that_is_not_what_was_labelled_is_left_out(
    tmp_path: Path, store: LabelStore, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    labels = store.current()
    if fault == "missing":
        (store.pictures / labels[0].picture).unlink()
    elif fault == "changed":
        (store.pictures / labels[0].picture).write_bytes(picture(99))
    else:
        (tmp_path / "secret.png").write_bytes(picture())
        labels[0] = labels[0].model_copy(update={"picture": "../../secret.png"})
    with caplog.at_level(logging.WARNING):
        names = zipped(labels, store.pictures).namelist()
    assert not any(labels[0].verdict.id in name for name in names)
    assert len(names) == 12 + 1
    assert "missing or damaged; it is not exported" in caplog.text


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=90), max_size=12))
def test_no_two_names_share_a_folder(names: set[str]) -> None:
    folders = folder_names(names)
    assert len({folder.casefold() for folder in folders.values()}) == len(names)
    for folder in folders.values():
        assert folder and folder not in (".", "..") and "/" not in folder and "\0" not in folder
        assert len(folder.encode()) <= 80
        assert not folder.startswith(".")


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        ({"Kratzer", "Öl fleck"}, {"Kratzer", "Öl fleck"}),
        ({".", ".."}, {"%2E", "%2E%2E"}),
        ({".hidden", "con"}, {"%2Ehidden", "con"}),
        ({"a%2Fb", "a/b"}, {"a%252Fb", "a.b"}),
    ],
)
def test_what_folders_are_named(names: set[str], folders: set[str]) -> None:
    assert set(folder_names(names).values()) == folders


def test_names_that_differ_in_capitals_are_told_apart() -> None:
    dent, capital = (folder_names({"dent", "Dent", "scratch"})[name] for name in ("dent", "Dent"))
    assert dent.startswith("dent~") and capital.startswith("Dent~")
    assert dent.casefold() != capital.casefold()
