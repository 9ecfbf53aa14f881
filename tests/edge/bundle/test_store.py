"""Bundles are fetched by their digest from a real web server, checked, stored and bounded."""

from __future__ import annotations

import os
import shutil
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import small_bundle
from pull_parts import Plant
from signed_bundle import SigningKey, pack

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.signature import SIGNATURE
from edge_inspect.edge.bundle.store import BundleStore, WantedBundle
from edge_inspect.edge.configuration.settings import BundleSettings
from edge_inspect.edge.errors import BundleError


def test_a_missing_bundle_is_fetched_once(plant: Plant) -> None:
    bundle = plant.fetch()
    name = f"flänge-v1@{plant.made.digest[:16]}.zip"
    assert bundle.path == plant.folder.resolve() / name and bundle.signed_by is not None
    assert open_bundle(plant.folder / name).model("fp32") == plant.made.model("fp32")
    assert plant.listed() == [name] and not plant.parts()
    assert plant.fetch().path == bundle.path and plant.fetch(url="https://elsewhere/a.zip").path == bundle.path
    assert len(plant.asked) == 1


def test_a_bundle_that_is_there_under_any_name_is_not_fetched(plant: Plant) -> None:
    (plant.folder / "line" / "1").mkdir(parents=True)
    there = Path(shutil.move(plant.made.path, plant.folder / "line" / "1" / "other"))
    assert plant.fetch().path == there
    shutil.move(plant.work / "flange.zip", plant.folder / "x.zip")
    shutil.rmtree(there)
    assert plant.fetch().path == plant.folder / "x.zip" and not plant.asked


def test_a_damaged_copy_is_fetched_again(plant: Plant) -> None:
    damaged = plant.folder / "flange"
    shutil.copytree(plant.made.path, damaged)
    (damaged / "model.fp32.onnx").write_bytes(b"damaged")
    assert plant.fetch().path.suffix == ".zip" and len(plant.asked) == 1


def test_without_a_url_an_undamaged_copy_is_used_or_the_damage_is_named(plant: Plant) -> None:
    for name in ("a", "b"):
        shutil.copytree(plant.made.path, plant.folder / name)
        (plant.folder / name / "model.fp32.onnx").write_bytes(b"damaged")
    good = shutil.copytree(plant.made.path, plant.folder / "c")
    wanted = WantedBundle("a", plant.made.digest, None)
    with plant.store().provide(wanted, [], lambda: False) as bundle:
        assert bundle.path == good
    shutil.rmtree(good)
    with (
        pytest.raises(BundleError, match="model.fp32.onnx was changed"),
        plant.store().provide(wanted, [], lambda: False),
    ):
        pass


def test_without_a_url_the_bundle_must_be_there(plant: Plant) -> None:
    wanted = WantedBundle("flange", plant.made.digest, None)
    with (
        pytest.raises(BundleError, match="holds no bundle with the digest .*; copy it there, or"),
        plant.store().provide(wanted, [], lambda: False),
    ):
        pass
    assert not plant.asked


def test_without_keys_or_prefixes_nothing_is_fetched(plant: Plant) -> None:
    settings = BundleSettings(folder=plant.folder, public_keys=[plant.key.public])
    for store in (
        BundleStore(settings, [], ssl.create_default_context, set),
        BundleStore(settings, plant.trusted, ssl.create_default_context, set),
    ):
        assert "bundles.pull is not configured" in plant.refused(store)
    assert not plant.asked


@pytest.mark.parametrize(
    "url",
    [
        "SERVER/a.zip",
        "SERVER/bundles-2/a.zip",
        "SERVER/bundles/../a.zip",
        "SERVER/bundles/%2e%2e/a.zip",
        "SERVER/BUNDLES/a.zip",
        "http://127.0.0.1@localhost/bundles/a.zip",
        "https://127.0.0.1/bundles/a.zip",
        "http://127.0.0.1.evil/bundles/a.zip",
        "http://127.1:PORT/bundles/a.zip",
        "file:///etc/passwd",
    ],
)
def test_nothing_outside_the_prefixes_is_asked_for(plant: Plant, url: str) -> None:
    said = plant.refused(url=url.replace("SERVER", plant.server.url).replace("PORT", str(plant.server.port)))
    assert "the url " in said and ";" in said and not plant.asked


