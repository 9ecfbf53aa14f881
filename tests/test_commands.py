"""Every command in README and docs is one that its reader can run; those that need no hardware are run as printed."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from command_checks import NOT_EVERYWHERE, Wrong, check
from document_shell import PATIENCE, Shell
from documents import DOCUMENTS, ROOT, Code, begins_with_a_program, codes, commands, is_of_commands
from mosquitto import Broker, free_port, wait_until

from edge_inspect.edge.demo.line import write_dataset
from edge_inspect.edge.station.shadow import read_collected

STORY = ("README.md", "docs/training.md", "docs/line.md", "docs/bundles.md", "docs/broker.md", "docs/bridge.md")
"""The documents whose commands need what those before them made. Those of all others are run after them."""
ELSEWHERE = "docs/tutorial.md"
"""Its commands are a story of their own: tests/test_tutorial.py runs them."""

NOT_RUN = {
    "git clone": "needs the network",
    "make demo": "minutes of training; tests/edge/test_demo_chain.py runs the demo with less",
    "edge-inspect demo": "the same",
    "edge-inspect page-user": "asks for a password on a terminal; tests/edge/page/test_user_command.py has one",
    "edge-inspect command bundle bottle --digest": "needs a web server; tests/edge/station/test_bundle_pull.py has one",
    "edge-inspect command recipe": "needs a station with recipes; tests/edge/station/test_recipe_change.py has one",
    "edge-inspect command trigger": "needs a station with that trigger; the same test has one",
    "edge-inspect fleet rollout": "changes the bundles of many stations; tests/edge/fleet/test_rollout.py runs it",
    "edge-train products": "trains many products; tests/train/products/test_products.py runs it",
    "ray start": "starts servers that stay",
    "calibrate teach": "learns from labels that people have given; tests/calibrate/teach/test_teach.py runs it",
    "make test": "runs all tests",
    "make lint": "looks at the whole repository",
    "make bench": "measures for minutes",
    "make versions": "installs packages into many environments, for minutes",
    "make arm64": "emulates another processor for minutes, as root",
    "make constraints": "asks PyPI for the newest versions",
    "make install": "writes to /opt as root; tests/systemd/test_unit.py installs below a folder",
    "make uninstall": "the same",
    "make wheelhouse": "downloads 120 MB; tests/systemd/test_wheelhouse.py runs it",
    "make deb": "installs all packages; tests/systemd/test_package.py makes a package without them",
    "tar ": "unpacks a wheelhouse",
    "podman ": "needs an engine for containers; tests/systemd/test_container.py carries out the steps without one",
    "docker ": "the same",
    "dpkg ": "needs the package",
    "stat ": "needs a camera",
    "sudo ": "needs root",
    "sudoedit": "needs root and an editor",
    "apt ": "needs root",
    "sysctl": "needs root",
    "usermod": "needs root",
    "pip ": "fetches packages, or changes this environment",
    "python3 -m venv": "the packages of an environment of its own would be fetched",
    ". .venv": "`make test` makes the environment",
    "git log": "shows what git keeps, which a source distribution does not have",
    "edge-train teacher": "half an hour of training",
    "calibrate compile": "needs an NVIDIA GPU",
    "torchrun": "needs several GPUs",
    "systemctl": "needs systemd as the first process; tests/systemd checks the units",
    "systemd-": "the same",
    "journalctl": "the same",
    "python docs/examples/archive.py": "needs a central broker; tests/test_brokers.py runs it",
    "python tests/pixel_digests.py": "tests/edge/frame/test_resizing.py runs it",
    "python tests/benchmarks": "measures for minutes, on pictures that the repository does not have",
    "python -m pytest tests/kernels": "needs an NVIDIA GPU",
}
"""How commands that are not run begin, and the reason. Their options, files and units are checked all the same."""

CHANGES = {
    "sudo -u edge-inspect ": "",
    "/opt/edge-inspect/bin/": "",
    "/etc/edge-inspect/": "",
    "edge-train fit ": "edge-train fit --model memory --memory 50 --size 64 ",
    "edge-train regions ": "edge-train regions --no-browser ",
    "calibrate bundle ": "calibrate bundle --calibration-images 8 --search-seconds 0 ",
    "edge-inspect bench ": "edge-inspect bench --frames 2 ",
    "python -m pytest tests/edge": f"cd {ROOT} && python -m pytest -p no:cacheprovider tests/edge",
    " FILE": " config.yaml",
    "review DIR": "review evidence",
    "DIR/<day>": "$(ls -d evidence/2*)",
    "<station> --out RUN": "station1 --out runs/station1",
}
"""What is run otherwise than it is printed: smaller, in the folder of the test, with names for placeholders."""

ENDLESS = {
    "edge-train regions --no-browser DATA/bottle/good/001.png --out regions.yaml": "http://127.0.0.1",
    "edge-inspect run --config config.yaml": "station(s) online",
    "edge-inspect bridge --config bridge.yaml": "Modbus",
    "edge-inspect opcua --config opcua.yaml": "serving OPC UA",
    "edge-inspect views --config views.yaml": "joining 2 views",
    "edge-inspect webhook --config webhook.yaml": "posting messages",
    "edge-inspect page --config page.yaml": "serving the page",
    "edge-inspect archive run --config archive.yaml": "storing what",
    "mosquitto_sub -v -t 'edge-inspect/v1/#'": "edge-inspect/v1/plant1/line1/station1/verdict {",
}
"""Commands that run until they are ended, and words that they say before."""

CODE_OF_OTHERS = {
    "README.md": ['"image_auroc"'],
    "docs/broker.md": ["user station1"],
    "docs/cameras.md": ["aravis:"],
    "docs/jetson.md": ["[Service]"],
    "docs/page.md": ["<site>.<line>"],
    "docs/training.md": ["[Service]", "[Timer]"],
    "docs/tutorial.md": ["edge-inspect/v1/"],
    "docs/webhook.md": ["(umask 077;"],
}
"""Indented blocks that are neither commands nor YAML: how they begin. docs/methods.md has formulas in them."""
LANGUAGES = ("inline", "json", "yaml", "python", "mermaid", "nginx", "sql")
"""Code that is no command."""
ROWS_OF_TABLES = ("dmdd", "stretch", "tile", "tails.py")
"""First words of code in docs/measurements.md that names options of a command without the command."""


def all_commands() -> list[Code]:
    return [command for document in DOCUMENTS for command in commands(document)]


def why_not(command: str) -> str | None:
    """Return why a command is not run; `None` for one that is."""
    return next((reason for beginning, reason in NOT_RUN.items() if command.startswith(beginning)), None)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_document_would_be_accepted(document: Path) -> None:
    mistakes = []
    for command in commands(document):
        try:
            check(command)
        except Wrong as wrong:
            mistakes.append(f"{command}\n    {wrong}")
    assert mistakes == [], "\n".join(mistakes)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_of_a_document_is_known_to_be_commands_or_not(document: Path) -> None:
    name = str(document.relative_to(ROOT))
    known, unknown = CODE_OF_OTHERS.get(name, []), []
    for code in codes(document):
        if code.language in LANGUAGES or is_of_commands(code) or name == "docs/methods.md":
            continue
        is_yaml = re.match(r"[a-z_]+:(\s|$)", code.text)
        if not is_yaml and not code.text.strip().startswith(tuple(known)):
            unknown.append(f"{code.document}:{code.line}: {code.text.splitlines()[0]}")
    assert unknown == [], "add its program to documents.TOOLS, or its beginning to CODE_OF_OTHERS"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_with_options_begins_with_a_known_program(document: Path) -> None:
    spans = [code for code in codes(document) if code.language == "inline" and re.match(r"[\w./]\S* .*?-", code.text)]
    with_options = [code for code in spans if re.search(r" --?[a-z]", code.text)]
    unknown = [code for code in with_options if not begins_with_a_program(code.text)]
    assert [str(code) for code in unknown if code.text.split()[0] not in ROWS_OF_TABLES] == [], "see documents.TOOLS"


DOCUMENT = """
Run `edge-inspect doctor`, or `edge-train fit
--bits`; `calibrate` is a name, and `calibrate/cli.py` a file.

    make demo            # minutes
    calibrate compile bundles/bottle \\
        --cache engines

