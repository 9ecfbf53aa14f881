"""The configuration of the joiner: the views, how they are matched, the rule, and the joint station."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, of_subscriber
from edge_inspect.edge.configuration.outbox_settings import OutboxSettings
from edge_inspect.edge.configuration.section import Level, Section
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.views.rule import Rule


class ViewSettings(Section):
    """A view: a station that sees the parts."""

    name: Level = Field(description="name of the view, which joint verdicts and reasons give")
    station: Level = Field(description="name of the station, as in its own configuration")
    site: Level | None = Field(default=None, description="site of the station; default: that of the joint station")
    line: Level | None = Field(default=None, description="line of the station; default: that of the joint station")
    delay_s: float = Field(
        default=0.0,
        ge=-3600,
        le=3600,
        description="time in seconds from the part's trigger to the frame of this view; only with window_s",
    )


class RuleSettings(Section):
    """The rule that makes one verdict of the verdicts of the views. A part whose view is missing is always rejected."""

    reject: Literal["any", "all", "votes"] = Field(
        default="any",
        description="any: the part is rejected if any view rejects it; all: if all views do; votes: if at least "
        "`votes` views do",
    )
    votes: int | None = Field(default=None, ge=1, le=16, description="number of views; only for reject: votes")
    views: list[Level] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="names of the views that decide; the others need not come, and only add their regions to the "
        "defect; default: all views decide",
    )

    @model_validator(mode="after")
    def _votes_are_given(self) -> RuleSettings:
        if (self.reject == "votes") != (self.votes is not None):
            raise ValueError("'votes' and 'reject: votes' belong together; give both or neither")
        return self

    def of(self, views: Sequence[str]) -> Rule:
        """Return the rule for these views.

        Raises:
            ValueError: It names a view that there is not, names one twice, or asks for more votes than there are views.
        """
        deciding = tuple(self.views or views)
        if unknown := [name for name in deciding if name not in views]:
            raise ValueError(f"rule.views: there is no view {unknown[0]!r}; the views are {', '.join(views)}")
        if len(set(deciding)) < len(deciding):
            twice = next(name for name in deciding if deciding.count(name) > 1)
            raise ValueError(f"rule.views: view {twice!r} is named twice; name each once")
        votes = {"any": 1, "all": len(deciding)}.get(self.reject, self.votes or 1)
        if votes > len(deciding):
            raise ValueError(f"rule.votes: {votes} votes, but only {len(deciding)} view(s) decide")
        return Rule(deciding, votes)


class ViewsOutboxSettings(OutboxSettings):
    """The outbox of the joint verdicts. The joiner keeps its own work beside it."""

    path: Path = Field(
        default=Path("/var/lib/edge-inspect-views/outbox.db"),
        description="SQLite file of the outbox; its folder must exist; the joiner's own file lies beside it",
    )


class ViewsSettings(Section):
    """The whole configuration file of the joiner."""

    site: Level = Field(description="site in the topics of the joint station")
    line: Level = Field(description="line in the topics of the joint station")
    station: Level = Field(description="name of the joint station; no other station of the line may have it")
    views: list[ViewSettings] = Field(min_length=2, max_length=16, description="the views of each part")
    match: Literal["part_id", "position"] = Field(
        default="part_id",
        description="how the views of a part are found; part_id: by the id that came with the trigger; position: by "
        "the time of the trigger",
    )
    window_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="largest difference in seconds between the triggers of the views of one part. With match: position "
        "it must be less than half of the shortest time between two parts. With match: part_id it is needed only if "
        "ids are used again, as those of carriers are; then it must be less than the time until the next use",
    )
    timeout_s: float = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="longest time in seconds that a part waits for its views after the first one has arrived; then it "
        "is rejected. Choose more than the way from the first view to the last takes",
    )
    hold_s: float = Field(
        default=0.5,
        ge=0,
        le=60,
        description="longest time in seconds that a verdict waits for a missing verdict before it, or for its defect",
    )
    rule: RuleSettings = Field(default_factory=RuleSettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    outbox: ViewsOutboxSettings = Field(default_factory=ViewsOutboxSettings)
    health_every_s: float = Field(default=10.0, ge=0.1, le=3600, description="time between two healths, in seconds")

    @property
    def followed(self) -> list[tuple[ViewSettings, Topics]]:
        """The views, each with the topics of its station."""
        return [(view, Topics(view.site or self.site, view.line or self.line, view.station)) for view in self.views]

    @property
    def store(self) -> Path:
        """Path of the joiner's own file."""
        return self.outbox.path.with_suffix(".views.db")

    @field_validator("mqtt")
    @classmethod
    def _json_alone(cls, mqtt: MqttSettings) -> MqttSettings:
        return of_subscriber(mqtt, "joiner of views")

    @model_validator(mode="after")
    def _views_differ(self) -> ViewsSettings:
        names, topics = [view.name for view in self.views], [topics for _, topics in self.followed]
        for number, (name, of) in enumerate(zip(names, topics, strict=True)):
            if (first := names.index(name)) < number:
                raise ValueError(f"views.{number}.name: {name!r} is the name of views.{first} too; give each its own")
            if (first := topics.index(of)) < number:
                raise ValueError(
                    f"views.{number}.station: {of.site}/{of.line}/{of.station} is the station of views.{first} too; "
                    "give each view its own"
                )
        if Topics(self.site, self.line, self.station) in topics:
            raise ValueError(f"station: {self.station!r} is one of the views; give the joint station a name of its own")
        self.rule.of(names)
        return self

    @model_validator(mode="after")
    def _window_is_given(self) -> ViewsSettings:
        if self.match == "position" and self.window_s is None:
            raise ValueError(
                "'match: position' needs 'window_s', less than half of the shortest time between two parts"
            )
        if self.window_s is None and any(view.delay_s for view in self.views):
            raise ValueError("views: 'delay_s' is used only with 'window_s'; leave it out")
        return self