def unsigned(plant: Plant) -> bytes:
    (plant.made.path / SIGNATURE).unlink()
    return pack(plant.made.path, plant.work / "a.zip")


def foreign(plant: Plant) -> bytes:
    SigningKey(plant.work, "foreign").sign(plant.made.path)
    return pack(plant.made.path, plant.work / "a.zip")


def another(plant: Plant) -> bytes:
    other = small_bundle.write(plant.work / "other", false_reject_rate=0.002)
    return pack(plant.key.sign(other.path), plant.work / "a.zip")


def changed(plant: Plant) -> bytes:
    (plant.made.path / "model.int8.onnx").write_bytes(b"changed")
    return pack(plant.made.path, plant.work / "a.zip")


def short(plant: Plant) -> bytes:
    (plant.made.path / "model.int8.onnx").unlink()
    return pack(plant.made.path, plant.work / "a.zip")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (unsigned, "the bundle: is not signed, and a signature is required"),
        (foreign, "the bundle: is signed with key"),
        (another, "the .zip holds another bundle: its digest is"),
        (changed, "model.int8.onnx was changed after the bundle was made"),
        (short, "model.int8.onnx is missing or cannot be read"),
        (lambda plant: plant.served.data[:-2000], "cut off"),
        (lambda plant: plant.served.data[2000:], "a damaged .zip"),
        (lambda plant: b"<html>Welcome</html>", "no .zip"),
        (lambda plant: b"", "no .zip"),
    ],
)
def test_what_is_not_the_signed_bundle_is_refused(plant: Plant, make: Callable[[Plant], bytes], said: str) -> None:
    plant.served.data = make(plant)
    found = plant.refused()
    assert said in found and found.startswith(f"{plant.url}: ") and ".part" not in found
    assert not plant.parts() and len(plant.asked) == 1


def test_fetched_bundles_are_bounded_and_those_in_use_stay(plant: Plant) -> None:
    names, store = [], plant.store(keep=1)
    for i in range(5):
        made = small_bundle.write(plant.work / f"b{i}", false_reject_rate=0.01 + i / 1000)
        plant.served.data = pack(plant.key.sign(made.path), plant.work / "b.zip")
        bundle = plant.fetch(store, digest=made.digest)
        os.utime(bundle.path, (i, i))
        names.append(bundle.path.name)
        if i == 0:
            plant.in_use.add(bundle.path)
    mine = plant.folder / "mine.zip"
    mine.write_bytes(plant.served.data)
    assert plant.listed() == sorted([names[0], names[3], names[4], mine.name])
    # A bundle that is being loaded is kept too.
    plant.in_use.clear()
    digests = [made.digest for made in (open_bundle(plant.folder / names[0]), plant.made)]
    plant.served.data = (plant.work / "flange.zip").read_bytes()
    with store.provide(WantedBundle("x", digests[0], None), [], lambda: False) as first:
        os.utime(first.path, (0, 0))
        assert plant.fetch(store, digest=digests[1]).path.exists() and first.path.exists()
    assert len(plant.listed()) == 4


def test_another_file_of_that_name_is_not_overwritten(plant: Plant) -> None:
    taken = plant.folder / f"flänge-v1@{plant.made.digest[:16]}.zip"
    taken.write_bytes(b"mine")
    assert plant.fetch().path.name == f"flänge-v1@{plant.made.digest}.zip"
    assert taken.read_bytes() == b"mine"


def test_two_stations_fetch_a_bundle_once(plant: Plant) -> None:
    plant.served.pause_s, plant.served.block = 0.02, 512
    stores, found = [plant.store(), plant.store()], []
    threads = [threading.Thread(target=lambda each=store: found.append(plant.fetch(each))) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [bundle.digest for bundle in found] == [plant.made.digest] * 2 and len(plant.asked) == 1


def test_a_folder_that_cannot_be_written_is_named(plant: Plant) -> None:
    plant.folder.rmdir()
    with pytest.raises(BundleError, match=f"{plant.folder}: No such file or directory; let this user write there"):
        plant.fetch()
