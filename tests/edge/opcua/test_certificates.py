"""The server's own certificate, and the folder of trusted ones."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from opcua_parts import write_opcua

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.opcua.certificates import TrustFolder, load_certificate, server_certificate
from edge_inspect.edge.opcua.settings import OpcuaSettings


def configured(folder: Path, **more: Any) -> OpcuaSettings:
    return write_opcua(folder, 1883, **more)[1]


def test_a_certificate_is_made_once_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = configured(tmp_path, listen={"names": ["box1.plant.example", "192.0.2.10"]})
    with caplog.at_level(logging.INFO):
        made = server_certificate(settings)
    certificate = x509.load_pem_x509_certificate(made.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [settings.application_uri]
    assert names.get_values_for_type(x509.DNSName) == ["box1.plant.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.10"]
    key = serialization.load_pem_private_key(made.key, None)
    assert isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048
    assert stat.S_IMODE((settings.data / "server.key").stat().st_mode) == 0o600
    assert "made a certificate for box1.plant.example, 192.0.2.10" in caplog.text and "thumbprint " in caplog.text
    assert server_certificate(settings) == made


def test_a_certificate_for_another_server_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server_certificate(configured(tmp_path))
    caplog.clear()
    server_certificate(configured(tmp_path, name="second"))
    assert "clients may refuse it" in caplog.text and ":edge-inspect:second" in caplog.text


def test_a_certificate_of_ones_own_must_be_rsa_and_belong_to_its_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.make("own", "localhost")
    files = {"certificate": str(tmp_path / "own.pem"), "key": str(tmp_path / "own.key")}
    with pytest.raises(ConfigurationError, match="needs an RSA key"):
        server_certificate(configured(tmp_path, listen=files))
    server_certificate(configured(tmp_path))
    made = tmp_path / "data"
    mixed = {"certificate": str(tmp_path / "own.pem"), "key": str(made / "server.key")}
    with pytest.raises(ConfigurationError, match="does not belong to the certificate"):
        server_certificate(configured(tmp_path, listen=mixed))
    own = {"certificate": str(made / "server.pem"), "key": str(made / "server.key")}
    assert server_certificate(configured(tmp_path, listen=own)).certificate == (made / "server.pem").read_bytes()
    with pytest.raises(ConfigurationError, match=r"listen.certificate: .*nowhere.pem cannot be read"):
        server_certificate(configured(tmp_path, listen={**own, "certificate": str(tmp_path / "nowhere.pem")}))


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"data: .*cannot be read or written"):
        server_certificate(configured(tmp_path, data=str(tmp_path / "file" / "data")))


def test_what_is_trusted_is_read_at_every_question(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "trusted"
    folder.mkdir()
    trust = TrustFolder(folder)
    authority = Authority(tmp_path)
    client = load_certificate(authority.make("client", "localhost").read_bytes())
    late = load_certificate(authority.make("late", "localhost", first=-3, last=-1).read_bytes())
    assert "is not in" in str(trust.problem(client))
    (folder / "client.der").write_bytes(client.public_bytes(serialization.Encoding.DER))
    assert trust.problem(client) is None and trust.problem(late) is not None
    os.remove(folder / "client.der")
    assert trust.problem(client) is not None
    (folder / "ca.pem").write_bytes(authority.file.read_bytes())
    (folder / "a-note.txt").write_text("no certificate")
    assert trust.problem(client) is None
    assert "expired" in str(trust.problem(late))
    assert trust.problem(client) is None and caplog.text.count("a-note.txt is skipped") == 1


def test_a_folder_that_is_removed_meanwhile_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "trusted").mkdir()
    trust = TrustFolder(tmp_path / "trusted")
    (tmp_path / "trusted").rmdir()
    client = load_certificate(Authority(tmp_path).make("client", "localhost").read_bytes())
    assert "trusted cannot be read: No such file or directory; create the folder" in str(trust.problem(client))


def test_a_certificate_that_is_no_authority_signs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "trusted"
    folder.mkdir()
    authority = Authority(tmp_path)
    trusted, other = (load_certificate(authority.make(name, "localhost").read_bytes()) for name in ("a", "b"))
    (folder / "a.pem").write_bytes(trusted.public_bytes(serialization.Encoding.PEM))
    assert TrustFolder(folder).problem(other) is not None


def test_a_folder_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"trusted: .*create the folder"):
        TrustFolder(tmp_path / "nowhere")
