"""Triggers: what asks for the frame of a part. Each kind is one file here.

camera                                         every frame that the camera gives is a part
command                                        the MQTT command `trigger`, with a part's id
every 500 ms                                   the clock
gpio:/dev/gpiochip0/17?edge=rising&delay=20    an edge on a line of the box, such as a light barrier's

A trigger that the camera itself waits for is an option of its URI, and `camera` here.

thread.py     what triggers have in common: a thread that calls when a part comes
interval.py   the clock
gpio.py       a line of the box
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote

from edge_inspect.edge.errors import TriggerError
from edge_inspect.edge.triggers.gpio import GpioTrigger, Line, load_gpiod
from edge_inspect.edge.triggers.interval import IntervalTrigger
from edge_inspect.edge.triggers.thread import Trigger

FORMS = "camera, command, every N ms, or gpio:/dev/gpiochipN/LINE"
_NUMBERS = {"debounce": 1000.0, "delay": 60000.0}
_WORDS = {"edge": ("rising", "falling", "both"), "bias": ("as_is", "pull_up", "pull_down", "disabled")}


def parse_trigger(text: str) -> float | Line | None:
    """Return what a configuration's trigger means: a period in seconds, a line, or `None` for camera and command.

    Raises:
        TriggerError: It has none of the forms, or an option is wrong.
    """
    if text in ("camera", "command"):
        return None
    if match := re.fullmatch(r"every (\d+(?:\.\d+)?) ms", text, re.ASCII):
        period = float(match[1])
        if not 1 <= period <= 86_400_000:
            raise TriggerError(f"trigger {text!r}: must be every 1 to 86400000 ms")
        return period / 1000
    if match := re.fullmatch(r"gpio:(/[^?]+)/([^/?]+)(?:\?(.*))?", text):
        return _parse_line(text, match[1], unquote(match[2]), match[3] or "")
    raise TriggerError(f"trigger {text!r}: must be {FORMS}")


def check_trigger(text: str) -> None:
    """Look for what a trigger needs, and open nothing that a running service may hold.

    Raises:
        TriggerError: The text is wrong, or what the trigger needs is not installed or not there.
    """
    parsed = parse_trigger(text)
    if isinstance(parsed, Line) and not load_gpiod().is_gpiochip_device(parsed.chip):
        raise TriggerError(f"trigger {text!r}: {parsed.chip} is no GPIO chip; gpiodetect lists those there are")


def start_trigger(
    text: str, fire: Callable[[], None], say: Callable[[str], None], *, name: str = "trigger"
) -> Trigger | None:
    """Start a trigger; return `None` where the camera or commands do without one.

    Args:
        text: As in the configuration.
        fire: Called for every part, in the trigger's thread.
        say: Called with what is wrong, while no part can be noticed.
        name: Of the thread.

    Raises:
        TriggerError: The text is wrong, or what the trigger needs is not installed.
    """
    parsed = parse_trigger(text)
    if parsed is None:
        return None
    return GpioTrigger(parsed, fire, say, name) if isinstance(parsed, Line) else IntervalTrigger(parsed, fire, name)


def _parse_line(text: str, chip: str, line: str, query: str) -> Line:
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
