"""Which files of a folder count as pictures, and what the log says about the others."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.frame.images.folder import list_images, look_into, nothing_here, pictures_of, warn_once


@pytest.fixture(autouse=True)
def _anew() -> None:
    warn_once.cache_clear()


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_pictures_are_listed_by_name_whatever_their_suffix_s_case(tmp_path: Path) -> None:
    names = ("b.PNG", "a.jpg", "c.tiff", "d.Pgm", "e.jp2", "f.JFIF", "g.jpe", "h.tif", "i.webp", "j.ppm")
    assert [path.name for path in list_images(fill(tmp_path, *names))] == sorted(names)


def test_what_is_passed_over_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, "a.png", "._a.png", ".DS_Store", "Thumbs.db", "x.heic", "y.HEIC", "notes.txt", "README")
    fill(tmp_path / "monday.png", "b.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert [path.name for path in list_images(tmp_path)] == ["a.png"]
    kinds = ".heic 2, .txt 1, broken link 1, hidden 3, no regular file 1, no suffix 1"
    said = f"{tmp_path}: 9 files skipped ({kinds}); 1 folder in it not searched"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_nothing_is_said_of_a_folder_of_pictures_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(list_images(fill(tmp_path, "a.png", "b.jpg"))) == 2
    assert not caplog.records


def test_links_to_pictures_are_pictures(tmp_path: Path) -> None:
    target = fill(tmp_path / "there", "a.png") / "a.png"
    here = fill(tmp_path / "here")
    (here / "link.png").symlink_to(target)
    assert [path.name for path in list_images(here)] == ["link.png"]
    (here / "round.png").symlink_to(here / "round.png")
    assert look_into(here).passed_over == {"broken link": 1}


def test_a_folder_without_pictures_is_described(tmp_path: Path) -> None:
    assert nothing_here(fill(tmp_path / "empty")) == f"{tmp_path}/empty: holds no images"
    fill(tmp_path / "raw", "a.cr2", "b.cr2")
    assert "raw: holds no images (2 files skipped (.cr2 2); the name of an image ends in .png, .jpg," in nothing_here(
        tmp_path / "raw"
    )
    fill(tmp_path / "days" / "monday", "a.png")
    assert "days: holds no images (1 folder in it not searched; the name" in nothing_here(tmp_path / "days")


def test_names_that_are_no_utf8_are_said_clean(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = fill(tmp_path / os.fsdecode(b"t\xfc"), "a.png", os.fsdecode(b"x.\xe9\xe9"), "y.\x1b[2J")
    with caplog.at_level(logging.WARNING):
        list_images(folder)
    assert caplog.records[0].getMessage().isprintable()
    assert r"t\xfc: 2 files skipped (.\x1b[2j 1, .\xe9\xe9 1)" in caplog.text


def test_files_and_folders_are_taken_together_each_once(tmp_path: Path) -> None:
    folder = fill(tmp_path / "a", "1.png", "2.png")
    other = fill(tmp_path / "b", "notes") / "notes"
    found = pictures_of([folder / "2.png", folder, other])
    assert found == [folder / "2.png", folder / "1.png", other]
    assert pictures_of([]) == []
    with pytest.raises(ImageError, match=r"b: holds no images .*; .*c: holds no images"):
        pictures_of([tmp_path / "b", fill(tmp_path / "c")])


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="none: cannot be read: No such file"):
        look_into(tmp_path / "none")
    with pytest.raises(ImageError, match="a.png: cannot be read: Not a directory"):
        look_into(fill(tmp_path, "a.png") / "a.png")
