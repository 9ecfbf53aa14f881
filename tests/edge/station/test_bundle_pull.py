"""A real service fetches bundles over HTTP while it inspects: refused, broken off, killed, stopped, and loaded."""

from __future__ import annotations

import json
import os
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_parts import Line
from file_server import FileServer, Served
from mosquitto import Broker, Subscriber, wait_until
from service_process import PATIENCE, Commander, Launch, Process, write_settings
from signed_bundle import SigningKey, pack
from small_disk import small_disk
from tiny_bundle import write

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.store import WantedBundle
from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.frame.images import write_image
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.change_records import RequestedBy


class Plant:
    """A service with the bundle `v1`, and a server with `v2` and with what must be refused."""

    on_small_disk = False

    def __init__(self, work: Path, server: FileServer, broker: Broker, subscriber: Subscriber, launch: Launch) -> None:
        self.server, self.subscriber, self._launch = server, subscriber, launch
        self.command = Commander(subscriber, "a")
        self.folder = work / "bundles"
        key = SigningKey(work)
        key.sign(write(self.folder / "v1", seed=21).path)
        made = write(work / "v2", seed=22)
        self.digest = made.digest
        self._serve("unsigned.zip", pack(made.path, work / "a.zip"))
        SigningKey(work, "foreign").sign(made.path)
        self._serve("foreign.zip", pack(made.path, work / "a.zip"))
        key.sign(made.path)
        self.good = self._serve("v2.zip", pack(made.path, work / "a.zip"))
        with zipfile.ZipFile(work / "a.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("v2/bomb", bytes(50_000_000))
        self._serve("bomb.zip", (work / "a.zip").read_bytes())
        self._serve("large.zip", os.urandom(4_000_000)).chunked = True
        self._serve("moved.zip", b"").status, server.files["/bundles/moved.zip"].location = [302], "/private/v2.zip"
        rng = np.random.default_rng(3)
        for i in range(5):
            write_image(work / "frames" / f"{i}.png", rng.integers(0, 256, (48, 80, 3), np.uint8))
        self.config = write_settings(
            work,
            broker.port,
            {
                "name": "a",
                "camera": f"folder:{work / 'frames'}?loop=true&fps=20",
                "bundle": str(self.folder / "v1"),
                "policy": "every",
            },
            bundles={
                "folder": str(self.folder),
                "public_keys": [str(key.public)],
                "pull": {
                    "prefixes": [f"{server.url}/bundles/"],
                    "largest_mb": 20,
                    "keep_free_mb": 0,
                    "slowest_kb_s": 0,
                },
            },
            commands={"allow": ["bundle", "pause"]},
        )
        self.start()

    def _serve(self, name: str, data: bytes) -> Served:
        return self.server.files.setdefault(f"/bundles/{name}", Served(data))

    def start(self) -> None:
        seen = len(self.verdicts())
        self.process: Process = self._launch(self.config)
        wait_until(lambda: len(self.verdicts()) > seen + 3, PATIENCE)

    def verdicts(self) -> list[str]:
        """The bundle of each verdict."""
        return [str(verdict["bundle"]["name"]) for verdict in self.subscriber.payloads("verdict")]

    def fields(self, name: str, **more: str) -> dict[str, str]:
        return {"name": "v2", "digest": self.digest, "url": f"{self.server.url}/bundles/{name}", **more}

    def refused(self, name: str, **more: str) -> str:
        """Why a bundle is refused; the old one inspects before, meanwhile and afterwards."""
        before = len(self.verdicts())
        reply = self.command("bundle", **self.fields(name, **more))
        assert (reply["done"], reply["refusal"]) == (False, "impossible")
        wait_until(lambda: len(self.verdicts()) > before + 2, PATIENCE)
        assert set(self.verdicts()) == {"v1"} and "v1 stays in force" in reply["reason"]
        return str(reply["reason"])

    def send(self, name: str) -> str:
        """Send the command and do not wait for the reply; return its id."""
        identity = uuid7_of_now()
        payload = {"command": "bundle", "id": identity, **self.fields(name)}
        self.subscriber.publish(Topics("plant", "line1", "a").command, json.dumps(payload).encode())
        return identity

    def replies(self, identity: str) -> list[dict[str, Any]]:
        return [reply for reply in self.subscriber.payloads("reply") if reply["command_id"] == identity]

    def fetched(self) -> int:
        """Bytes of the bundle that is being fetched."""
        return sum(path.stat().st_size for path in self.folder.glob(".*.part"))


def test_bundles_in_use_outlive_newer_ones(tmp_path: Path, outbox: MemoryOutbox) -> None:
    key, folder, server = SigningKey(tmp_path), tmp_path / "bundles", FileServer()
    digests = {}
    for i, name in enumerate("abcdef"):
        made = write(tmp_path / "made" / name, seed=40 + i)
        digests[name] = made.digest
        server.files[f"/{name}.zip"] = Served(pack(key.sign(made.path), tmp_path / f"{name}.zip"))
    folder.mkdir()
    configured = folder / f"a@{digests['a'][:16]}.zip"
    configured.write_bytes(server.files["/a.zip"].data)
    pull = {"prefixes": [server.url], "keep_free_mb": 0, "keep": 1}
    line = Line(folder, tmp_path, outbox, configured.name, public_keys=[key.public], pull=pull)

    def load(name: str) -> None:
        before, wanted = len(line.answers), WantedBundle(name, digests[name], f"{server.url}/{name}.zip")
        line.bundles.change(wanted, RequestedBy("hmi"), lambda *answer: line.answers.append(answer))

        def answered() -> bool:
            line.bundles.take_next()
            return len(line.answers) > before

        wait_until(answered, PATIENCE)
        assert line.answers[-1][0] is None and line.name == name
        for path in folder.glob("*.zip"):  # the clock of the box may stand still
            os.utime(path, (0, 0))

    for name in "bcdef":
        load(name)
    kept = {path.name[0] for path in folder.glob("*.zip")}
    assert {"a", "d", "e", "f"} < kept, "configured, and the three that were in use when the last one came"
    assert len(kept) == 5, "and one more"
    asked = len(server.asked)
    load("e")
    load("a")
    assert len(server.asked) == asked
    server.close()


@pytest.fixture
def plant(broker: Broker, subscriber: Subscriber, launch: Launch, tmp_path: Path) -> Iterator[Plant]:
    server = FileServer()
    with small_disk(tmp_path / "bundles", "2m") as mounted:
        made = Plant(tmp_path, server, broker, subscriber, launch)
        made.on_small_disk = mounted
        yield made
        made.process.kill()
        made.process.wait()
    server.close()


def test_whatever_is_not_the_signed_bundle_is_refused_while_the_old_one_inspects(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(plant.folder.iterdir())
    assert "is not signed, and a signature is required" in plant.refused("unsigned.zip")
    assert "is signed with key" in plant.refused("foreign.zip")
    assert "the .zip holds another bundle" in plant.refused("v2.zip", digest="0" * 64)
    assert "it may be a zip bomb" in plant.refused("bomb.zip")
    assert "redirects to" in plant.refused("moved.zip")
    assert "answers 404" in plant.refused("none.zip")
    if plant.on_small_disk:
        assert "No space left on device; make room there" in plant.refused("large.zip")
    for url in (f"{plant.server.url}/private/v2.zip", f"{plant.server.url}/bundles/%2e%2e/private/v2.zip"):
        asked = len(plant.server.asked)
        assert "the url " in plant.refused("", url=url) and len(plant.server.asked) == asked
    assert plant.command("bundle", name="v2", url=f"{plant.server.url}/bundles/v2.zip")["refusal"] == "malformed"
    assert sorted(path for path in plant.folder.iterdir() if path.name != ".fetching.lock") == files

    fields = plant.fields("v2.zip")
    options = ["--digest", fields["digest"], "--url", fields["url"], "--config", str(plant.config)]
    assert main(["command", "bundle", fields["name"], *options]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["done"] and done["bundle"]["after"] == {"name": "v2", "digest": plant.digest}
    wait_until(lambda: plant.verdicts()[-1] == "v2", PATIENCE)
    stored = plant.folder / f"v2@{plant.digest[:16]}.zip"
    assert open_bundle(stored).digest == plant.digest
    # It is rolled back to the one before, and needs no server to come back, by digest or by name.
    assert plant.command("bundle", name=None)["bundle"]["after"]["name"] == "v1"
    assert plant.command("bundle", **plant.fields("none.zip"))["bundle"]["after"]["name"] == "v2"
    assert plant.command("bundle", name="v1")["done"] and plant.command("bundle", name=stored.name)["done"]
    sequences = plant.subscriber.sequences()
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_killed_service_goes_on_where_it_was(plant: Plant) -> None:
    plant.good.block, plant.good.pause_s = 256, 0.02
    first = plant.send("v2.zip")
    wait_until(lambda: plant.fetched() > 2000, PATIENCE)
    busy = plant.command("bundle", name="v1")
    assert busy["refusal"] == "busy" and "is being loaded" in busy["reason"]
    plant.process.end(signal.SIGKILL)
    have = plant.fetched()
    assert not plant.replies(first) and 2000 < have < len(plant.good.data)
    plant.start()
    assert plant.verdicts()[-1] == "v1"
    plant.good.pause_s = 0
    assert plant.command("bundle", **plant.fields("v2.zip"))["done"]
    assert plant.server.asked[-1] == ("/bundles/v2.zip", f"bytes={have}-")
    wait_until(lambda: plant.verdicts()[-1] == "v2", PATIENCE)
    assert not plant.fetched()


def test_a_stop_ends_a_fetch_at_once_with_one_reply(plant: Plant) -> None:
    plant.good.block, plant.good.pause_s = 64, 0.1
    identity = plant.send("v2.zip")
    wait_until(lambda: plant.fetched() > 100, PATIENCE)
    begun = time.monotonic()
    assert plant.process.end() == 0
    assert time.monotonic() - begun < 60, "it would have taken minutes to fetch"
    wait_until(lambda: plant.replies(identity), PATIENCE)
    (reply,) = plant.replies(identity)
    assert reply["refusal"] == "impossible" and "the service is stopping" in reply["reason"]
    assert "left behind" not in plant.process.said() and "Traceback" not in plant.process.said()
