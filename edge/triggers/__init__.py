"""Triggers: they ask for the frame of a part. Each kind is one file, and this file is their registry.

camera                                         every frame of the camera is a part
command                                        the MQTT command `trigger`, which may carry the part's id
every 500 ms                                   a fixed period
gpio:/dev/gpiochip0/17?edge=rising&delay=20    an edge on a GPIO line of the box, such as a light barrier

If the camera waits for a trigger of its own, that trigger is an option of the camera's URI, and the one here is
`camera`.

To add a kind, write a file that declares a `TriggerKind` with its `TriggerThread`, and add its line to `TRIGGERS`.
The configuration, the station, `doctor` and help texts read this registry.

kind.py       the description of one kind of trigger
thread.py     the thread of a trigger, which calls a function for every part
interval.py   a fixed period
gpio.py       a GPIO line of the box
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_inspect.edge.errors import TriggerError
from edge_inspect.edge.triggers import gpio, interval
from edge_inspect.edge.triggers.kind import Fire, Say, TriggerKind
from edge_inspect.edge.triggers.thread import TriggerThread


def _word(word: str) -> Callable[[str], str | None]:
    return lambda text: word if text == word else None


CAMERA = TriggerKind("camera", "whenever the camera gives one; each frame is a part", _word("camera"))
COMMAND = TriggerKind("command", "at each MQTT command trigger, which commands.allow must name", _word("command"))

TRIGGERS: tuple[TriggerKind, ...] = (
    CAMERA,
    COMMAND,
    interval.KIND,
    gpio.KIND,
)
"""The first is the default."""

FORMS = f"{', '.join(kind.form for kind in TRIGGERS[:-1])}, or {TRIGGERS[-1].form}"


def parse_trigger(text: str) -> tuple[TriggerKind, Any]:
    """Return the kind of a configuration's trigger and its parsed settings, which that kind's functions expect.

    Raises:
        TriggerError: The text has none of the known forms, or an option is wrong.
    """
    for kind in TRIGGERS:
        parsed = kind.parse(text)
        if parsed is not None:
            return kind, parsed
    raise TriggerError(f"trigger {text!r}: must be {FORMS}")


def check_trigger(text: str) -> None:
    """Check that this box has all that a trigger needs, without opening a device that a running service may use.

    Raises:
        TriggerError: The text is wrong, or a package or device that the trigger needs is missing.
    """
    kind, parsed = parse_trigger(text)
    kind.check(parsed)


def start_trigger(text: str, fire: Fire, say: Say, *, name: str = "trigger") -> TriggerThread | None:
    """Start a trigger and return its thread; return `None` if parts come from the camera or by command.

    Args:
        text: The trigger, as in the configuration.
        fire: Called for every part, in the trigger's thread.
        say: Called with an error message while parts cannot be noticed.
        name: Name of the thread.

    Raises:
        TriggerError: The text is wrong, or a package that the trigger needs is not installed.
    """
    kind, parsed = parse_trigger(text)
    return kind.start(parsed, fire, say, name) if kind.start is not None else None
