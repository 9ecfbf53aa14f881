from __future__ import annotations

import threading
from collections import Counter

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.configuration.settings import EngineSettings, StationSettings
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.decision import Decider, Decision
from edge_inspect.edge.engines import AnomalyMap, Engine
from edge_inspect.edge.engines.opening import best_engine, open_checked_engine
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.calibration_watch import CalibrationWatch


class LoadedBundle:
    """A bundle at work: its engine, and its decision on the engine's maps.

    Args:
        bundle: The bundle.
        engine: One of that bundle; others may use it too, all in the engine thread.
        station: Settings of the station whose parts the bundle inspects.

    Attributes:
        bundle: The bundle.
        reference: How verdicts name it.
        engine: The engine.
        decider: With the threshold in force.
        own_threshold: The bundle's threshold.
        watch: Whether pictures and scores are as at its calibration.
    """

    def __init__(self, bundle: Bundle, engine: Engine, station: StationSettings) -> None:
        self.bundle, self.engine = bundle, engine
        self.reference = BundleReference(name=bundle.manifest.name, digest=bundle.digest)
        self.decider = Decider(bundle, engine.precision, station.mm_per_px, station.min_area_px)
        self.own_threshold = self.decider.threshold
        self.watch = CalibrationWatch(bundle, engine.precision, station.defect_share)

    def inspect(self, frame: Frame) -> tuple[AnomalyMap, Decision]:
        """Return the map of a frame, valid until the engine's next, and the decision on it.

        Raises:
            EngineError: The engine failed.
        """
        anomaly = self.engine.infer(frame)
        return anomaly, self.decider.decide(anomaly)

    def threshold_bounds(self, factor: float) -> tuple[float, float]:
        """Return the lowest and highest threshold that commands may set: the bundle's divided and times `factor`."""
        around = (self.own_threshold / factor, self.own_threshold * factor)
        return min(around), max(around)


class SharedEngines:
    """Engines that reproduce their golden frames: one for all stations with the same bundle and precision.

    It is closed when the last station has given it back, and at the latest with this object.

    Args:
        settings: Which engine to build.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._building, self._lock = threading.Lock(), threading.Lock()
        self._open: dict[tuple[str, Precision | None], Engine] = {}
        self._users: Counter[Engine] = Counter()
        self._closed = False

    def open(self, bundle: Bundle, precision: Precision | None) -> Engine:
        """Return the engine that is there, or a new one, built in this thread; one is built at a time.

        Whoever asks gives it back when no frame will be judged with it any more.

        Raises:
            EngineError: None that reproduces the golden frames can be built.
            BundleError: The bundle has no such precision.
        """
        with self._building:
            engine = self._take(bundle, precision)
            if engine is None:
                settings = self._settings
                engine = open_checked_engine(
                    bundle, precision, engine=settings.name, threads=settings.threads, cache=settings.cache
                )
                self._keep(bundle, precision, engine)
            return engine

    def give_back(self, engine: Engine) -> None:
        """Close an engine if no other station has it; one that was forgotten is left alone."""
        with self._lock:
            if engine not in self._users:
                return
            self._users[engine] -= 1
            if self._users[engine]:
                return
            self._remove(engine)
        engine.close()

    def forget(self, engine: Engine) -> None:
        """Stop sharing an engine that hangs with stations that do not use it yet. It is never closed: it is in use."""
        with self._lock:
            self._remove(engine)

    def close(self) -> None:
        """Close all engines; none is opened any more. Nobody may be judging."""
        with self._lock:
            self._closed = True
            engines = list(self._users)
            self._open.clear()
            self._users.clear()
        for engine in engines:
            engine.close()

    def _take(self, bundle: Bundle, precision: Precision | None) -> Engine | None:
        wanted = [precision]
        if precision is None:
            wanted.append(bundle.manifest.order_of(self._settings.name or best_engine())[0])
        with self._lock:
            engine = next((self._open[bundle.digest, p] for p in wanted if (bundle.digest, p) in self._open), None)
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
        raise EngineError("the service stops; no engine is opened any more")

    def _remove(self, engine: Engine) -> None:
        for key in [key for key, each in self._open.items() if each is engine]:
            del self._open[key]
        del self._users[engine]
