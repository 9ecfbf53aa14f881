from __future__ import annotations

from pathlib import Path

import pytest
from s3_server import needs_s3, running_bucket

from edge_inspect.edge.errors import DataSetError, UsageError
from edge_inspect.train.products.storage import Storage, joined

FILES = {"good/1.png": b"one", "good/2.png": b"two", "defects/scratch/x.png": b"", "run/checkpoint.yaml": b"last"}


bucket = pytest.fixture(scope="module")(running_bucket)


@pytest.fixture(params=["folder", "file", "memory", pytest.param("s3", marks=needs_s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return joined(str(request.getfixturevalue("bucket")), tmp_path.name)
    if request.param == "folder":
        return str(tmp_path / "there")
    pytest.importorskip("fsspec")
    return f"file://{tmp_path}/there" if request.param == "file" else f"memory://{tmp_path.name}/there"


def fill(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / ".hidden").write_bytes(b"no")


def test_files_go_there_and_back(place: str, tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    fill(here)
    storage = Storage(place)
    assert storage.read("record.json") is None
    with pytest.raises(DataSetError, match=r"no such folder, or it holds no files|cannot be read"):
        storage.files()
    sent: dict[str, tuple[int, int]] = {}
    storage.put(here, sent)
    assert sorted(sent) == sorted(FILES)
    listed = {each.name: each.size for each in storage.files()}
    assert listed == {name: len(content) for name, content in FILES.items()}
    before = storage.files()
    (here / "good/1.png").write_bytes(b"eno")
    storage.put(here, sent)
    changed = [new.name for old, new in zip(before, storage.files(), strict=True) if old != new]
    assert changed == ["good/1.png"], "a file of the same size with another content has another digest"
    storage.write("record.json", b"{}")
    assert Storage(place).read("record.json") == b"{}"
    if "://" in place:
        Storage(place).fetch(back)
        found = {path.relative_to(back).as_posix(): path.read_bytes() for path in back.rglob("*") if path.is_file()}
        assert found == {**FILES, "good/1.png": b"eno", "record.json": b"{}"}


def test_a_file_that_makes_a_folder_complete_is_sent_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "here")
    (tmp_path / "here/zebra").write_bytes(b"z")
    written: list[str] = []
    monkeypatch.setattr(Storage, "write", lambda self, name, data: written.append(name))
    Storage(str(tmp_path / "there")).put(tmp_path / "here", {})
    assert written[-1] == "run/checkpoint.yaml"


@pytest.mark.parametrize("url", ["nowhere://x/y", "gcs3://bucket", "s4://a"])
def test_an_unknown_protocol_is_refused(url: str) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(UsageError, match=url):
        Storage(url)
