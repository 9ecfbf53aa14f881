from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from limited import run_limited

from edge_inspect.edge.files import new_folder, sha256, write_atomically


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file.bin"
    write_atomically(target, b"content")
    assert target.read_bytes() == b"content"
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(target.parent.iterdir()) == [target]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"something longer than the new content")
    write_atomically(target, b"new")
    assert target.read_bytes() == b"new"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    said = run_limited(
        """
import errno
from edge_inspect.edge.files import write_atomically
full(1000)
try:
    write_atomically(Path(sys.argv[1]), bytes(100_000))
except OSError as error:
    print(errno.errorcode[error.errno])
""",
        str(target),
    )
    assert said == "EFBIG"
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_take_the_place_of_a_folder_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(OSError):
        write_atomically(target, b"content")
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "above" / "folder"
    with new_folder(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("content")
        assert not target.exists()
        assert folder.parent == target.parent
    assert (target / "inner" / "file").read_text() == "content"
    assert target.stat().st_mode & 0o777 == 0o755
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_folder_whose_making_failed_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(tmp_path / "folder") as folder:
        (folder / "half").write_text("half of it")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    with pytest.raises(FileExistsError, match="exists already"), new_folder(tmp_path / "folder"):
        raise AssertionError("the block must not run")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "mine"]


def test_a_folder_on_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    run_limited(
        """
from edge_inspect.edge.files import new_folder
full(1000)
try:
    with new_folder(Path(sys.argv[1])) as folder:
        (folder / "first").write_bytes(bytes(900))
        (folder / "second").write_bytes(bytes(9000))
except OSError:
    sys.exit(0)
sys.exit("no error")
""",
        str(tmp_path / "folder"),
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_the_digest_is_that_of_the_whole_file(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (tmp_path / "file").write_bytes(data)
    assert sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()
