"""The configuration of the OPC UA server: its example, its defaults and its mistakes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.opcua.settings import ListenSettings, OpcuaSettings

EXAMPLE = Path(__file__).parents[3] / "systemd" / "opcua.yaml"


def test_the_example_is_the_defaults_and_shows_every_setting(tmp_path: Path) -> None:
    assert read_settings(EXAMPLE, OpcuaSettings) == OpcuaSettings()
    text = EXAMPLE.read_text()
    for name in [*OpcuaSettings.model_fields, *ListenSettings.model_fields]:
        assert f"{name}:" in text, name
    # A comment begins with "# ", a setting that is left out with "#", and with its indentation.
    shown = re.sub(r"^#(?! \S)", "", text, flags=re.MULTILINE)
    whole = tmp_path / "opcua.yaml"
    whole.write_text(shown)
    assert read_settings(whole, OpcuaSettings).certificate_users[0].role == "operator"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"listen": {"certificate": "a.pem"}}, "belong together"),
        ({"stations": ["plant1"]}, "site/line/station"),
        ({"mqtt": {"encoding": "sparkplug_b"}}, "reads only JSON|needs protobuf"),
        ({"history": {"parts": 0}}, "greater than or equal to 1"),
        ({"anonymous_write": True}, "Extra inputs"),
        (
            {"certificate_users": [{"name": "mes", "role": "viewer", "certificate": "a"}] * 2},
            "a name is given twice",
        ),
        ({"certificate_users": [{"name": "mes", "role": "admin", "certificate": "a"}]}, "viewer"),
    ],
)
def test_mistakes_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        OpcuaSettings.model_validate(yaml.safe_load(yaml.safe_dump(fields)))


def test_the_names_in_a_certificate() -> None:
    listen = OpcuaSettings.model_validate({"listen": {"host": "0.0.0.0"}}).listen
    assert "0.0.0.0" not in listen.hosts and len(listen.hosts) == 1
    listen = OpcuaSettings.model_validate({"listen": {"host": "::1", "names": ["box1", "box1"]}}).listen
    assert listen.hosts == ["box1"] and listen.url == "opc.tcp://[::1]:4840/edge-inspect"
