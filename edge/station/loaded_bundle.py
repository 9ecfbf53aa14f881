from __future__ import annotations

import threading
from collections import Counter

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import model_file
from edge_inspect.edge.configuration.settings import EngineSettings
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.decision import Decider, Decision
from edge_inspect.edge.engines import AnomalyMap, BegunMap, Engine
from edge_inspect.edge.engines.choice import Choice
from edge_inspect.edge.engines.choice_file import ChoiceFile
from edge_inspect.edge.engines.chosen_once import choose_once
from edge_inspect.edge.engines.opening import best_engine, open_checked_engine
from edge_inspect.edge.engines.trial import can_be_timed
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.calibration_watch import CalibrationWatch
from edge_inspect.edge.health.picture import MeasuredPixels
from edge_inspect.edge.memory import give_back_freed, resident_bytes


class LoadedBundle:
    """A bundle with its engine, ready to inspect the frames of a station.

    Args:
        bundle: The bundle.
        engine: An engine of that bundle; other stations may share it, but only the engine thread uses it.
        station: Settings of the station.
        why: Reason why the engine computes in its precision, in words.

    Attributes:
        bundle: The bundle.
        reference: Name and digest of the bundle, as they appear in verdicts.
        engine: The engine.
        why: Reason why the engine computes in its precision, in words.
        decider: Turns maps into decisions, with the threshold in force.
        own_threshold: The threshold from the bundle, before a command changed it.
        watch: Compares pictures and scores with those of the calibration.
        measured: Pixels of the frames that `watch` measures.
    """

    def __init__(self, bundle: Bundle, engine: Engine, station: StationSettings, why: str = "") -> None:
        self.bundle, self.engine, self.why = bundle, engine, why
        self.reference = BundleReference(name=bundle.manifest.name, digest=bundle.digest)
        self.decider = Decider(bundle, engine.precision, station.mm_per_px, station.min_area_px)
        self.own_threshold = self.decider.threshold
        self.watch = CalibrationWatch(bundle, engine.precision, station.defect_share)
        self.measured = MeasuredPixels.of(bundle.fit)

    def inspect(self, frame: Frame, begun: BegunMap | None = None) -> tuple[AnomalyMap, Decision]:
        """Return the anomaly map of a frame, valid until the engine's next frame, and the decision on it.

        Args:
            frame: The frame.
            begun: Its map, if an engine has begun it. If it was another engine, or the map is lost, it is computed
                again.

        Raises:
            EngineError: The engine failed.
        """
        anomaly = begun.wait() if begun is not None and begun.engine is self.engine else None
        if anomaly is None:
            anomaly = self.engine.infer(frame)
        return anomaly, self.decider.decide(anomaly)

    def threshold_bounds(self, factor: float) -> tuple[float, float]:
        """Return the range that commands may set: from threshold ÷ factor to threshold × factor."""
        around = (self.own_threshold / factor, self.own_threshold * factor)
        return min(around), max(around)


