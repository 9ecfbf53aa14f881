"""The watch of one station after its change: whether it rejects more than usual, warns, or is gone."""

from __future__ import annotations

from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import BundleReference, Status, Verdict
from edge_inspect.edge.fleet.rollout_record import StationEntry
from edge_inspect.edge.fleet.row_table import share
from edge_inspect.edge.fleet.station_row import alarms_of
from edge_inspect.edge.health.control_limits import control_limits
from edge_inspect.edge.health.rejects import LEAST, MOST

RISK = 0.01
"""Largest probability that a roll-out of a bundle that rejects as usual is stopped because of its rejects."""
FIRST_LOOK = 8
"""Number of parts after which the rejects are looked at first; then at twice as many, and so on."""
ENOUGH = 10
"""Least number of parts by which a station can be judged: as many as the station itself has a new bundle on trial."""
_CLOCKS_S = 2.0
"""Allowance for a clock that is set slowly, in seconds."""
_UNRELATED = {"disk"}
"""Warnings that no bundle can cause."""


def looks(parts: int) -> list[int]:
    """Return the numbers of parts after which the rejects are looked at: 8, 16, 32, ... and the last one."""
    found, each = [], FIRST_LOOK
    while each < parts:
        found.append(each)
        each *= 2
    return [*found, parts]


def usual_share(health: Health | None) -> float:
    """Return the share of rejects that is usual at a station, 0 to 1, before its change.

    That is what its bundle allows for, or the share among its last 200 parts if that is higher: many defects in the
    material are no mistake of the new bundle.
    """
    if health is None or health.rejects is None:
        return 0.05
    seen = health.rejects.share if health.frames.inspected >= 2 * ENOUGH else 0.0
    return min(max(health.rejects.usual, seen, LEAST), MOST)


class StationWatch:
    """Counts the parts of a station since its change, and finds what is wrong.

    The number of rejects X among n parts is tested by the exact binomial distribution with the usual share p: the
    station rejects too many if X lies above the upper control limit, which it exceeds with probability `RISK` divided
    by the number of stations and the number of looks (Bonferroni). So the risk of a false stop holds for the roll-out.

    Args:
        digest: Digest of the new bundle.
        entry: State of the station at its change.
        parts: Number of parts to watch.
        stations: Number of stations in the roll-out.
    """

    def __init__(self, digest: str, entry: StationEntry, parts: int, stations: int) -> None:
        self._digest, self._entry, self._wanted = digest, entry, parts
        self._looks = looks(parts)
        self._outside = 2 * RISK / (stations * len(self._looks))
        self._newest = entry.sequence
        self._found: BundleReference | None = None
        self._too_many: str | None = None
        self._degraded: Status | None = None
        self.parts = self.rejected = 0

    @property
    def share(self) -> float | None:
        """Share of rejected parts since the change, 0 to 1; `None` before the first part."""
        return self.rejected / self.parts if self.parts else None

    @property
    def is_complete(self) -> bool:
        """Whether as many parts as wanted were watched."""
        return self.parts >= self._wanted

    def take(self, verdict: Verdict) -> None:
        """Count a part; parts that come twice, or were inspected before the change, are not counted."""
        if verdict.sequence <= self._newest:
            return
        self._newest = verdict.sequence
        if verdict.bundle.digest != self._digest:
            # Before the first part of the new bundle, it may be a part that was under way at the change.
            self._found = verdict.bundle if self.parts else None
            return
        self.parts += 1
        self.rejected += verdict.is_rejected
        if self.parts in self._looks:
            self.look()

    def note(self, status: Status) -> None:
        """Remember that the station was degraded: it may be online again a moment later."""
        if status.state == "degraded" and self._is_later(status):
            self._degraded = status

    def look(self) -> None:
        """Test the rejects."""
        limits = control_limits(self._entry.usual, self.parts, self._outside)
        if limits is not None and self.rejected / self.parts > limits.high:
            self._too_many = (
                f"it rejects {share(self.rejected / self.parts)} of {self.parts} parts; {share(self._entry.usual)} is "
                f"usual, and {share(limits.high)} is the control limit"
            )

    def is_in_force(self, health: Health | None) -> bool:
        """Return whether the station still uses the new bundle, as far as is known."""
        if self._found is not None:
            return False
        return health is None or not self._is_later(health) or health.bundle.digest == self._digest

    def is_replaced(self, health: Health | None) -> bool:
        """Return whether neither the new bundle nor the former one is in force: somebody else has loaded another."""
        found, before = self._found or (health.bundle if health is not None else None), self._entry.before
        return not self.is_in_force(health) and (found is None or before is None or found.digest != before.digest)

    def problem(self, status: Status | None, health: Health | None) -> str | None:
        """Return what is wrong; `None` if nothing is.

        Args:
            status: Last status of the station.
            health: Last health of the station.
        """
        if status is not None:
            self.note(status)
        reason = self._degraded.reason if self._degraded is not None else None
        if not self.is_in_force(health):
            return self._not_in_force(health, reason)
        if self._too_many:
            return self._too_many
        if health is not None and self._is_later(health):
            if self._was_restarted(health):
                return "its service was started again"
            if new := [alarm for alarm in alarms_of(status, health) if self._is_new(alarm)]:
                return f"it warns: {', '.join(new)}" + (f"; {health.remedy}" if health.remedy else "")
        if self._degraded is not None and not self._entry.degraded:
            return f"it is degraded: {reason or 'it does not say why'}"
        return None

    def _is_later(self, message: Status | Health) -> bool:
        """Return whether the station has sent a message after its change."""
        return self._entry.changed_at is not None and message.at > self._entry.changed_at

    def _was_restarted(self, health: Health) -> bool:
        assert self._entry.changed_at is not None
        return health.uptime_s + _CLOCKS_S < (health.at - self._entry.changed_at).total_seconds()

    def _is_new(self, alarm: str) -> bool:
        return alarm not in self._entry.alarms and alarm not in _UNRELATED

    def _not_in_force(self, health: Health | None, reason: str | None) -> str:
        found, before = self._found or (health.bundle if health is not None else None), self._entry.before
        if self.is_replaced(health) or before is None:
            return f"it uses {found.name if found else 'another bundle'} now, which somebody else has loaded"
        return f"it has gone back to {before.name} by itself" + (f": {reason}" if reason else "")
