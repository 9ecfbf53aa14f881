"""The configuration's models: what can be set, within which limits, and what holds when it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edge_inspect.edge.cameras.opening import check_uri, parse_uri
from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.configuration.section import Level, Section
from edge_inspect.edge.contract.commands import Verb
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.name import EngineName
from edge_inspect.edge.engines.registry import DEFAULT, ENGINES
from edge_inspect.edge.errors import CameraError, TriggerError
from edge_inspect.edge.outbox import WhenFull
from edge_inspect.edge.sinks import SINKS, split_sink
from edge_inspect.edge.triggers import TRIGGERS, parse_trigger

_MOST_BYTES = 2**50


class OutboxSettings(Section):
    """Where verdicts wait for the broker, and how many."""

    path: Path = Field(
        default=Path("/var/lib/edge-inspect/outbox.db"), description="the SQLite file; its folder must exist"
    )
    durability: Literal["normal", "full"] = Field(
        default="normal",
        description="normal: nothing is lost when the process dies, the last verdicts may be in a power cut; "
        "full: nothing is sent before it is on the disk, some milliseconds later",
    )
    max_bytes: int = Field(
        default=256 * 2**20, ge=2**16, le=_MOST_BYTES, description="of waiting messages; see when_full"
    )
    max_age_s: float = Field(
        default=7 * 86400.0,
        ge=60,
        le=1e9,
        description="messages that have waited longer are dropped at the next verdict; the time counts while the "
        "service runs, whatever the clock is set to",
    )
    when_full: WhenFull = Field(
        default="drop_oldest",
        description="drop_oldest: the oldest verdicts go, and when there are none, the oldest defects; "
        "drop_newest: the newest verdicts go, and when there are none, the newest defects",
    )
    history_bytes: int = Field(
        default=64 * 2**20,
        ge=0,
        le=_MOST_BYTES,
        description="of delivered messages, kept for the command resend; 0: none are kept",
    )


class CommandSettings(Section):
    """Which commands over MQTT are carried out. Who may send them is for the broker's access list to say."""

    allow: list[Verb] = Field(default_factory=list, description="the others are refused; default: none")
    max_age_s: float = Field(
        default=30.0, ge=1, le=3600, description="how far the time in a command's id may be from the box's clock"
    )
    threshold_factor: float = Field(
        default=1.25, ge=1, le=10, description="how far a threshold may be from the bundle's: times this, or through it"
    )


class EngineSettings(Section):
    """The engine that all stations share."""

    name: EngineName | None = Field(default=None, description=f"one of {', '.join(ENGINES)}; default: {DEFAULT}")
    threads: int = Field(default=0, ge=0, le=1024, description="processor threads to use; 0: all")
    cache: Path | None = Field(
        default=None,
        description="folder of the engines that are built on this box, as TensorRT's; default: "
        "/var/lib/edge-inspect/engines, or ~/.cache/edge-inspect/engines for who may not write there",
    )


class HealthSettings(Section):
    """What counts as a hang, and who may ask."""

    http_port: int | None = Field(
        default=None, ge=1, le=65535, description="/healthz, /livez, /metrics on 127.0.0.1; default: no port is opened"
    )
    camera_limit_s: float = Field(
        default=15.0, ge=1, le=3600, description="a frame takes no longer; then the camera is opened again"
    )
    engine_limit_s: float = Field(
        default=30.0, ge=1, le=3600, description="a part takes no longer; then the engine is built again"
    )
    outbox_limit_s: float = Field(
        default=30.0, ge=1, le=3600, description="the disk takes no longer for a verdict; then the process ends"
    )


class BundleSettings(Section):
    """Which bundles the stations may run."""

    public_keys: list[Path] = Field(
        default_factory=list,
        description="PEM files of public keys: every bundle must be signed with one of them; default: none, and then "
        "no signature is asked for. A relative one is looked for in $CREDENTIALS_DIRECTORY where that is set",
    )
    folder: Path | None = Field(
        default=None, description="the command bundle may load what lies below this folder, and nothing else"
    )


class EvidenceSettings(Section):
    """Rejected and borderline frames, saved for those who check them and for training."""

    folder: Path = Field(description="it is made where it is not there")
    max_bytes: int = Field(
        default=4 * 2**30,
        ge=2**20,
        le=_MOST_BYTES,
        description="of all stations; at the bound the parts saved first are deleted",
    )
    keep_free_bytes: int = Field(
        default=2**29, ge=0, le=_MOST_BYTES, description="of the disk; nothing is saved where less is free"
    )
    borderline: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="accepted parts are saved too whose score is within this share of the "
        "threshold; 0.1: from 0.9 times it",
    )
    format: Literal["png", "jpeg"] = Field(default="png", description="png: nothing is lost; jpeg: a tenth of the size")
    queue: int = Field(default=8, ge=1, le=256, description="frames that may wait for the disk; others are dropped")


class ShadowSettings(Section):
    """How a station begins with a bundle: it judges and rejects nothing, until it has collected scores of its parts."""

    parts: int = Field(ge=1, le=1_000_000, description="so many are judged in shadow; then parts are rejected")
    frames: int = Field(
        default=200,
        ge=0,
        le=100_000,
        description="so many frames, evenly among these parts, are saved as evidence, where that is configured",
    )


