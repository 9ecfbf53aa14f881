"""What judges a station's parts: one bundle at a time, changed between two parts.

A bundle is opened, checked and has its engine built and checked in a thread of its own, beside the one that judges. The
engine thread then takes it between two parts. One that fails on its first parts goes again, and the part it failed on
is judged by the one before.
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
from edge_inspect.edge.station.box import Box
from edge_inspect.edge.station.bundle_record import BundleEntry, BundlePlace
from edge_inspect.edge.station.judge import Judge

log = logging.getLogger(__name__)

PROVEN_AFTER = 10
"""Parts that a bundle has to judge before the engine of the one before it goes."""
KEPT = 8
"""Bundles that can be rolled back through."""


class Asker(NamedTuple):
    """Who wants another bundle."""

    by: str | None = None
    command_id: str | None = None


Answer = Callable[[Refused | None, BundleChange | None], None]


class Inspector:
    """Judges frames, and changes the bundle it judges by.

    `inspect` and `take_next` belong to the engine thread; the rest may be called by any.

    Args:
        settings: The whole configuration.
        station: This station's part of it.
        box: What the stations share.
        degrade: Called with what is wrong, where it does not judge by the bundle that was asked for.

    Raises:
        OutboxError: A record cannot be read.
        BundleError: The configured bundle is damaged, or not signed as the configuration asks.
        EngineError: No engine that reproduces its golden frames can be built.
    """

    def __init__(self, settings: Settings, station: StationSettings, box: Box, degrade: Callable[[str], None]) -> None:
        self._folder, self._factor = settings.bundles.folder, settings.commands.threshold_factor
        self._station, self._box, self._degrade = station, box, degrade
        self._configured = station.bundle.absolute()
        self._busy, self._lock = threading.Lock(), threading.Lock()
        self._next: tuple[Judge, threading.Event] | None = None
        self._closed = False
        self._before: Judge | None = None
        self._unproven = 0
        self._places, self.judge = self._first()

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
                self._remember("load", self._places, Asker("configuration"), self._configured)
            except OSError as error:
                name = self._places[0].name
                log.error("%s: %s judges, which cannot be recorded: %s", self._station.name, name, error)

    def inspect(self, frame: Frame) -> tuple[Judge, AnomalyMap, Decision]:
        """Return what the bundle says of a frame, and which it was.

        Raises:
            EngineError: The engine failed.
        """
        judge = self.judge
        try:
            anomaly, decision = judge.judge(frame)
        except EngineError as error:
            before = self._before
            if before is None or judge is not self.judge:  # the second: it hung, and another judges by now
                raise
            self._go_back(before, error)
            judge = before
            anomaly, decision = judge.judge(frame)
        if self._before is not None and judge is self.judge:
            self._unproven -= 1
            if not self._unproven:
                before, self._before = self._before, None
                self._let_go(before)
        return judge, anomaly, decision

    def take_next(self) -> None:
        """Judge by the bundle that was loaded, if one was."""
        if self._next is not None:
            (judge, taken), self._next = self._next, None
            oldest, self._before, self.judge = self._before, self.judge, judge
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
        hanging = self.judge
        self._box.engines.forget(hanging.engine)
        if self._before is not None and self._before.engine is not hanging.engine:
            self._go_back(self._before, EngineError("its engine hangs"))
            return
        again = self._make(hanging.bundle)
        if self.judge is hanging:  # one that fails, and does not hang, may have been changed meanwhile
            self.judge = again
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

    def change(self, path: Path | None, asker: Asker, answer: Answer, *, configured: Path | None = None) -> None:
        """Begin to load a bundle.

        Args:
            path: The bundle; `None` is the one before.
            asker: For the record.
            answer: Called from another thread when it judges, or when it is certain that it will not.
            configured: What the configuration names now, where that is what asks for it. A bundle that has not changed
                there since it was loaded is left, and what a command has loaded goes on.

        Raises:
            Refused: One is being loaded.
        """
        if not self._busy.acquire(blocking=False):
            raise Refused("busy", "a bundle is being loaded; ask again when that is answered")
        arguments = (path, asker, answer, configured)
        threading.Thread(target=self._change, args=arguments, name=f"bundle-{self._station.name}", daemon=True).start()

    def close(self) -> None:
        """Take no bundle any more: what waits to be taken is answered."""
        self._closed = True
        if (waiting := self._next) is not None:
            waiting[1].set()

    def _change(self, path: Path | None, asker: Asker, answer: Answer, configured: Path | None) -> None:
        refused = change = None
        try:
            change = self._load(path, asker, configured)
        except Refused as problem:
            refused = problem
        except (EdgeInspectError, OSError) as error:
            refused = Refused("impossible", f"{error}; {self.judge.reference.name} goes on")
        except Exception as error:
            log.exception("%s: a bundle cannot be loaded", self._station.name)
            refused = Refused("impossible", f"{error!r}, which is a mistake in edge-inspect; its log has more")
        finally:
            self._busy.release()
        answer(refused, change)

    def _load(self, path: Path | None, asker: Asker, configured: Path | None) -> BundleChange:
        places, before = self._places, self.judge.reference
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
        judge = self._make(bundle) if bundle.digest != before.digest else None
        try:
            with self._lock:
                if self._places != places:
                    raise Refused("impossible", "the bundle that judges has failed meanwhile; ask again")
                self._remember("roll back" if path is None else "load", later, asker, configured or self._configured)
        except BaseException:
            if judge is not None:
                self._let_go(judge)
            raise
        if judge is not None:
            self._hand_over(judge)
        return BundleChange(before=before, after=judge.reference if judge else before)

    def _hand_over(self, judge: Judge) -> None:
        taken = threading.Event()
        self._next = (judge, taken)
        self._box.ready.set()
        if self._closed:
            taken.set()
        taken.wait()
        if self._next is not None:
            raise Refused("impossible", "the service stops; the bundle judges from its next start")

    def _go_back(self, before: Judge, error: EngineError) -> None:
        wrong = self.judge
        failed = wrong.reference
        problem = f"{failed.name} failed, {before.reference.name} judges again: {error}"
        log.error("%s: %s", self._station.name, problem)
        self.judge, self._before = before, None
        with self._lock:
            later = self._without(failed.digest, _place(before.bundle))
            try:
                self._remember("failed", later, Asker(), self._configured, str(error))
            except OSError as unwritten:
                log.error("%s: this cannot be recorded: %s; the next start tries it again", failed.name, unwritten)
                self._places = later
        self._degrade(problem)
        self._let_go(wrong)

    def _let_go(self, judge: Judge) -> None:
        """Give back the engine of a judge that judges no more."""
        self._box.engines.give_back(judge.engine)

    def _without(self, failed: str, before: BundlePlace) -> tuple[BundlePlace, ...]:
        """Return the bundles, the one that judged before in the place of a failed one; one that waits stays first."""
        digests = [place.digest for place in self._places]
        if failed not in digests:  # it was being rolled back
            return self._places
        at = digests.index(failed)
        older = (place for place in self._places[at + 1 :] if place.digest not in (failed, before.digest))
        return (*self._places[:at], before, *older)

    def _remember(
        self, change: str, places: tuple[BundlePlace, ...], asker: Asker, configured: Path, reason: str | None = None
    ) -> None:
        fields = {**asker._asdict(), "change": change, "bundles": places, "configured": configured, "reason": reason}
        self._box.bundles.add(BundleEntry(at=utc_now(), station=self._station.name, **fields))
        self._places, self._configured = places, configured

    def _first(self) -> tuple[tuple[BundlePlace, ...], Judge]:
        """Return the bundle that judged last; where it cannot be had, one before it, at last the configured one."""
        last = self._box.bundles.last(self._station.name)
        places = last.bundles if last is not None and last.configured == self._configured else ()
        for i, place in enumerate(places):
            # What the configuration names may have been replaced in its place.
            configured = place.path == self._configured
            try:
                bundle = self._open(place.path) if configured else self._open_again(place)
                judge = self._make(bundle)
            except (BundleError, EngineError) as error:
                self._degrade(f"{place.name}, which judged last, cannot be loaded; another one judges: {error}")
                continue
            if not configured:
                log.info("%s: judges by %s, loaded by a command", self._station.name, place.path)
            return (_place(bundle), *places[i + 1 :]), judge
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

    def _make(self, bundle: Bundle) -> Judge:
        """Return the bundle with its engine, and with the threshold that a command has set for it."""
        judge = Judge(bundle, self._box.engines.open(bundle, self._station.precision), self._station)
        value = self._box.thresholds.last(self._station.name, bundle.digest)
        low, high = judge.bounds(self._factor)
        if value is not None and low <= value <= high:
            judge.decider.threshold = value
            log.info("%s: threshold %g, set by a command; the bundle's is %g", self._station.name, value, judge.own)
        return judge


def _place(bundle: Bundle) -> BundlePlace:
    return BundlePlace(name=bundle.manifest.name, digest=bundle.digest, path=bundle.path.absolute())
