"""Each layout from a rendered tree: what is found in it, and what is said of what is missing or wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.edge.errors import DataSetError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import read_image
from edge_inspect.train.datasets import Category, load_mask

SMALL = Fit(32, 32)


def picture(path: Path, value: int = 90) -> Path:
    """Writes 8x8 pixels of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((8, 8), value, np.uint8))
    return path


def mvtec(data: Path) -> Category:
    for name in ("001", "000"):
        picture(data / "nut" / "train" / "good" / f"{name}.png")
        picture(data / "nut" / "test" / "bent" / f"{name}.png")
        picture(data / "nut" / "ground_truth" / "bent" / f"{name}_mask.png", 255)
    picture(data / "nut" / "test" / "good" / "000.png")
    return Category.open(data, "nut")


def mvtec_3d(data: Path) -> Category:
    root = data / "bagel"
    for name in ("001", "000"):
        picture(root / "train" / "good" / "rgb" / f"{name}.png")
        picture(root / "validation" / "good" / "rgb" / f"{name}.png")
        for kind, marked in (("good", 0), ("crack", 255)):
            picture(root / "test" / kind / "rgb" / f"{name}.png")
            picture(root / "test" / kind / "gt" / f"{name}.png", marked)
            (root / "test" / kind / "xyz").mkdir(exist_ok=True)
            (root / "test" / kind / "xyz" / f"{name}.tiff").touch()
    return Category.open(data, "bagel")


def btad(data: Path) -> Category:
    root = data / "01"
    for name in ("0001", "0000"):
        picture(root / "train" / "ok" / f"{name}.bmp")
        picture(root / "test" / "ok" / f"{name}.bmp")
    picture(root / "test" / "ko" / "0001.png")
    picture(root / "test" / "ko" / "0000.bmp")
    picture(root / "ground_truth" / "ko" / "0001.bmp", 255)
    picture(root / "ground_truth" / "ko" / "0000.png", 255)
    return Category.open(data, "01")


def visa(data: Path) -> Category:
    rows = ["object,split,label,image,mask", "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,"]
    for split, name in (("train", "0002"), ("test", "0003"), ("train", "0001"), ("test", "0000")):
        path = picture(data / "candle" / "Data" / "Images" / "Normal" / f"{name}.JPG")
        rows.append(f"candle,{split},normal,{path.relative_to(data).as_posix()},")
    for name in ("001", "000"):
        path = picture(data / "candle" / "Data" / "Images" / "Anomaly" / f"{name}.JPG")
        mask = picture(data / "candle" / "Data" / "Masks" / "Anomaly" / f"{name}.png", 3)
        rows.append(f"candle,test,anomaly,{path.relative_to(data).as_posix()},{mask.relative_to(data).as_posix()}")
    (data / "split_csv").mkdir()
    (data / "split_csv" / "1cls.csv").write_text("\n".join(rows) + "\n")
    return Category.open(data, "candle")


def plain(data: Path) -> Category:
    for number in range(10):
        picture(data / "cap" / "good" / f"{number}.jpg")
    for number, mask in enumerate(("0_mask.png", "1.bmp")):
        picture(data / "cap" / "defects" / f"{number}.jpg")
        picture(data / "cap" / "masks" / mask, 255)
    return Category.open(data, "cap")


every_layout = pytest.mark.parametrize("build", [mvtec, mvtec_3d, btad, visa, plain])


def found(category: Category) -> list[tuple[str, str, str | None]]:
    """Kind, picture and mask of the test split, from the category's folder."""
    return [
        (
            image.kind,
            image.path.relative_to(category.root).as_posix(),
            image.mask and image.mask.relative_to(category.root).as_posix(),
        )
        for image in category.test_images()
    ]


@every_layout
def test_training_and_test_never_overlap(tmp_path: Path, build: Callable[[Path], Category]) -> None:
    category = build(tmp_path)
    train, held = category.train_images(), category.held_out_images()
    test = [image.path for image in category.test_images()]
    assert len({*train, *held, *test}) == len(train) + len(held) + len(test)
    assert all(path.is_file() for path in (*train, *held, *test))


@every_layout
def test_pictures_are_sorted_and_always_the_same(tmp_path: Path, build: Callable[[Path], Category]) -> None:
    category = build(tmp_path)
    train, images = category.train_images(), category.test_images()
    assert train == sorted(train)
    assert images == sorted(images, key=lambda image: (image.kind, image.path))
    again = Category.open(category.root)
    assert (again.train_images(), again.test_images()) == (train, images)


@every_layout
def test_masks_mark_the_defects_alone(tmp_path: Path, build: Callable[[Path], Category]) -> None:
    for image in build(tmp_path).test_images():
        mask = load_mask(image, read_image(image.path))
        assert (mask is None) == (image.mask is None) == image.good
        assert mask is None or mask.marked.all()


