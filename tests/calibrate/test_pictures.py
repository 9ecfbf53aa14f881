"""The pictures that a bundle is made from: kinds of defects, copies, and what the model has seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from edge_inspect.calibrate.pictures import list_defects, read_defects, split_seen
from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.errors import DataSetError
from edge_inspect.edge.frame.images import list_images, pixel_digest, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.copies import Copies


@pytest.fixture
def good(data: Path) -> Path:
    return data / CATEGORY / "train" / "good"


def test_real_defects_have_the_kind_of_their_folder(data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data / CATEGORY / "test", tmp_path / "test"))
    kinds = {each.name for each in folder.iterdir()} - {"good"}
    assert len(kinds) > 1 and set(list_defects(folder).values()) == kinds
    loose = folder / next(iter(kinds))
    assert set(list_defects(loose).values()) == {loose.name}
    shutil.copy(list_images(loose)[0], folder / "another.png")
    assert set(list_defects(folder).values()) == kinds | {"test"}
    (folder / ".hidden").mkdir()
    with pytest.raises(DataSetError, match="--defects .*holds no images"):
        list_defects(folder / ".hidden")


def test_copies_of_good_images_count_once(run: Path, good: Path, tmp_path: Path) -> None:
    about = checkpoint.load(run)[0]
    folder = Path(shutil.copytree(good, tmp_path / "good"))
    for path in list_images(good):  # under another name, in another format
        cv2.imwrite(str(folder / f"copy of {path.stem}.bmp"), read_image(path))
    copies = Copies()
    seen, unseen = split_seen(about, list_images(folder), copies, print)
    assert (len(seen), len(unseen), len(copies.found)) == (12, 4, 16)
    assert f"16 of 32 good images are copies, and count once: {folder}" in str(copies)
    assert {pixel_digest(frame) for frame in unseen.values()} == set(about.held_out)


def test_defects_among_the_good_images_are_said(run: Path, good: Path) -> None:
    about, copies, said = checkpoint.load(run)[0], Copies(), []
    images = list_images(good)
    split_seen(about, images[1:], copies, print)
    assert len(read_defects(about, images[:3], copies, said.append)) == 3
    assert said == [f"2 images are among --good and --defects: {images[1]}, ..."]
