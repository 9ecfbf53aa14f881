"""`calibrate keygen` and `sign`, as their user runs them; none of it needs a real network."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from limited import run_limited
from small_bundle import write

from edge_inspect.calibrate.cli import main
from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.signature import read_public_key
from edge_inspect.edge.errors import SignatureError

KEY, PUBLIC = "signing-key.pem", "signing-key.pub.pem"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a pair of keys."""
    assert main(["keygen", "--out", str(tmp_path / "keys")]) == 0
    return tmp_path / "keys"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "flange").path


def pack(folder: Path) -> Path:
    """As `zip -r` does: with the folders, and with files that are no part of the bundle."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.comment = b"delivered on Monday"
        for path in [folder, *sorted(folder.rglob("*"))]:
            opened.write(path, path.relative_to(folder.parent))
        opened.writestr("README.txt", "how to install")
    return archive


def sign(bundle: Path, keys: Path) -> int:
    return main(["sign", str(bundle), "--key", str(keys / KEY)])


def signer(bundle: Path, keys: Path) -> str:
    opened = open_bundle(bundle, [read_public_key(keys / PUBLIC)])
    assert opened.signed_by is not None
    return opened.signed_by.id


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_made_in_a_folder_or_under_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = os.umask(0)
    try:
        assert main(["keygen", "--out", str(tmp_path / "a" / "keys")]) == 0
        assert main(["keygen", "--out", str(tmp_path / "plant-7.pem")]) == 0
    finally:
        os.umask(mask)
    assert sorted(path.name for path in (tmp_path / "a" / "keys").iterdir()) == [KEY, PUBLIC]
    assert mode(tmp_path / "a" / "keys" / KEY) == mode(tmp_path / "plant-7.pem") == 0o600
    assert b"BEGIN PRIVATE KEY" in (tmp_path / "plant-7.pem").read_bytes()
    name = read_public_key(tmp_path / "plant-7.pub.pem").id
    assert f"plant-7.pub.pem: public key {name}; copy it to every box" in capsys.readouterr().err


@pytest.mark.parametrize("there", [KEY, PUBLIC])
def test_a_key_is_never_overwritten(keys: Path, capsys: pytest.CaptureFixture[str], there: str) -> None:
    (keys / ({KEY, PUBLIC} - {there}).pop()).unlink()
    before = (keys / there).read_bytes()
    assert main(["keygen", "--out", str(keys)]) == 2
    assert f"{there}: already exists, and a key is never overwritten" in capsys.readouterr().err
    assert (keys / there).read_bytes() == before
    assert [path.name for path in keys.iterdir()] == [there]


def test_keys_on_a_full_disk_leave_nothing(tmp_path: Path) -> None:
    message = run_limited(
        """
from edge_inspect.calibrate.signing import make_keys
from edge_inspect.edge.errors import UsageError
full(10)
try:
    make_keys(Path(sys.argv[1]))
except UsageError as error:
    print(error)
""",
        str(tmp_path),
    )
    assert message == f"{tmp_path / KEY}: cannot be written: File too large"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert main(["keygen", "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written: File exists" in capsys.readouterr().err


def test_a_folder_is_signed(folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    digest = open_bundle(folder).digest
    assert sign(folder, keys) == 0
    name = read_public_key(keys / PUBLIC).id
    assert f"{folder}: signed with key {name}" in capsys.readouterr().err
    assert signer(folder, keys) == name
    assert open_bundle(folder).digest == digest
    assert (folder / "manifest.sig").read_text().split()[:2] == ["ed25519", name]
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before | {folder / "manifest.sig": (folder / "manifest.sig").read_bytes()}


def test_a_zip_is_signed_and_keeps_all_else(folder: Path, keys: Path, tmp_path: Path) -> None:
    archive = pack(folder)
    archive.chmod(0o640)
    with zipfile.ZipFile(archive) as opened:
        before = {
            entry.filename: (opened.read(entry), entry.date_time, entry.compress_type) for entry in opened.filelist
        }
    assert sign(archive, keys) == 0
    assert sign(archive, keys) == 0
    signer(archive, keys)
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None and opened.comment == b"delivered on Monday"
        after = {
            entry.filename: (opened.read(entry), entry.date_time, entry.compress_type) for entry in opened.filelist
        }
        assert len(opened.filelist) == len(before) + 1
        opened.extractall(tmp_path / "unpacked")
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"flange/manifest.sig"}
    assert mode(archive) == 0o640
    assert signer(tmp_path / "unpacked" / "flange", keys)


def test_signing_again_replaces_the_signature(folder: Path, keys: Path, tmp_path: Path) -> None:
    assert sign(folder, keys) == 0
    assert main(["keygen", "--out", str(tmp_path / "new")]) == 0
    for bundle in (pack(folder), folder):
        assert sign(bundle, tmp_path / "new") == 0
        signer(bundle, tmp_path / "new")
        with pytest.raises(SignatureError, match="is signed with key"):
            signer(bundle, keys)


def test_a_damaged_bundle_is_not_signed(folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.fp32.onnx").write_bytes(b"another")
    for bundle in (pack(folder), folder):
        before = bundle.read_bytes() if bundle.is_file() else b""
        assert sign(bundle, keys) == 2
        assert "model.fp32.onnx was changed after the bundle was made" in capsys.readouterr().err
        assert before == (bundle.read_bytes() if bundle.is_file() else b"")
    assert not (folder / "manifest.sig").exists()
    assert sign(folder / "nowhere", keys) == 2


def test_a_full_disk_leaves_the_bundle_as_it_was(folder: Path, keys: Path) -> None:
    archive = pack(folder)
    before = archive.read_bytes()
    code = """
