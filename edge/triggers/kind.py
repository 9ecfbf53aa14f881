"""The description of a kind of trigger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_inspect.edge.finding import Finding
from edge_inspect.edge.triggers.thread import TriggerThread

Fire = Callable[[], None]
"""Function that a trigger calls for every part."""
Say = Callable[[str], None]
"""Function that a trigger calls with an error message while parts cannot be noticed."""


def _needs_nothing(parsed: Any) -> None:
    """Do nothing, because the trigger needs no package or device."""


@dataclass(frozen=True)
class TriggerKind:
    """A kind of trigger.

    Attributes:
        form: Form of its text in the configuration, for help texts.
        about: When a frame is taken, for help texts.
        parse: Function that returns the settings in a configuration's text, which `check` and `start` get. It returns
            `None` if the text has another form, and raises `TriggerError` if an option is wrong.
        start: Function that starts the trigger and returns its thread. It gets the settings, the two functions to call
            (`Fire`, `Say`) and the thread's name. `None` if parts come from the camera or by command.
        check: Function that raises `TriggerError` if a package or device is missing. It opens no device that a running
            service may use.
        can_wait: Whether the trigger can wait while frames queue up and no part may be dropped. A light barrier cannot,
            because the part passes on.
        look: Function that returns what `doctor` reports about packages that only this kind needs.
    """

    form: str
    about: str
    parse: Callable[[str], Any]
    start: Callable[[Any, Fire, Say, str], TriggerThread] | None = None
    check: Callable[[Any], None] = _needs_nothing
    can_wait: bool = False
    look: Callable[[], list[Finding]] = list
