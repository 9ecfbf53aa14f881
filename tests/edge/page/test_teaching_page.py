"""Teaching in a real browser: parts are labelled, a bundle is taught, loaded on trial, and rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import taught_parts
from live_page import LivePage, check_legible, live_page, open_queue
from mosquitto import wait_until
from page_parts import Station
from replier import Replier

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.contract.messages import BundleReference, FrameSize
from edge_inspect.edge.contract.replies import BundleChange

SIZE = FrameSize(width=taught_parts.WIDTH, height=taught_parts.HEIGHT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    (folder / "bundles").mkdir()
    return taught_parts.write(folder / "bundles" / "disc")


@pytest.fixture(scope="module")
def live(folder: Path, bundle: Bundle) -> Iterator[LivePage]:
    with live_page(folder, bundles=str(folder / "bundles")) as page:
        yield page


def reference(bundle: Any) -> BundleReference:
    return BundleReference(name=bundle.manifest.name, digest=bundle.digest)


def inspect(live: LivePage, station: Station, bundle: Bundle, frames: list[Any]) -> None:
    """Publish parts that the bundle rejects."""
    for frame, score in zip(frames, taught_parts.scores(bundle, frames, "int8"), strict=True):
        jpeg = bytes(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
        changes = {"score": score, "threshold": score / 1.5, "frame": SIZE, "bundle": reference(bundle)}
        live.inspect(station, ok=False, picture=jpeg, **changes)


def test_the_loop_is_closed_on_the_page(live: LivePage, bundle: Bundle, folder: Path) -> None:
    station = live.station("teaching")
    old = reference(bundle)
    station.begin(bundle=old, precision="int8")
    inspect(live, station, bundle, [taught_parts.part(seed, "new") for seed in range(300, 312)])
    inspect(live, station, bundle, [taught_parts.part(seed, defect=True) for seed in range(400, 403)])

    def answer(command: dict[str, Any]) -> dict[str, Any]:
        """Change the bundle, as the station would."""
        new = reference(open_bundle(folder / "bundles" / command["name"])) if command["name"] else old
        station.begin(bundle=new)
        return {"bundle": BundleChange(before=old, after=new)}

    with live.seen_by("emma") as page, Replier(live.broker.port, station, answer) as replier:
        open_queue(page, live, station, 15)
        for _ in range(3):
            page.keyboard.press("d")
            page.locator("dialog").wait_for()
            page.keyboard.press("0")
            page.locator("dialog").wait_for(state="detached")
        for _ in range(12):
            page.keyboard.press("g")
        page.locator(".note", has_text="All parts of this list have a label").wait_for()
        page.goto(f"{live.address}#/teaching/{station.key}")
        page.locator(".summary", has_text="12 good, 3 defects, 0 unsure").wait_for()
        page.locator(".bundles li", has_text="disc").locator("text=In use").wait_for()
        page.locator("button", has_text="Teach the memory").click()
        page.locator(".jobs .badge", has_text="Teaching is in progress: Memory").wait_for()
        page.locator(".jobs .badge", has_text="Teaching is done: Memory").wait_for(timeout=300_000)
        page.locator(".job-result", has_text="now accepted").wait_for()
        check_legible(page)
        name = page.locator(".bundles li strong", has_text="disc-").first.text_content()
        page.locator("button", has_text=f"Load {name} on trial").click()
        page.locator("dialog .primary").click()
        page.locator(".replies .tone-good", has_text="from disc to").wait_for()
        page.locator(".bundles li", has_text=name).locator("text=In use").wait_for()
        assert "made from disc" in page.locator(".bundles li", has_text=name).first.text_content()
        page.locator("button", has_text="Roll back").click()
        page.locator("dialog .primary").click()
        wait_until(lambda: len(replier.heard) == 2, 60)
        page.locator(f".bundles li:not(:has-text('{name}'))").locator("text=In use").wait_for()
    assert [(command["command"], command["name"], command["by"]) for command in replier.heard] == [
        ("bundle", name, "emma"),
        ("bundle", None, "emma"),
    ]


def test_what_cannot_be_taught_says_why(live: LivePage) -> None:
    station = live.station("unlabelled")
    with live.seen_by("emma", f"#/teaching/{station.key}") as page:
        page.locator(".note", has_text="label some parts first").wait_for()
        assert page.locator(".choice button:enabled").count() == 0
