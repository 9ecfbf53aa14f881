"""The recipes of a station: which one is in force, and by which one a part is judged.

A part is judged by the recipe whose pattern matches its id, and otherwise by the one that was in force when the part
was triggered, or when its frame was taken. So frames that wait during a change-over are still judged by the recipe
before.

A part whose bundle is closed waits, with the parts behind it, until it is open: another bundle never judges it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, NoReturn

from edge_inspect.edge.bundle.store import WantedBundle
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import RecipeHealth, RecipeState
from edge_inspect.edge.contract.replies import RecipeChange
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.engines import AnomalyMap, BegunMap, Engine
from edge_inspect.edge.errors import BundleError, EngineError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.calibration_watch import CalibrationWatch
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.bundles import Answer, StationBundles
from edge_inspect.edge.station.change_records import RecipeEntry, RequestedBy
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.open_recipes import Opened, OpenRecipes
from edge_inspect.edge.station.part_id_patterns import PartIdPatterns

log = logging.getLogger(__name__)

_REMEMBERED = 1000
"""Number of change-overs that are remembered for frames that were taken before them."""

AnswerRecipe = Callable[[Refused | None, RecipeChange | None], None]


class RecipeListener(NamedTuple):
    """The functions that are called with what happens to recipes, in whichever thread it happens.

    Attributes:
        degrade: Called with a problem of a bundle.
        opened: Called with a recipe and its bundle when the bundle was opened.
        changed: Called when another recipe has come into force.
    """

    degrade: Callable[[str], None]
    opened: Opened
    changed: Callable[[], None]


class InForce(NamedTuple):
    """The recipe in force, and its bundles."""

    recipe: str | None
    bundles: StationBundles


class StationRecipes:
    """Inspects frames by their recipes, and changes the recipe in force. A station without recipes has one, `None`.

    Only the engine thread may call `begin`, `inspect` and `take_next`; any thread may call the other methods.

    Args:
        settings: The whole configuration.
        station: Settings of this station.
        box: The objects that all stations share.
        listener: The functions that are called with what happens.

    Raises:
        OutboxError: A record cannot be read.
        BundleError: The bundle of the recipe in force is damaged, or lacks the required signature.
        EngineError: No engine that reproduces its golden frames can be built.
    """

    def __init__(
        self, settings: Settings, station: StationSettings, box: BoxResources, listener: RecipeListener
    ) -> None:
        self._name, self._box, self._listener = station.name, box, listener
        self._open = OpenRecipes(settings, station, box, listener.degrade, listener.opened)
        self._table = {recipe.name for recipe in station.recipes}
        self._patterns = PartIdPatterns(station.recipes)
        last = box.recipes.last(station.name)
        first = last if last in self._table else self._open.names[0]
        # Replaced as a whole, so that it can be read without a lock.
        self._history: tuple[tuple[float, str | None], ...] = ((float("-inf"), first),)
        self._health = self._state(str(first))
        try:
            self._judging = self._open.open_now(first)
        except (BundleError, EngineError) as error:
            key = "bundle" if first is None else f"bundle of the recipe {first}"
            raise type(error)(f"station {station.name}: {key}: {error}") from error

    @property
    def active(self) -> str | None:
        """Name of the recipe in force; `None` if the station has no recipes."""
        return self._history[-1][1]

    @property
    def in_force(self) -> InForce:
        """The recipe in force, and its bundles."""
        while True:  # it may change, and then be closed, between the two steps
            recipe = self.active
            if (bundles := self._open.get(recipe)) is not None:
                return InForce(recipe, bundles)

    @property
    def current(self) -> LoadedBundle:
        """The bundle of the recipe in force."""
        return self.in_force.bundles.current

    @property
    def engine(self) -> Engine:
        """The engine that inspects now, or did so last."""
        return self._judging.current.engine

    def health(self) -> RecipeHealth | None:
        """Return the recipe in force and the last change-over; `None` if the station has no recipes."""
        return self._health if self._table else None

    def watched(self) -> list[CalibrationWatch]:
        """Return the watch of the recipe in force, then those of all others that judged a part in the last minute."""
        return self._open.watched(self.active)

    def bundle_of(self, recipe: str | None) -> LoadedBundle | None:
        """Return the bundle of a recipe; `None` if it is closed."""
        bundles = self._open.get(recipe)
        return None if bundles is None else bundles.current

    def start(self) -> None:
        """Begin to open the bundles of the other recipes, as far as the memory allows."""
        self._open.begin_to_open_all()

    def confirm(self) -> None:
        """Record the configured bundles that have changed; see `StationBundles.confirm`."""
        self._open.confirm()

    def in_force_at(self, moment: float) -> str | None:
        """Return the recipe that was in force at a time, in seconds of `time.monotonic`."""
        history = self._history
        return next((recipe for since, recipe in reversed(history) if since <= moment), history[0][1])

    def choose(self, part_id: str | None, in_force: str | None) -> str | None:
        """Return the recipe of a part, and have its bundle opened if it is closed.

        Args:
            part_id: Id of the part, if it has one.
            in_force: The recipe that was in force when the part was triggered, or its frame was taken.
        """
        matching = self._patterns.recipe_of(part_id)
        recipe = in_force if matching is None else matching
        self.begin_to_open(recipe)
        return recipe

    def begin_to_open(self, recipe: str | None) -> None:
        """Have the bundle of a recipe opened if it is closed, and return at once."""
        if recipe not in self._open:
            self._open.begin_to_open(recipe)

    def problem(self, recipe: str | None) -> str | None:
        """Return why the bundle of a recipe cannot be opened; `None` if it is open, or not known to be unusable."""
        return self._open.problem(recipe)

    def is_settled(self, recipe: str | None) -> bool:
        """Return whether a part of a recipe can be dealt with now: its bundle is open, or cannot be opened.

        This takes no lock, so it may be called while another one is held.
        """
        return recipe in self._open or self._open.problem(recipe) is not None

    def begin(self, recipe: str | None, frame: Frame) -> BegunMap | None:
        """Have the map of a frame begun by the engine of its recipe; see `Engine.begin`.

        Raises:
            EngineError: The engine failed.
        """
        bundles = self._open.use(recipe)
        if bundles is None:
            return None
        self._judging = bundles
        return bundles.current.engine.begin(frame)

    def inspect(
        self, recipe: str | None, frame: Frame, begun: BegunMap | None = None
    ) -> tuple[LoadedBundle, AnomalyMap, Decision]:
        """Inspect a frame by a recipe; see `StationBundles.inspect`.

        Raises:
            EngineError: The engine failed, or the bundle of the recipe cannot be opened.
        """
        bundles = self._open.use(recipe)
        if bundles is None:
            raise EngineError(self.problem(recipe) or f"recipe {recipe}: its bundle is closed")
        self._judging = bundles
        return bundles.inspect(frame, begun)

    def take_next(self, waiting: Callable[[], Collection[str | None]]) -> None:
        """Put waiting bundles in force, and close the bundles for which there is no memory.

        Args:
            waiting: Returns the recipes of the frames that wait, which stay open.
        """

        def kept() -> Collection[str | None]:
            requested = [self._health.requested] if self._health.state == "changing" else []
            return {*waiting(), self.active, *requested}

        self._open.take_next(kept)

    def uses(self, engine: Engine) -> bool:
        """Return whether a recipe uses an engine."""
        return self._open.uses(engine)

    def rebuild(self, engine: Engine) -> None:
        """Replace an engine that hangs in all recipes that use it; see `StationBundles.rebuild`."""
        self._open.rebuild(engine)

    def change_bundle(
        self,
        wanted: Path | WantedBundle | None,
        requested_by: RequestedBy,
        answer: Answer,
        *,
        configured: Path | None = None,
    ) -> None:
        """Begin to change the bundle of the recipe in force; see `StationBundles.change`."""
        with self._open.lock:  # so that the recipe is not closed before the change has begun
            self.in_force.bundles.change(wanted, requested_by, answer, configured=configured)

    def change(self, recipe: str, requested_by: RequestedBy, answer: AnswerRecipe) -> RecipeChange | None:
        """Put a recipe in force: now if its bundle is open, else when it has been opened.

        Args:
            recipe: Name of the recipe.
            requested_by: Sender of the request, for the record.
            answer: Called from another thread if the bundle has to be opened.

        Returns:
            The change, if it is done. If it is `None`, `answer` gets it.

        Raises:
            Refused: There is no such recipe, the change cannot be recorded, or another one is going on.
        """
        if not self._table:
            raise Refused("impossible", "this station has no recipes; list them under recipes in its configuration")
        with self._open.lock:
            if self._health.state == "changing":
                going_on = f"the bundle of the recipe {self._health.requested} is being opened"
                raise Refused("busy", f"{going_on}; try again when that command is answered")
            if recipe not in self._table:
                names = ", ".join(str(name) for name in self._open.names)
                self._fail(recipe, f"this station has no recipe {recipe!r}; it has {names}")
            if recipe not in self._open:
                self._health = self._state(recipe, "changing")
                self._open.in_thread(self._open_and_change, recipe, requested_by, answer)
                return None
            change = self._put_in_force(recipe, requested_by)
        if change.before != change.after:
            self._listener.changed()
        return change

    def close(self) -> None:
        """Open no more bundles, and put none in force."""
        self._open.close()

    def _open_and_change(self, recipe: str, requested_by: RequestedBy, answer: AnswerRecipe) -> None:
        problem = self._open.try_to_open(recipe)
        change: RecipeChange | None = None
        refused: Refused | None = None
        try:
            with self._open.lock:
                if recipe not in self._open:
                    self._fail(recipe, f"{problem or 'the service is stopping'}; {self.active} stays in force")
                change = self._put_in_force(recipe, requested_by)
            self._listener.changed()
        except Refused as error:
            refused = error
        except Exception as error:
            log.exception("%s: the recipe %s cannot be put in force", self._name, recipe)
            refused = Refused("impossible", f"bug in edge-inspect: {error!r}; its log has the traceback")
            self._health = self._state(recipe, "failed", str(refused))
        answer(refused, change)

    def _put_in_force(self, recipe: str, requested_by: RequestedBy) -> RecipeChange:
        before = str(self.active)
        if recipe != before:
            fields = {**requested_by._asdict(), "recipe": recipe, "before": before}
            try:
                self._box.recipes.add(RecipeEntry(at=utc_now(), station=self._name, **fields))
            except OSError as error:
                self._fail(recipe, f"{before} stays in force, because the change-over cannot be recorded: {error}")
            self._open.use(recipe)
            self._history = (*self._history[-_REMEMBERED:], (time.monotonic(), recipe))
            log.info("%s: inspects %s, before %s", self._name, recipe, before)
        self._health = self._state(recipe)
        return RecipeChange(before=before, after=recipe)

    def _state(self, requested: str, state: RecipeState = "active", error: str | None = None) -> RecipeHealth:
        names = tuple(name for name in self._open.names if name is not None)
        return RecipeHealth(requested=requested, active=str(self.active), state=state, error=error, names=names)

    def _fail(self, recipe: str, why: str) -> NoReturn:
        """Note that a change-over has failed.

        Raises:
            Refused: In any case.
        """
        self._health = self._state(recipe, "failed", why)
        raise Refused("impossible", why)
