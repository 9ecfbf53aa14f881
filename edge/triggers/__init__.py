"""Triggers: what asks for the frame of a part. Each kind is one file here, and this registry of them.

camera                                         every frame that the camera gives is a part
command                                        the MQTT command `trigger`, with a part's id
every 500 ms                                   the clock
gpio:/dev/gpiochip0/17?edge=rising&delay=20    an edge on a line of the box, such as a light barrier's

A trigger that the camera itself waits for is an option of its URI, and `camera` here.

To add one: a file that declares a `TriggerKind` with its `Trigger`, and its line in `TRIGGERS`. Configuration, station,
`doctor` and help texts read the registry.

kind.py       what a kind of trigger says of itself
thread.py     what triggers have in common: a thread that calls when a part comes
interval.py   the clock
gpio.py       a line of the box
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_inspect.edge.errors import TriggerError
from edge_inspect.edge.triggers import gpio, interval
from edge_inspect.edge.triggers.kind import Fire, Say, TriggerKind
from edge_inspect.edge.triggers.thread import Trigger


def _word(word: str) -> Callable[[str], str | None]:
    return lambda text: word if text == word else None


CAMERA = TriggerKind("camera", "whenever the camera gives one, and each is a part", _word("camera"))
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
    """Return of which kind a configuration's trigger is, and what that kind makes of the text.

    Raises:
        TriggerError: It has none of the forms, or an option is wrong.
    """
    for kind in TRIGGERS:
        parsed = kind.parse(text)
        if parsed is not None:
            return kind, parsed
    raise TriggerError(f"trigger {text!r}: must be {FORMS}")


def check_trigger(text: str) -> None:
    """Look for what a trigger needs, and open nothing that a running service may hold.

    Raises:
        TriggerError: The text is wrong, or what the trigger needs is not installed or not there.
    """
    kind, parsed = parse_trigger(text)
    kind.check(parsed)


def start_trigger(text: str, fire: Fire, say: Say, *, name: str = "trigger") -> Trigger | None:
    """Start a trigger; return `None` where the camera or commands do without one.

    Args:
        text: As in the configuration.
        fire: Called for every part, in the trigger's thread.
        say: Called with what is wrong, while no part can be noticed.
        name: Of the thread.

    Raises:
        TriggerError: The text is wrong, or what the trigger needs is not installed.
    """
    kind, parsed = parse_trigger(text)
    return kind.start(parsed, fire, say, name) if kind.start is not None else None