@every_layout
def test_a_defect_without_a_mask_has_its_place_named(tmp_path: Path, build: Callable[[Path], Category]) -> None:
    category = build(tmp_path)
    defect = next(image for image in category.test_images() if not image.good)
    assert defect.mask is not None
    defect.mask.unlink()
    split = tmp_path / "split_csv" / "1cls.csv"
    if split.exists():
        split.write_text(split.read_text().replace(defect.mask.relative_to(tmp_path).as_posix(), ""))
    place = {"mvtec": "ground_truth/bent/", "mvtec_3d": "test/crack/gt/", "btad": "ground_truth/ko/"}
    place |= {"visa": "split_csv/1cls.csv", "plain": "masks/"}
    bare = next(image for image in category.test_images() if image.path == defect.path)
    assert bare.mask is None
    assert bare.mask_place == place[build.__name__]


def test_mvtec_3d_is_its_colour_pictures(tmp_path: Path) -> None:
    category = mvtec_3d(tmp_path)
    root = category.root
    assert category.train_images() == [root / "train" / "good" / "rgb" / f"{name}.png" for name in ("000", "001")]
    assert category.held_out_images() == [root / "validation/good/rgb" / f"{name}.png" for name in ("000", "001")]
    assert found(category) == [
        ("crack", "test/crack/rgb/000.png", "test/crack/gt/000.png"),
        ("crack", "test/crack/rgb/001.png", "test/crack/gt/001.png"),
        ("good", "test/good/rgb/000.png", None),
        ("good", "test/good/rgb/001.png", None),
    ]


def test_mvtec_3d_with_pieces_missing(tmp_path: Path) -> None:
    root = mvtec_3d(tmp_path).root
    picture(root / "test" / "hole" / "gt" / "000.png")
    with pytest.raises(DataSetError, match=r"hole/gt/000.png: matches no image in .*bagel/test/hole/rgb \(1 such\)"):
        Category.open(tmp_path, "bagel").test_images()
    (root / "train" / "good" / "rgb" / "000.png").unlink()
    (root / "train" / "good" / "rgb" / "001.png").unlink()
    with pytest.raises(DataSetError, match=r"rgb: holds no images; expected the layout of MVTec 3D-AD: .*<defect>/rgb"):
        Category.open(tmp_path, "bagel").train_images()


def test_only_mvtec_3d_holds_pictures_out(tmp_path: Path) -> None:
    for build in (mvtec, btad, visa, plain):
        assert build(tmp_path).held_out_images() == []
    (tmp_path / "bun" / "train" / "good" / "rgb").mkdir(parents=True)
    assert Category.open(tmp_path, "bun").held_out_images() == []


def test_btad_is_ok_and_ko_with_masks_of_either_format(tmp_path: Path) -> None:
    category = btad(tmp_path)
    assert [path.name for path in category.train_images()] == ["0000.bmp", "0001.bmp"]
    assert found(category) == [
        ("good", "test/ok/0000.bmp", None),
        ("good", "test/ok/0001.bmp", None),
        ("ko", "test/ko/0000.bmp", "ground_truth/ko/0000.png"),
        ("ko", "test/ko/0001.png", "ground_truth/ko/0001.bmp"),
    ]


def test_btad_with_pieces_missing(tmp_path: Path) -> None:
    root = btad(tmp_path).root
    picture(root / "ground_truth" / "ko" / "0007.bmp")
    with pytest.raises(DataSetError, match=r"ko/0007.bmp: matches no image in .*01/test/ko \(1 such\)"):
        Category.open(tmp_path, "01").test_images()
    (root / "ground_truth" / "ko" / "0007.bmp").unlink()
    for path in (root / "test" / "ok").iterdir():
        path.unlink()
    with pytest.raises(DataSetError, match=r"01/test: needs images in ok/ and in at least one folder of defects"):
        Category.open(tmp_path, "01").test_images()


def test_visa_follows_its_split_file(tmp_path: Path) -> None:
    category = visa(tmp_path)
    assert [path.name for path in category.train_images()] == ["0001.JPG", "0002.JPG"]
    assert found(category) == [
        ("anomaly", "Data/Images/Anomaly/000.JPG", "Data/Masks/Anomaly/000.png"),
        ("anomaly", "Data/Images/Anomaly/001.JPG", "Data/Masks/Anomaly/001.png"),
        ("good", "Data/Images/Normal/0000.JPG", None),
        ("good", "Data/Images/Normal/0003.JPG", None),
    ]


