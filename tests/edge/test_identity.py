from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_inspect.edge.identity import box_id, keep_identity


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "outbox.db"


def make_box(folder: Path, *cards: str, serial: str = "") -> Path:
    """A sysfs with network cards, one that is software, and a board that may have a serial number."""
    for number, address in enumerate(cards):
        (folder / f"class/net/eth{number}/device").mkdir(parents=True)
        (folder / f"class/net/eth{number}/address").write_text(f"{address}\n")
    (folder / "class/net/docker0").mkdir(parents=True)
    (folder / "class/net/docker0/address").write_text("02:42:00:00:00:01\n")
    if serial:
        (folder / "firmware/devicetree/base").mkdir(parents=True)
        (folder / "firmware/devicetree/base/serial-number").write_text(f"{serial}\0")
    return folder


def test_it_is_the_same_at_every_start_and_another_one_elsewhere(state: Path, tmp_path: Path) -> None:
    first = keep_identity(state)
    assert keep_identity(state) == first == box_id()
    assert keep_identity(tmp_path / "bridge.json") != first


def test_the_machine_id_has_no_part_in_it(state: Path, tmp_path: Path) -> None:
    box = make_box(tmp_path / "sys")  # a container: nothing tells it from others
    (tmp_path / "other").mkdir()
    assert keep_identity(state, box) != keep_identity(tmp_path / "other" / "outbox.db", box)
    first = keep_identity(state, box)
    assert keep_identity(state, box) == first


@pytest.mark.parametrize(
    ("serials", "cards"),
    [
        (("", ""), (("d8:3a:dd:00:00:01",), ("d8:3a:dd:00:00:02",))),
        (("100000001", "100000002"), ((), ())),
        (("100000001", "100000002"), (("d8:3a:dd:00:00:01",), ("d8:3a:dd:00:00:02", "00:0e:c6:00:00:03"))),
    ],
)
def test_an_image_of_the_disk_gets_an_id_of_its_own(
    state: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    serials: tuple[str, str],
    cards: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    boxes = [make_box(tmp_path / f"sys{i}", *cards[i], serial=serials[i]) for i in (0, 1)]
    first = keep_identity(state, boxes[0])
    second = keep_identity(state, boxes[1])
    assert first != second and "made on other hardware: it was copied to another box" in caplog.text
    assert keep_identity(state, boxes[1]) == second


def test_a_new_network_card_is_no_new_box(state: Path, tmp_path: Path) -> None:
    first = keep_identity(state, make_box(tmp_path / "a", "d8:3a:dd:00:00:01", serial="100000001"))
    assert keep_identity(state, make_box(tmp_path / "b", "d8:3a:dd:00:00:09", serial="100000001")) == first


def test_a_copy_of_the_folder_on_the_same_box_gets_an_id_of_its_own_and_a_moved_one_does_not(
    state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = keep_identity(state)
    shutil.copytree(state.parent, tmp_path / "copy")
    assert keep_identity(tmp_path / "copy" / "outbox.db") != first
    assert f"it is a copy of {state.with_suffix('.identity')}" in caplog.text
    state.parent.rename(tmp_path / "moved")
    assert keep_identity(tmp_path / "moved" / "outbox.db") == first


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"id": 7}', b"[]"])
def test_a_damaged_file_is_made_anew(state: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    state.with_suffix(".identity").write_bytes(content)
    made = keep_identity(state)
    assert "cannot be read: it is empty or damaged; this box gets a new id" in caplog.text
    assert keep_identity(state) == made


def test_a_folder_that_takes_nothing_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    made = keep_identity(tmp_path / "file" / "outbox.db")
    assert made == box_id() and "cannot be written" in caplog.text
