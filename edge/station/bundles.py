"""The bundles of a station: the one in force inspects its parts, and is changed between two of them.

A bundle is opened and checked, and its engine is built and checked, in a thread of its own while the bundle in force
goes on. The engine thread then takes the new one between two parts. A bundle that fails on its first parts is rolled
back, and the bundle before it inspects the part it failed on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.configuration.settings import Settings, StationSettings
from edge_inspect.edge.contract.commands import BundleChange, Refused
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.errors import BundleError, EdgeInspectError, EngineError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.change_records import BundleEntry, BundlePlace
from edge_inspect.edge.station.loaded_bundle import LoadedBundle

log = logging.getLogger(__name__)

PROVEN_AFTER = 10
"""Parts that a new bundle has to inspect before the engine of the one before it is let go."""
KEPT = 8
"""Bundles that can be rolled back through."""


class RequestedBy(NamedTuple):
    """Who has asked for another bundle, for the record."""

    by: str | None = None
    command_id: str | None = None


Answer = Callable[[Refused | None, BundleChange | None], None]


class StationBundles:
    """Inspects frames by the bundle in force, and changes that bundle.

    `inspect` and `take_next` belong to the engine thread; the rest may be called by any.

    Args:
        settings: The whole configuration.
        station: This station's part of it.
        box: What the stations share.
        degrade: Called with what is wrong when another bundle is in force than was asked for.

    Raises:
        OutboxError: A record cannot be read.
        BundleError: The configured bundle is damaged, or not signed as the configuration asks.
        EngineError: No engine that reproduces its golden frames can be built.
    """

    def __init__(
        self, settings: Settings, station: StationSettings, box: BoxResources, degrade: Callable[[str], None]
    ) -> None:
        self._folder, self._factor = settings.bundles.folder, settings.commands.threshold_factor
        self._station, self._box, self._degrade = station, box, degrade
        self._configured = station.bundle.absolute()
        self._busy, self._lock = threading.Lock(), threading.Lock()
        self._next: tuple[LoadedBundle, threading.Event] | None = None
        self._closed = False
        self._before: LoadedBundle | None = None
        self._unproven = 0
        self._places, self.current = self._first()

    def confirm(self) -> None:
        """Let the configuration hold: what commands have loaded under another one does not come back with that one.

        Raises:
            OutboxError: The record cannot be read.
        """
        with self._lock:
            last = self._box.bundles.last(self._station.name)
            if last is None or last.configured == self._configured:
                return
            try:
                self._remember("load", self._places, RequestedBy("configuration"), self._configured)
            except OSError as error:
                name = self._places[0].name
                log.error("%s: %s judges, which cannot be recorded: %s", self._station.name, name, error)

    def inspect(self, frame: Frame) -> tuple[LoadedBundle, AnomalyMap, Decision]:
        """Return what the bundle says of a frame, and which it was.

        Raises:
            EngineError: The engine failed.
        """
        loaded = self.current
        try:
            anomaly, decision = loaded.inspect(frame)
        except EngineError as error:
            before = self._before
            if before is None or loaded is not self.current:  # the second: it hung, and another is in force by now
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

    def take_next(self) -> None:
        """Judge by the bundle that was loaded, if one was."""
        if self._next is not None:
            (loaded, taken), self._next = self._next, None
            oldest, self._before, self.current = self._before, self.current, loaded
            self._unproven = PROVEN_AFTER
            taken.set()
            if oldest is not None:
                self._let_go(oldest)

    def rebuild(self) -> None:
        """Judge by a new engine of the same bundle, or by the bundle before a new one: the engine hangs.

        Raises:
            EngineError: None that reproduces the golden frames can be built.
            BundleError: The bundle's files are not there any more, or others.
        """
        hanging = self.current
        self._box.engines.forget(hanging.engine)
        if self._before is not None and self._before.engine is not hanging.engine:
            self._go_back(self._before, EngineError("its engine hangs"))
            return
        again = self._make(hanging.bundle)
        if self.current is hanging:  # one that fails, and does not hang, may have been changed meanwhile
            self.current = again
        else:
            self._let_go(again)

    def find(self, name: str) -> Path:
        """Return the bundle of a name below `bundles.folder`.

        Raises:
            Refused: No such folder is configured, the name leads out of it, or there is none of that name.
        """
        if self._folder is None:
            raise Refused("impossible", "no folder of bundles is configured; set bundles.folder")
        try:
            folder = self._folder.resolve()
            path = (folder / name).resolve()
            there = path.is_relative_to(folder) and path != folder and path.exists()
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
            there = False
        if not there:
            raise Refused("impossible", f"bundles.folder holds no {name!r}; copy the bundle there")
        return path

    def change(
        self, path: Path | None, requested_by: RequestedBy, answer: Answer, *, configured: Path | None = None
    ) -> None:
        """Begin to load a bundle.

        Args:
            path: The bundle; `None` is the one before.
            requested_by: For the record.
            answer: Called from another thread when the bundle is in force, or when it is certain that it will not be.
            configured: What the configuration names now, where that is what asks for it. A bundle that has not changed
                there since it was loaded is left, and what a command has loaded goes on.

        Raises:
            Refused: One is being loaded.
        """
        if not self._busy.acquire(blocking=False):
            raise Refused("busy", "a bundle is being loaded; ask again when that is answered")
        arguments = (path, requested_by, answer, configured)
        threading.Thread(target=self._change, args=arguments, name=f"bundle-{self._station.name}", daemon=True).start()

    def close(self) -> None:
        """Take no bundle any more: what waits to be taken is answered."""
        self._closed = True
        if (waiting := self._next) is not None:
            waiting[1].set()

    def _change(self, path: Path | None, requested_by: RequestedBy, answer: Answer, configured: Path | None) -> None:
        refused = change = None
        try:
            change = self._load(path, requested_by, configured)
        except Refused as problem:
            refused = problem
        except (EdgeInspectError, OSError) as error:
            refused = Refused("impossible", f"{error}; {self.current.reference.name} goes on")
        except Exception as error:
            log.exception("%s: a bundle cannot be loaded", self._station.name)
            refused = Refused("impossible", f"{error!r}, which is a mistake in edge-inspect; its log has more")
        finally:
            self._busy.release()
        answer(refused, change)

    def _load(self, path: Path | None, requested_by: RequestedBy, configured: Path | None) -> BundleChange:
        places, before = self._places, self.current.reference
        if path is None:
            if len(places) < 2:
                raise Refused("impossible", f"no bundle was before {before.name}; load one by its name")
            bundle, later = self._open_again(places[1]), places[1:]
        else:
            bundle = self._open(path)
            if configured == self._configured and _place(bundle) in places:
                return BundleChange(before=before, after=before)
            same = bundle.digest == before.digest
            later = (_place(bundle), *places[same:])[:KEPT]
        loaded = self._make(bundle) if bundle.digest != before.digest else None
        try:
            with self._lock:
                if self._places != places:
                    raise Refused("impossible", "the bundle that judges has failed meanwhile; ask again")
                self._remember(
                    "roll back" if path is None else "load", later, requested_by, configured or self._configured
                )
        except BaseException:
            if loaded is not None:
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
            raise Refused("impossible", "the service stops; the bundle judges from its next start")

    def _go_back(self, before: LoadedBundle, error: EngineError) -> None:
        wrong = self.current
        failed = wrong.reference
        problem = f"{failed.name} failed, {before.reference.name} judges again: {error}"
        log.error("%s: %s", self._station.name, problem)
        self.current, self._before = before, None
        with self._lock:
            later = self._without(failed.digest, _place(before.bundle))
            try:
                self._remember("failed", later, RequestedBy(), self._configured, str(error))
            except OSError as unwritten:
                log.error("%s: this cannot be recorded: %s; the next start tries it again", failed.name, unwritten)
                self._places = later
        self._degrade(problem)
        self._let_go(wrong)

    def _let_go(self, loaded: LoadedBundle) -> None:
        """Give back the engine of a bundle that is in force no more."""
        self._box.engines.give_back(loaded.engine)

    def _without(self, failed: str, before: BundlePlace) -> tuple[BundlePlace, ...]:
        """Return the bundles with the one before in the place of a failed one; a bundle that waits stays first."""
        digests = [place.digest for place in self._places]
        if failed not in digests:  # it was being rolled back
            return self._places
        at = digests.index(failed)
        older = (place for place in self._places[at + 1 :] if place.digest not in (failed, before.digest))
        return (*self._places[:at], before, *older)

    def _remember(
        self,
        change: str,
        places: tuple[BundlePlace, ...],
        requested_by: RequestedBy,
        configured: Path,
        reason: str | None = None,
    ) -> None:
        fields = {
            **requested_by._asdict(),
            "change": change,
            "bundles": places,
            "configured": configured,
            "reason": reason,
        }
        self._box.bundles.add(BundleEntry(at=utc_now(), station=self._station.name, **fields))
        self._places, self._configured = places, configured

    def _first(self) -> tuple[tuple[BundlePlace, ...], LoadedBundle]:
        """Return the bundle that was in force last; where it cannot be had, one before it, or the configured one."""
        last = self._box.bundles.last(self._station.name)
        places = last.bundles if last is not None and last.configured == self._configured else ()
        for i, place in enumerate(places):
            # What the configuration names may have been replaced in its place.
            configured = place.path == self._configured
            try:
                bundle = self._open(place.path) if configured else self._open_again(place)
                loaded = self._make(bundle)
            except (BundleError, EngineError) as error:
                self._degrade(f"{place.name}, which judged last, cannot be loaded; another one judges: {error}")
                continue
            if not configured:
                log.info("%s: judges by %s, loaded by a command", self._station.name, place.path)
            return (_place(bundle), *places[i + 1 :]), loaded
        bundle = self._open(self._configured)
        return (_place(bundle),), self._make(bundle)

    def _open_again(self, place: BundlePlace) -> Bundle:
        bundle = self._open(place.path)
        if bundle.digest != place.digest:
            raise BundleError(f"{place.path}: is another bundle than it was; load it by its name if it is wanted")
        return bundle

    def _open(self, path: Path) -> Bundle:
        bundle = open_bundle(path, self._box.trusted)
        if bundle.signed_by is not None:
            log.info("%s: signed with key %s", path, bundle.signed_by.id)
        return bundle

    def _make(self, bundle: Bundle) -> LoadedBundle:
        """Return the bundle with its engine, and with the threshold that a command has set for it."""
        loaded = LoadedBundle(bundle, self._box.engines.open(bundle, self._station.precision), self._station)
        value = self._box.thresholds.last(self._station.name, bundle.digest)
        low, high = loaded.threshold_bounds(self._factor)
        if value is not None and low <= value <= high:
            loaded.decider.threshold = value
            log.info(
                "%s: threshold %g, set by a command; the bundle's is %g",
                self._station.name,
                value,
                loaded.own_threshold,
            )
        return loaded


def _place(bundle: Bundle) -> BundlePlace:
    return BundlePlace(name=bundle.manifest.name, digest=bundle.digest, path=bundle.path.absolute())
