"""The admission of commands: decides which commands a station carries out, and counts the refusals.

The broker's access list decides who may publish to the topic `command`. The station adds three checks that a broker
cannot do: only the commands in `commands.allow` are carried out (by default none); no command is carried out twice,
even after a restart or a change of the clock; no command is carried out too late, or after a restart of the service.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, get_args

from edge_inspect.edge.clock import is_possible, show_time
from edge_inspect.edge.contract.commands import AnyCommand, Refusal, Refused, Sender, Verb, parse_command, read_sender
from edge_inspect.edge.contract.health import CommandCounts, RefusalCounts
from edge_inspect.edge.contract.ids import is_uuid7, uuid7_time
from edge_inspect.edge.files import write_atomically

log = logging.getLogger(__name__)

KEPT = 10_000
"""Number of command ids that are remembered."""


class Receipt(NamedTuple):
    """The result of checking one payload: the command, or why it was refused."""

    sender: Sender
    command: AnyCommand | None = None
    refused: Refused | None = None


class CommandAdmission:
    """Admits or refuses commands. Used by one thread.

    Args:
        allowed: The commands that may be carried out.
        max_age_s: Largest difference between the time in a command's id and the clock, in seconds.
        clock: Returns the wall clock, in seconds since 1970.
        memory: Ids of the accepted commands; by default they are forgotten when the process ends.
        steady: Returns the seconds of a clock that cannot be set.
    """

    def __init__(
        self,
        allowed: Collection[Verb],
        max_age_s: float,
        clock: Callable[[], float] = time.time,
        memory: CommandMemory | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed, self._max_age_s, self._clock, self._steady = allowed, max_age_s, clock, steady
        self._memory = memory or CommandMemory(None)
        # Rounded down to milliseconds, like the time in an id.
        self._since = math.floor(clock() * 1000) / 1000
        self._taken: deque[float] = deque()
        self._done = 0
        self._refused: dict[Refusal, int] = dict.fromkeys(get_args(Refusal), 0)

    def receive(self, payload: bytes, *, retained: bool) -> Receipt:
        """Parse and check a payload of the topic `command`."""
        sender = read_sender(payload)
        try:
            if retained:
                raise Refused("replayed", "it is a retained message; publish commands without retain")
            command = parse_command(payload)
            self._admit(command)
        except Refused as refused:
            return Receipt(sender, refused=refused)
        return Receipt(sender, command=command)

    def count(self, refused: Refused | None) -> None:
        """Count a refused command, or for `None` one that was carried out."""
        if refused is None:
            self._done += 1
        else:
            self._refused[refused.refusal] += 1

    def counts(self) -> CommandCounts:
        """Return the counts since the start."""
        return CommandCounts(done=self._done, refused=RefusalCounts(**self._refused))

    def _admit(self, command: AnyCommand) -> None:
        if command.command not in self._allowed:
            raise Refused(
                "unauthorised",
                f"this station does not allow {command.command}; commands.allow in its configuration lists "
                f"{', '.join(sorted(self._allowed)) or 'none'}",
            )
        now, made = self._clock(), uuid7_time(command.id)
        if abs(now - made) > self._max_age_s:
            raise Refused("expired", _compare(now, made, self._max_age_s))
        identity = command.id.lower()
        if identity in self._memory:
            raise Refused("replayed", "its id was used before; give every command an id of its own")
        # The file may lack the last ids of an earlier process, so commands from before the start of this process are
        # refused. If the clock was set back to before the start, this check would refuse everything, so it is left out.
        if made < self._since <= now:
            raise Refused("expired", "it was made before the service started; send a new command with a new id")
        self._remember(identity)

    def _remember(self, identity: str) -> None:
        """Remember an id; refuse the command if there are so many that an id could be forgotten before it expires."""
        now = self._steady()
        while self._taken and self._taken[0] < now - 2 * self._max_age_s:
            self._taken.popleft()
        if len(self._taken) >= KEPT:
            raise Refused("busy", f"{KEPT} commands came within {2 * self._max_age_s:g} s; send fewer")
        self._taken.append(now)
        self._memory.add(identity)


class CommandMemory:
    """The newest ids of the commands that one station has accepted, kept over restarts. Used by one thread.

    Because of it, nobody can record a command and have it carried out again. The time in an id is not enough for that:
    after the clock was set back, an old command looks new.

    Args:
        path: The file, with one id per line; `None` forgets the ids when the process ends. If the file cannot be read
            or written, that is logged, and only the commands of this process are known.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._failing = False
        self._ids: dict[str, None] = {}
        self._lines = 0
        if path is not None:
            try:
                lines = path.read_text(errors="replace").splitlines()
            except FileNotFoundError:
                return
            except OSError as error:
                self._report(error)
                return
            self._ids = dict.fromkeys(line for line in lines if is_uuid7(line))
            self._lines = len(lines)
            self._forget()

    def __contains__(self, identity: str) -> bool:
        return identity in self._ids

    def add(self, identity: str) -> None:
        """Remember the id of a command."""
        self._ids[identity] = None
        self._forget()
        if self._path is None:
            return
        try:
            if self._lines > 2 * KEPT:
                write_atomically(self._path, "".join(f"{each}\n" for each in self._ids).encode(), mode=0o600)
                self._lines = len(self._ids)
            else:
                with self._path.open("a") as file:
                    # Begin on a new line, because a power cut may have left half a line.
                    file.write(f"\n{identity}")
                self._lines += 1
            self._failing = False
        except OSError as error:
            self._report(error)

    def _forget(self) -> None:
        while len(self._ids) > KEPT:
            del self._ids[next(iter(self._ids))]

    def _report(self, error: OSError) -> None:
        if not self._failing:
            log.warning(
                "%s: %s; after a restart, earlier commands are recognised only by their time", self._path, error
            )
        self._failing = True


def _compare(now: float, made: float, allowed: float) -> str:
    """Return which clock seems wrong; both times are in seconds since 1970, `now` is that of this box."""
    apart = f"{abs(now - made):.1f} s {'earlier' if made < now else 'later'}, {allowed:g} s are allowed"
    times = f"this box's clock says {show_time(now)}, the command's id was made at {show_time(made)}: {apart}"
    if not is_possible(now):
        return f"{times}. This box's clock is wrong; set it (timedatectl shows whether it is synchronised)"
    if not is_possible(made):
        return f"{times}. The sender's clock is wrong, or its id holds no time in milliseconds since 1970"
    if made > now:
        return f"{times}. One of the two clocks is wrong; set both by NTP"
    return f"{times}. Send a new command with a new id; if this one was new, a clock is wrong: set both by NTP"
