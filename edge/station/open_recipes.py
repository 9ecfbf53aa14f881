"""The recipes of a station whose bundles are open: opens them, and closes those for which there is no memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.errors import EdgeInspectError
from edge_inspect.edge.health.calibration_watch import CalibrationWatch
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.bundles import StationBundles
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.recipe_memory import OpenRecipe, recipes_to_close

log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""Seconds after which a bundle that could not be opened is tried again when a part needs it."""
WATCHED_S = 60.0
"""Seconds after its last part during which the warnings of a recipe count."""
_MB = 1_000_000

Opened = Callable[[str | None, LoadedBundle], None]
"""Called with a recipe and its bundle when the bundle was opened."""


class OpenRecipes:
    """Owns the bundles of the recipes that are open. A station without recipes has one, `None`.

    Only the engine thread may call `take_next`, which closes bundles; any thread may call the other methods. Bundles
    are opened one at a time.

    Args:
        settings: The whole configuration.
        station: Settings of this station.
        box: The objects that all stations share.
        degrade: Called with a problem of a bundle.
        opened: Called when a bundle was opened, in the thread that opened it.

    Attributes:
        names: Names of all recipes, in the order of the configuration.
        lock: While it is held, no bundle is closed.
    """

    def __init__(
        self,
        settings: Settings,
        station: StationSettings,
        box: BoxResources,
        degrade: Callable[[str], None],
        opened: Opened,
    ) -> None:
        self._settings, self._station, self._box = settings, station, box
        self._degrade, self._opened = degrade, opened
        self._table = {recipe.name: recipe for recipe in station.recipes}
        self.names: list[str | None] = list(self._table) or [None]
        self.lock, self._one = threading.RLock(), threading.Lock()
        # These two are replaced as a whole, so that they can be read without the lock.
        self._open: dict[str | None, StationBundles] = {}
        self._failed: dict[str | None, tuple[str, float]] = {}
        self._opening: set[str | None] = set()
        self._used: dict[str | None, float] = {}
        self._rebuilding: set[str | None] = set()
        """The recipes whose engine is being built again, which stay open."""
        self._closed = False
        self._over = False
        """Whether a bundle has to be closed, or the engines have changed since that was last examined."""
        self._networks = 0
        """Number of networks in memory when that was last examined; an engine may get a second one by itself."""

    def __contains__(self, recipe: str | None) -> bool:
        return recipe in self._open

    def get(self, recipe: str | None) -> StationBundles | None:
        """Return the bundles of a recipe; `None` if it is closed."""
        return self._open.get(recipe)

    def use(self, recipe: str | None) -> StationBundles | None:
        """As `get`, but the recipe counts as used now."""
        self._used[recipe] = time.monotonic()
        return self._open.get(recipe)

    def open_now(self, recipe: str | None, used: float | None = None) -> StationBundles:
        """Open the bundle of a recipe, in this thread.

        Args:
            recipe: Name of the recipe.
            used: Time at which the recipe counts as used, in seconds of `time.monotonic`; `None`: now.

        Raises:
            OutboxError: A record cannot be read.
            BundleError: The bundle is damaged, or lacks the signature that the configuration requires.
            EngineError: No engine that reproduces its golden frames can be built.
        """
        settings = None if recipe is None else self._table[recipe]
        bundles = StationBundles(self._settings, self._station, self._box, self._degrade, settings)
        with self.lock:
            self._used[recipe] = time.monotonic() if used is None else used
            self._open = {**self._open, recipe: bundles}
            self._over = self._is_over()
        self._opened(recipe, bundles.current)
        return bundles

    def try_to_open(self, recipe: str | None, used: float | None = None) -> str | None:
        """Open the bundle of a recipe, if it is closed, in this thread; return why it cannot be opened."""
        problem = None
        try:
            with self._one:
                if recipe not in self._open and not self._closed:
                    self.open_now(recipe, used).confirm()
        except (EdgeInspectError, OSError) as error:
            problem = str(error)
        except Exception as error:
            log.exception("%s: the bundle of the recipe %s cannot be opened", self._station.name, recipe)
            problem = f"bug in edge-inspect: {error!r}; its log has the traceback"
        with self.lock:
            self._opening.discard(recipe)
            failed = {name: each for name, each in self._failed.items() if name != recipe}
            if problem is not None:
                log.error("%s: the bundle of the recipe %s cannot be opened: %s", self._station.name, recipe, problem)
                failed[recipe] = (problem, time.monotonic() + AGAIN_S)
            self._failed = failed
        self._box.ready.set()
        return problem

    def begin_to_open(self, recipe: str | None) -> None:
        """Open the bundle of a recipe in a thread of its own, unless that is going on, or has failed just now."""
        with self.lock:
            failed = self._failed.get(recipe)
            if recipe in self._opening or (failed is not None and time.monotonic() < failed[1]):
                return
            self._opening.add(recipe)
            self._failed = {name: each for name, each in self._failed.items() if name != recipe}
        self.in_thread(self.try_to_open, recipe)

    def begin_to_open_all(self) -> None:
        """Open all bundles, as far as the memory allows, in a thread of its own."""
        if len(self.names) > 1:
            self.in_thread(self._open_all)

    def in_thread(self, work: Callable[..., object], *arguments: object) -> None:
        """Do work that may open a bundle in a thread of its own."""
        name = f"recipe-{self._station.name}"
        threading.Thread(target=work, args=arguments, name=name, daemon=True).start()

    def problem(self, recipe: str | None) -> str | None:
        """Return why the bundle of a recipe cannot be opened; `None` if it is open, or not known to be unusable."""
        failed = None if recipe in self._open else self._failed.get(recipe)
        return None if failed is None else f"recipe {recipe}: {failed[0]}"

    def take_next(self, kept: Callable[[], Collection[str | None]]) -> None:
        """Put waiting bundles in force, and close the bundles for which there is no memory.

        Args:
            kept: Returns the recipes that must stay open.
        """
        for bundles in self._open.values():
            if bundles.take_next():
                self._over = True
        if (networks := sum(bundles.current.engine.networks for bundles in self._open.values())) != self._networks:
            self._over, self._networks = True, networks
        # Another thread may hold the lock while it writes to a disk. Then the next call closes them.
        if self._over and self.lock.acquire(blocking=False):
            try:
                for name in self._to_close(kept()):
                    self._close(name)
                self._over = self._is_over()
            finally:
                self.lock.release()

    def watched(self, active: str | None) -> list[CalibrationWatch]:
        """Return the watch of a recipe, then those of all others that judged a part within the last minute."""
        opened, since = self._open, time.monotonic() - WATCHED_S
        others = [name for name in opened if name != active and self._used.get(name, 0.0) > since]
        return [opened[name].current.watch for name in [active, *others] if name in opened]

    def rebuild(self, engine: Engine) -> None:
        """Replace an engine that hangs in all recipes that use it; see `StationBundles.rebuild`."""
        with self.lock:
            hanging = {name: bundles for name, bundles in self._open.items() if bundles.current.engine is engine}
            self._rebuilding = set(hanging)
        try:
            for bundles in hanging.values():
                bundles.rebuild()
        finally:
            with self.lock:
                self._rebuilding, self._over = set(), True

    def uses(self, engine: Engine) -> bool:
        """Return whether a recipe uses an engine."""
        return any(bundles.current.engine is engine for bundles in self._open.values())

    def confirm(self) -> None:
        """Record the configured bundles that have changed; see `StationBundles.confirm`."""
        for bundles in self._open.values():
            bundles.confirm()

    def close(self) -> None:
        """Open no more bundles, and put none in force."""
        self._closed = True
        for bundles in self._open.values():
            bundles.close()

    def _open_all(self) -> None:
        for i, name in enumerate(self.names):
            if self._closed or self._to_close(()):
                return
            # Those at the end of the list are closed first, and before any that has judged a part.
            self.try_to_open(name, -float(i))

    def _close(self, recipe: str | None) -> None:
        closed = self._open[recipe]
        self._open = {name: bundles for name, bundles in self._open.items() if name != recipe}
        closed.release()
        log.info("%s: the bundle of the recipe %s is closed, to free memory", self._station.name, recipe)

    def _is_over(self) -> bool:
        """Return whether the engines take too much memory; the last one stays open in any case."""
        engines = {bundles.current.engine for bundles in self._open.values()}
        return len(engines) > 1 and bool(self._to_close(()))

    def _to_close(self, kept: Collection[str | None]) -> list[str | None]:
        found = []
        for name, bundles in self._open.items():
            loaded = bundles.current
            size = self._box.engines.bytes_of(loaded.bundle, loaded.engine)
            stays = name in kept or name in self._rebuilding or bundles.is_changing
            found.append(OpenRecipe(name, loaded.engine, size, self._used[name], stays))
        return recipes_to_close(found, self._station.recipe_memory_mb * _MB)
