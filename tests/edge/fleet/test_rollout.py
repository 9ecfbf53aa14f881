"""`edge-inspect fleet rollout`, with a real broker, a real service of three stations, and a command that is killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_parts import digest_of, write_bundles, write_service
from mosquitto import Broker, Subscriber, wait_until
from page_parts import Publisher, Station
from replier import Replier
from service_process import PATIENCE, Process
from station_parts import health

from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.fleet.rollout_record import Plan, RolloutRecord
from edge_inspect.edge.fleet.waves import plan_waves

NAMES = ["s1", "s2", "s3"]


class Fleet:
    """A broker, a service with three stations, and what happened to their bundles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_bundles(folder)
        self.broker = Broker(folder)
        self.broker.start()
        self.config = write_service(folder, folder, self.broker.port, NAMES, fps=25)
        self._variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
        command = [sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(self.config)]
        self.service = Process(command, folder / "service.log", cwd=folder, env=self._variables)
        self.subscriber = Subscriber(self.broker.port, "edge-inspect/#")
        wait_until(lambda: len(self.bundles()) == 3, PATIENCE, "three stations")

    def arguments(self, bundle: str, *more: str) -> list[str]:
        """The command line of a roll-out of a bundle to all stations."""
        where = ["--to", "plant/line1/s*", "--host", "127.0.0.1", "--port", str(self.broker.port)]
        return ["fleet", "rollout", str(self.folder / "bundles" / bundle), *where, *more]

    def start(self, *arguments: str) -> Process:
        """Start a command as a process."""
        command = [sys.executable, "-m", "edge_inspect.edge.cli", *arguments]
        log = self.folder / f"command-{time.monotonic_ns()}.log"
        self.printed = log.with_suffix(".out")
        with self.printed.open("wb") as out:
            return Process(command, log, cwd=self.folder, env=self._variables, stdout=out)

    def bundles(self) -> dict[str, str]:
        """The digest of each station's bundle, by its last health."""
        found = [m for m in list(self.subscriber.messages) if m.topic.endswith("/health")]
        return {m.topic.split("/")[-2]: json.loads(m.payload)["bundle"]["digest"] for m in found}

    def use(self, name: str) -> None:
        """Wait until every station has a bundle by its health."""
        digest = digest_of(self.folder, name)
        wait_until(lambda: set(self.bundles().values()) == {digest}, PATIENCE, f"all use {name}: {self.bundles()}")

    def changes(self, since: int = 0) -> list[tuple[str, str]]:
        """What the stations have recorded since a number of lines: station and kind of change."""
        lines = (self.folder / "outbox.bundles.jsonl").read_text().splitlines() if self.count() else []
        entries = [json.loads(line) for line in lines if line]
        return [(each["station"], each["change"]) for each in entries[since:]]

    def count(self) -> int:
        """The number of changes that the stations have recorded."""
        path = self.folder / "outbox.bundles.jsonl"
        return sum(1 for line in path.read_text().splitlines() if line) if path.exists() else 0

    def close(self) -> None:
        self.service.__exit__()
        self.subscriber.close()
        self.broker.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


@pytest.fixture
def record(tmp_path: Path) -> str:
    return str(tmp_path / "rollout.jsonl")


def ready(fleet: Fleet, name: str) -> str:
    """Let all stations use `old` or `new`, whichever is not the given bundle; return its name."""
    other = "new" if name == "old" else "old"
    if set(fleet.bundles().values()) != {digest_of(fleet.folder, other)}:
        options = ("--canary", "3", "--watch-parts", "10", "--record", str(fleet.folder / f"{time.monotonic_ns()}"))
        assert main(fleet.arguments(other, *options)) == 0
        fleet.use(other)
    return other


