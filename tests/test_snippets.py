"""Pieces of configurations and messages in the documents are read by the programs that they are for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import DOCUMENTS, ROOT, Code, codes
from node_modules import node_program
from promtool import promtool
from pydantic import BaseModel

from edge_inspect.edge.archive.settings import ArchiveSettings
from edge_inspect.edge.bridge.settings import BridgeSettings
from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Defect, Status, Verdict
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.opcua.settings import OpcuaSettings
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.views.settings import ViewsSettings
from edge_inspect.edge.webhook.settings import WebhookSettings
from edge_inspect.train.area_files import read_areas
from edge_inspect.train.products.product_file import read_products

SYSTEMD = ROOT / "systemd"
SETTINGS: dict[str, type[BaseModel]] = {
    "config.yaml": Settings,
    "bridge.yaml": BridgeSettings,
    "opcua.yaml": OpcuaSettings,
    "views.yaml": ViewsSettings,
    "webhook.yaml": WebhookSettings,
    "page.yaml": PageSettings,
    "archive.yaml": ArchiveSettings,
}
MESSAGES: dict[str, type[BaseModel]] = {"verdict": Verdict, "defect": Defect, "status": Status, "health": Health}
PLACES: tuple[tuple[str | int, ...], ...] = (
    *((), ("stations", 0), ("mqtt",), ("mqtt", "tls"), ("outbox",), ("evidence",), ("modbus",), ("listen",)),
    ("stations", 0, "shadow"),
    ("targets", 0),
)
"""Where in a configuration a piece of it may belong."""
NO_SETTINGS = ("exposure: ExposureTime cannot be 5", "sink: NAME:WHERE")
"""A message of a program, and a sink that a reader would add."""
OF_PROMETHEUS = "scrape_configs:"
FILES = ("db", "identity", "jsonl", "yaml", "json", "py", "csv")

Place = tuple[str | int, ...]


def whole(name: str) -> dict[str, Any]:
    """A configuration of systemd/ with the sections that it has in comments."""
    found: dict[str, Any] = yaml.safe_load((SYSTEMD / name).read_text(encoding="utf-8"))
    found["mqtt"]["username"] = "edge-inspect"
    found["mqtt"]["tls"] = {"ca_file": "ca.pem", "certificate": "client.pem", "key": "client.pem"}
    if name == "config.yaml":
        found |= {"evidence": {"folder": "evidence"}, "commands": {"allow": ["trigger"]}}
        found["stations"][0]["shadow"] = {"parts": 100}
    return found


def merged(base: Any, piece: Any) -> Any:
    """The base with what the piece has; the members of two lists are joined one by one."""
    if isinstance(base, dict) and isinstance(piece, dict):
        if isinstance(piece.get("recipes"), list) and "camera" in base:  # they name the bundles of a station
            base = {key: value for key, value in base.items() if key != "bundle"}
        return {**base, **{key: merged(base.get(key), value) for key, value in piece.items()}}
    if isinstance(base, list) and isinstance(piece, list) and all(isinstance(each, dict) for each in base):
        return [merged(base[i] if i < len(base) else None, each) for i, each in enumerate(piece)]
    return piece


def put(base: Any, place: Place, piece: Any) -> Any:
    """The base with the piece at a place; `None` where the base has no such place."""
    if not place:
        return merged(base, piece)
    if not isinstance(base, dict | list):
        return None
    inside = base[place[0]] if isinstance(base, list) else base.get(place[0])
    if inside is None or (changed := put(inside, place[1:], piece)) is None:
        return None
    if isinstance(base, list):
        return [changed if i == place[0] else each for i, each in enumerate(base)]
    return {**base, place[0]: changed}


def mistakes_of(piece: Any, folder: Path, place: Place = ()) -> list[str]:
    """What the programs say to a piece at this place, for each configuration; empty if one of them takes it."""
    said = []
    for name, model in SETTINGS.items():
        if (settings := put(whole(name), place, piece)) is None:
            continue
        file = folder / name
        file.write_text(yaml.safe_dump(settings, allow_unicode=True))
        try:
            read_settings(file, model)
        except ConfigurationError as error:
            said.append(str(error))
        else:
            return []
    return said or ["no such place"]


def blocks(document: Path) -> list[Code]:
    """The blocks of YAML in a document."""
    found = [code for code in codes(document) if code.language in ("yaml", "indented")]
    return [code for code in found if code.language == "yaml" or re.match(r"[a-z_]+:(\s|$)", code.text)]


def spans(document: Path) -> list[Code]:
    """The code in sentences that is YAML with a value."""
    found = [code for code in codes(document) if code.language == "inline"]
    return [code for code in found if re.match(r"[a-z_]+: \S", code.text) and not code.text.startswith(NO_SETTINGS)]


def properties(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every property that a JSON Schema describes, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
        for value in schema.values():
            yield from properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from properties(value)


def is_of_a_message(piece: Any) -> bool:
    """Whether messages or commands have these fields."""
    schemas = [json.loads(path.read_text()) for path in (ROOT / "docs" / "mqtt").glob("*.schema.json")]
    known = {name for schema in schemas for name, _ in properties(schema)}
    return isinstance(piece, dict) and piece.keys() <= known


def has_path(model: type[BaseModel], path: list[str]) -> bool:
    """Whether a model has a field at this path."""
    field = model.model_fields.get(path[0])
    if field is None:
        return False
    if len(path) == 1 or (typing.get_origin(field.annotation) is dict and path[1] in literals_in(field.annotation)):
        return True
    return any(has_path(inner, path[1:]) for inner in models_in(field.annotation))


def literals_in(annotation: Any) -> set[Any]:
    """The words that a type allows, such as the keys of a mapping."""
    if typing.get_origin(annotation) is typing.Literal:
        return set(typing.get_args(annotation))
    return {word for part in typing.get_args(annotation) for word in literals_in(part)}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)


def is_known(path: list[str]) -> bool:
    """Whether a configuration or a message has this path, which may begin with the message's name."""
    roots = [*SETTINGS.values(), *MESSAGES.values()]
    return any(has_path(model, path) for model in roots) or (
        path[0] in MESSAGES and has_path(MESSAGES[path[0]], path[1:])
    )


