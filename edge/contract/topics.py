"""The topics of a station, and what a level of one can hold."""

from __future__ import annotations

from dataclasses import dataclass, fields

from edge_inspect.edge.contract.fields import (
    CONTRACT_VERSION,
)

TOPIC_ROOT = f"edge-inspect/v{CONTRACT_VERSION}"


@dataclass(frozen=True)
class Topics:
    """The topics of one station.

    Raises:
        ValueError: a name is empty, longer than 64 characters, or holds what a topic level cannot hold.
    """

    site: str
    line: str
    station: str

    def __post_init__(self) -> None:
        for field in fields(self):
            check_level(field.name, getattr(self, field.name))

    @property
    def prefix(self) -> str:
        """The topic above all of the station's topics, without a slash at its end."""
        return f"{TOPIC_ROOT}/{self.site}/{self.line}/{self.station}"

    @property
    def verdict(self) -> str:
        """Every inspected part; QoS 1."""
        return f"{self.prefix}/verdict"

    @property
    def defect(self) -> str:
        """Rejected parts only; QoS 1."""
        return f"{self.prefix}/defect"

    @property
    def status(self) -> str:
        """Status; QoS 1, retained, and the last will."""
        return f"{self.prefix}/status"

    @property
    def health(self) -> str:
        """Health; QoS 0, retained."""
        return f"{self.prefix}/health"

    @property
    def command(self) -> str:
        """Commands to the station; QoS 1."""
        return f"{self.prefix}/command"

    @property
    def reply(self) -> str:
        """The station's answers to commands; QoS 1."""
        return f"{self.prefix}/reply"

    def image(self, verdict_id: str) -> str:
        """Return the topic of the picture that belongs to a verdict; QoS 0."""
        check_level("verdict_id", verdict_id)
        return f"{self.prefix}/image/{verdict_id}"


def check_level(name: str, level: str) -> None:
    """Check a name that is to be a topic level.

    Raises:
        ValueError: it is empty, longer than 64 characters, or holds what a topic level cannot hold.
    """
    if not level or len(level) > 64:
        raise ValueError(f"{name}: {level[:80]!r} has {len(level)} characters; a topic level here has 1 to 64")
    if not level.isprintable() or any(character in "/+#" for character in level):
        raise ValueError(f"{name}: {level!r} holds '/', '+', '#' or a character that cannot be printed; leave it out")