def test_visa_from_within_its_category(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = visa(tmp_path).train_images()
    monkeypatch.chdir(tmp_path / "candle")
    assert Category.open(Path()).train_images() == train


def test_visa_needs_rows_of_each_sort(tmp_path: Path) -> None:
    category = visa(tmp_path)
    split = tmp_path / "split_csv" / "1cls.csv"
    whole = split.read_text().splitlines()
    split.write_text("\n".join(row for row in whole if ",train," not in row))
    with pytest.raises(DataSetError, match=r"candle: has no row for training in split_csv/1cls.csv"):
        category.train_images()
    split.write_text("\n".join(row for row in whole if ",anomaly," not in row))
    with pytest.raises(DataSetError, match=r"candle: needs both normal and anomaly rows to test with in split_csv"):
        category.test_images()
    assert len(category.train_images()) == 2


def test_plain_finds_masks_with_and_without_their_suffix(tmp_path: Path) -> None:
    defects = [entry for entry in found(plain(tmp_path)) if entry[0] != "good"]
    assert defects == [
        ("defect", "defects/0.jpg", "masks/0_mask.png"),
        ("defect", "defects/1.jpg", "masks/1.bmp"),
    ]


def test_plain_reads_defects_by_their_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    category = plain(tmp_path)
    for place in ("scratch/0.png", "bent lid/9.jpg", "good/0.jpg"):
        picture(category.root / "defects" / place)
    picture(category.root / "masks" / "scratch" / "0_mask.png", 255)
    assert [entry for entry in found(category) if entry[0] != "good"] == [
        ("bent lid", "defects/bent lid/9.jpg", None),
        ("defect", "defects/0.jpg", "masks/0_mask.png"),
        ("defect", "defects/1.jpg", "masks/1.bmp"),
        ("defects/good", "defects/good/0.jpg", None),
        ("scratch", "defects/scratch/0.png", "masks/scratch/0_mask.png"),
    ]
    assert "not searched" not in caplog.text
    picture(category.root / "masks" / "dent" / "3.png", 255)
    with pytest.raises(DataSetError, match=r"masks/dent/3.png: matches no image in .*defects/dent"):
        category.test_images()


def test_plain_with_kinds_of_defects_alone_can_test(tmp_path: Path) -> None:
    category = plain(tmp_path)
    for folder in ("defects", "masks"):
        for path in (category.root / folder).iterdir():
            path.unlink()
    picture(category.root / "defects" / "scratch" / "0.png")
    assert [entry[0] for entry in found(category)] == ["good", "good", "scratch"]


def split_of(root: Path, names: list[str]) -> tuple[set[str], set[str]]:
    """The names that a plain folder of these good pictures trains and tests with."""
    for folder in ("good", "defects"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "defects" / "0.png").touch()
    for path in (root / "good").iterdir():
        path.unlink()
    for name in names:
        (root / "good" / name).touch()
    category = Category.open(root)
    test = {image.path.name for image in category.test_images() if image.good}
    return {path.name for path in category.train_images()}, test


@pytest.mark.parametrize("count", [3, 4, 5, 17, 40])
def test_plain_sets_a_fifth_of_the_good_aside(tmp_path: Path, count: int) -> None:
    names = [f"{number:03d}.png" for number in range(count)]
    train, test = split_of(tmp_path, names)
    assert len(test) == round(count / 5)
    assert train | test == set(names)
    assert not train & test
    assert split_of(tmp_path / "elsewhere", names[::-1]) == (train, test)


def test_plain_split_is_the_same_in_every_version(tmp_path: Path) -> None:
    names = [f"{number:03d}.png" for number in range(40)]
    test = sorted(split_of(tmp_path, names)[1])
    assert test == ["002.png", "003.png", "004.png", "005.png", "022.png", "025.png", "029.png", "038.png"]


def test_plain_split_hardly_moves_when_pictures_come_or_go(tmp_path: Path) -> None:
    names = [f"{number:03d}.png" for number in range(40)]
    before = split_of(tmp_path, names[:-1])
    for changed in (names, names[1:-1], names[:20] + names[21:-1]):
        after = split_of(tmp_path, changed)
        moved = (before[0] & after[1]) | (before[1] & after[0])
        assert len(moved) <= 1


def test_plain_sets_the_same_aside_without_defects(tmp_path: Path) -> None:
    category = plain(tmp_path)
    train = category.train_images()
    assert len(train) == 8
    for folder in ("defects", "masks"):
        for path in (category.root / folder).iterdir():
            path.unlink()
        (category.root / folder).rmdir()
    assert category.train_images() == train
    with pytest.raises(DataSetError, match=r"cap/defects: holds no images, so there is nothing to test with"):
        category.test_images()


def test_plain_folder_without_categories(tmp_path: Path) -> None:
    category = plain(tmp_path)
    assert Category.open(tmp_path / "cap") == category
    assert Category.open(tmp_path / "cap", ".") == category


def test_plain_with_pieces_missing_or_wrong(tmp_path: Path) -> None:
    category = plain(tmp_path)
    picture(category.root / "masks" / "7_mask.png")
    with pytest.raises(DataSetError, match=r"masks/7_mask.png: matches no image in .*cap/defects \(1 such\)"):
        category.test_images()
    (category.root / "masks" / "7_mask.png").unlink()
    for path in category.train_images():
        path.unlink()
    with pytest.raises(DataSetError, match=r"cap/good: has too few images to set some aside for the test"):
        category.test_images()
    for path in (category.root / "good").iterdir():
        path.unlink()
    with pytest.raises(DataSetError, match=r"cap/good: holds no images"):
        category.train_images()