class StationSettings(Section):
    """One camera and the product it looks at."""

    name: Level = Field(description="the last level of its topics")
    camera: str = Field(
        description=f"where frames come from: {', '.join(f'{scheme}:' for scheme in CAMERAS)}; "
        "docs/cameras.md has the options"
    )
    bundle: Path = Field(description="the product's bundle, a folder or a .zip")
    precision: Precision | None = Field(default=None, description="default: what the bundle prefers")
    policy: Literal["latest", "every"] = Field(
        default="latest",
        description="latest: the oldest waiting frame is dropped and counted when the engine is busy; "
        "every: none is dropped, the trigger waits",
    )
    trigger: str = Field(
        default=TRIGGERS[0].form,
        description=f"when a frame is taken: {'; '.join(f'{kind.form}: {kind.about}' for kind in TRIGGERS)}; "
        "docs/cameras.md has the options",
    )
    queue: int = Field(default=4, ge=1, le=256, description="frames, and triggers, that may wait")
    mm_per_px: float | None = Field(default=None, ge=1e-6, le=1e6, description="the camera's scale, for areas in mm²")
    min_region_px: float | None = Field(
        default=None, gt=0, le=1e12, description="smaller regions of a rejected part are not listed, in px of the frame"
    )
    min_region_mm2: float | None = Field(
        default=None, gt=0, le=1e12, description="the same in mm², where mm_per_px is given"
    )

    defect_share: float = Field(
        default=0.02,
        ge=0,
        le=0.5,
        description="share of bad parts that is usual here; warnings of rejects and of scores allow for it",
    )
    shadow: ShadowSettings | None = Field(
        default=None, description="begin in shadow: judge, reject nothing, and collect scores; default: not"
    )

    @property
    def min_area_px(self) -> float:
        """The area below which a region is not listed, in pixels of the frame."""
        scale = self.mm_per_px or 1.0
        return max(self.min_region_px or 0.0, (self.min_region_mm2 or 0.0) / scale**2)

    @model_validator(mode="after")
    def _square_millimetres_need_a_scale(self) -> StationSettings:
        if self.min_region_mm2 is not None and self.mm_per_px is None:
            raise ValueError(
                "'min_region_mm2' needs the camera's scale; give 'mm_per_px' too, or 'min_region_px' instead"
            )
        return self

    @field_validator("camera")
    @classmethod
    def _camera_is_known(cls, uri: str) -> str:
        try:
            check_uri(uri)
        except CameraError as error:
            raise ValueError(str(error)) from error
        return uri

    @field_validator("trigger")
    @classmethod
    def _trigger_is_known(cls, text: str) -> str:
        try:
            parse_trigger(text)
        except TriggerError as error:
            raise ValueError(str(error)) from error
        return text


class Settings(Section):
    """The whole configuration file."""

    site: Level = Field(description="the first level of every topic: the plant")
    line: Level = Field(description="the second level: the line")
    stations: list[StationSettings] = Field(min_length=1)
    bundles: BundleSettings = Field(default_factory=BundleSettings)
    sink: str = Field(
        default="mqtt",
        description="where messages go; mqtt: to the broker that the section mqtt names",
        json_schema_extra=lambda schema: schema.update(pattern=f"^({'|'.join(sorted(SINKS))})(:|$)"),
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    outbox: OutboxSettings = Field(default_factory=OutboxSettings)
    commands: CommandSettings = Field(default_factory=CommandSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    evidence: EvidenceSettings | None = Field(default=None, description="leave out to save none")
    health: HealthSettings = Field(default_factory=HealthSettings)
    health_every_s: float = Field(default=10.0, ge=0.5, le=3600, description="how often health is published")

    @field_validator("sink")
    @classmethod
    def _sink_is_known(cls, text: str) -> str:
        name, where = split_sink(text)
        if name == "mqtt" and where:
            raise ValueError(f"{text!r} names a broker; name it in the section mqtt, as host and port")
        return text

    @model_validator(mode="after")
    def _triggers_are_allowed(self) -> Settings:
        triggered = [station.name for station in self.stations if station.trigger == "command"]
        if triggered and "trigger" not in self.commands.allow:
            raise ValueError(
                f"commands.allow: {', '.join(triggered)} waits for the command trigger, which is not allowed; "
                "add trigger, or set the station's trigger to camera"
            )
        return self

    @model_validator(mode="after")
    def _edge_nodes_differ(self) -> Settings:
        if self.mqtt.encoding == "sparkplug_b" and ":" in self.line:
            raise ValueError(f"line: {self.line!r} holds ':', which parts line and station in Sparkplug; leave it out")
        return self

    @model_validator(mode="after")
    def _client_ids_differ(self) -> Settings:
        given = self.mqtt.client_id
        if given is not None and "{station}" not in given and len(self.stations) > 1:
            raise ValueError(
                f"mqtt.client_id: {len(self.stations)} stations would connect as {given!r}, and a broker lets in one "
                f"client of an id; write {{station}} into it, as in '{given}-{{station}}'"
            )
        return self

    @model_validator(mode="after")
    def _bundles_have_a_folder(self) -> Settings:
        if "bundle" in self.commands.allow and self.bundles.folder is None:
            raise ValueError("commands.allow: bundle needs bundles.folder, the folder of the bundles it may load")
        return self

    @model_validator(mode="after")
    def _devices_differ(self) -> Settings:
        users: dict[tuple[str, str, str | None], str] = {}
        for station in self.stations:
            scheme, address = parse_uri(station.camera)
            if not CAMERAS[scheme].exclusive:
                continue
            first = users.setdefault((scheme, address.path, address.device), station.name)
            if first != station.name:
                raise ValueError(
                    f"stations: {first} and {station.name} name the same camera {address.shown or station.camera}, and "
                    "it gives its frames to one; name another, or leave one of the stations out"
                )
        return self

    @model_validator(mode="after")
    def _stations_differ(self) -> Settings:
        names = [station.name for station in self.stations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"stations: two are named {', '.join(twice)}; each needs a name of its own")
        return self
