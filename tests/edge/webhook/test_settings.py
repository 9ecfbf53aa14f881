from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_inspect.edge.cli import main
from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.webhook.settings import WebhookSettings, address_of
from edge_inspect.edge.webhook.signature import headers, read_secret

EXAMPLE = Path(__file__).parents[3] / "systemd" / "webhook.yaml"
WHERE = "stations: [p/+/+]\n"


def test_the_example_is_good_and_so_is_what_it_leaves_out(tmp_path: Path) -> None:
    assert read_settings(EXAMPLE, WebhookSettings).targets[0].name == "mes"
    path = tmp_path / "all.yaml"
    # Lines that begin with "# " are for people.
    lines = [line for line in EXAMPLE.read_text().splitlines() if not re.match("# [^ ]", line)]
    path.write_text("\n".join(line.removeprefix("#") for line in lines))
    made = read_settings(path, WebhookSettings)
    assert made.mqtt.port == 8883 and [target.send for target in made.targets] == ["verdicts", "defects"]
    assert made.targets[1].template is not None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("url: 'http://a@b/c'", "holds '@' before its path"),
        ("url: 'ftp://b/c'", "does not begin with http:// or https://"),
        ("url: 'http://b/c/'", "names a folder"),
        ("url: 'http://b/c', template: '{\"a\": $nothing}'", "there is no field 'nothing'; the fields are "),
        ("url: 'http://b/c', template: '{\"a\": \"$part_id\"}'", "which is no JSON"),
        ("url: 'http://b/c', template: 'costs $ 5'", "write $name for a field, and $$ for a dollar"),
        ("url: 'http://b/c', headers: {Content-Length: '3'}", "is set by the program itself"),
        ("url: 'http://b/c', headers: {'A b': '3'}", "a header has letters, digits"),
        ("url: 'http://b/c', headers: {A: 'ü'}", "a value of printable ASCII"),
        ("url: 'http://b/c', send: all", "targets.0.send"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, target: str, said: str) -> None:
    path = tmp_path / "webhook.yaml"
    path.write_text(f"{WHERE}targets: [{{name: a, {target}}}]\n")
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_settings(path, WebhookSettings)


def test_more_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "webhook.yaml"
    twice = "targets: [{name: a, url: 'http://b/c'}, {name: a, url: 'http://b/d'}]\n"
    path.write_text(f"stations: [p/l, 'p/#/a']\n{twice}")
    assert main(["webhook", "--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert "targets 0 and 1 have the same name, 'a'" in said and "write site/line/station" in said and "'#'" in said


def test_check_reads_the_files_of_the_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "webhook.yaml"
    outbox = f"outbox: {{path: {tmp_path}/outbox.db}}\n"
    path.write_text(f"{WHERE}{outbox}targets: [{{name: a, url: 'http://b/c', secret_file: {tmp_path}/secret}}]\n")
    assert main(["check", "--webhook", "--config", str(path)]) == 2
    assert "targets.a.secret_file" in capsys.readouterr().err
    (tmp_path / "secret").write_text("x" * 24)
    assert main(["check", "--webhook", "--config", str(path)]) == 0
    assert "its secret and its CAs can be read" in capsys.readouterr().err


def test_a_root_is_a_target_too() -> None:
    assert address_of("https://hooks.example").target == "/" == address_of("https://hooks.example:444/").target
    assert address_of("https://hooks.example/a?token=1").target == "/a?token=1"


def test_the_secret_of_the_specifications_example(tmp_path: Path) -> None:
    """The values are those of standard-webhooks' own tests."""
    file = tmp_path / "secret"
    file.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    secret = read_secret("targets.a.secret_file", file)
    made = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', secret)
    assert made["Webhook-Signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert "Webhook-Signature" not in headers("a", 1, b"", None)


def test_a_text_without_the_prefix_is_the_key_itself(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    assert read_secret("targets.a.secret_file", file) == b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(
    ("content", "said"), [(b"short", "has 5 bytes"), (b"whsec_!!", "no base64"), (bytes(range(128, 160)), "not UTF-8")]
)
def test_a_bad_secret_comes_with_the_command_that_makes_a_good_one(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as told:
        read_secret("targets.a.secret_file", file)
    command = str(told.value).rpartition("make a secret with: ")[2].replace("FILE", shlex.quote(str(file)))
    subprocess.run(command, shell=True, check=True)
    assert file.read_text().startswith("whsec_") and len(read_secret("targets.a.secret_file", file)) == 32


def test_an_empty_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch()
    with pytest.raises(ConfigurationError, match="is empty"):
        read_secret("targets.a.secret_file", file)
