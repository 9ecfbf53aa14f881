"""The shadows of a station with recipes: the scores of one product are never mixed with those of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from box_parts import make_box, make_settings
from label_parts import verdict

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.health.picture import examine
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.shadow import read_collected
from edge_inspect.edge.station.shadows import StationShadows

FRAME = np.full((48, 80, 3), 128, np.uint8)


def test_each_recipe_collects_its_own_scores(bundles: Path, tmp_path: Path, outbox: MemoryOutbox) -> None:
    recipes = [{"name": name, "bundle": bundles / bundle} for name, bundle in (("one", "a"), ("two", "b"))]
    settings = make_settings(tmp_path, bundles / "a", recipes=recipes, shadow={"parts": 3})
    box, station = make_box(settings, outbox), settings.stations[0]
    notes: list[str | None] = []
    shadows = StationShadows(station, box, notes.append)
    loaded = {}
    for recipe in station.recipes:
        bundle = open_bundle(recipe.bundle)
        loaded[recipe.name] = LoadedBundle(bundle, box.engines.open(bundle, None), station)
    for i in range(6):
        name = ("one", "two")[i % 2] if i < 4 else "one"
        shadow = shadows.of(name)
        shadow.follow(loaded[name])
        shadow.take(verdict(i + 1, score=i / 10), examine(FRAME, loaded[name].measured))
    assert [shadows.of(name).is_on for name in ("one", "two")] == [False, True]
    scores = {name: [each.score for each in read_collected(box.shadow_file("a", name)).scores] for name in loaded}
    assert scores == {"one": [0.0, 0.2, 0.4], "two": [0.1, 0.3]}
    begun = "in shadow: nothing is rejected until 3 parts are collected"
    assert notes == [f"one {begun}", f"one {begun}; two {begun}", f"two {begun}"]
    box.engines.close()


def test_without_recipes_there_is_one(bundles: Path, tmp_path: Path, outbox: MemoryOutbox) -> None:
    settings = make_settings(tmp_path, bundles / "a", shadow={"parts": 3})
    box, station = make_box(settings, outbox), settings.stations[0]
    notes: list[str | None] = []
    bundle = open_bundle(station.bundle)
    shadow = StationShadows(station, box, notes.append).of(None)
    shadow.follow(LoadedBundle(bundle, box.engines.open(bundle, None), station))
    assert shadow.is_on and (tmp_path / "outbox.shadow-a.jsonl").exists()
    shadow.end()
    assert notes == ["in shadow: nothing is rejected until 3 parts are collected", None]
    box.engines.close()
