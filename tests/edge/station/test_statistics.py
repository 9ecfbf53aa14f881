from __future__ import annotations

import threading

import pytest

from edge_inspect.edge.contract.health import FrameCounts
from edge_inspect.edge.station.statistics import RECENT, Statistics


def test_nothing_was_counted_yet() -> None:
    statistics = Statistics()
    assert statistics.frames(0) == FrameCounts(inspected=0, accepted=0, rejected=0, dropped=0)
    assert statistics.latency() is None
    assert statistics.fps() == 0.0


def test_parts_are_counted_by_verdict_and_failures_with_the_dropped() -> None:
    statistics = Statistics()
    for ok in (True, True, False):
        statistics.count(ok, 5.0)
    statistics.count_failed()
    assert statistics.inspected == 3
    assert statistics.frames(dropped=4) == FrameCounts(inspected=3, accepted=2, rejected=1, dropped=5)


def test_latencies_are_percentiles() -> None:
    statistics = Statistics()
    for latency in range(101):
        statistics.count(True, latency)
    latency = statistics.latency()
    assert latency is not None
    assert (latency.p50, latency.p95, latency.p99) == pytest.approx((50, 95, 99))


def test_old_latencies_are_forgotten() -> None:
    statistics = Statistics()
    for _ in range(RECENT):
        statistics.count(True, 1000.0)
    for _ in range(RECENT):
        statistics.count(True, 10.0)
    latency = statistics.latency()
    assert latency is not None and latency.p99 == 10.0
    assert statistics.inspected == 2 * RECENT


def test_the_rate_needs_two_parts() -> None:
    statistics = Statistics()
    statistics.count(True, 1.0)
    assert statistics.fps() == 0.0
    statistics.count(True, 1.0)
    assert statistics.fps() > 0.0


def test_threads_lose_no_count() -> None:
    statistics = Statistics()

    def work() -> None:
        for number in range(500):
            statistics.count(number % 2 == 0, 1.0)
            statistics.count_failed()
            statistics.latency()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statistics.frames(0) == FrameCounts(inspected=2000, accepted=1000, rejected=1000, dropped=2000)
