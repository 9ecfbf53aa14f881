"""The check of a .zip from elsewhere, before anything in it is unpacked or trusted.

The program reads bundles inside the .zip and never unpacks them onto the disk. Entries that could do harm when somebody
else unpacks the file are refused all the same.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from edge_inspect.edge.bundle.manifest import MANIFEST
from edge_inspect.edge.bundle.signature import SIGNATURE
from edge_inspect.edge.configuration.pull_settings import MB
from edge_inspect.edge.errors import PullError

MOST_ENTRIES = 10_000
LARGEST_MANIFEST = 4 * 2**20
_LARGEST_SIGNATURE = 4096
# The record at the end of a .zip (APPNOTE 4.3.16): signature, disks, entries here and in all, size and place of the
# directory, length of the comment behind it.
_END = struct.Struct("<4s4H2LH")
_END_MARK, _ZIP64_MARK, _LONGEST_COMMENT = b"PK\x05\x06", b"PK\x06\x07", 0xFFFF
_LARGEST_DIRECTORY = MOST_ENTRIES * 512
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1 | 0x40 | 0x2000


def check_archive(path: Path, largest: int) -> None:
    """Check the directory of a .zip.

    Args:
        path: The file.
        largest: Largest size of all unpacked files together, in bytes.

    Raises:
        PullError: The file is no .zip, is cut off, has too many or too large entries, or has an entry that no bundle
            has: outside its folder, twice, a link, or encrypted.
        OSError: The file cannot be read.
    """
    size = _check_end(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError, struct.error) as error:
        raise PullError(f"the file is a damaged .zip: {error}; pack the bundle again") from error
    names = Counter(str(PurePosixPath(entry.filename)).casefold() for entry in entries)
    for entry in entries:
        if not 0 <= entry.header_offset < size:
            raise PullError(f"the file is a damaged .zip: {entry.filename!r} is not in it; pack the bundle again")
        _check_entry(entry)
        if names[str(PurePosixPath(entry.filename)).casefold()] > 1:
            raise PullError(f"the .zip holds {entry.filename!r} twice; pack the bundle again")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > largest:
        raise PullError(
            f"the .zip would have {unpacked / MB:.1f} MB unpacked, and bundles.pull.largest_mb is {largest / MB:g}; it "
            "may be a zip bomb; raise that setting only if the bundle is that large"
        )


def _check_end(path: Path) -> int:
    """Check the record at the end, because `zipfile` would read a directory of any size into memory.

    Returns:
        Size of the file, in bytes.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END.size - _LONGEST_COMMENT - 20))
        tail = file.read()
    at = tail.rfind(_END_MARK)
    if at < 0 or at + _END.size > len(tail):
        raise PullError("the file is no .zip, or is cut off; put the bundle's .zip there again, completely")
    _, _, _, _, entries, directory, _, _ = _END.unpack_from(tail, at)
    if tail[max(0, at - 20) : at].startswith(_ZIP64_MARK):
        raise PullError("the file is a ZIP64 archive, which a bundle needs not be; pack the bundle with zip -r")
    if entries > MOST_ENTRIES or directory > _LARGEST_DIRECTORY:
        raise PullError(f"the .zip has more than {MOST_ENTRIES} entries; pack only the bundle into it")
    return size


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name, written = entry.filename, entry.orig_filename
    path = PurePosixPath(name)
    if written != name or "\\" in name or ":" in name or not path.parts or path.is_absolute() or ".." in path.parts:
        raise PullError(f"the .zip holds {written!r}, which leads out of its folder; pack the bundle again")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise PullError(f"the .zip holds {name!r}, which is a link or a device; pack plain files")
    if entry.flag_bits & _ENCRYPTED:
        raise PullError(f"the .zip holds {name!r} encrypted; pack the bundle without a password")
    if entry.compress_type not in _PLAIN:
        raise PullError(f"the .zip holds {name!r}, compressed by method {entry.compress_type}; pack it with zip -r")
    bounds = {MANIFEST: LARGEST_MANIFEST, SIGNATURE: _LARGEST_SIGNATURE}
    if entry.file_size > bounds.get(path.name, entry.file_size):
        raise PullError(f"the .zip holds {name!r} with {entry.file_size} bytes, which is too much; pack it again")
