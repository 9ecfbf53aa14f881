"""Pictures of parts: stored by station, day and id, in a folder or by fsspec, and deleted with their parts."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from pathlib import Path

import fsspec
import pytest
from archive_parts import NOON, PATIENCE_S, opened, part, rows, running, settings
from mosquitto import Broker, Subscriber, wait_until
from s3_server import needs_s3, running_bucket
from station_parts import TOPICS

from edge_inspect.edge.archive.inbox import Inbox
from edge_inspect.edge.archive.months import Month
from edge_inspect.edge.archive.pictures import Picture, PictureStore
from edge_inspect.edge.archive.recorder import Recorder
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.images import jpeg, png

STATION = "plant/line1/a"


bucket = pytest.fixture(scope="module")(running_bucket)


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=needs_s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return str(tmp_path / "pictures") if request.param == "folder" else f"memory://{tmp_path.name}"


def test_a_picture_lies_where_its_row_says_until_it_is_too_old(tmp_path: Path, place: str) -> None:
    engine = opened(f"sqlite:///{tmp_path}/a.db", tmp_path)
    inbox = Inbox()
    store = PictureStore(place, inbox)
    recorder = Recorder(engine, "here", inbox, None, store)
    made = part(1)
    store.offer(Picture(STATION, made.id, "picture", jpeg.SIGNATURE + b"data"))
    store.offer(Picture(STATION, made.id, "map", png.SIGNATURE))
    wait_until(lambda: len(rows(engine, "pictures")) == 2, PATIENCE_S)
    first, second = rows(engine, "pictures")
    assert first["place"] == f"{STATION}/2026-11-30/{made.id}.png" and first["kind"] == "map"
    with fsspec.open(f"{place}/{second['place']}") as file:
        assert file.read() == jpeg.SIGNATURE + b"data"
    store.delete_before(engine, Month.of(NOON))
    store.offer(Picture(STATION, part(2).id, "map", png.SIGNATURE))
    wait_until(lambda: len(rows(engine, "pictures")) == 3, PATIENCE_S)
    store.delete_before(engine, Month.of(NOON).next)
    wait_until(lambda: rows(engine, "pictures") == [], PATIENCE_S)
    with pytest.raises(FileNotFoundError), fsspec.open(f"{place}/{second['place']}") as file:
        file.read()
    store.close()
    recorder.close()
    engine.dispose()


def test_a_file_that_cannot_be_deleted_keeps_its_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = opened(f"sqlite:///{tmp_path}/a.db", tmp_path)
    inbox = Inbox()
    store = PictureStore(str(tmp_path / "pictures"), inbox)
    recorder = Recorder(engine, "here", inbox, None, store)
    impossible = part(3, datetime(1990, 1, 1, tzinfo=timezone.utc))
    for made in (part(1), part(2), impossible):
        store.offer(Picture(STATION, made.id, "picture", b"x"))
    wait_until(lambda: len(rows(engine, "pictures")) == 3, PATIENCE_S)
    path = tmp_path / "pictures" / next(row["place"] for row in rows(engine, "pictures") if row["id"] == part(1).id)
    path.unlink()
    path.mkdir()
    for _ in range(2):
        store.delete_before(engine, Month.of(NOON).next)
        wait_until(lambda: len(rows(engine, "pictures")) == 2, PATIENCE_S)
    store.close()
    recorder.close()
    # The picture of an impossible time is kept, as its part is.
    assert {row["id"] for row in rows(engine, "pictures")} == {part(1).id, impossible.id}
    assert "1 old pictures stay" in caplog.text
    engine.dispose()


def test_a_folder_that_takes_nothing_costs_only_pictures(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = PictureStore(str(tmp_path / "file"), Inbox())
    store.offer(Picture(STATION, part(1).id, "picture", b"x"))
    store.close(PATIENCE_S)
    assert (store.stored, store.dropped) == (0, 1)


def test_a_storage_that_hangs_does_not_keep_the_archive_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr("edge_inspect.edge.archive.picture_place.write_atomically", lambda path, data: goes_on.wait())
    store = PictureStore(str(tmp_path), Inbox())
    while not store.dropped:
        store.offer(Picture(STATION, part(1).id, "picture", b"x"))
    ending = threading.Thread(target=store.close, args=(0.1,), daemon=True)
    ending.start()
    ending.join(PATIENCE_S / 6)
    assert not ending.is_alive()
    goes_on.set()


def test_an_unknown_storage_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pictures: nowhere://a"):
        PictureStore("nowhere://a", Inbox())


def test_published_pictures_are_stored(broker: Broker, tmp_path: Path) -> None:
    database, folder = f"sqlite:///{tmp_path}/a.db", tmp_path / "pictures"
    made = part(1)
    with running(settings(database, tmp_path, broker.port, pictures=str(folder)), tmp_path) as archive:
        station = Subscriber(broker.port, "nothing/#")
        station.publish(TOPICS.image(made.id), jpeg.SIGNATURE + b"a" * 100_000)
        station.publish(TOPICS.map(made.id), b"no picture")
        station.publish(TOPICS.image("not-an-id"), jpeg.SIGNATURE)
        wait_until(lambda: list(folder.rglob("*.jpg")), PATIENCE_S)
        station.close()
        assert archive.stop() == 0
    assert [path.name for path in folder.rglob("*.*")] == [f"{made.id}.jpg"]
