from __future__ import annotations

import sys
import threading
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from mosquitto import wait_until

from edge_inspect.edge.errors import TriggerError
from edge_inspect.edge.triggers import CAMERA, COMMAND, check_trigger, interval, parse_trigger, start_trigger
from edge_inspect.edge.triggers.gpio import GpioTrigger, Line, load_gpiod
from edge_inspect.edge.triggers.interval import IntervalTrigger


def test_every_form_is_read() -> None:
    assert parse_trigger("camera")[0] is CAMERA and parse_trigger("command")[0] is COMMAND
    assert parse_trigger("every 500 ms") == (interval.KIND, 0.5)
    assert parse_trigger("every 33.3 ms")[1] == pytest.approx(0.0333)
    assert parse_trigger("gpio:/dev/gpiochip0/17")[1] == Line("/dev/gpiochip0", 17)
    assert parse_trigger("gpio:/dev/gpiochip1/PQ.05?edge=both&bias=pull_up&debounce=5&delay=20.5")[1] == Line(
        "/dev/gpiochip1", "PQ.05", "both", "pull_up", 0.005, 0.0205
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be camera, command, every N ms, or gpio:"),
        ("every 5 s", "must be camera, command, every N ms"),
        ("every 0 ms", "must be every 1 to 86400000 ms"),
        ("gpio:17", "must be camera"),
        ("gpio:/dev/gpiochip0/17?edge=up", "edge must be one of rising, falling, both"),
        ("gpio:/dev/gpiochip0/17?delay=-1", "delay must be 0 to 60000, in ms"),
        ("gpio:/dev/gpiochip0/17?debounce=5000", "debounce must be 0 to 1000, in ms"),
        ("gpio:/dev/gpiochip0/17?pull=up", "unknown option pull; there are edge, bias, debounce, delay"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(TriggerError, match=message):
        parse_trigger(text)


def test_an_interval_keeps_its_period() -> None:
    moments: list[float] = []
    started = time.monotonic()
    trigger = start_trigger("every 20 ms", lambda: moments.append(time.monotonic()), pytest.fail)
    assert isinstance(trigger, IntervalTrigger)
    wait_until(lambda: len(moments) >= 6, 60)
    trigger.close()
    after = len(moments)
    time.sleep(0.06)
    assert len(moments) == after
    assert all(moment >= started + 0.02 * count for count, moment in enumerate(moments, 1)), "none is early"


def test_an_interval_that_waited_does_not_burst() -> None:
    moments: list[float] = []
    go = threading.Event()

    def fire() -> None:
        moments.append(time.monotonic())
        go.wait(30)

    trigger = start_trigger("every 20 ms", fire, pytest.fail)
    assert trigger is not None
    wait_until(lambda: moments, 60)
    time.sleep(0.2)
    went = time.monotonic()
    go.set()
    wait_until(lambda: len(moments) >= 4, 60)
    trigger.close()
    assert moments[3] >= went + 3 * 0.02


def test_a_chip_that_is_not_there_is_said_and_asked_for_again() -> None:
    pytest.importorskip("gpiod", reason="pip install gpiod")
    said: list[str] = []
    trigger = start_trigger("gpio:/dev/gpiochip99/17", pytest.fail, said.append)
    assert isinstance(trigger, GpioTrigger)
    wait_until(lambda: len(said) >= 2, 60)
    trigger.close()
    assert said[0].startswith("trigger gpio:/dev/gpiochip99/17: ") and "gpioinfo lists the lines" in said[0]


def test_a_check_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gpiod = pytest.importorskip("gpiod", reason="pip install gpiod")
    for name in ("Chip", "request_lines"):
        monkeypatch.setattr(gpiod, name, pytest.fail)
    for text in ("camera", "command", "every 500 ms"):
        check_trigger(text)
    with pytest.raises(TriggerError, match="gpiochip99 is not a GPIO chip; gpiodetect lists the chips of this box"):
        check_trigger("gpio:/dev/gpiochip99/17")
    monkeypatch.setattr(gpiod, "is_gpiochip_device", lambda path: path == "/dev/gpiochip0")
    check_trigger("gpio:/dev/gpiochip0/17")


@pytest.mark.parametrize("installed", [None, ModuleType("gpiod")], ids=["none", "libgpiod 1's, which is no package"])
def test_a_trigger_that_needs_gpiod_says_how_to_get_it(
    installed: ModuleType | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "gpiod.line", raising=False)
    monkeypatch.setitem(sys.modules, "gpiod", installed)
    with pytest.raises(TriggerError, match=r"trigger gpio: .*gpiod.*; pip install 'edge-inspect\[gpio\]'"):
        load_gpiod()
    with pytest.raises(TriggerError, match="pip install"):
        check_trigger("gpio:/dev/gpiochip0/17")
    with pytest.raises(TriggerError, match="pip install"):
        start_trigger("gpio:/dev/gpiochip0/17", pytest.fail, pytest.fail)


class Request:
    """A stand-in for the kernel's line, whose edges have time stamps of the same clock."""

    def __init__(self, moments: list[float]) -> None:
        self.moments = moments
        self.given_back = False

    def __enter__(self) -> Request:
        return self

    def __exit__(self, *exception: object) -> None:
        self.given_back = True

    def wait_edge_events(self, timeout: Any) -> bool:
        if not self.moments:
            time.sleep(0.01)
        return bool(self.moments)

    def read_edge_events(self) -> list[Any]:
        events = [SimpleNamespace(timestamp_ns=int(1e9 * moment)) for moment in self.moments]
        self.moments.clear()
        return events


def test_every_edge_fires_once_its_delay_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gpiod", reason="pip install gpiod")
    now = time.monotonic()
    request = Request([now - 1, now, now + 0.1])
    monkeypatch.setattr(GpioTrigger, "request_line", lambda self: request)
    fired: list[float] = []
    line = Line("/dev/gpiochip0", 17, delay_s=0.2)
    trigger = GpioTrigger(line, lambda: fired.append(time.monotonic()), pytest.fail, "trigger")
    wait_until(lambda: len(fired) == 3, 60)
    trigger.close()
    assert request.given_back
    assert fired[1] >= now + 0.2 and fired[2] >= now + 0.3


def test_the_line_is_asked_for_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    gpiod = pytest.importorskip("gpiod", reason="pip install gpiod")
    asked: list[Any] = []

    def request_lines(path: str, consumer: str, config: dict[Any, Any]) -> Any:
        asked.append((path, config))
        raise OSError("no such chip")

    monkeypatch.setattr(gpiod, "request_lines", request_lines)
    trigger = start_trigger("gpio:/dev/gpiochip0/17?edge=falling&bias=pull_up&debounce=5", pytest.fail, lambda _: None)
    wait_until(lambda: asked, 60)
    assert trigger is not None
    trigger.close()
    path, config = asked[0]
    settings = config[17]
    assert path == "/dev/gpiochip0"
    assert settings.edge_detection is gpiod.line.Edge.FALLING and settings.bias is gpiod.line.Bias.PULL_UP
    assert settings.debounce_period.total_seconds() == 0.005
    assert settings.event_clock is gpiod.line.Clock.MONOTONIC
