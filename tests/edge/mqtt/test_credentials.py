from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from certificates import Authority

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, TlsSettings
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.mqtt.credentials import check_credentials, read_password, tls_context


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def openssl(folder: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def mistakes(**tls: Path) -> list[str]:
    """What `check` says; a connection must say the first of it."""
    found, unseen = check_credentials(MqttSettings(tls=tls))
    assert not unseen
    if found and not any(word in found[0] for word in ("expired", "not valid before")):
        with pytest.raises(ConfigurationError) as caught:
            tls_context(TlsSettings(**tls))
        assert str(caught.value) == found[0]
    return found


def test_good_files_are_taken(authority: Authority) -> None:
    box = authority.make("box")
    assert mistakes(ca_file=authority.file, certificate=box, key=box.with_suffix(".key")) == []
    # A chain: more than one certificate in a file.
    box.write_bytes(box.read_bytes() + authority.file.read_bytes())
    assert mistakes(ca_file=authority.file, certificate=box, key=box.with_suffix(".key")) == []


def test_a_ca_file_that_cannot_be_used_is_said(authority: Authority, tmp_path: Path) -> None:
    openssl(tmp_path, "x509 -in ca.pem -outform der -out ca.der")
    openssl(tmp_path, "pkcs12 -export -in ca.pem -inkey ca.key -out ca.p12 -passout pass:x")
    openssl(tmp_path, "req -new -key ca.key -subj /CN=ca -out ca.csr")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("the CA's certificate\n")
    (tmp_path / "cut").write_text(authority.file.read_text()[:200])
    (tmp_path / "changed").write_text(authority.file.read_text().replace("MII", "MIX"))
    os.mkfifo(tmp_path / "pipe")
    for name, said in {
        "ca.der": f"is DER, not PEM; convert it to PEM: openssl x509 -inform DER -in {tmp_path}/ca.der -out",
        "ca.p12": f"is PKCS#12, not PEM; convert it to PEM: openssl pkcs12 -nokeys -in {tmp_path}/ca.p12 -out",
        "ca.csr": "contains CERTIFICATE REQUEST, and no CERTIFICATE; use the certificate that the CA has issued",
        "empty": "is empty",
        "text": "is not a PEM file; it needs a line -----BEGIN CERTIFICATE-----",
        "cut": "is damaged",
        "changed": "is damaged",
        "ca.key": "contains PRIVATE KEY, and no CERTIFICATE",
        "none": "No such file",
        ".": "it is a folder",
        "pipe": "it is a device, a pipe or a socket",
    }.items():
        (found,) = mistakes(ca_file=tmp_path / name)
        assert found.startswith(f"mqtt.tls.ca_file: {tmp_path / name}: ") and said in found


def test_certificate_and_key_that_cannot_be_used_are_said(authority: Authority, tmp_path: Path) -> None:
    box = authority.make("box")
    authority.make("other")
    key = box.with_suffix(".key")
    secret = authority.make("secret", passphrase=b"x")
    openssl(tmp_path, "pkey -in box.key -outform der -out box.der")
    openssl(tmp_path, "ec -in box.key -aes128 -passout pass:x -out old.key")
    openssl(tmp_path, "pkey -in box.key -pubout -out public.pem")
    openssl(tmp_path, "pkcs12 -export -in box.pem -inkey box.key -out box.p12 -passout pass:x")
    for certificate, name, said in [
        (box, "other.key", f"does not belong to mqtt.tls.certificate {box}"),
        (secret, "secret.key", "has a passphrase; write it without one: openssl pkey -in "),
        (box, "old.key", "has a passphrase"),
        (box, "box.der", "is DER, not PEM; convert it to PEM: openssl pkey"),
        (box, "box.p12", "is PKCS#12, not PEM; convert it to PEM: openssl pkcs12 -nocerts -nodes -in "),
        (box, "public.pem", "contains PUBLIC KEY, and no PRIVATE KEY"),
    ]:
        (found,) = mistakes(certificate=certificate, key=tmp_path / name)
        assert found.startswith(f"mqtt.tls.key: {tmp_path / name}: {said}")
    swapped = mistakes(certificate=key, key=box)
    assert [line.split(": ")[0] for line in swapped] == ["mqtt.tls.certificate", "mqtt.tls.key"]
    assert all("swapped?" in line for line in swapped)


def test_dates_are_looked_at(tmp_path: Path) -> None:
    old, future = Authority(tmp_path, "old", last=-0.5), Authority(tmp_path, "future", first=1)
    (found,) = mistakes(ca_file=old.file)
    assert f"mqtt.tls.ca_file: {old.file}: expired on " in found and "this box's clock says " in found
    (found,) = mistakes(ca_file=future.file)
    assert "is not valid before " in found and "set the clock" in found
    # One of several that is valid is enough.
    old.file.write_bytes(old.file.read_bytes() + Authority(tmp_path).file.read_bytes())
    assert mistakes(ca_file=old.file) == []
    box = old.make("box", first=-2, last=-1)
    (found,) = mistakes(certificate=box, key=box.with_suffix(".key"))
    assert found.startswith(f"mqtt.tls.certificate: {box}: expired on ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"geheim\xe4", "is not UTF-8"),
        (b"user\nsecret\n", "more than one line"),
        (b"x" * 70_000, "more than one line"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    found, _ = check_credentials(MqttSettings(username="box", password_file=file))
    assert found[0].startswith(f"mqtt.password_file: {file}: ") and said in found[0]
    assert "secret" not in found[0] and "geheim" not in found[0]


@pytest.mark.parametrize("content", [b"secret", b"secret\n", b"secret\r\n", b"\xef\xbb\xbfsecret\r\n"])
def test_a_password_is_what_stands_in_its_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "password").write_bytes(content)
    assert read_password(tmp_path / "password") == "secret"
