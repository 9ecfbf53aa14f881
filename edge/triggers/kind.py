"""What a kind of trigger says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_inspect.edge.finding import Finding
from edge_inspect.edge.triggers.thread import Trigger

Fire = Callable[[], None]
Say = Callable[[str], None]


def _needs_nothing(parsed: Any) -> None:
    """Do nothing: every box has what it needs."""


@dataclass(frozen=True)
class TriggerKind:
    """A kind of trigger.

    Attributes:
        form: How a configuration names one, for people.
        about: When a frame is taken, for people.
        parse: Returns what a configuration's text means, `None` where it is not of this form; raises `TriggerError`
            where an option is wrong. What it returns is given to `check` and `start`.
        start: Starts one, with what to call for every part, what to call while no part can be noticed, and the name of
            its thread. `None` where the camera or a command does without a thread.
        check: Looks for what it needs, and opens nothing that a running service may hold; raises `TriggerError`.
        can_wait: It can wait for room where no part may be dropped; a part on a line goes by.
        look: Returns what `doctor` says of packages that this kind alone needs.
    """

    form: str
    about: str
    parse: Callable[[str], Any]
    start: Callable[[Any, Fire, Say, str], Trigger] | None = None
    check: Callable[[Any], None] = _needs_nothing
    can_wait: bool = False
    look: Callable[[], list[Finding]] = list
