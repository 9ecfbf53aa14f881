"""Pictures on disk: what is found, and what is said when something is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.edge.errors import DataSetError, ImageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import read_image
from edge_inspect.train.datasets import Category, GoodImages, TestImage, categories, load_fitted, load_mask

SMALL = Fit(32, 32)


def picture(path: Path, width: int = 40, height: int = 40, value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))
    return path


@pytest.fixture
def nut(tmp_path: Path) -> Path:
    """The root of a complete category, `nut`."""
    root = tmp_path / "nut"
    for name in ("b", "a", "c"):
        picture(root / "train" / "good" / f"{name}.png")
    picture(root / "test" / "good" / "000.png")
    for kind in ("scratch", "bent"):
        picture(root / "test" / kind / "001.png")
        picture(root / "test" / kind / "000.png")
        picture(root / "ground_truth" / kind / "000_mask.png", value=255)
        picture(root / "ground_truth" / kind / "001.png", value=255)
    return root


def test_pictures_come_sorted_with_their_masks(nut: Path) -> None:
    category = Category.open(nut.parent, "nut")
    (nut / "train" / "good" / "notes.txt").write_text("not a picture")
    assert [path.name for path in category.train_images()] == ["a.png", "b.png", "c.png"]
    images = category.test_images()
    assert [(i.kind, i.path.name) for i in images] == [
        ("bent", "000.png"),
        ("bent", "001.png"),
        ("good", "000.png"),
        ("scratch", "000.png"),
        ("scratch", "001.png"),
    ]
    assert [i.mask and i.mask.name for i in images] == ["000_mask.png", "001.png", None, "000_mask.png", "001.png"]
    assert [i.good for i in images] == [False, False, True, False, False]


def test_stray_files_beside_the_folders_do_not_matter(nut: Path) -> None:
    for folder in (nut, nut / "test", nut / "ground_truth"):
        (folder / ".DS_Store").write_bytes(b"\0")
    assert len(Category.open(nut.parent, "nut").test_images()) == 5


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"nowhere: no such folder"):
        Category.open(tmp_path / "nowhere", "nut")


def test_an_unknown_category_is_answered_with_those_there_are(nut: Path) -> None:
    picture(nut.parent / "bolt" / "train" / "good" / "0.png")
    (nut.parent / "something else").mkdir()
    with pytest.raises(DataSetError, match=r"has no category 'bottle'; there are bolt, nut$"):
        Category.open(nut.parent, "bottle")


def test_a_folder_without_categories_is_answered_with_the_layouts(tmp_path: Path) -> None:
    layouts = r"expected one of .*NAME/train/good \(MVTec AD\), NAME/train/ok \(BTAD\), .*NAME/good \(plain\)$"
    with pytest.raises(DataSetError, match=rf"has no category 'nut'; there is none; {layouts}"):
        Category.open(tmp_path, "nut")
    with pytest.raises(DataSetError, match=rf"has no categories; {layouts}"):
        categories(tmp_path)


def test_a_folder_in_no_layout_is_answered_with_both(nut: Path) -> None:
    picture(nut.parent / "bolt" / "0.png")
    with pytest.raises(DataSetError, match=r"has no category 'bolt'; there are nut; expected one of "):
        Category.open(nut.parent, "bolt")


def test_a_category_is_its_own_data_set(nut: Path) -> None:
    assert Category.open(nut) == Category.open(nut, ".") == Category.open(nut.parent, "nut")
    with pytest.raises(DataSetError, match=r"nut: has no category 'nut'; it is one itself, so leave the category out"):
        Category.open(nut, "nut")
    with pytest.raises(DataSetError, match=r"is not itself a category; there are nut$"):
        Category.open(nut.parent)


def test_categories_of_any_layout_are_named_in_order(nut: Path) -> None:
    for place in ("d/train/ok", "c/Data/Images", "b/good", "a/train/good/rgb", "no category", ".hidden"):
        (nut.parent / place).mkdir(parents=True)
    assert categories(nut.parent) == ["a", "b", "c", "d", "nut"]
    assert categories(nut) == ["."]
    with pytest.raises(DataSetError, match=r"nowhere: no such folder"):
        categories(nut.parent / "nowhere")


def test_no_images_to_learn_from(tmp_path: Path) -> None:
    good = tmp_path / "nut" / "train" / "good"
    good.mkdir(parents=True)
    with pytest.raises(DataSetError, match=r"train/good: holds no images; expected the layout"):
        Category.open(tmp_path, "nut").train_images()


def test_no_test_folder(tmp_path: Path) -> None:
    picture(tmp_path / "nut" / "train" / "good" / "0.png")
    with pytest.raises(DataSetError, match=r"nut/test: no such folder; expected the layout"):
        Category.open(tmp_path, "nut").test_images()


@pytest.mark.parametrize("kind", ["good", "scratch"])
def test_a_test_split_of_one_class_alone_is_refused(tmp_path: Path, kind: str) -> None:
    picture(tmp_path / "nut" / "train" / "good" / "0.png")
    picture(tmp_path / "nut" / "test" / kind / "0.png")
    with pytest.raises(DataSetError, match=r"nut/test: needs images in good/ and in at least one folder of defects"):
        Category.open(tmp_path, "nut").test_images()


def test_masks_without_an_image_are_refused(nut: Path) -> None:
    picture(nut / "ground_truth" / "scratch" / "002_mask.png")
    picture(nut / "ground_truth" / "dent" / "000_mask.png")
    with pytest.raises(DataSetError, match=r"dent/000_mask.png: matches no image in .*test/dent \(1 such\)"):
        Category.open(nut.parent, "nut").test_images()


def mask_of(image: TestImage) -> np.ndarray | None:
    mask = load_mask(image, read_image(image.path))
    return None if mask is None else mask.marked


def test_a_defect_without_a_mask_has_none(nut: Path) -> None:
    (nut / "ground_truth" / "bent" / "000_mask.png").unlink()
    image = Category.open(nut.parent, "nut").test_images()[0]
    assert image.mask is None and mask_of(image) is None


def test_a_mask_of_another_size_is_refused(nut: Path) -> None:
    picture(nut / "ground_truth" / "bent" / "000_mask.png", 30, 20)
    image = Category.open(nut.parent, "nut").test_images()[0]
    with pytest.raises(DataSetError, match=r"bent/000_mask.png: is 30x20 pixels, its image 40x40\. Both are turned"):
        mask_of(image)


def test_a_mask_on_its_side_is_refused_with_the_reason(nut: Path) -> None:
    picture(nut / "test" / "bent" / "000.png", 40, 30)
    picture(nut / "ground_truth" / "bent" / "000_mask.png", 30, 40)
    with pytest.raises(DataSetError, match=r"is 30x40 pixels, its image 40x30; one of them lies on its side.*EXIF"):
        mask_of(Category.open(nut.parent, "nut").test_images()[0])


def test_two_pictures_of_one_stem_would_share_a_mask(nut: Path) -> None:
    picture(nut / "test" / "bent" / "000.bmp")
    with pytest.raises(DataSetError, match=r"bent/000\.bmp and 000\.png: differ in nothing but the suffix"):
        Category.open(nut.parent, "nut").test_images()


def test_a_mask_is_the_same_on_disk_and_read(nut: Path) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[:20] = 255
    cv2.imwrite(str(nut / "ground_truth" / "bent" / "000_mask.png"), mask)
    bent, _, good, *_ = Category.open(nut.parent, "nut").test_images()
    read = mask_of(bent)
    assert read is not None and (read[:20] == 1).all() and not read[20:].any()
    assert mask_of(good) is None


def test_copies_are_read_once_and_remembered(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 20, 30, 3), np.uint8)
    names = ("a.png", "b.bmp", "c.tif", "d.png")
    for name, i in zip(names, (0, 1, 0, 2), strict=True):
        cv2.imwrite(str(tmp_path / name), pixels[i])
    good = GoodImages([tmp_path / name for name in names], SMALL)
    assert [path.name for path in good.paths] == ["a.png", "b.bmp", "d.png"]
    assert "1 of 4 good images are copies, and count once:" in str(good.copies)
    assert "c.tif of" in str(good.copies)
    wanted = load_fitted([good.paths[1], good.paths[2]], SMALL)
    np.testing.assert_array_equal(good.only(good.paths[1:]), wanted)


def test_any_size_depth_and_colour_is_accepted(tmp_path: Path) -> None:
    pictures = {
        "small.png": np.full((20, 30, 3), 100, np.uint8),
        "large.png": np.full((200, 90, 3), 100, np.uint8),
        "grey.png": np.full((50, 50), 100, np.uint8),
        "deep.png": np.full((50, 50), 100 * 257, np.uint16),
        "deep colour.png": np.full((50, 50, 3), 100 * 257, np.uint16),
        "alpha.png": np.full((50, 50, 4), 100, np.uint8),
        "photo.JPG": np.full((64, 48, 3), 100, np.uint8),
    }
    for name, pixels in pictures.items():
        assert cv2.imwrite(str(tmp_path / name), pixels)
    fitted = load_fitted([tmp_path / name for name in pictures], Fit(64, 32))
    assert fitted.shape == (7, 32, 64, 3)
    assert fitted.dtype == np.uint8
    assert np.abs(fitted.astype(int) - 100).max() <= 1


def test_in_tiles_every_tile_is_loaded(nut: Path) -> None:
    fit = Fit(32, 32, "tile", tiles=(2, 1), overlap=8)
    pictures = Category.open(nut.parent, "nut").train_images()
    assert load_fitted(pictures, fit).shape == (2 * len(pictures), 32, 32, 3)


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ImageError, match=r"a\.png: is not a picture"):
        load_fitted([tmp_path / "a.png"], SMALL)
