from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote

from edge_inspect.edge.errors import TriggerError
from edge_inspect.edge.finding import Finding, look_for_package
from edge_inspect.edge.triggers.kind import TriggerKind
from edge_inspect.edge.triggers.thread import Trigger

_NUMBERS = {"debounce": 1000.0, "delay": 60000.0}
_WORDS = {"edge": ("rising", "falling", "both"), "bias": ("as_is", "pull_up", "pull_down", "disabled")}
REOPEN_AFTER_S = 1.0
_LOOK_S = 0.2


@dataclass(frozen=True)
class Line:
    """A line of the box's GPIO.

    Attributes:
        chip: The chip's file.
        line: Number or name on it.
        edge: `rising`, `falling` or `both`.
        bias: `as_is`, `pull_up`, `pull_down` or `disabled`.
        debounce_s: Edges that come sooner after another one are no part.
        delay_s: From the edge to the frame: the part's way from the light barrier to the camera.
    """

    chip: str
    line: int | str
    edge: str = "rising"
    bias: str = "as_is"
    debounce_s: float = 0.0
    delay_s: float = 0.0


def load_gpiod() -> Any:
    """Load the package gpiod.

    Raises:
        TriggerError: It is not installed, or older than 2.
    """
    try:
        import gpiod.line  # which gpiod 1 has not
    except ImportError as error:
        raise TriggerError(f"trigger gpio: {error}; pip install 'edge-inspect[gpio]'") from error
    return gpiod


class GpioTrigger(Trigger):
    """Fires at the edges of a line, by libgpiod 2: the kernel keeps edges that come while this thread is busy.

    A line that is lost, or is not there yet, is asked for again every second.

    Args:
        line: What to watch.
        fire: Called in this trigger's thread, `line.delay_s` after each edge.
        say: Called with what is wrong.
        name: Of the thread.

    Raises:
        TriggerError: As `load_gpiod`.
    """

    def __init__(self, line: Line, fire: Callable[[], None], say: Callable[[str], None], name: str) -> None:
        self._gpiod = load_gpiod()
        self._line, self._say = line, say
        super().__init__(fire, name)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with self._request() as request:
                    while not self._closing.is_set():
                        if request.wait_edge_events(timedelta(seconds=_LOOK_S)):
                            self._pass_on(request.read_edge_events())
            except (OSError, ValueError) as error:  # ValueError: no line of that number or name
                self._say(f"trigger gpio:{self._line.chip}/{self._line.line}: {error}; gpioinfo lists the lines")
                self._closing.wait(REOPEN_AFTER_S)

    def _request(self) -> Any:
        words = self._gpiod.line
        settings = self._gpiod.LineSettings(
            direction=words.Direction.INPUT,
            edge_detection=words.Edge[self._line.edge.upper()],
            bias=words.Bias[self._line.bias.upper()],
            debounce_period=timedelta(seconds=self._line.debounce_s),
            event_clock=words.Clock.MONOTONIC,
        )
        return self._gpiod.request_lines(self._line.chip, consumer="edge-inspect", config={self._line.line: settings})

    def _pass_on(self, events: list[Any]) -> None:
        for event in events:
            # The stamp is the kernel's, by the clock that time.monotonic reads.
            if self._closing.wait(max(0.0, event.timestamp_ns / 1e9 + self._line.delay_s - time.monotonic())):
                return
            self._fire()


def parse_line(text: str) -> Line | None:
    """Return the line that `gpio:CHIP/LINE?options` names; `None` where the text is of another form.

    Raises:
        TriggerError: An option is unknown, or its value is not what it takes.
    """
    match = re.fullmatch(r"gpio:(/[^?]+)/([^/?]+)(?:\?(.*))?", text)
    if match is None:
        return None
    chip, line, query = match[1], unquote(match[2]), match[3] or ""
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - _NUMBERS.keys() - _WORDS.keys()):
        raise TriggerError(
            f"trigger {text!r}: unknown option {', '.join(unknown)}; there are {', '.join([*_WORDS, *_NUMBERS])}"
        )
    for option, words in _WORDS.items():
        if options.get(option, words[0]) not in words:
            raise TriggerError(f"trigger {text!r}: {option} must be one of {', '.join(words)}")
    milliseconds = {}
    for option, most in _NUMBERS.items():
        value = options.get(option, "0")
        if not re.fullmatch(r"\d{1,5}(\.\d+)?", value, re.ASCII) or float(value) > most:
            raise TriggerError(f"trigger {text!r}: {option} must be 0 to {most:g}, in ms")
        milliseconds[option] = float(value)
    return Line(
        chip,
        int(line) if line.isascii() and line.isdigit() else line,
        options.get("edge", "rising"),
        options.get("bias", "as_is"),
        milliseconds["debounce"] / 1000,
        milliseconds["delay"] / 1000,
    )


def _check(line: Line) -> None:
    if not load_gpiod().is_gpiochip_device(line.chip):
        shown = f"gpio:{line.chip}/{line.line}"
        raise TriggerError(f"trigger {shown!r}: {line.chip} is no GPIO chip; gpiodetect lists those there are")


def _look() -> list[Finding]:
    return [look_for_package("gpiod", "pip install 'edge-inspect[gpio]'; only for gpio: triggers")]


KIND = TriggerKind(
    "gpio:/dev/gpiochipN/LINE", "at an edge of a line of the box", parse_line, GpioTrigger, _check, look=_look
)
