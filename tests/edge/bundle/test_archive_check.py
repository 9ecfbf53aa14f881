"""A .zip from elsewhere is refused before anything in it is unpacked."""

from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_inspect.edge.bundle.archive_check import MOST_ENTRIES, check_archive
from edge_inspect.edge.bundle.container import Archive
from edge_inspect.edge.errors import BundleError, PullError

LARGEST = 1_000_000
Fill = Callable[[zipfile.ZipFile], object]


def made(fill: Fill, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("flange/manifest.yaml", "format: 1\n")
        fill(archive)
    return buffer.getvalue()


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def flagged(data: bytes, flag: int) -> bytes:
    """The same archive with a flag of its first entry set, in the directory as well."""
    found = bytearray(data)
    struct.pack_into("<H", found, 6, flag)
    struct.pack_into("<H", found, data.index(b"PK\x01\x02") + 8, flag)
    return bytes(found)


def doubled() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return made(lambda archive: archive.writestr("flange/manifest.yaml", "format: 2\n"))


def directory_of(size: int) -> bytes:
    """The end of an archive that claims a directory of this size."""
    return b"x" * 100 + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, size, 0, 0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (made(lambda a: a.writestr("../evil", "x")), "leads out of its folder"),
        (made(lambda a: a.writestr("flange/../../evil", "x")), "leads out of its folder"),
        (made(lambda a: a.writestr("/etc/cron.d/evil", "x")), "leads out of its folder"),
        (made(lambda a: a.writestr("flange\\..\\evil", "x")), "leads out of its folder"),
        (made(lambda a: a.writestr("C:/evil", "x")), "leads out of its folder"),
        (made(lambda a: a.writestr("flange/x", "x")).replace(b"flange/x", b"flange\0x"), "leads out of its folder"),
        (made(lambda a: a.writestr("Flange/MANIFEST.yaml", "x")), "twice"),
        (made(lambda a: a.writestr(entry("flange/a", stat.S_IFLNK | 0o777), "/etc/passwd")), "a link or a device"),
        (made(lambda a: a.writestr(entry("flange/a", stat.S_IFIFO | 0o777), "")), "a link or a device"),
        (made(lambda a: a.writestr(entry("flange/a", stat.S_IFCHR | 0o777), "")), "a link or a device"),
        (flagged(made(lambda a: None), 0x1), "encrypted"),
        (flagged(made(lambda a: None), 0x41), "encrypted"),
        (made(lambda a: a.writestr("flange/a", "x", zipfile.ZIP_BZIP2)), "compressed by method 12"),
        (made(lambda a: a.writestr("flange/a", "x", zipfile.ZIP_LZMA)), "compressed by method 14"),
        (made(lambda a: a.writestr("flange/a", bytes(LARGEST))), "zip bomb"),
        (made(lambda a: [a.writestr(f"flange/{i}", bytes(LARGEST // 9)) for i in range(10)]), "zip bomb"),
        (made(lambda a: a.writestr("x/manifest.yaml", bytes(5 * 2**20))), "which is too much"),
        (made(lambda a: a.writestr("x/manifest.sig", bytes(5000))), "which is too much"),
        (directory_of(2**31), f"more than {MOST_ENTRIES} entries"),
        (directory_of(90), "damaged .zip"),
        (b"PK\x06\x07" + bytes(16) + directory_of(0)[100:], "ZIP64"),
        (made(lambda a: None)[:-30], "cut off"),
        (b"", "no .zip"),
        (b"PK\x05\x06", "no .zip"),
    ],
    ids=range(24),
)
def test_what_no_bundle_has_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(PullError, match=said):
        check_archive(path, LARGEST)


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(doubled())
    with pytest.raises(PullError, match="'flange/manifest.yaml' twice"):
        check_archive(path, LARGEST)


def test_too_many_entries_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(made(lambda a: [a.writestr(str(i), "") for i in range(MOST_ENTRIES)], zipfile.ZIP_STORED))
    with pytest.raises(PullError, match="entries"):
        check_archive(path, LARGEST)


def test_a_bomb_that_lies_about_its_size_takes_no_memory(tmp_path: Path) -> None:
    data = bytearray(made(lambda a: a.writestr("flange/model", bytes(200_000_000))))
    header, listed = data.rindex(b"PK\x03\x04"), data.rindex(b"PK\x01\x02")
    for at in (header + 22, listed + 24):
        struct.pack_into("<L", data, at, 1000)
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    check_archive(path, LARGEST)
    tracemalloc.start()
    with pytest.raises(BundleError, match="model is damaged"):
        Archive(path, "manifest.yaml").read("model")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_what_zip_programs_write_passes(tmp_path: Path) -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        archive.writestr(entry("flange/report/", stat.S_IFDIR | 0o755), "")
        archive.writestr(entry("flange/report/a.json", stat.S_IFREG | 0o644), "{}")
        archive.writestr("__MACOSX/._x", "x")
        archive.comment = b"made by hand"

    path = tmp_path / "a.zip"
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path.write_bytes(made(fill, compression))
        check_archive(path, LARGEST)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_refused_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(made(lambda a: a.writestr("flange/a", b"abc" * 50)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.zip"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        check_archive(path, LARGEST)
        archive = Archive(path, "manifest.yaml")
        for name in ("manifest.yaml", "a"):
            archive.read(name)
    except (BundleError, KeyError):
        pass
