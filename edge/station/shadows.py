"""The shadows of a station: one for each recipe, so that the scores of different products are never mixed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.shadow import Shadow


class StationShadows:
    """Owns the shadows of a station. Any thread may call its methods.

    Args:
        station: Settings of the station.
        box: The objects that all stations share.
        note: Called with a text for the status while some recipes are in shadow, and with `None` when none is.
    """

    def __init__(self, station: StationSettings, box: BoxResources, note: Callable[[str | None], None]) -> None:
        self._note = note
        self._lock = threading.Lock()
        self._notes: dict[str | None, str] = {}
        names: list[str | None] = [recipe.name for recipe in station.recipes] or [None]
        self._shadows = {
            name: Shadow(
                box.shadow_file(station.name, name), station.name, station.shadow, partial(self._take_note, name)
            )
            for name in names
        }

    def of(self, recipe: str | None) -> Shadow:
        """Return the shadow of a recipe; of the station, if it has no recipes."""
        return self._shadows[recipe]

    def _take_note(self, recipe: str | None, text: str | None) -> None:
        with self._lock:
            self._notes.pop(recipe, None)
            if text is not None:
                self._notes[recipe] = text if recipe is None else f"{recipe} {text}"
            self._note("; ".join(self._notes[name] for name in self._shadows if name in self._notes) or None)
