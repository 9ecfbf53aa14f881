"""From shadow to live on the rendered line, whose lamp drifts by 4 % either way and of whose parts 2 in 100 are bad.

    edge-inspect demo --out out/demo
    python tests/benchmarks/line.py out/demo/flange-v1 [--work DIR]        about 15 minutes on one core

Every part is rendered and judged by the real engine; shadow, `calibrate threshold` and the watch are a station's own
objects. Writes `results/line_thresholds.csv` (what the next bundle's threshold is worth) and `results/line_watch.csv`
(after how many parts there is an alarm, and which).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rendered_parts import Parts, Seen, chance_defects, drifting, see
from table import RESULTS, Row, processor, write

from edge_inspect.calibrate.line.next_bundle import make_next
from edge_inspect.calibrate.line.parts import read_scores
from edge_inspect.calibrate.thresholds.threshold import exceeded_at
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.configuration.station_settings import ShadowSettings, StationSettings
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import FrameSize, Verdict
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.health.calibration_watch import CalibrationWatch
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.shadow import Shadow

SHARE = 0.02
SHADOWS = {1: 0, 2: 700, 3: 1400}
"""Streams in shadow, and how many parts after the lamp's own start each begins."""
LENGTHS = (300, 1000, 2000)
REFERENCE = 5000
DIM = 0.85
STARTS = range(5000, 7300, 230)
"""Places in the lamp's drift at which it loses 15 %."""
WITHIN = 200


