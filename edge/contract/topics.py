"""The topics of a station, and the check of a topic level."""

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
        ValueError: A name is empty, longer than 64 characters, or contains a character that a topic level cannot have.
    """

    site: str
    line: str
    station: str

    def __post_init__(self) -> None:
        for field in fields(self):
            check_level(field.name, getattr(self, field.name))

    @property
    def prefix(self) -> str:
        """Common beginning of the station's topics, without a slash at its end."""
        return f"{TOPIC_ROOT}/{self.site}/{self.line}/{self.station}"

    @property
    def verdict(self) -> str:
        """Topic of the verdict on every part; QoS 1."""
        return f"{self.prefix}/verdict"

    @property
    def defect(self) -> str:
        """Topic of the defects of rejected parts; QoS 1."""
        return f"{self.prefix}/defect"

    @property
    def status(self) -> str:
        """Topic of the status and of the last will; QoS 1, retained."""
        return f"{self.prefix}/status"

    @property
    def health(self) -> str:
        """Topic of health; QoS 0, retained."""
        return f"{self.prefix}/health"

    @property
    def command(self) -> str:
        """Topic of the commands to the station; QoS 1."""
        return f"{self.prefix}/command"

    @property
    def reply(self) -> str:
        """Topic of the station's replies to commands; QoS 1."""
        return f"{self.prefix}/reply"

    @property
    def label(self) -> str:
        """Topic of what people say about the station's parts; the page publishes it, QoS 1."""
        return f"{self.prefix}/label"

    @property
    def followed(self) -> list[str]:
        """Topics to which a program subscribes that follows the station part by part and asks for missing parts."""
        return [self.verdict, self.defect, self.status, self.health, self.reply]

    def image(self, identity: str) -> str:
        """Return the topic of the picture of a part, or of a snapshot; QoS 0.

        Args:
            identity: Id of the verdict, or of the command `snapshot`.
        """
        check_level("identity", identity)
        return f"{self.prefix}/image/{identity}"

    def map(self, verdict_id: str) -> str:
        """Return the topic of the anomaly map that belongs to the picture of a part; QoS 0."""
        check_level("verdict_id", verdict_id)
        return f"{self.prefix}/map/{verdict_id}"


def check_level(name: str, level: str) -> None:
    """Check a name that is used as a topic level.

    Raises:
        ValueError: The name is empty, longer than 64 characters, or contains a character that a topic level cannot
            have.
    """
    if not level or len(level) > 64:
        raise ValueError(f"{name}: {level[:80]!r} has {len(level)} characters; a topic level here has 1 to 64")
    if not level.isprintable() or any(character in "/+#" for character in level):
        raise ValueError(f"{name}: {level!r} contains '/', '+', '#' or a character that cannot be printed; remove it")