def test_a_good_bundle_reaches_all_in_waves(
    fleet: Fleet, record: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(fleet, "new")
    assert main(fleet.arguments("new", "--dry-run")) == 0
    shown = capsys.readouterr().out
    assert "wave canary: plant/line1/s1\nwave share: plant/line1/s2\nwave rest: plant/line1/s3\n" in shown
    count = fleet.count()
    assert main(fleet.arguments("new", "--watch-parts", "20", "--record", record)) == 0
    out, error = capsys.readouterr()
    assert out.index("s1: good after") < out.index("wave canary: done") < out.index("s2: changed from")
    assert "every station has the bundle and is good" in error and f"record: {record}" in error
    fleet.use("new")
    assert sorted(fleet.changes(count)) == [(name, "load") for name in NAMES]
    # There is nothing to do a second time.
    assert main(fleet.arguments("new", "--record", f"{record}2")) == 0
    assert "every station has the bundle already" in capsys.readouterr().err
    assert main(["fleet", "rollout", "--resume", record, "--port", str(fleet.broker.port)]) == 0
    assert "this roll-out has ended" in capsys.readouterr().err
    assert fleet.count() == count + 3


def test_a_bundle_that_rejects_too_much_is_stopped_in_the_first_wave(
    fleet: Fleet, record: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, count = ready(fleet, "bad"), fleet.count()
    assert main(fleet.arguments("bad", "--canary", "2", "--record", record)) == 1
    out, error = capsys.readouterr()
    assert "stopped: plant/line1/s" in error and "rejects" in error and "is the control limit" in error
    assert "every changed station was rolled back" in error
    assert "plant/line1/s3  not changed" in out
    fleet.use(before)
    assert sorted(fleet.changes(count)) == [(name, change) for name in NAMES[:2] for change in ("load", "roll back")]
    assert main(["fleet", "rollout", "--resume", record, "--port", str(fleet.broker.port)]) == 1
    assert "stopped: " in capsys.readouterr().err


def test_a_bundle_that_fails_is_gone_at_every_station(
    fleet: Fleet, record: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A station that goes back by itself has its former bundle in the end, and not the one before that."""
    before, count = ready(fleet, "breaks"), fleet.count()
    assert main(fleet.arguments("breaks", "--canary", "3", "--record", record)) == 1
    # Its reply says so, or its next health if that comes first.
    assert re.search("breaks failed and was rolled back|it has gone back to .* by itself", capsys.readouterr().err)
    fleet.use(before)
    assert {station for station, change in fleet.changes(count) if change == "load"} == set(NAMES)


def test_a_killed_command_goes_on_and_changes_nobody_twice(
    fleet: Fleet, record: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ready(fleet, "new")
    count = fleet.count()
    with fleet.start(*fleet.arguments("new", "--canary", "2", "--watch-parts", "60", "--record", record)) as command:
        # Before a reply can come: the record says `sent`, and the stations change.
        wait_until(lambda: fleet.count() > count, PATIENCE, "a change")
        command.kill()
    fleet.broker.stop()
    fleet.broker.start()
    assert main(["fleet", "rollout", "--resume", record, "--host", "127.0.0.1", "--port", str(fleet.broker.port)]) == 0
    fleet.use("new")
    assert sorted(fleet.changes(count)) == [(name, "load") for name in NAMES]
    assert "plant/line1/s1  good: 60 parts" in capsys.readouterr().out


def test_a_broker_that_restarts_holds_it_up_only(fleet: Fleet, record: str) -> None:
    ready(fleet, "new")
    count = fleet.count()
    with fleet.start(*fleet.arguments("new", "--watch-parts", "60", "--record", record)) as command:
        wait_until(lambda: fleet.count() > count, PATIENCE, "a change")
        fleet.broker.stop()
        time.sleep(0.5)
        fleet.broker.start()
        assert command.wait(PATIENCE) == 0, command.said()
    assert "The command goes on when the broker can be reached again" in fleet.printed.read_text()
    fleet.use("new")
    assert sorted(fleet.changes(count)) == [(name, "load") for name in NAMES]


def test_a_pause_and_an_interruption(fleet: Fleet, record: str, capsys: pytest.CaptureFixture[str]) -> None:
    ready(fleet, "new")
    count = fleet.count()
    with fleet.start(*fleet.arguments("new", "--watch-parts", "30", "--record", record)) as command:
        wait_until(lambda: fleet.count() > count, PATIENCE, "a change")
        command.send_signal(signal.SIGUSR1)
        wait_until(lambda: '"good"' in Path(record).read_text(), PATIENCE, "the canary is good")
        time.sleep(0.5)
        assert fleet.count() == count + 1
        assert command.end(signal.SIGINT) == 130
        assert f"to go on: edge-inspect fleet rollout --resume {record}" in command.said()
    assert main(["fleet", "rollout", "--resume", record, "--host", "127.0.0.1", "--port", str(fleet.broker.port)]) == 0
    fleet.use("new")
    assert sorted(fleet.changes(count)) == [(name, "load") for name in NAMES]


class Stations:
    """Stations that only publish and reply, for what a service seldom does."""

    def __init__(self, port: int, old: str) -> None:
        self.port, self.publisher = port, Publisher(port)
        self.old = BundleReference(name="old", digest=old)

    def make(self, name: str, state: str = "online", **changes: Any) -> Station:
        made = Station(self.publisher, f"plant/line2/{name}")
        made.begin(state, **{"bundle": self.old, **changes})
        return made


@pytest.fixture
def stations(broker: Broker) -> Iterator[Stations]:
    made = Stations(broker.port, "b" * 64)
    yield made
    made.publisher.close()


@pytest.fixture
def command(broker: Broker, fleet: Fleet, record: str) -> list[str]:
    where = ["--to", "plant/line2/*", "--host", "127.0.0.1", "--port", str(broker.port), "--record", record]
    return ["fleet", "rollout", str(fleet.folder / "bundles" / "new"), *where, "--watch-parts", "10"]


def test_stations_that_are_away_are_named(
    stations: Stations, command: list[str], capsys: pytest.CaptureFixture[str], record: str
) -> None:
    stations.make("here")
    stations.make("gone", "offline")
    stations.make("starts", "starting")
    assert main([*command, "--to", "plant/line2/never"]) == 1
    error = capsys.readouterr().err
    assert "3 of 4 stations cannot be changed now" in error and "nothing was changed" in error
    for said in ("plant/line2/gone (offline)", "plant/line2/starts (starting)", "plant/line2/never (never heard)"):
        assert said in error
    assert not Path(record).exists()
    assert main([*command, "--skip-offline", "--dry-run"]) == 0
    out, error = capsys.readouterr()
    assert "left out: " in error and "wave canary: plant/line2/here" in out and "gone" not in out


def test_a_station_that_refuses_stops_the_rollout(
    stations: Stations, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    station = stations.make("a")
    answer = {"done": False, "refusal": "unauthorised", "reason": "add the command to commands.allow"}
    with Replier(stations.port, station, lambda heard: answer) as replier:
        assert main([*command, "--by", "maria"]) == 1
    error = capsys.readouterr().err
    assert "plant/line2/a was not changed: unauthorised: add the command to commands.allow" in error
    (heard,) = replier.heard
    assert (heard["name"], heard["by"], len(heard["digest"])) == ("new", "maria", 64) and "url" not in heard


def test_a_reply_that_is_lost_is_found_in_the_health_and_a_busy_station_is_asked_again(
    fleet: Fleet, stations: Stations, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first command finds the station busy, and the reply to the second is lost."""
    station = stations.make("a")
    new = BundleReference(name="new", digest=digest_of(fleet.folder, "new"))

    loaded = health().model_copy(update={"bundle": new, "uptime_s": 900.0})

    def go_on() -> None:
        while not ended.wait(0.2):
            station.inspect(2, bundle=new)
            station.say(loaded.model_copy(update={"at": utc_now()}), "health", retain=True)

    def answer(heard: dict[str, Any]) -> dict[str, Any]:
        if len(replier.heard) == 1:
            return {"done": False, "refusal": "busy", "reason": "another bundle is being loaded"}
        inspecting.start()
        return {"command_id": "019f2b1c-7e40-7000-8000-0123456789ab"}

    ended, inspecting = threading.Event(), threading.Thread(target=go_on)
    with Replier(stations.port, station, answer) as replier:
        assert main([*command, "--url", "https://central.example/bundles/new.zip"]) == 0
        ended.set()
        inspecting.join()
    assert [heard["url"] for heard in replier.heard] == ["https://central.example/bundles/new.zip"] * 2
    assert ", 0.0 % rejected" in capsys.readouterr().out


def test_a_bundle_that_somebody_else_has_loaded_stays(
    fleet: Fleet, stations: Stations, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    station = stations.make("a")
    new = BundleReference(name="new", digest=digest_of(fleet.folder, "new"))
    other = BundleReference(name="other", digest="7" * 64)

    def answer(heard: dict[str, Any]) -> dict[str, Any]:
        threading.Timer(0.5, lambda: station.begin(bundle=other, uptime_s=900.0)).start()
        return {"bundle": {"before": stations.old.model_dump(), "after": new.model_dump()}}

    with Replier(stations.port, station, answer) as replier:
        assert main(command) == 1
    out, error = capsys.readouterr()
    assert "plant/line2/a: it uses other now, which somebody else has loaded" in error
    assert "but these, for which somebody else has loaded another bundle: plant/line2/a" in error
    assert "plant/line2/a  not rolled back: it uses other now" in out and len(replier.heard) == 1


def test_a_line_that_stands_still_proves_nothing(
    fleet: Fleet, stations: Stations, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    station = stations.make("a")
    new = BundleReference(name="new", digest=digest_of(fleet.folder, "new"))

    def answer(heard: dict[str, Any]) -> dict[str, Any]:
        before, after = (stations.old, new) if heard["name"] else (new, stations.old)
        if heard["name"]:  # a health after the reply, which says that the new bundle is in force
            threading.Timer(0.5, lambda: station.begin(bundle=new, uptime_s=900.0)).start()
        return {"bundle": {"before": before.model_dump(), "after": after.model_dump()}}

    with Replier(stations.port, station, answer) as replier:
        assert main([*command, "--watch-seconds", "1"]) == 1
    out, error = capsys.readouterr()
    assert "no station of the wave canary inspected 10 parts within 1 s, so the bundle is not proven" in error
    assert "rolled back to old" in out and [heard["name"] for heard in replier.heard] == ["new", None]
    assert set(replier.heard[1]) == {"command", "id", "by", "name"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--canary", "0"], "--canary 0: give 1 to"),
        (["--share", "1.5"], "--share 1.5: give 0 to 1"),
        (["--share", "nan"], "--share nan"),
        (["--watch-parts", "9"], "--watch-parts 9: give 10 to"),
        (["--watch-seconds", "inf"], "--watch-seconds inf"),
        (["--reply-seconds", "-1"], "--reply-seconds -1"),
        (["--url", "ftp://a/b.zip"], "does not begin with http://"),
        (["--url", "https://a/" + "b" * 2000], "write a URL of at most 1024"),
        (["--url", "https://a/b c.zip"], "which a URL cannot have"),
        (["--url", "https://A/b.zip"], "capital letters"),
        (["--url", "https://a/bundles/"], "names a folder"),
        (["--by", "x" * 65], "--by: give a name"),
        (["--resume", "r.jsonl"], "give either BUNDLE"),
        (["--to", "a/b"], "write SITE/LINE/STATION"),
    ],
)
def test_wrong_use_is_said_in_a_line(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["fleet", "rollout", str(fleet.folder / "bundles" / "new"), "--to", "a/b/c", *options]) == 2
    out, error = capsys.readouterr()
    assert said in error and "Traceback" not in error and not out


@pytest.mark.parametrize("name", ["new\udcff", "new\n2", "new\x1b[31m"])
def test_a_name_that_no_message_can_have_is_refused(
    fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    copy = tmp_path / f"{name}.copy"
    shutil.copytree(fleet.folder / "bundles" / "new", copy)
    assert main(["fleet", "rollout", str(copy), "--to", "a/b/c"]) == 2
    assert "give the bundle a plain name" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--dry-run"], ["--to", "a/b/c"], ["--url", "https://a/b.zip"], ["--watch-parts", "20"], ["--canary", "3"]],
)
def test_options_of_a_new_rollout_are_refused_with_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """Whoever adds `--dry-run` must not change a station."""
    assert main(["fleet", "rollout", "--resume", str(tmp_path / "r.jsonl"), *options]) == 2
    assert f"{options[0]} has no effect with --resume" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_another_broker_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever forgets `--host` must not find all stations offline, and the roll-out stopped."""
    monkeypatch.setattr("edge_inspect.edge.fleet.rollout.SILENT_AFTER_S", 1.0)
    monkeypatch.setattr("edge_inspect.edge.fleet.station_task.SILENT_AFTER_S", 0.5)
    path = tmp_path / "r.jsonl"
    waves = plan_waves(["p/l/a", "p/l/b"], 1, 1.0)
    times = {"watch_parts": 50, "watch_seconds": 1, "reply_seconds": 1}
    RolloutRecord.create(
        path, Plan(name="new", digest="0" * 64, url=None, by="me", to=("p/*/*",), waves=waves, **times)
    ).close()
    written = path.read_bytes()
    broker = Broker(tmp_path)
    broker.start()
    try:
        assert main(["fleet", "rollout", "--resume", str(path), "--port", str(broker.port)]) == 1
    finally:
        broker.stop()
    assert "none of its 2 stations was heard within 1 s, and nothing was changed" in capsys.readouterr().err
    assert path.read_bytes() == written


def test_what_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "rollout"]) == 2
    assert "give either BUNDLE" in capsys.readouterr().err
    assert main(["fleet", "rollout", str(tmp_path / "none.zip"), "--to", "a/b/c"]) == 2
    assert "none.zip" in capsys.readouterr().err
    assert main(["fleet", "rollout", str(tmp_path), "--to", "a/b/c"]) == 2
    assert main(["fleet", "rollout", str(tmp_path)]) == 2
    assert "--to is missing" in capsys.readouterr().err
    assert main(["fleet", "rollout", "--resume", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl: cannot be read" in capsys.readouterr().err
