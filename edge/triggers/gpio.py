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
from edge_inspect.edge.triggers.thread import TriggerThread

_NUMBERS = {"debounce": 1000.0, "delay": 60000.0}
_WORDS = {"edge": ("rising", "falling", "both"), "bias": ("as_is", "pull_up", "pull_down", "disabled")}
REOPEN_AFTER_S = 1.0
_LOOK_S = 0.2


@dataclass(frozen=True)
class Line:
    """A GPIO line of the box.

    Attributes:
        chip: Device file of the GPIO chip.
        line: Number or name of the line on the chip.
        edge: Edge at which a part comes: `rising`, `falling` or `both`.
        bias: Bias of the input: `as_is`, `pull_up`, `pull_down` or `disabled`.
        debounce_s: Debounce period in seconds. Edges that follow another one sooner are ignored.
        delay_s: Seconds from the edge to the frame, in which the part moves from the light barrier to the camera.
    """

    chip: str
    line: int | str
    edge: str = "rising"
    bias: str = "as_is"
    debounce_s: float = 0.0
    delay_s: float = 0.0


def load_gpiod() -> Any:
    """Import and return the package gpiod.

    Raises:
        TriggerError: It is not installed, or is older than version 2.
    """
    try:
        import gpiod.line  # gpiod 1 does not have this module
    except ImportError as error:
        raise TriggerError(f"trigger gpio: {error}; pip install 'edge-inspect[gpio]'") from error
    return gpiod


class GpioTrigger(TriggerThread):
    """A trigger that fires at the edges of a GPIO line, through libgpiod 2.

    The kernel keeps the edges that come while this thread is busy. If the line is lost, or does not exist yet, the
    trigger tries to open it every second.

    Args:
        line: Line to watch.
        fire: Called in this thread, `line.delay_s` after each edge.
        say: Called with an error message when the line cannot be used.
        name: Name of the thread.

    Raises:
        TriggerError: gpiod is not installed, or is older than version 2.
    """

    def __init__(self, line: Line, fire: Callable[[], None], say: Callable[[str], None], name: str) -> None:
        self._gpiod = load_gpiod()
        self._line, self._say = line, say
        super().__init__(fire, name)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with self.request_line() as request:
                    while not self._closing.is_set():
                        if request.wait_edge_events(timedelta(seconds=_LOOK_S)):
                            self._pass_on(request.read_edge_events())
            except (OSError, ValueError) as error:  # ValueError: the chip has no line of that number or name
                self._say(f"trigger gpio:{self._line.chip}/{self._line.line}: {error}; gpioinfo lists the lines")
                self._closing.wait(REOPEN_AFTER_S)

    def request_line(self) -> Any:
        """Return gpiod's request for the line, a context manager."""
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
            # The kernel's time stamp, from the clock of time.monotonic.
            if self._closing.wait(max(0.0, event.timestamp_ns / 1e9 + self._line.delay_s - time.monotonic())):
                return
            self._fire()


def parse_line(text: str) -> Line | None:
    """Return the line that `gpio:CHIP/LINE?options` names; `None` if the text has another form.

    Raises:
        TriggerError: An option is unknown, or its value is not valid.
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
        raise TriggerError(f"trigger {shown!r}: {line.chip} is not a GPIO chip; gpiodetect lists the chips of this box")


def _look() -> list[Finding]:
    return [look_for_package("gpiod", "pip install 'edge-inspect[gpio]'; only for gpio: triggers")]


KIND = TriggerKind(
    "gpio:/dev/gpiochipN/LINE", "at an edge on a GPIO line of the box", parse_line, GpioTrigger, _check, look=_look
)