- an item
  of two lines

      mosquitto_sub -t 'edge-inspect/v1/#'

1. one

       edge-inspect selftest

```console
$ ls new
good-000.png
```

```sh
id=$(date)
mosquitto_pub -m "$id"
```

```json
{"make": "nothing"}
```
"""


def test_commands_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(DOCUMENT)
    found = commands(tmp_path / "page.md")
    assert [(command.language, command.text) for command in found] == [
        ("inline", "edge-inspect doctor"),
        ("inline", "edge-train fit --bits"),
        ("indented", "make demo"),
        ("indented", "calibrate compile bundles/bottle --cache engines"),
        ("indented", "mosquitto_sub -t 'edge-inspect/v1/#'"),
        ("indented", "edge-inspect selftest"),
        ("console", "ls new"),
        ("sh", 'id=$(date)\nmosquitto_pub -m "$id"'),
    ]
    assert [command.line for command in found[:4]] == [2, 2, 5, 6]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("edge-train fit --data DATA --categories all --out RUN", "--categories"),
        ("edge-train fit --data DATA --cat all --out RUN", "--cat"),
        ("calibrate bundles runs/bottle", "invalid choice"),
        ("edge-inspect command pause --config FILE --now", "--now"),
        ("sudo -u edge-inspect edge-inspect check", "--config"),
        ("calibrate verify bundles/bottle && calibrate shows bundles/bottle", "invalid choice"),
        ("make tests", "no tests"),
        ("make demo PIPOPTIONS=x", "PIPOPTIONS"),
        ("pip install '.[training]'", "training"),
        ("python tests/benchmarks/accuracies.py", "no file"),
        ("python tests/benchmarks/shadow.py --run 3", "--run"),
        ("python tests/benchmarks/accuracy.py DATA --options '--modell rd'", "--modell"),
        ("python -m edge_inspect.edge.schema docs/mqtt", "no module"),
        ("python -m pytest tests/edge/mqtt/test_drains.py", "no test"),
        ("systemctl restart edge-inspect-bridges", "unit"),
        ("mosquitto_sub -t 'edge-inspect/v2/#'", "topics"),
        ("mosquitto_pub -t edge-inspect/v1/plant1/line1/station1/commands -m {}", "topics"),
    ],
)
def test_a_wrong_command_is_noticed(text: str, wrong: str) -> None:
    with pytest.raises(Wrong, match=wrong):
        check(Code("a document", 1, "indented", text))


def test_a_sentence_may_name_a_command_with_one_option() -> None:
    for text in ("calibrate bundle", "edge-train fit --bits", "calibrate compile --via torch-tensorrt"):
        assert check(Code("a document", 1, "inline", text)) is False
        with pytest.raises(Wrong):
            check(Code("a document", 1, "indented", text))
    with pytest.raises(Wrong):
        check(Code("a document", 1, "inline", "edge-train fit --data DIR --category NAME"))


def test_the_list_of_commands_that_are_not_run_is_no_longer_than_needed() -> None:
    texts = [command.text for command in all_commands()]
    assert [beginning for beginning in NOT_RUN if not any(text.startswith(beginning) for text in texts)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path: Path) -> None:
    """Documents tell readers to run them, and no other test does."""
    if path.stem == "anomalib_worker":
        pytest.skip("runs where anomalib is installed")
    if path.stem == "delivery_line":
        pytest.skip("a part of delivery.py that reads its configuration at once")
    with patch.object(sys, "path", [str(path.parent), str(path.parents[1]), *sys.path]):
        try:
            runpy.run_path(str(path), run_name="imported")
        except ModuleNotFoundError as error:
            if str(error.name).split(".")[0] not in NOT_EVERYWHERE:
                raise
            pytest.skip(str(error))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running broker."""
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shell(tmp_path: Path, broker: Broker) -> Iterator[Shell]:
    """A folder with pictures of good parts and configurations, those of systemd/ but for paths and ports."""
    write_dataset(tmp_path / "rendered", train_good=24, test_good=1, test_defects=1, seed=3)
    good = tmp_path / "rendered" / "flange" / "train" / "good"
    for folder in ("DATA/bottle/good", "photos", "line"):
        shutil.copytree(good, tmp_path / folder)
    shutil.copy(next(good.iterdir()), tmp_path / "photo.png")
    health = free_port()
    config: dict[str, Any] = yaml.safe_load((ROOT / "systemd" / "config.yaml").read_text())
    config["stations"][0] |= {"camera": "folder:line?fps=4&loop=true", "bundle": "bundles/bottle"}
    config["stations"][0]["shadow"] = {"parts": 2000, "frames": 200}
    config["mqtt"] |= {"host": "127.0.0.1", "port": broker.port}
    config["outbox"]["path"] = "outbox.db"
    config["commands"] = {"allow": ["pause", "resume", "bundle", "shadow", "report"]}
    config |= {"bundles": {"folder": "bundles"}, "evidence": {"folder": "evidence"}, "health": {"http_port": health}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    bridge: dict[str, Any] = yaml.safe_load((ROOT / "systemd" / "bridge.yaml").read_text())
    bridge["mqtt"] |= {"host": "127.0.0.1", "port": broker.port}
    bridge |= {"modbus": {"port": free_port()}, "state": "bridge.json"}
    (tmp_path / "bridge.yaml").write_text(yaml.safe_dump(bridge))
    opcua = {"mqtt": bridge["mqtt"], "listen": {"port": free_port()}, "users": "page-users.yaml", "data": "opcua"}
    (tmp_path / "opcua.yaml").write_text(yaml.safe_dump(opcua))
    page = {"mqtt": bridge["mqtt"], "listen": {"port": free_port()}, "users": "page-users.yaml", "data": "page"}
    (tmp_path / "page.yaml").write_text(yaml.safe_dump(page))
    views: dict[str, Any] = yaml.safe_load((ROOT / "systemd" / "views.yaml").read_text())
    views |= {"mqtt": bridge["mqtt"], "outbox": {"path": "views-outbox.db"}}
    (tmp_path / "views.yaml").write_text(yaml.safe_dump(views))
    webhook: dict[str, Any] = yaml.safe_load((ROOT / "systemd" / "webhook.yaml").read_text())
    webhook |= {"mqtt": bridge["mqtt"], "outbox": {"path": "webhook-outbox.db"}}
    webhook["targets"][0]["url"] = f"http://127.0.0.1:{broker.port}/"  # where something answers
    (tmp_path / "webhook.yaml").write_text(yaml.safe_dump(webhook))
    archive = {"mqtt": bridge["mqtt"], "database": "sqlite:///archive.db", "data": "archive"}
    (tmp_path / "archive.yaml").write_text(yaml.safe_dump(archive))
    opened = Shell(
        tmp_path, {**CHANGES, ":9273": f":{health}", "broker.example": f"127.0.0.1 --port {broker.port}"}, broker.port
    )
    yield opened
    opened.close()


def collected(shell: Shell) -> int:
    """How many parts the shadow has that a command has begun."""
    found = read_collected(shell.folder / "outbox.shadow-station1.jsonl")
    return len(found.scores) if found.start.parts == 500 else 0


def replies(said: str) -> list[dict[str, Any]]:
    """What mosquitto_sub has printed of the stations' replies to commands of people.

    Programs that follow stations send `resend`, and again if a station refuses because it is about to deliver anyway.
    """
    lines = said.rpartition("\n")[0].splitlines()
    read = [json.loads(line.partition(" ")[2]) for line in lines if line.partition(" ")[0].endswith("/reply")]
    return [reply for reply in read if reply["command"] != "resend"]


@pytest.mark.timeout(900)
def test_every_command_that_needs_no_hardware_runs(shell: Shell) -> None:
    for tool in ("mosquitto_sub", "curl", "openssl"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}: apt-get install mosquitto-clients curl openssl")
    first = [ROOT / name for name in STORY]
    others = [document for document in DOCUMENTS if document not in first and document != ROOT / ELSEWHERE]
    ran: list[str] = []
    for command in [command for document in [*first, *others] for command in commands(document)]:
        changed = shell.changed(command.text)
        if changed in ran or why_not(changed) is not None or not check(command):
            continue
        ran.append(changed)
        if words := next((words for beginning, words in ENDLESS.items() if changed == beginning), None):
            shell.start(changed)
            shell.wait(changed, lambda said, words=words: words in said)
            continue
        if changed.startswith("calibrate threshold"):
            wait_until(lambda: collected(shell) > 60, PATIENCE, "parts in shadow")
        shell.run(changed)
    beginnings = {" ".join(command.split()[:2]) for command in ran}
    assert {"edge-train fit", "calibrate threshold", "edge-inspect command", "mosquitto_sub -v"} <= beginnings
    # mosquitto_pub does not wait for a reply: there is one for its `pause` too, beside that for the program's.
    listening = next(command for command in ran if command.startswith("mosquitto_sub"))
    shell.wait(listening, lambda said: [reply["command"] for reply in replies(said)].count("pause") == 2)
    shell.wait(listening, lambda said: all(reply["done"] for reply in replies(said)))