class Bench:
    """The rendered line before a bundle.

    Args:
        bundle: The bundle.
        work: Where figures of parts are kept, and next bundles made.
    """

    def __init__(self, bundle: Bundle, work: Path) -> None:
        self.bundle, self._kept = bundle, work / bundle.digest[:16]
        self._station = StationSettings(name="line", camera="folder:/x", bundle=bundle.path)
        self.loaded = LoadedBundle(bundle, open_checked_engine(bundle, threads=1), self._station)

    def see(
        self,
        name: str,
        stream: int,
        numbers: Sequence[int],
        lamp: NDArray[np.float64] | None = None,
        defects: Sequence[str | None] | None = None,
    ) -> list[Seen]:
        """Return what is seen of parts; `lamp` and `defects` as of `Parts`, default a steady lamp and good parts."""
        where = np.array(numbers)
        lamp = np.ones(where.size) if lamp is None else lamp
        parts = Parts(stream, where, lamp, [None] * where.size if defects is None else defects)
        return see(parts, self.loaded, self._kept / f"{name}.npy")

    def in_shadow(self, stream: int) -> list[Seen]:
        """Return the parts that pass while the station is in shadow."""
        numbers = np.arange(max(LENGTHS))
        defects = chance_defects(np.random.default_rng(stream), numbers.size, SHARE)
        lamp = drifting(numbers, SHADOWS[stream])
        return self.see(f"shadow-{stream}", stream, numbers.tolist(), lamp=lamp, defects=defects)

    def good(self) -> list[Seen]:
        """Return 10,000 good parts under the lamp that drifts."""
        numbers = np.arange(10_000)
        return self.see("drifting", 11, numbers.tolist(), lamp=drifting(numbers))

    def still(self) -> list[Seen]:
        """Return 10,000 good parts under a steady lamp."""
        return self.see("still", 12, range(10_000))

    def further(self) -> list[Seen]:
        """Return the last 5,000 parts of `good`, 2 in 100 of them with a defect."""
        parts = self.good()[REFERENCE:]
        defects = chance_defects(np.random.default_rng(5), len(parts), SHARE)
        places = np.array([i for i, defect in enumerate(defects) if defect is not None])
        numbers = REFERENCE + places
        kinds = [defects[i] for i in places]
        bad = self.see("bad", 11, numbers.tolist(), lamp=drifting(numbers), defects=kinds)
        for place, part in zip(places.tolist(), bad, strict=True):
            parts[place] = part
        return parts

    def dim(self, start: int) -> list[Seen]:
        """Return good parts after the lamp has lost 15 % of its light; it drifts on."""
        numbers = np.arange(start, start + WITHIN)
        return self.see(f"dim-{start}", 11, numbers.tolist(), lamp=DIM * drifting(numbers))

    def next_bundle(self, parts: Sequence[Seen], folder: Path) -> Bundle:
        """Have a station's shadow collect the parts, and make the next bundle of its file."""
        file = folder / "shadow.jsonl"
        shadow = Shadow(file, "line", ShadowSettings(parts=len(parts)), lambda _: None)
        shadow.follow(self.loaded)
        for sequence, part in enumerate(parts, 1):
            shadow.take(self._verdict(sequence, part.score), part.picture)
        assert not shadow.is_on, "it ends by itself"
        made = make_next(self.bundle, read_scores(file, self.bundle), folder / "next", bad_share=SHARE, rate=None)
        return made.bundle

    def _verdict(self, sequence: int, score: float) -> Verdict:
        loaded = self.loaded
        return Verdict(
            boot_id="b", id=uuid7(), sequence=sequence, captured_at=utc_now(), decided_at=utc_now(), ok=True,
            shadow=True, score=score, threshold=loaded.own_threshold, bundle=loaded.reference,
            precision=loaded.engine.precision, engine=loaded.engine.name, latency_ms=1,
            frame=FrameSize(width=640, height=480),
        )  # fmt: skip

    def threshold_row(self, stream: int, parts: Sequence[Seen], made: Bundle) -> Row:
        """Return what the threshold of a next bundle is worth."""
        decision = made.manifest.decision
        threshold = decision.thresholds[self.loaded.engine.precision].image
        good = [part.score for part in self.good()[:REFERENCE]]
        wanted = exceeded_at(good, [decision.false_reject_rate])[0]
        further = self.further()
        rejected = [part.bad for part in further if part.score > threshold]
        bad = sum(part.bad for part in further)
        return {
            "shadow": stream,
            "parts": len(parts),
            "bad": sum(part.bad for part in parts),
            "left_out": len(parts) - decision.held_out_images,
            "asked": decision.false_reject_rate,
            "threshold": round(threshold, 4),
            "of_5000_good": round(wanted, 4),
            "ratio": round(threshold / wanted, 3),
            "stated_at_most": round(decision.thresholds[self.loaded.engine.precision].rate_high or 1.0, 4),
            "good_parts": len(further) - bad,
            "false_rejects": len(rejected) - sum(rejected),
            "bad_parts": bad,
            "found": sum(rejected),
            "precision": self.loaded.engine.precision,
            "processor": processor(),
        }

    def watch_rows(self, name: str, bundle: Bundle) -> Iterator[Row]:
        """Yield what the watch of a bundle says of good parts, and of a lamp that loses light."""
        about: Row = {"bundle": name}
        for line, parts in (("drifting", self.good()), ("still", self.still())):
            yield about | {"line": line, "start": 0} | self._first_alarm(self._vitals(bundle), bundle, parts)
        for start in STARTS:
            watch = self._vitals(bundle)
            before = self._first_alarm(watch, bundle, self.good()[start - 1000 : start])
            after = self._first_alarm(watch, bundle, self.dim(start))
            yield about | {"line": "lamp -15 %", "start": start} | after | {"before": before["alarms"]}

    def _vitals(self, bundle: Bundle) -> CalibrationWatch:
        return CalibrationWatch(bundle, self.loaded.engine.precision, SHARE)

    def _first_alarm(self, watch: CalibrationWatch, bundle: Bundle, parts: Sequence[Seen]) -> Row:
        """Return after how many parts there was the first alarm, how many began, and what the first one said."""
        threshold = bundle.manifest.decision.thresholds[self.loaded.engine.precision].image
        row: Row = {"parts": len(parts), "alarms": 0, "first_after": "", "warnings": "", "cause": "", "before": ""}
        said = set(watch.changes())
        alarms = 0
        for i, part in enumerate(parts, 1):
            watch.see(part.picture, live=False)
            watch.add(Decision(part.score <= threshold, part.score, threshold, ()))
            now = watch.changes()
            if set(now) - said:
                alarms += 1
                if alarms == 1:
                    row |= {"first_after": i, "warnings": " ".join(now), "cause": watch.cause()}
            said = set(now)
        return row | {"alarms": alarms}


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="of the rendered line, as the demo makes it")
    parser.add_argument("--work", type=Path, help="keeps the figures of the parts, so that a second run takes seconds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Bench(open_bundle(arguments.bundle), arguments.work or Path(folder)), Path(folder))


def measure(bench: Bench, folder: Path) -> None:
    """Write both tables, and print them."""
    thresholds: list[Row] = []
    watched = list(bench.watch_rows("first", bench.bundle))
    for stream in SHADOWS:
        for count in LENGTHS:
            place = folder / f"{stream}-{count}"
            place.mkdir()
            parts = bench.in_shadow(stream)[:count]
            made = bench.next_bundle(parts, place)
            thresholds.append(bench.threshold_row(stream, parts, made))
            print(thresholds[-1], flush=True)
            watched.extend(bench.watch_rows(f"next of {count}, shadow {stream}", made))
    write(RESULTS / "line_thresholds.csv", thresholds)
    write(RESULTS / "line_watch.csv", watched)
    for row in watched:
        print(*row.values(), sep=" | ")


if __name__ == "__main__":
    main()