class SharedEngines:
    """Engines that reproduce their golden frames; stations with the same bundle and precision share one.

    An engine is closed when the last station gives it back, or when this object is closed.

    Args:
        settings: Settings of the engine.
        record: Record of the precisions that this box has chosen; by default, one that ends with this object.
    """

    def __init__(self, settings: EngineSettings, record: ChoiceFile | None = None) -> None:
        self._settings = settings
        self._record = record or ChoiceFile()
        self._choices: dict[str, Choice | None] = {}
        self._building, self._lock = threading.Lock(), threading.Lock()
        self._open: dict[tuple[str, Precision | None], Engine] = {}
        self._users: Counter[Engine] = Counter()
        self._bytes: dict[tuple[str, Precision], int] = {}
        self._closed = False

    def open(self, bundle: Bundle, precision: Precision | None) -> Engine:
        """Return the shared engine of a bundle, or build one in this thread. Only one is built at a time.

        If no precision is asked for and the settings say so, this box chooses it: the first time that a bundle is
        opened here, its precisions are timed. The caller must pass the engine to `give_back` when it no longer uses it.

        Raises:
            EngineError: No engine that reproduces the golden frames can be built.
            BundleError: The bundle has no such precision.
        """
        with self._building:
            engine = self._take(bundle, precision)
            first = None
            if engine is None and precision is None:
                first = self._first(bundle)
                engine = self._take(bundle, first)
            if engine is None:
                settings, before = self._settings, resident_bytes()
                engine = open_checked_engine(
                    bundle, precision, first=first, engine=settings.name, threads=settings.threads, cache=settings.cache
                )
                self._keep(bundle, precision, engine)
                give_back_freed()
                self._measure(bundle, engine, resident_bytes() - before)
            return engine

    def bytes_of(self, bundle: Bundle, engine: Engine) -> int:
        """Return about how much memory an engine that `open` has returned takes, in bytes.

        It is what the process grew by when the engine was opened, but no less than the size of its network: memory that
        another engine has left may have been used again. A second network counts as much as the first.
        """
        return self._bytes[bundle.digest, engine.precision] * engine.networks

    def why(self, bundle: Bundle, precision: Precision | None, engine: Engine) -> str:
        """Return why an engine that `open` has returned computes in its precision, in words.

        Args:
            bundle: The bundle that was opened.
            precision: The precision that was asked for.
            engine: The engine.
        """
        if precision is not None:
            return "the configuration names this precision"
        choice = self._choices.get(bundle.digest)
        if choice is None:
            return "the first in the bundle's order that runs on this box"
        if choice.precision != engine.precision:
            return f"{choice.precision}, which this box has chosen before, cannot run; the log has the reason"
        return str(choice)

    def give_back(self, engine: Engine) -> None:
        """Close an engine if no other station uses it; do nothing after `forget`."""
        with self._lock:
            if engine not in self._users:
                return
            self._users[engine] -= 1
            if self._users[engine]:
                return
            self._remove(engine)
        engine.close()

    def forget(self, engine: Engine) -> None:
        """Stop sharing an engine that hangs. It is never closed, because a thread hangs inside it."""
        with self._lock:
            self._remove(engine)

    def close(self) -> None:
        """Close all engines, and open no more. No thread may use an engine any more."""
        with self._lock:
            self._closed = True
            engines = list(self._users)
            self._open.clear()
            self._users.clear()
        for engine in engines:
            engine.close()

    def _first(self, bundle: Bundle) -> Precision:
        """Return the precision to try first if none is asked for."""
        settings = self._settings
        name = settings.name or best_engine()
        choice = None
        if settings.precision == "fastest" and can_be_timed(name):
            choice = choose_once(bundle, name, self._record, threads=settings.threads, cache=settings.cache)
        self._choices[bundle.digest] = choice
        return bundle.manifest.order_of(name)[0] if choice is None else choice.precision

    def _measure(self, bundle: Bundle, engine: Engine, grown: int) -> None:
        key = bundle.digest, engine.precision
        self._bytes[key] = max(
            self._bytes.get(key, 0), grown, bundle.manifest.files[model_file(engine.precision)].bytes
        )

    def _take(self, bundle: Bundle, precision: Precision | None) -> Engine | None:
        with self._lock:
            engine = self._open.get((bundle.digest, precision))
            if engine is not None:
                self._users[engine] += 1
            return engine

    def _keep(self, bundle: Bundle, precision: Precision | None, engine: Engine) -> None:
        with self._lock:
            if not self._closed:
                self._open[bundle.digest, precision] = self._open[bundle.digest, engine.precision] = engine
                self._users[engine] = 1
                return
        engine.close()
        raise EngineError("the service is stopping, and opens no more engines")

    def _remove(self, engine: Engine) -> None:
        for key in [key for key, each in self._open.items() if each is engine]:
            del self._open[key]
        del self._users[engine]
