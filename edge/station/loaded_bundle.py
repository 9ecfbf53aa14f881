from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.configuration.settings import EngineSettings, StationSettings
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.decision import Decider, Decision
from edge_inspect.edge.engines import AnomalyMap, Engine, best_engine, open_checked_engine
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

    Args:
        settings: Which engine to build.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        # An engine is let go when no station uses it any more.
        self._open: WeakValueDictionary[tuple[str, Precision | None], Engine] = WeakValueDictionary()

    def open(self, bundle: Bundle, precision: Precision | None) -> Engine:
        """Return the engine that is there, or a new one, built in this thread; one is built at a time.

        Raises:
            EngineError: None that reproduces the golden frames can be built.
            BundleError: The bundle has no such precision.
        """
        with self._lock:
            engine = self._open.get((bundle.digest, precision))
            if engine is None and precision is None:
                first = bundle.manifest.order_of(self._settings.name or best_engine())[0]
                engine = self._open.get((bundle.digest, first))
            if engine is None:
                settings = self._settings
                engine = open_checked_engine(
                    bundle, precision, engine=settings.name, threads=settings.threads, cache=settings.cache
                )
                self._open[bundle.digest, precision] = self._open[bundle.digest, engine.precision] = engine
            return engine

    def forget(self, engine: Engine) -> None:
        """Stop sharing an engine that hangs with stations that do not use it yet."""
        with self._lock:
            for key in [key for key, each in self._open.items() if each is engine]:
                del self._open[key]
