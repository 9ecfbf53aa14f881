"""A download goes on where it broke off, and is given up where the server or the disk does not allow it."""

from __future__ import annotations

import os
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from certificates import Authority
from file_server import FileServer
from pull_parts import Plant
from small_disk import small_disk

from edge_inspect.edge.bundle import download
from edge_inspect.edge.mqtt.credentials import client_tls_context

THIRD = 1500


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_S", 0.005)


def test_a_signature_in_the_query_is_sent_and_neither_shown_nor_compared(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plant.served.break_after, plant.served.status = [THIRD], [200, 404]
    said = plant.refused(url=plant.url + "?X-Signature=secret1")
    assert f"{plant.url}?...: the server answers 404" in said
    assert plant.fetch(url=plant.url + "?X-Signature=secret2").digest == plant.made.digest
    assert plant.server.asked[-1] == ("/bundles/flange.zip?X-Signature=secret2", f"bytes={THIRD}-")
    assert "secret" not in said + caplog.text + "".join(path.read_text() for path in plant.parts())


def test_a_broken_download_goes_on_from_there(plant: Plant) -> None:
    plant.served.break_after = [THIRD, 700]
    assert plant.fetch().digest == plant.made.digest
    assert plant.asked == [None, f"bytes={THIRD}-", f"bytes={THIRD + 700}-"] and not plant.parts()


@pytest.mark.parametrize("etag", ['"1"', None])
def test_a_later_attempt_goes_on_if_the_file_is_the_same(plant: Plant, etag: str | None) -> None:
    plant.served.etag = etag
    plant.served.break_after, plant.served.status = [THIRD], [200, 404]
    assert "answers 404" in plant.refused()
    if etag is None:  # nobody can tell whether the file has changed
        assert plant.fetch().digest == plant.made.digest and plant.asked == [None] * 3
        return
    assert [path.name for path in plant.parts()] == [f".{plant.made.digest}.part", f".{plant.made.digest}.part.json"]
    assert plant.fetch().digest == plant.made.digest
    assert plant.asked == [None, *[f"bytes={THIRD}-"] * 2] and not plant.parts()


def test_last_modified_tells_a_file_where_there_is_no_strong_etag(plant: Plant) -> None:
    plant.served.etag = None
    plant.served.headers = {"Last-Modified": "Mon, 30 Nov 2026 03:00:00 GMT", "ETag": 'W/"1"'}
    plant.served.break_after, plant.served.status = [THIRD], [200, 404]
    plant.refused()
    plant.served.etag, plant.served.headers = "Mon, 30 Nov 2026 03:00:00 GMT", {}
    assert plant.fetch().digest == plant.made.digest and plant.asked[-1] == f"bytes={THIRD}-"


def test_a_file_that_has_changed_begins_anew(plant: Plant) -> None:
    good, plant.served.data = plant.served.data, os.urandom(4000)
    plant.served.break_after, plant.served.status = [THIRD], [200, 404]
    plant.refused()
    plant.served.data, plant.served.etag = good, '"2"'
    assert plant.fetch().digest == plant.made.digest
    assert plant.asked[2:] == [f"bytes={THIRD}-"]


def test_a_server_that_forgets_that_its_file_has_changed_costs_one_more_request(plant: Plant) -> None:
    good, plant.served.data = plant.served.data, os.urandom(len(plant.served.data))
    plant.served.break_after, plant.served.status = [THIRD], [200, 404]
    plant.refused()
    plant.served.data = good
    assert plant.fetch().digest == plant.made.digest
    assert plant.asked[2:] == [f"bytes={THIRD}-", None]


@pytest.mark.parametrize("change", [{"ranges": False}, {"shift": 10}, {"status": [200, 416]}, {"status": [200, 503]}])
def test_a_server_that_answers_a_range_otherwise_is_understood(plant: Plant, change: dict[str, object]) -> None:
    plant.served.break_after = [THIRD]
    for name, value in change.items():
        setattr(plant.served, name, value)
    assert plant.fetch().digest == plant.made.digest and len(plant.asked) in (2, 3)


@pytest.mark.parametrize("change", [{"chunked": True}, {"says": -1}, {"chunked": True, "break_after": [THIRD]}])
def test_the_size_may_be_unknown(plant: Plant, change: dict[str, object]) -> None:
    for name, value in change.items():
        setattr(plant.served, name, value)
    assert plant.fetch().digest == plant.made.digest


def test_another_url_begins_anew_and_no_part_piles_up(plant: Plant) -> None:
    plant.served.break_after, plant.served.status = [THIRD], [200, 404]
    plant.refused()
    plant.serve("again.zip", plant.served.data)
    other = plant.server.url + "/bundles/again.zip"
    assert "another bundle" in plant.refused(url=other, digest="1" * 64) and not plant.parts()
    assert plant.asked[-1] is None
    assert plant.fetch(url=other).digest == plant.made.digest


def test_a_server_that_always_breaks_off_is_given_up(plant: Plant) -> None:
    plant.served.break_after = [0] * 9
    assert "broke off after 0 of" in plant.refused() and len(plant.asked) == 5
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    url = f"http://127.0.0.1:{port}/bundles/flange.zip"
    said = plant.refused(plant.store(prefixes=[f"http://127.0.0.1:{port}"]), url)
    assert "cannot be reached: Connection refused, 5 times in a row" in said


@pytest.mark.parametrize(
    "location",
    ["/other/flange.zip", "http://localhost:PORT/bundles/flange.zip", "../flange.zip", "//evil/bundles/a.zip"],
)
def test_a_redirect_elsewhere_is_refused(plant: Plant, location: str) -> None:
    plant.server.files["/other/flange.zip"] = plant.server.files["/flange.zip"] = plant.served
    moved = plant.serve("moved.zip", b"")
    moved.status, moved.location = [302], location.replace("PORT", str(plant.server.port))
    said = plant.refused(url=plant.url.replace("flange", "moved"))
    assert "redirects" in said and [path for path, _ in plant.server.asked] == ["/bundles/moved.zip"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_below_the_prefix_is_followed(plant: Plant, status: int) -> None:
    moved = plant.serve("moved.zip", b"")
    moved.status, moved.location = [status], "flange.zip"
    assert plant.fetch(url=plant.url.replace("flange", "moved")).digest == plant.made.digest


def test_a_circle_of_redirects_ends(plant: Plant) -> None:
    plant.served.status, plant.served.location = [302] * 99, "/bundles/flange.zip"
    assert "redirects more than 5 times" in plant.refused() and len(plant.asked) == 6


@pytest.mark.parametrize("says", [None, 100_000_000, -1])
def test_a_file_that_is_too_large_is_refused(plant: Plant, says: int | None) -> None:
    plant.served.data, plant.served.says = bytes(200_000), says
    said = plant.refused(plant.store(largest_mb=0.1))
    assert "bundles.pull.largest_mb is 0.1" in said and not plant.parts()


def test_a_file_that_is_shorter_than_it_says_is_refused(plant: Plant) -> None:
    plant.served.says, plant.served.ranges, plant.served.etag = len(plant.served.data) + 9, False, None
    assert "broke off after" in plant.refused(plant.store(timeout_s=30))


def test_a_compressing_server_is_named(plant: Plant) -> None:
    plant.served.headers = {"Content-Encoding": "gzip"}
    assert "compresses the file ('gzip')" in plant.refused()


@pytest.mark.parametrize("block", [1, 64])
def test_a_server_that_trickles_is_given_up_and_the_next_attempt_goes_on(plant: Plant, block: int) -> None:
    plant.served.block, plant.served.pause_s = block, 0.05
    said = plant.refused(plant.store(slowest_kb_s=100, speed_window_s=0.5))
    assert "the server is too slow" in said
    have = plant.parts()[0].stat().st_size
    plant.served.pause_s, plant.served.block = 0, 1 << 16
    assert plant.fetch().digest == plant.made.digest and plant.asked[-1] == f"bytes={have}-"


def test_a_deadline_ends_a_download_that_goes_well(plant: Plant) -> None:
    plant.served.block, plant.served.pause_s = 8, 0.05
    assert "it took longer than 1 s" in plant.refused(plant.store(timeout_s=1))


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_server_that_never_answers_is_given_up(plant: Plant, begin: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        ended = threading.Event()

        def trickle() -> None:
            client = silent.accept()[0]
            with client:
                client.sendall(begin)
                while begin and not ended.wait(0.05):
                    try:
                        client.sendall(b"x")
                    except OSError:
                        return
                ended.wait(60)

        thread = threading.Thread(target=trickle)
        thread.start()
        store = plant.store(prefixes=[f"http://127.0.0.1:{port}"], slowest_kb_s=100, speed_window_s=0.5)
        assert "too slow" in plant.refused(store, f"http://127.0.0.1:{port}/a.zip")
        ended.set()
        thread.join(60)


def test_a_stop_ends_a_download_at_once_and_keeps_what_there_is(plant: Plant) -> None:
    plant.served.block, plant.served.pause_s = 64, 0.05
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(plant.refused()))
    thread.start()
    while not plant.asked or not plant.parts():
        time.sleep(0.01)
    plant.stopped = True
    thread.join(30)
    assert "the service is stopping" in said[0] and plant.parts()


def test_room_that_must_stay_free_is_kept(plant: Plant) -> None:
    said = plant.refused(plant.store(keep_free_mb=1e9))
    assert re.search(r"the disk has \d+ MB free, .* must stay free \(bundles.pull.keep_free_mb\)", said)
    assert not plant.parts()


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_in_the_middle_is_named_and_gets_its_room_back(
    plant: Plant, full_disk: Callable[[int], None]
) -> None:
    plant.served.block = 256
    store = plant.store()
    full_disk(2048)
    said = plant.refused(store)
    assert f"{plant.folder}: cannot be written: File too large; make room there" in said and not plant.parts()


def test_a_disk_that_another_program_fills_meanwhile_is_named(plant: Plant) -> None:
    plant.served.data, plant.served.pause_s, plant.served.block = os.urandom(900_000), 0.04, 16384
    with small_disk(plant.folder, "1m") as mounted:
        if not mounted:
            pytest.skip("only root may mount a small disk")
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(plant.refused()))
        thread.start()
        while not plant.parts():
            time.sleep(0.01)
        (plant.folder / ".other").write_bytes(bytes(400_000))
        thread.join(60)
        assert "cannot be written: No space left on device; make room there" in said[0] and not plant.parts()
    assert "cannot be written" not in plant.refused(), "there is room below it"


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[FileServer]:
    certificate = Authority(tmp_path).make("server", "127.0.0.1")
    made = FileServer(certificate)
    yield made
    made.close()


def test_tls_needs_a_certificate_that_the_box_accepts(tmp_path: Path, secure: FileServer) -> None:
    plant = Plant(tmp_path, secure)
    Authority(tmp_path, "other", "another CA")
    for ca, name in ((None, "127.0.0.1"), (tmp_path / "other.pem", "127.0.0.1"), (tmp_path / "ca.pem", "localhost")):
        base = f"https://{name}:{secure.port}/bundles/"
        store = plant.store(partial(client_tls_context, "bundles.pull.ca_file", ca), prefixes=[base])
        said = plant.refused(store, base + "flange.zip")
        assert "certificate is not accepted" in said and "bundles.pull.ca_file" in said
    context = partial(client_tls_context, "bundles.pull.ca_file", tmp_path / "ca.pem")
    plant.served.break_after = [THIRD]
    assert plant.fetch(plant.store(context)).digest == plant.made.digest and plant.asked == [None, f"bytes={THIRD}-"]
    missing = plant.store(partial(client_tls_context, "bundles.pull.ca_file", tmp_path / "none.pem"))
    plant.folder.joinpath(plant.listed()[0]).unlink()
    with pytest.raises(Exception, match="bundles.pull.ca_file: .*none.pem"):
        plant.fetch(missing)
