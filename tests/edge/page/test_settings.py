from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.configuration.station_patterns import StationFilter
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.page.settings import ListenSettings, PageSettings

EXAMPLE = Path(__file__).parents[3] / "systemd" / "page.yaml"


def settings(folder: Path, **fields: Any) -> PageSettings:
    path = folder / "page.yaml"
    path.write_text(yaml.safe_dump(fields))
    return read_settings(path, PageSettings)


def test_the_example_is_good_also_with_all_that_is_commented_out(tmp_path: Path) -> None:
    assert read_settings(EXAMPLE, PageSettings) == PageSettings()
    lines = EXAMPLE.read_text().splitlines()
    whole = "\n".join(line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines)
    path = tmp_path / "page.yaml"
    path.write_text(whole)
    read = read_settings(path, PageSettings)
    assert set(read.model_dump(exclude_unset=True)) == set(PageSettings.model_fields)


def test_an_empty_mapping_is_a_configuration(tmp_path: Path) -> None:
    assert settings(tmp_path) == PageSettings()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_needs_no_tls(host: str) -> None:
    assert ListenSettings(host=host).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.7.9", "box.plant.example", "fe80::1%eth0"])
def test_passwords_are_not_sent_in_the_clear(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"listen: host: .* behind_proxy: true .* host: 127\.0\.0\.1 \(line 1"):
        settings(tmp_path, listen={"host": host})
    with pytest.raises(ConfigurationError, match="listen: behind_proxy: .* name the addresses of the proxies"):
        settings(tmp_path, listen={"host": host, "behind_proxy": True})
    proxied = {"behind_proxy": True, "proxies": ["192.0.2.7", "2001:db8::/32"]}
    assert settings(tmp_path, listen={"host": host, **proxied}).listen.address == (
        f"http://{f'[{host}]' if ':' in host else host}:8460"
    )
    tls = {"certificate": "page.pem", "key": "page.key"}
    assert settings(tmp_path, listen={"host": host, **tls}).listen.address.startswith("https://")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stations": ["plant/line1"]}, "stations.0: 'plant/line1': write site/line/station"),
        ({"stations": ["plant/line1/a/b"]}, "write site/line/station"),
        ({"stations": ["#"]}, "write site/line/station"),
        ({"stations": ["plant//a"]}, "0 characters"),
        ({"stations": ["plant/line#/a"]}, "contains '/', '+', '#'"),
        ({"stations": ["plant/l+/a"]}, "contains '/', '+', '#'"),
        ({"stations": []}, "stations: list should have at least 1 item"),
        ({"stations": ["+/+/+", "+/+/+"]}, "named twice"),
        ({"shifts": ["6:00"]}, "shifts.0: '6:00' is no time of day"),
        ({"shifts": ["24:00"]}, "is no time of day"),
        ({"shifts": [360]}, "must be text, and 360 is a number; put it in quotes"),
        ({"shifts": ["14:00", "06:00"]}, "must rise"),
        ({"shifts": ["06:00", "06:00"]}, "must rise"),
        ({"shifts": []}, "at least 1 item"),
        ({"listen": {"certificate": "a.pem"}}, "listen: 'certificate' and 'key' belong together"),
        ({"listen": {"proxies": ["proxy.plant"]}}, "listen.proxies.0: 'proxy.plant' does not appear"),
        ({"listen": {"proxies": ["192.0.2.7/24"]}}, "has host bits set; write addresses such as"),
        ({"listen": {"host": "http://box"}}, "listen.host: "),
        ({"mqtt": {"encoding": "sparkplug_b"}}, "the page reads only JSON"),
        ({"mqtt": {"client_id": "page-{station}"}}, "which the page does not have"),
        ({"name": "a/b"}, "name: "),
        ({"session_hours": 0}, "session_hours: "),
        ({"receivedbytes": 3}, "unknown key; the keys are name, mqtt, stations"),
    ],
)
def test_mistakes_name_their_key_and_the_remedy(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        settings(tmp_path, **fields)
    assert said in str(error.value)


def test_a_pattern_shows_the_stations_that_it_names() -> None:
    chosen = PageSettings(stations=["plant1/+/+", "plant2/line1/a"])
    shows = StationFilter(chosen.stations, "shown")
    shown = {key: shows.follows(key) for key in ("plant1/x/y", "plant2/line1/a", "plant2/line1/b", "plant3/x/y")}
    assert list(shown.values()) == [True, True, False, False]
    with pytest.raises(ValidationError):
        PageSettings(stations=["plant1/+"])
