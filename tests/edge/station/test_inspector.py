"""The engine thread's turn when the bundle of the oldest frame is closed; the camera thread changes that meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from box_parts import inspect_next, make_box, make_settings

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.open_recipes import OpenRecipes
from edge_inspect.edge.station.station import Station


@pytest.fixture
def station(bundles: Path, tmp_path: Path, outbox: MemoryOutbox) -> Iterator[Station]:
    """A station that has not started; a frame waits for the recipe `two`, whose bundle is closed."""
    recipes = [{"name": "one", "bundle": bundles / "a"}, {"name": "two", "bundle": bundles / "b"}]
    settings = make_settings(tmp_path, bundles / "a", recipes=recipes, policy="every")
    made = Station(settings, settings.stations[0], make_box(settings, outbox))
    made.ring.offer(Capture(np.zeros((48, 80, 3), np.uint8), utc_now(), "p1", recipe="two"))
    yield made
    made.close(4)


def test_a_part_whose_bundle_is_tried_again_just_then_is_no_failure_of_the_engine(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The opening had failed when the frame was taken out; then another part had it begun again.
    monkeypatch.setattr(station.recipes, "is_settled", lambda recipe: True)
    assert inspect_next(station) and station.lost == 1
    assert station.stages["engine"].situation.doing != "failed"


def test_an_opening_begins_while_the_ring_can_be_used(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the lock of the recipes, which another thread may hold while it waits for the ring."""
    begun: list[tuple[str | None, bool]] = []

    def begin_to_open(_: OpenRecipes, recipe: str | None) -> None:
        reader = threading.Thread(target=lambda: station.ring.waiting, daemon=True)
        reader.start()
        reader.join(30)
        begun.append((recipe, not reader.is_alive()))

    monkeypatch.setattr(OpenRecipes, "begin_to_open", begin_to_open)
    assert not inspect_next(station)
    assert begun == [("two", True)]