from edge_inspect.calibrate.signing import read_private_key, sign_bundle
from edge_inspect.edge.errors import BundleError
key = read_private_key(Path(sys.argv[2]))
full(50)
try:
    sign_bundle(Path(sys.argv[1]), key)
except BundleError as error:
    print(error)
"""
    for bundle in (archive, folder):
        said = run_limited(code, str(bundle), str(keys / KEY))
        assert said == f"{bundle}: the signature cannot be written: File too large"
    assert archive.read_bytes() == before
    assert not (folder / "manifest.sig").exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == ["flange", "flange.zip", "keys"]


def test_a_key_under_a_passphrase(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong, empty = (tmp_path / name for name in ("right", "wrong", "empty"))
    right.write_text("correct horse\nbattery\n")
    wrong.write_text("battery\n")
    empty.write_text("\n")
    key = tmp_path / "locked.pem"
    assert main(["keygen", "--out", str(key), "--passphrase-file", str(empty)]) == 2
    assert main(["keygen", "--out", str(key), "--passphrase-file", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert "empty: holds no passphrase in its first line" in error and "none: the passphrase cannot be read" in error
    assert main(["keygen", "--out", str(key), "--passphrase-file", str(right)]) == 0
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in key.read_bytes()
    command = ["sign", str(folder), "--key", str(key)]
    assert main(command) == 2
    assert "is protected by a passphrase; give --passphrase-file FILE" in capsys.readouterr().err
    assert main([*command, "--passphrase-file", str(wrong)]) == 2
    error = capsys.readouterr().err
    assert "the passphrase is wrong, or the file is damaged" in error and "battery" not in error
    assert main([*command, "--passphrase-file", str(right)]) == 0


def test_a_key_that_others_may_read_is_warned_of(folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(folder, keys) == 0
    assert "warning" not in capsys.readouterr().err
    (keys / KEY).chmod(0o644)
    assert sign(folder, keys) == 0
    assert f"warning: others may read {keys / KEY}; chmod 600" in capsys.readouterr().err


def test_what_is_no_private_key_is_refused(folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(content: bytes | None) -> str:
        (keys / KEY).unlink(missing_ok=True)
        if content is not None:
            (keys / KEY).write_bytes(content)
        assert sign(folder, keys) == 2
        error = capsys.readouterr().err
        assert str(keys / KEY) in error and "Traceback" not in error
        return error

    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "the private key cannot be read: No such file" in said(None)
    assert "holds no private key in PEM" in said(b"\x00" * 100)
    assert "holds a public key; signing needs the private one" in said((keys / PUBLIC).read_bytes())
    assert "the key is not Ed25519; calibrate keygen makes one" in said(other)
    assert not (folder / "manifest.sig").exists()


def test_show_says_how_the_signature_stands(folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said() -> str:
        assert main(["show", str(folder)]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  signed"))

    assert said() == "  signed    none; calibrate sign makes one"
    assert sign(folder, keys) == 0
    capsys.readouterr()
    name = read_public_key(keys / PUBLIC).id
    assert said() == f"  signed    by key {name}, not checked; calibrate verify --public-key FILE checks it"
    (folder / "manifest.sig").write_text("ed25519")
    assert "damaged, not checked" in said()


def test_a_copy_stays_signed(folder: Path, keys: Path, tmp_path: Path) -> None:
    assert sign(folder, keys) == 0
    shutil.copytree(folder, tmp_path / "copy")
    signer(tmp_path / "copy", keys)