EACH_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@EACH_DOCUMENT
def test_a_block_of_a_configuration_is_read(document: Path, tmp_path: Path) -> None:
    for block in blocks(document):
        if block.text.startswith(OF_PROMETHEUS):
            continue
        if block.text.startswith("out: "):
            (tmp_path / "products.yaml").write_text(block.text)
            assert read_products(tmp_path / "products.yaml")
            continue
        if "polygon:" in block.text:
            (tmp_path / "regions.yaml").write_text(block.text)
            assert read_areas(tmp_path / "regions.yaml", tmp_path / "regions.yaml") is not None
            continue
        text = "\n".join(line for line in block.text.splitlines() if line.strip() != "...")
        # Once as it stands, and once with what is in comments.
        for each in {text, re.sub(r"#(?=[a-z_]+: )", "", text)}:
            mistakes = mistakes_of(yaml.safe_load(each), tmp_path)
            assert mistakes == [], f"{block}\n{mistakes}"


@EACH_DOCUMENT
def test_a_setting_in_a_sentence_is_read(document: Path, tmp_path: Path) -> None:
    wrong = []
    for span in spans(document):
        piece = yaml.safe_load(span.text)
        ((section, inside),) = piece.items()
        if (
            isinstance(inside, dict) and inside and all(value is None for value in inside.values())
        ):  # keys without values
            taken = all(is_known([section, key]) for key in inside)
        else:
            taken = is_of_a_message(piece) or any(not mistakes_of(piece, tmp_path, place) for place in PLACES)
        if not taken:
            wrong.append(str(span))
    assert wrong == []


@EACH_DOCUMENT
def test_a_key_with_its_section_is_there(document: Path) -> None:
    """Such as `commands.allow`, and `frames.dropped` of a message."""
    first = {
        name for model in (*SETTINGS.values(), *MESSAGES.values()) for name in model.model_fields
    } | MESSAGES.keys()
    wrong = []
    for code in codes(document):
        if code.language == "inline" and re.fullmatch(r"[a-z_0-9]+(\.[a-z_0-9]+)+", code.text):
            path = code.text.split(".")
            if path[0] in first and path[-1] not in FILES and not is_known(path):
                wrong.append(str(code))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("outbox: {durability: full}", True),
        ("outbox: {durability: fully}", False),
        ("policy: latest", True),
        ("policy: newest", False),
        ("word_order: low_first", True),
        ("key: client.key", True),
        ("stale_after: 30", False),
        ("defect_classes: [{name: large, min_area: 4.0}]", False),
    ],
)
def test_a_wrong_setting_is_noticed(text: str, good: bool, tmp_path: Path) -> None:
    assert any(not mistakes_of(yaml.safe_load(text), tmp_path, place) for place in PLACES) is good


def test_a_wrong_key_is_noticed() -> None:
    for path, good in {"commands.allow": True, "commands.allowed": False, "health.shadow": True}.items():
        assert is_known(path.split(".")) is good


def schema_of(block: Code) -> str:
    """The message that the section of a document is about: its heading begins with the name."""
    lines = (ROOT / block.document).read_text(encoding="utf-8").splitlines()[: block.line]
    headings = [match[1] for line in lines if (match := re.match(r"## `(\w+)`", line))]
    assert headings, f"{block.document}:{block.line}: JSON below no heading that names its message"
    return headings[-1]


def test_messages_in_documents_are_valid() -> None:
    instances: dict[str, list[Any]] = {}
    for block in [code for document in DOCUMENTS for code in codes(document) if code.language == "json"]:
        instances.setdefault(schema_of(block), []).append(json.loads(block.text))
    assert instances.keys() == {path.name.split(".")[0] for path in (ROOT / "docs" / "mqtt").glob("*.schema.json")}
    program = [*node_program("schemas.mjs"), str(ROOT / "docs" / "mqtt")]
    done = subprocess.run(program, input=json.dumps(instances), capture_output=True, text=True, timeout=60, check=True)
    told: dict[str, list[list[str]]] = json.loads(done.stdout)
    assert {name: each for name, each in told.items() if any(each)} == {}


def test_prometheus_reads_its_configuration(tmp_path: Path) -> None:
    (block,) = [each for document in DOCUMENTS for each in blocks(document) if each.text.startswith(OF_PROMETHEUS)]
    (tmp_path / "prometheus.yml").write_text(block.text)
    shutil.copy(ROOT / "docs" / "monitoring" / "alerts.yml", tmp_path)
    checked = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert checked.returncode == 0, checked.stderr
