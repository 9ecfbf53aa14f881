"""The bundles of a station, or of one of its recipes: one is in force, and is changed between two parts.

A new bundle is opened, and its engine is built and checked, in a thread of its own, while the bundle in force goes on
inspecting. The engine thread then changes to the new bundle between two parts. A bundle that fails on one of its first
parts is rolled back automatically, and the previous bundle inspects that part.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.store import WantedBundle
from edge_inspect.edge.configuration.recipe_settings import RecipeSettings
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.replies import BundleChange
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.engines import AnomalyMap, BegunMap
from edge_inspect.edge.errors import BundleError, EdgeInspectError, EngineError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.change_records import BundleEntry, BundlePlace, RequestedBy, replace_failed
from edge_inspect.edge.station.loaded_bundle import LoadedBundle

log = logging.getLogger(__name__)

PROVEN_AFTER = 10
"""Number of parts that a new bundle must inspect before the engine of the previous bundle is given back."""
KEPT = 8
"""Number of bundles that are remembered, so that each can be rolled back to the one before it."""
ANSWER_S = 0.5
"""Longest time that a stop waits for the reply to a command whose bundle is being fetched, in seconds."""

Answer = Callable[[Refused | None, BundleChange | None], None]


class StationBundles:
    """Inspects frames with the bundle in force, and changes that bundle.

    Only the engine thread may call `inspect` and `take_next`; any thread may call the other methods.

    Args:
        settings: The whole configuration.
        station: Settings of this station.
        box: The objects that all stations share.
        degrade: Called with the problem if the bundle in force is not the one that was asked for.
        recipe: The recipe whose bundles these are; `None` if the station has no recipes.

    Raises:
        OutboxError: A record cannot be read.
        BundleError: The configured bundle is damaged, or lacks the signature that the configuration requires.
        EngineError: No engine that reproduces its golden frames can be built.

    Attributes:
        current: The bundle in force.
    """

    def __init__(
        self,
        settings: Settings,
        station: StationSettings,
        box: BoxResources,
        degrade: Callable[[str], None],
        recipe: RecipeSettings | None = None,
    ) -> None:
        self._factor = settings.commands.threshold_factor
        self._station, self._box, self._degrade = station, box, degrade
        self._recipe = None if recipe is None else recipe.name
        self._configured = (station if recipe is None else recipe).bundle.absolute()
        self._busy, self._lock = threading.Lock(), threading.Lock()
        self._next: tuple[LoadedBundle, threading.Event] | None = None
        self._closed = self._fetching = False
        self._thread: threading.Thread | None = None
        self._before: LoadedBundle | None = None
        self._unproven = 0
        self._places, self.current = self._first()

    def confirm(self) -> None:
        """Record the configured bundle if it has changed, because all stations have started with this configuration.

        If the former configuration comes back later, the bundle that a command had loaded then does not come back.

        Raises:
            OutboxError: The record cannot be read.
        """
        with self._lock:
            last = self._box.bundles.last(self._station.name, self._recipe)
            if last is None or last.configured == self._configured:
                return
            try:
                self._remember("load", self._places, RequestedBy("configuration"), self._configured)
            except OSError as error:
                name = self._places[0].name
                log.error("%s: inspects with %s, but cannot record that: %s", self._station.name, name, error)

    def inspect(self, frame: Frame, begun: BegunMap | None = None) -> tuple[LoadedBundle, AnomalyMap, Decision]:
        """Inspect a frame; return the bundle that did it, its anomaly map and its decision.

        If the engine of a new bundle fails, the previous bundle takes over and inspects the frame. `begun` is its map,
        if an engine has begun it.

        Raises:
            EngineError: The engine failed, and there was no bundle to go back to.
        """
        loaded = self.current
        try:
            anomaly, decision = loaded.inspect(frame, begun)
        except EngineError as error:
            before = self._before
            # If the bundle is no longer in force, its engine hung, and the supervisor has replaced it meanwhile.
            if before is None or loaded is not self.current:
                raise
            self._go_back(before, error)
            loaded = before
            anomaly, decision = loaded.inspect(frame)
        if self._before is not None and loaded is self.current:
            self._unproven -= 1
            if not self._unproven:
                before, self._before = self._before, None
                self._let_go(before)
        return loaded, anomaly, decision

    def take_next(self) -> bool:
        """Put the bundle in force that was loaded last; return whether one waited."""
        if self._next is None:
            return False
        (loaded, taken), self._next = self._next, None
        oldest, self._before, self.current = self._before, self.current, loaded
        self._unproven = PROVEN_AFTER
        taken.set()
        self._let_go(oldest)
        return True

    def rebuild(self) -> None:
        """Replace an engine that hangs: go back from a new bundle to the previous one, or build the engine again.

        Raises:
            EngineError: No engine that reproduces the golden frames can be built.
            BundleError: The files of the bundle are missing or have changed.
        """
        hanging = self.current
        self._box.engines.forget(hanging.engine)
        if self._before is not None and self._before.engine is not hanging.engine:
            self._go_back(self._before, EngineError("its engine hangs"))
            return
        again = self._make(hanging.bundle)
        if self.current is hanging:  # an engine that fails without hanging may have been replaced meanwhile
            self.current = again
        else:
            self._let_go(again)

    def change(
        self,
        wanted: Path | WantedBundle | None,
        requested_by: RequestedBy,
        answer: Answer,
        *,
        configured: Path | None = None,
    ) -> None:
        """Begin to load a bundle in a thread of its own, and return at once.

        Args:
            wanted: The bundle, which is fetched if it is missing and has a URL; `None` means the previous one.
            requested_by: Sender of the request, for the record.
            answer: Called from the other thread when the bundle is in force, or when it cannot be.
            configured: The configured bundle, if a new configuration asks for the change. If that bundle is the same as
                before, nothing changes, and a bundle that a command has loaded stays in force.

        Raises:
            Refused: Another bundle is being loaded or fetched.
        """
        if not self._busy.acquire(blocking=False):
            raise Refused("busy", "another bundle is being loaded; try again when that command is answered")
        arguments = (wanted, requested_by, answer, configured)
        name = f"bundle-{self._station.name}"
        self._thread = threading.Thread(target=self._change, args=arguments, name=name, daemon=True)
        self._thread.start()

    @property
    def is_changing(self) -> bool:
        """Whether another bundle is being loaded or fetched."""
        return self._busy.locked()

    def release(self) -> None:
        """Give back all engines; the object is not used afterwards. Only the engine thread may call this."""
        for loaded in (self.current, self._before):
            self._let_go(loaded)

    def close(self) -> None:
        """Put no further bundle in force, and fetch none; a bundle that waits or is being fetched is refused."""
        self._closed = True
        if (waiting := self._next) is not None:
            waiting[1].set()
        if self._fetching and self._thread is not None:
            self._thread.join(ANSWER_S)

    def _change(
        self, wanted: Path | WantedBundle | None, requested_by: RequestedBy, answer: Answer, configured: Path | None
    ) -> None:
        refused = change = None
        try:
            with self._opened(wanted) as bundle:
                change = self._load(bundle, requested_by, configured)
        except Refused as problem:
            refused = problem
        except (EdgeInspectError, OSError) as error:
            refused = Refused("impossible", f"{error}; {self.current.reference.name} stays in force")
        except Exception as error:
            log.exception("%s: a bundle cannot be loaded", self._station.name)
            refused = Refused("impossible", f"bug in edge-inspect: {error!r}; its log has the traceback")
        finally:
            self._fetching = False
            self._busy.release()
        answer(refused, change)

    @contextlib.contextmanager
    def _opened(self, wanted: Path | WantedBundle | None) -> Iterator[Bundle | None]:
        """Yield a bundle, opened and checked; `None` if none is wanted. A fetched bundle is kept during the block."""
        if not isinstance(wanted, WantedBundle):
            yield None if wanted is None else self._open(wanted)
            return
        known = [place.path for place in self._places if place.digest == wanted.digest]
        self._fetching = True
        with self._box.store.provide(wanted, known, lambda: self._closed) as bundle:
            self._fetching = False
            yield bundle

    def _load(self, bundle: Bundle | None, requested_by: RequestedBy, configured: Path | None) -> BundleChange:
        places, before, change = self._places, self.current.reference, "load"
        if bundle is None:
            if len(places) < 2:
                raise Refused("impossible", f"there is no bundle before {before.name}; load one by its name")
            bundle, later, change = self._open_again(places[1]), places[1:], "roll back"
        else:
            if configured == self._configured and BundlePlace.of(bundle) in places:
                return BundleChange(before=before, after=before)
            same = bundle.digest == before.digest
            later = (BundlePlace.of(bundle), *places[same:])[:KEPT]
        loaded = self._make(bundle) if bundle.digest != before.digest else None
        try:
            with self._lock:
                if self._places != places:
                    raise Refused("impossible", "the bundle in force has failed and was rolled back; try again")
                self._remember(change, later, requested_by, configured or self._configured)
        except BaseException:
            self._let_go(loaded)
            raise
        if loaded is not None:
            self._hand_over(loaded)
        return BundleChange(before=before, after=loaded.reference if loaded else before)

    def _hand_over(self, loaded: LoadedBundle) -> None:
        taken = threading.Event()
        self._next = (loaded, taken)
        self._box.ready.set()
        if self._closed:
            taken.set()
        taken.wait()
        if self._next is not None:
            raise Refused("impossible", "the service is stopping; the bundle will be in force after its next start")

    def _go_back(self, before: LoadedBundle, error: EngineError) -> None:
        wrong = self.current
        failed = wrong.reference
        problem = f"{failed.name} failed and was rolled back to {before.reference.name}: {error}"
        log.error("%s: %s", self._station.name, problem)
        self.current, self._before = before, None
        with self._lock:
            later = replace_failed(self._places, failed.digest, BundlePlace.of(before.bundle))
            try:
                self._remember("failed", later, RequestedBy(), self._configured, str(error))
            except OSError as unwritten:
                said = "%s: the roll-back cannot be recorded: %s; the next start will try %s again"
                log.error(said, self._station.name, unwritten, failed.name)
                self._places = later
        self._degrade(problem)
        self._let_go(wrong)

    def _let_go(self, loaded: LoadedBundle | None) -> None:
        """Give back the engine of a bundle that is no longer in force, if there is one."""
        if loaded is not None:
            self._box.engines.give_back(loaded.engine)

    def _remember(
        self,
        change: str,
        places: tuple[BundlePlace, ...],
        requested_by: RequestedBy,
        configured: Path,
        reason: str | None = None,
    ) -> None:
        fields = {**requested_by._asdict(), "change": change, "bundles": places, "configured": configured}
        fields |= {"recipe": self._recipe, "reason": reason}
        self._box.bundles.add(BundleEntry(at=utc_now(), station=self._station.name, **fields))
        self._places, self._configured = places, configured

    def _first(self) -> tuple[tuple[BundlePlace, ...], LoadedBundle]:
        """Return the bundle that was in force last; if it cannot be loaded, an earlier one, or the configured one."""
        last = self._box.bundles.last(self._station.name, self._recipe)
        places = last.bundles if last is not None and last.configured == self._configured else ()
        for i, place in enumerate(places):
            # The configured bundle may have been replaced by another one at the same path, which is allowed.
            configured = place.path == self._configured
            try:
                bundle = self._open(place.path) if configured else self._open_again(place)
                loaded = self._make(bundle)
            except (BundleError, EngineError) as error:
                self._degrade(f"{place.name}, the last bundle in force, cannot be loaded; another is used: {error}")
                continue
            if not configured:
                log.info("%s: inspects with %s, which a command has loaded", self._station.name, place.path)
            return (BundlePlace.of(bundle), *places[i + 1 :]), loaded
        bundle = self._open(self._configured)
        return (BundlePlace.of(bundle),), self._make(bundle)

    def _open_again(self, place: BundlePlace) -> Bundle:
        bundle = self._open(place.path)
        if bundle.digest != place.digest:
            raise BundleError(f"{place.path}: was replaced by another bundle; to use that one, load it by its name")
        return bundle

    def _open(self, path: Path) -> Bundle:
        bundle = open_bundle(path, self._box.trusted)
        if bundle.signed_by is not None:
            log.info("%s: signed with key %s", path, bundle.signed_by.id)
        return bundle

    def _make(self, bundle: Bundle) -> LoadedBundle:
        """Return the bundle with its engine, and with the threshold that a command has set for it."""
        engines, precision = self._box.engines, self._station.precision
        engine = engines.open(bundle, precision)
        with contextlib.ExitStack() as failing:
            failing.callback(engines.give_back, engine)
            loaded = LoadedBundle(bundle, engine, self._station, engines.why(bundle, precision, engine))
            # Read after the engine was opened, because a command may set it during these minutes.
            value = self._box.thresholds.last(self._station.name, bundle.digest, self._recipe)
            failing.pop_all()
        low, high = loaded.threshold_bounds(self._factor)
        if value is not None and low <= value <= high:
            loaded.decider.threshold = value
            said = "%s: uses the threshold %g, which a command has set; the bundle's own is %g"
            log.info(said, self._station.name, value, loaded.own_threshold)
        return loaded
