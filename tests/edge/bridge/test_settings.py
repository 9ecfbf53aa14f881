from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_inspect.edge.bridge.settings import BridgeSettings
from edge_inspect.edge.cli import main
from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[3] / "systemd" / "bridge.yaml"
STATION = "{site: plant, line: line1, station: a}"


def refused(tmp_path: Path, text: str) -> str:
    path = tmp_path / "bridge.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_settings(path, BridgeSettings)
    return str(caught.value)


def test_the_example_is_good_and_so_is_what_it_leaves_out(tmp_path: Path) -> None:
    assert read_settings(EXAMPLE, BridgeSettings).stations[0].station == "station1"
    path = tmp_path / "all.yaml"
    # Lines that begin with "# " are for people.
    lines = [line for line in EXAMPLE.read_text().splitlines() if not re.match("# [^ ]", line)]
    path.write_text("\n".join(line.removeprefix("#") for line in lines))
    made = read_settings(path, BridgeSettings)
    assert made.modbus.word_order == "low_first" and made.mqtt.port == 8883 and len(made.defect_classes) == 3


def test_mistakes_are_listed_with_their_keys(tmp_path: Path) -> None:
    said = refused(tmp_path, f"stations: [{STATION}, {STATION}]\nmodbus: {{prot: 1}}\nhold_s: -1\n")
    assert "3 mistakes" in said and "stations: a station is named twice" in said
    assert "modbus.prot: unknown key; the keys are host, port, word_order, acknowledge" in said
    assert "hold_s: input should be greater than or equal to 0; it is -1" in said


def test_what_only_a_station_can_do_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, f"stations: [{STATION}]\nmqtt: {{encoding: sparkplug_b}}\n")
    assert "mqtt: the bridge reads only JSON" in said
    assert "mqtt: the bridge reads only JSON" in refused(
        tmp_path, f"stations: [{STATION}]\nmqtt: {{home_assistant: {{}}}}\n"
    )


def test_the_map_of_all_stations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bridge.yaml"
    path.write_text(f"stations: [{STATION}, {{site: plant, line: line1, station: b}}]\n")
    assert main(["bridge", "--config", str(path), "--map"]) == 0
    said = capsys.readouterr().out
    assert "## plant/line1/b\n" in said and "| 1008 to 1009 | `parts` |" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"stations: [{STATION}]\nmodbus: {{port: 502}}\nmodbus: {{}}\n", "modbus: is given twice, lines 2 and 3"),
        ("stations:\n  - site: p\n    line: l\n    site: q\n", "stations.0.site: is given twice, lines 2 and 4"),
        (
            f"stations: [{STATION}]\nmqtt:\n  tls: {{ca_file: a, ca_file: b}}\n",
            "mqtt.tls.ca_file: is given twice, line 3",
        ),
    ],
)
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


def test_an_address_to_listen_on_is_no_url(tmp_path: Path) -> None:
    said = refused(tmp_path, f"stations: [{STATION}]\nmodbus: {{host: 'tcp://0.0.0.0:502'}}\n")
    assert "modbus.host: is a URL (tcp://...); write host: 0.0.0.0 and port: 502" in said
