"""`edge-inspect fleet list`, with a real broker and what stations publish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from mosquitto import Broker, free_port
from page_parts import Publisher, Station
from station_parts import health, status

from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import DriftHealth, FrameCounts, RejectHealth, StageHealth

FIGURES: dict[str, Any] = {
    "rejects": RejectHealth(share=0.3, usual=0.05, evidence=1, limit=9),
    "drift": DriftHealth(shift=-0.8, limit=0.55),
    "frames": FrameCounts(inspected=900, accepted=630, rejected=270, dropped=0),
    "warnings": ("many_rejects",),
}


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    made = Publisher(broker.port)
    yield made
    made.close()


def listed(capsys: pytest.CaptureFixture[str], broker: Broker, *options: str) -> tuple[int, str, str]:
    ended = main(["fleet", "list", "--host", "127.0.0.1", "--port", str(broker.port), "--wait", "3", *options])
    out, error = capsys.readouterr()
    return ended, out, error


def test_every_station_has_a_row(broker: Broker, publisher: Publisher, capsys: pytest.CaptureFixture[str]) -> None:
    Station(publisher, "plant/line1/good").begin(drift=DriftHealth(shift=0.1, limit=0.5))
    Station(publisher, "plant/line1/worse").begin("degraded", **FIGURES)
    Station(publisher, "plant/line2/gone").begin("offline")
    old = Station(publisher, "plant/line2/silent")
    old.say(status().model_copy(update={"at": utc_now() - timedelta(hours=5)}), "status", retain=True)
    old.say(health().model_copy(update={"at": utc_now() - timedelta(hours=4)}), "health", retain=True)
    broken = StageHealth(state="stuck", seconds=9, progress=1, reason="no frame")
    Station(publisher, "plant/line2/stuck").begin("degraded", stages={"camera": broken})
    publisher.send("edge-inspect/v1/plant/line2/odd/status", b"{}", retain=True)
    ended, out, _ = listed(capsys, broker, "--to", "plant/*/*", "--to", "plant/line3/never")
    head, *lines = out.splitlines()
    assert ended == 0 and head.split() == [
        *("station", "state", "version", "bundle", "digest", "precision", "threshold", "rejects", "drift", "health")
    ]
    rows = {line.split()[0].rpartition("/")[2]: line for line in lines}
    assert list(rows) == ["good", "worse", "gone", "silent", "stuck", "never"]
    assert "online" in rows["good"] and "flange" in rows["good"] and "+0.10 ≤ 0.50" in rows["good"]
    assert rows["good"].endswith("good")
    assert "30.0 % > " in rows["worse"] and "-0.80 > 0.55" in rows["worse"] and rows["worse"].endswith("many_rejects")
    assert "offline" in rows["gone"]
    assert "silent for 4 h" in rows["silent"]
    assert rows["stuck"].endswith("camera stuck")
    assert "unknown" in rows["never"] and "check its name" in rows["never"]


def test_the_rows_as_json(
    broker: Broker, publisher: Publisher, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Station(publisher, "plant/line1/a").begin("degraded", **FIGURES)
    Station(publisher, "plant/line1/b").begin()
    config = tmp_path / "page.yaml"
    config.write_text(yaml.safe_dump({"mqtt": {"host": "127.0.0.1", "port": broker.port}, "stations": ["+/+/+"]}))
    assert main(["fleet", "list", "--to", "plant/line1/a", "--config", str(config), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["stations"]
    assert (row["key"], row["state"], row["bundle"], row["version"]) == ("plant/line1/a", "degraded", "flange", "0")
    assert row["rejects"]["above"] and row["rejects"]["usual"] == 0.05 and row["drift"]["beyond"]
    assert row["alarms"] == ["many_rejects"] and row["good"] is False and row["silent_s"] is None


def test_nobody_there_is_said(broker: Broker, publisher: Publisher, capsys: pytest.CaptureFixture[str]) -> None:
    Station(publisher, "plant/line1/a").begin()
    ended, out, error = listed(capsys, broker, "--wait", "0.3", "--to", "plant2/*/*")
    assert (ended, out) == (1, "") and "no station plant2/*/* was heard within 0.3 s" in error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--wait", "0"], "--wait 0: give"),
        (["--wait", "nan"], "--wait nan"),
        (["--to", "a/b"], "write SITE/LINE/STATION"),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
        (["--username", ""], "--username"),
    ],
)
def test_wrong_use_is_said_in_a_line(capsys: pytest.CaptureFixture[str], options: list[str], said: str) -> None:
    assert main(["fleet", "list", *options]) == 2
    out, error = capsys.readouterr()
    assert said in error and "Traceback" not in error and not out


def test_a_broker_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert main(["fleet", "list", "--port", str(port)]) == 1
    assert f"broker localhost:{port}: not reachable" in capsys.readouterr().err
