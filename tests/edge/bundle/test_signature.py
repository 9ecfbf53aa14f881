from __future__ import annotations

import base64
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from small_bundle import write

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.signature import PREFIX, Signature, key_id, read_public_key
from edge_inspect.edge.cli import main
from edge_inspect.edge.errors import BundleError, SignatureError, UsageError
from edge_inspect.edge.frame.images import write_image


def pem(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def sign(folder: Path, key: Ed25519PrivateKey) -> None:
    """A signature made without the code under test."""
    value = key.sign(b"edge-inspect bundle manifest, version 1\n" + (folder / "manifest.yaml").read_bytes())
    name = key_id(key.public_key())
    (folder / "manifest.sig").write_text(f"ed25519 {name} {base64.b64encode(value).decode()}\n")


def pack(folder: Path, top: str = "flange/") -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, f"{top}{path.relative_to(folder)}")
    return archive


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def public(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    path = tmp_path / "signing-key.pub.pem"
    path.write_bytes(pem(key.public_key()))
    return path


@pytest.fixture
def signed(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    folder = write(tmp_path / "flange").path
    sign(folder, key)
    return folder


def refused(path: Path, public: Path) -> str:
    with pytest.raises(SignatureError) as caught:
        open_bundle(path, [read_public_key(public)])
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_signed_bundle_is_opened_and_says_by_whom(signed: Path, public: Path, key: Ed25519PrivateKey) -> None:
    for path in (signed, pack(signed)):
        opened = open_bundle(path, [read_public_key(public)])
        assert opened.signed_by is not None and opened.signed_by.id == key_id(key.public_key())
        assert opened.model("fp32") == (signed / "model.fp32.onnx").read_bytes()


def test_what_is_loaded_is_what_was_checked(signed: Path, public: Path) -> None:
    """A file swapped between the check and the engine's reading it is found, and never read unchecked."""
    opened = open_bundle(signed, [read_public_key(public)])
    assert opened.model_path("int8") is None
    assert open_bundle(signed).model_path("int8") == signed / "model.int8.onnx"
    (signed / "model.int8.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match=r"model\.int8\.onnx was changed after the bundle was made"):
        opened.model("int8")


def test_any_of_several_keys_will_do(signed: Path, public: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pub.pem"
    other.write_bytes(pem(Ed25519PrivateKey.generate().public_key()))
    opened = open_bundle(signed, [read_public_key(other), read_public_key(public)])
    assert opened.signed_by is not None and opened.signed_by.path == public


def test_an_unsigned_bundle_is_refused_with_the_remedy(signed: Path, public: Path) -> None:
    (signed / "manifest.sig").unlink()
    for path in (signed, pack(signed)):
        said = refused(path, public)
        assert "is not signed, and a signature is required" in said
        assert f"sign it where the private key is: calibrate sign {path} --key FILE" in said
        assert open_bundle(path).signature() is None


def test_a_changed_manifest_is_refused(signed: Path, public: Path) -> None:
    manifest = yaml.safe_load((signed / "manifest.yaml").read_bytes())
    manifest["decision"]["thresholds"]["int8"]["image"] = 1000.0
    (signed / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    for path in (signed, pack(signed)):
        open_bundle(path)
        assert "was changed after key" in refused(path, public)


def test_a_signature_by_another_key_is_refused_by_name(signed: Path, public: Path, key: Ed25519PrivateKey) -> None:
    stranger = Ed25519PrivateKey.generate()
    sign(signed, stranger)
    said = refused(signed, public)
    assert f"is signed with key {key_id(stranger.public_key())}" in said
    assert f"but only {key_id(key.public_key())} ({public}) is trusted" in said


def test_a_stranger_who_claims_the_trusted_key_is_refused(signed: Path, public: Path, key: Ed25519PrivateKey) -> None:
    value = Ed25519PrivateKey.generate().sign(PREFIX + (signed / "manifest.yaml").read_bytes())
    (signed / "manifest.sig").write_bytes(Signature(key_id(key.public_key()), value).line())
    assert "was changed after key" in refused(signed, public)


def test_a_signature_made_for_something_else_is_refused(signed: Path, public: Path, key: Ed25519PrivateKey) -> None:
    value = key.sign((signed / "manifest.yaml").read_bytes())
    (signed / "manifest.sig").write_bytes(Signature(key_id(key.public_key()), value).line())
    assert "was changed after key" in refused(signed, public)


def test_the_signature_is_looked_at_before_the_manifest(signed: Path, public: Path) -> None:
    (signed / "manifest.yaml").write_bytes(b"[" * 500)
    assert "was changed after key" in refused(signed, public)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        b"ed25519\n",
        b"rsa 0123456789abcdef " + b"A" * 86 + b"==\n",
        b"ed25519 0123456789ABCDEF " + b"A" * 86 + b"==\n",
        b"ed25519 0123456789abcdef " + b"A" * 85 + b"==\n",
        b"ed25519 0123456789abcdef " + b"A" * 85 + b"B==\n",
        b"ed25519 0123456789abcdef " + b"A" * 86 + b"==",
        b"ed25519 0123456789abcdef " + b"A" * 86 + b"==\nmore\n",
    ],
)
def test_a_damaged_signature_is_refused_and_nothing_to_who_asks_for_none(
    signed: Path, public: Path, line: bytes
) -> None:
    (signed / "manifest.sig").write_bytes(line)
    assert "manifest.sig is damaged" in refused(signed, public)
    with pytest.raises(SignatureError, match=r"manifest\.sig is damaged"):
        open_bundle(signed).signature()


def test_a_signature_that_cannot_be_read_is_refused(signed: Path, public: Path) -> None:
    (signed / "manifest.sig").unlink()
    (signed / "manifest.sig").mkdir()
    assert "manifest.sig cannot be read: Is a directory" in refused(signed, public)


@given(st.sampled_from(["manifest.yaml", "manifest.sig"]), st.integers(0, 10**9), st.integers(1, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_changed_byte_passes(signed: Path, public: Path, name: str, at: int, flip: int) -> None:
    """But for the key's id, which is only a name."""
    file = signed / name
    before = file.read_bytes()
    data = bytearray(before)
    assume(name == "manifest.yaml" or not 8 <= at % len(data) < 24)
    data[at % len(data)] ^= flip
    file.write_bytes(data)
    try:
        refused(signed, public)
    finally:
        file.write_bytes(before)


def test_openssl_agrees(signed: Path, public: Path, tmp_path: Path) -> None:
    """Another implementation of RFC 8032 checks the same bytes."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl")
    signature = open_bundle(signed).signature()
    assert signature is not None
    (tmp_path / "message").write_bytes(PREFIX + (signed / "manifest.yaml").read_bytes())
    (tmp_path / "value").write_bytes(signature.value)
    options = ["pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", "message", "-sigfile", "value"]
    done = subprocess.run([program, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    if "unknown option" in done.stderr.lower():
        pytest.skip("this openssl is too old for Ed25519")
    assert done.returncode == 0, done.stderr


def test_what_is_no_public_key_is_refused(tmp_path: Path, key: Ed25519PrivateKey) -> None:
    def said(content: bytes | None) -> str:
        path = tmp_path / "key.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError) as caught:
            read_public_key(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "cannot be read: No such file" in said(None)
    assert "holds no public key in PEM" in said(b"")
    assert "holds no public key in PEM" in said(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "holds a private key, which must not be on a box" in said(private)
    assert "the key is not Ed25519" in said(pem(generate_private_key(65537, 2048).public_key()))


@pytest.fixture
def configure(tmp_path: Path, signed: Path, public: Path) -> Callable[..., str]:
    write_image(tmp_path / "parts" / "a.png", np.zeros((8, 8, 3), np.uint8))

    def make(*keys: Path) -> str:
        fields = {
            "site": "plant",
            "line": "line1",
            "stations": [{"name": "a", "camera": f"folder:{tmp_path / 'parts'}", "bundle": str(signed)}],
            "bundles": {"public_keys": [str(file) for file in keys]},
            "outbox": {"path": str(tmp_path / "outbox.db")},
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(fields))
        return str(path)

    return make


def test_check_says_how_signatures_stand(
    configure: Callable[..., str], public: Path, key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", configure()]) == 0
    assert "bundles need no signature; bundles.public_keys asks for one" in capsys.readouterr().err
    assert main(["check", "--config", configure(public)]) == 0
    assert f"bundles are signed with {key_id(key.public_key())}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_unsigned_bundle_and_a_wrong_signature_are_refused_by_name(
    configure: Callable[..., str], signed: Path, public: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    sign(signed, Ed25519PrivateKey.generate())
    assert main([command, "--config", configure(public)]) == 2
    error = capsys.readouterr().err
    assert f"{signed}: is signed with key" in error and f"calibrate sign {signed} --key FILE" in error
    (signed / "manifest.sig").unlink()
    assert main([command, "--config", configure(public)]) == 2
    error = capsys.readouterr().err
    assert f"{signed}: is not signed" in error and f"calibrate sign {signed} --key FILE" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_key_that_cannot_be_read_is_said_with_its_place(
    configure: Callable[..., str], public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "text").write_text("no key")
    assert main([command, "--config", configure(tmp_path / "none", public, tmp_path / "text")]) == 2
    error = capsys.readouterr().err
    assert f"bundles.public_keys.0: {tmp_path}/none: the public key cannot be read: No such file" in error
    assert f"bundles.public_keys.2: {tmp_path}/text: holds no public key in PEM" in error


@pytest.mark.parametrize("bundles", [None, {"public_keys": None}, {"public_keys": "key.pem"}, {"public_key": []}])
def test_a_slip_in_the_configuration_never_means_that_no_signature_is_asked_for(
    configure: Callable[..., str], bundles: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(configure())
    fields = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(fields | {"bundles": bundles}))
    assert main(["check", "--config", str(path)]) == 2
    assert "  bundles" in capsys.readouterr().err


def test_a_relative_key_may_be_a_credential_of_systemd(
    configure: Callable[..., str], public: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(public.parent))
    assert main(["check", "--config", configure(Path(public.name))]) == 0
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert main(["check", "--config", configure(Path(public.name))]) == 2
    assert f"is a credential of systemd's: LoadCredential={public.name}:FILE" in capsys.readouterr().err
