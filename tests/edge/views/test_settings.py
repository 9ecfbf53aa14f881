from __future__ import annotations

import re
from pathlib import Path

import pytest
from mosquitto import Broker

from edge_inspect.edge.cli import main
from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.views.settings import ViewsSettings

EXAMPLE = Path(__file__).parents[3] / "systemd" / "views.yaml"
WHERE = "site: p\nline: l\nstation: j\n"
VIEWS = "views: [{name: a, station: s1}, {name: b, station: s2}]\n"


def test_the_example_is_good_and_so_is_what_it_leaves_out(tmp_path: Path) -> None:
    short = read_settings(EXAMPLE, ViewsSettings)
    assert [topics.station for _, topics in short.followed] == ["station1", "station2"]
    assert short.store == Path("/var/lib/edge-inspect-views/outbox.views.db")
    path = tmp_path / "all.yaml"
    # Lines that begin with "# " are for people.
    lines = [line for line in EXAMPLE.read_text().splitlines() if not re.match("# [^ ]", line)]
    path.write_text("\n".join(line.removeprefix("#") for line in lines))
    made = read_settings(path, ViewsSettings)
    assert made.match == "position" and made.mqtt.port == 8883 and made.views[2].delay_s == 0.35
    assert made.rule.of([view.name for view in made.views]).votes == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WHERE + "views: [{name: a, station: s1}]\n", "views: "),
        (
            WHERE + "views: [{name: a, station: s1}, {name: a, station: s2}]\n",
            "views.1.name: 'a' is the name of views.0 too",
        ),
        (
            WHERE + "views: [{name: a, station: s1}, {name: b, site: p, station: s1}]\n",
            "views.1.station: p/l/s1 is the station of views.0 too",
        ),
        (WHERE + VIEWS + "rule: {views: [b, a, b]}\n", "rule.views: view 'b' is named twice"),
        (WHERE + "views: [{name: a, station: s1}, {name: b, station: j}]\n", "'j' is one of the views"),
        (WHERE + VIEWS + "rule: {views: [c]}\n", "there is no view 'c'; the views are a, b"),
        (WHERE + VIEWS + "rule: {reject: votes, votes: 3}\n", "3 votes, but only 2 view(s) decide"),
        (WHERE + VIEWS + "match: position\n", "'match: position' needs 'window_s'"),
        (WHERE + "views: [{name: a, station: s1, delay_s: 1}, {name: b, station: s2}]\n", "only with 'window_s'"),
        (WHERE + VIEWS + "mqtt: {encoding: sparkplug_b}\n", "the joiner of views reads only JSON"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "views.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_settings(path, ViewsSettings)


def test_a_mistake_shows_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "views.yaml"
    path.write_text(WHERE + VIEWS + f"outbox: {{path: {tmp_path}/none/outbox.db}}\n")
    assert main(["views", "--config", str(path)]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["check", "--views", "--config", str(path)]) == 2
    assert "outbox.path: the folder" in capsys.readouterr().err


def test_check_tells_of_a_view_that_the_broker_has_never_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broker: Broker
) -> None:
    path = tmp_path / "views.yaml"
    mqtt = f"mqtt: {{host: 127.0.0.1, port: {broker.port}}}\n"
    path.write_text(WHERE + VIEWS + mqtt + f"outbox: {{path: {tmp_path}/outbox.db}}\n")
    assert main(["check", "--views", "--connect", "--config", str(path)]) == 0
    assert "has kept no message on edge-inspect/v1/p/l/s1/status; check the name" in capsys.readouterr().err
