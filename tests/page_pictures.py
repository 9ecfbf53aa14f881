"""Takes the pictures of the page that docs/page.md shows, from a line of rendered parts.

python tests/page_pictures.py [--out docs/page]
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bridge_parts import verdict
from live_page import LivePage, live_page, open_queue, settle
from page_parts import Station

from edge_inspect.edge.contract.health import (
    LatencyPercentiles,
    PictureChangeHealth,
    PictureHealth,
    RejectHealth,
    ShadowHealth,
    StageHealth,
)
from edge_inspect.edge.contract.messages import Defect, Region
from edge_inspect.edge.demo.defects import DEFECTS
from edge_inspect.edge.demo.line import RenderedPart, render_part

NAMES = ("bore", "coating", "flange", "gasket", "housing", "label", "screw", "weld")
LARGEST_BYTES = 150_000
STAGES = {
    "camera": StageHealth(state="working", seconds=0.03, progress=4712),
    "engine": StageHealth(state="working", seconds=0.01, progress=4711),
    "outbox": StageHealth(state="idle", seconds=0.06, progress=4711, reason="nothing to store"),
}
GOOD: dict[str, Any] = {
    "fps": 9.8,
    "latency_ms": LatencyPercentiles(p50=42.1, p95=48.9, p99=61.0),
    "stages": STAGES,
    "uptime_s": 86_400.0,
    "rejects": RejectHealth(share=0.02, usual=0.05, evidence=0, limit=13.8),
    "temperature_c": 58.5,
    "disk_free_bytes": 21_474_836_480,
}
CHANGES = PictureChangeHealth(
    light=-0.15, light_limit=0.1, focus=0.02, focus_limit=0.25, position=0.001, position_limit=0.05
)
DARKER: dict[str, Any] = {
    **GOOD,
    "picture": PictureHealth(level=52.1, saturated=0.002, sharpness=0.21, changes=CHANGES),
    "rejects": RejectHealth(share=0.19, usual=0.05, evidence=16.2, limit=13.8),
    "warnings": ("light_changed", "many_rejects"),
    "cause": "light",
    "remedy": "the picture is 15 % darker than before; check the lamp, the exposure, and light from other sources",
}
NO_FRAME = {**STAGES, "camera": StageHealth(state="failed", seconds=31, progress=4712, reason="no frame for 5 s")}


def publish(live: LivePage, station: Station, part: RenderedPart, score: float) -> None:
    """Publish a rendered part with its picture, and the map and the regions that its mask gives."""
    rejected = score > 0.5
    station.sequence += 1
    made = verdict(station.sequence, ok=not rejected, part_id=f"SN-{4700 + station.sequence}")
    made = made.model_copy(update={"score": score})
    station.say(made, "verdict")
    if rejected:
        station.say(Defect.of(made, regions(part, score)), "defect")
    values = cv2.GaussianBlur(part.mask.astype(np.float32), (0, 0), 9)
    values *= min(255.0, 255 * score) / max(float(values.max()), 1.0)
    levels = cv2.resize(values, (320, 240)).astype(np.uint8)
    encoded = cv2.imencode(".jpg", part.frame, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    station.show(made.id, bytes(encoded), bytes(cv2.imencode(".png", levels)[1]))


def regions(part: RenderedPart, score: float) -> tuple[Region, ...]:
    """Return the regions of a part's mask."""
    count, _, boxes, centres = cv2.connectedComponentsWithStats(part.mask)
    found = []
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in boxes[number])
        centre = (float(centres[number][0]), float(centres[number][1]))
        found.append(Region(bbox=(x, y, width, height), area_px=area, peak=score, centroid=centre))
    return tuple(sorted(found, key=lambda region: -region.area_px))


def line(live: LivePage, parts: list[RenderedPart]) -> dict[str, Station]:
    """Publish a shift of all stations."""
    chance = random.Random(7)
    stations = {name: live.station(name) for name in NAMES}
    for name, station in stations.items():
        share = 0.19 if name == "coating" else 0.02
        for _ in range(150 if name in ("coating", "flange") else 60):
            rejected = chance.random() < share
            part = chance.choice([each for each in parts if (each.defect is not None) == rejected])
            score = chance.uniform(0.55, 0.95) if rejected else min(0.49, max(0.05, chance.gauss(0.3, 0.08)))
            publish(live, station, part, score)
    for name in NAMES:
        stations[name].begin(**GOOD)
    stations["coating"].begin("degraded", **DARKER)
    stations["gasket"].begin("degraded", **{**GOOD, "stages": NO_FRAME, "fps": 0.0})
    stations["label"].begin("paused", **{**GOOD, "fps": 0.0})
    stations["weld"].begin(**{**GOOD, "shadow": ShadowHealth(parts=812, wanted=2000, above=7)})
    return stations


def take(page: Any, out: Path, name: str) -> None:
    """Take one picture, as good as its largest size allows."""
    page.wait_for_timeout(2500)  # small pictures come one by one
    settle(page)
    for quality in range(90, 30, -5):
        picture = page.screenshot(type="jpeg", quality=quality)
        if len(picture) <= LARGEST_BYTES:
            break
    (out / f"{name}.jpg").write_bytes(picture)
    print(f"{out / name}.jpg: {len(picture) / 1000:.0f} kB")


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/page"), help="folder to write to (default docs/page)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    defects = list(DEFECTS)
    parts = [render_part(seed, defects[seed % len(defects)] if seed % 2 else None) for seed in range(24)]
    with tempfile.TemporaryDirectory() as folder, live_page(Path(folder)) as live:
        stations = line(live, parts)
        with live.seen_by("emma") as page:
            page.locator(".card").nth(len(NAMES) - 1).wait_for()
            take(page, out, "line")
            page.goto(f"{live.address}#/station/{stations['coating'].key}")
            page.locator(".stack").wait_for()
            take(page, out, "station")
            flange = stations["flange"]
            open_queue(page, live, flange, 20, only="all")
            label(page, flange)
            take(page, out, "threshold")
            page.goto(f"{live.address}#/review/{stations['coating'].key}")
            page.locator(".stack").wait_for()
            take(page, out, "review")
        with live.seen_by(
            "emma", f"#/station/{flange.key}", color_scheme="dark", viewport={"width": 768, "height": 1024}
        ) as page:
            page.locator(".stack").wait_for()
            take(page, out, "tablet")


def label(page: Any, station: Station) -> None:
    """Label parts as a person would who sees them, and try another threshold."""
    for _ in range(40):
        current = page.locator(".review-side .badge.huge").text_content()
        page.keyboard.press("d" if "Rejected" in current else "g")
        if "Rejected" in current:
            page.locator("dialog").wait_for()
            page.keyboard.type("scratch")
            page.keyboard.press("Enter")
            page.locator("dialog").wait_for(state="detached")
        settle(page)
    page.wait_for_timeout(2000)
    page.locator("button", has_text="Threshold").first.click()
    page.locator(".result").first.wait_for()
    page.locator("#threshold-slider").fill("440")


if __name__ == "__main__":
    main()
