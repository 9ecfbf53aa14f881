"""The models of the configuration: each setting with its limits, its default and its description."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edge_inspect.edge.cameras.opening import parse_uri
from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.configuration.outbox_settings import MOST_BYTES, OutboxSettings
from edge_inspect.edge.configuration.pull_settings import PullSettings
from edge_inspect.edge.configuration.section import Level, Section
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.commands import Verb
from edge_inspect.edge.engines.name import EngineName
from edge_inspect.edge.engines.registry import DEFAULT, ENGINES
from edge_inspect.edge.sinks import SINKS, split_sink


class CommandSettings(Section):
    """The commands over MQTT that a station carries out. The broker's access list decides who may send them."""

    allow: list[Verb] = Field(
        default_factory=list, description="commands that are carried out; all others are refused; default: none"
    )
    max_age_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="largest difference in seconds between the time in a command's id and the clock of the box; a "
        "command beyond it is refused as expired",
    )
    threshold_factor: float = Field(
        default=1.25,
        ge=1,
        le=10,
        description="range in which the command threshold may move the bundle's threshold: from threshold ÷ factor to "
        "threshold × factor",
    )


class EngineSettings(Section):
    """The engine that all stations share."""

    name: EngineName | None = Field(
        default=None, description=f"engine that runs the networks: {' or '.join(ENGINES)}; default: {DEFAULT}"
    )
    precision: Literal["fastest", "preferred"] = Field(
        default="fastest",
        description="precision of stations that name none; fastest: with the engine openvino, the precisions that a "
        "bundle allows are timed at its first start on this box, and the fastest runs from then on; preferred: the one "
        "that the bundle prefers; it was the fastest where the bundle was made",
    )
    threads: int = Field(default=0, ge=0, le=1024, description="number of processor threads to use; 0: all")
    cache: Path | None = Field(
        default=None,
        description="folder for what is compiled on this box: TensorRT's engines, and OpenVINO's networks, which then "
        "open in less time and memory; default: the folder `engines` beside the outbox",
    )


class HealthSettings(Section):
    """The time limits of the watchdog, and the port for monitoring."""

    http_port: int | None = Field(
        default=None, ge=1, le=65535, description="port on 127.0.0.1 for /healthz, /livez and /metrics; default: none"
    )
    camera_limit_s: float = Field(
        default=15.0,
        ge=1,
        le=3600,
        description="a camera that takes longer than this many seconds for a frame hangs, and is opened again",
    )
    engine_limit_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="an engine that takes longer than this many seconds for a part hangs, and is built again",
    )
    outbox_limit_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="a disk that takes longer than this many seconds for a verdict hangs: the process ends with status "
        "75, and systemd starts it again",
    )


class BundleSettings(Section):
    """The bundles that the stations may run."""

    public_keys: list[Path] = Field(
        default_factory=list,
        description="PEM files of public keys; every bundle must be signed with one of these keys; if "
        "$CREDENTIALS_DIRECTORY is set, relative file names are looked up in that folder; default: none, and bundles "
        "need no signature",
    )
    folder: Path | None = Field(
        default=None, description="the command bundle loads only bundles below this folder; default: none"
    )
    pull: PullSettings | None = Field(
        default=None,
        description="web servers from which the command bundle may fetch bundles into folder; default: none",
    )

    @model_validator(mode="after")
    def _pulled_bundles_are_signed(self) -> BundleSettings:
        missing = [name for name in ("folder", "public_keys") if not getattr(self, name)]
        if self.pull is not None and missing:
            raise ValueError(
                f"pull needs {' and '.join(missing)}: a fetched bundle is stored in bundles.folder, and must be signed "
                "with one of bundles.public_keys; set them, or leave pull out"
            )
        return self


class EvidenceSettings(Section):
    """Evidence: frames of rejected and borderline parts, saved for review and for training."""

    folder: Path = Field(description="folder in which frames are saved; it is created if it is missing")
    max_bytes: int = Field(
        default=4 * 2**30,
        ge=2**20,
        le=MOST_BYTES,
        description="largest size of the evidence of all stations together, in bytes; beyond it the oldest parts are "
        "deleted",
    )
    keep_free_bytes: int = Field(
        default=2**29,
        ge=0,
        le=MOST_BYTES,
        description="bytes that must stay free on the disk; nothing is saved if less would be left",
    )
    borderline: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="an accepted part is also saved if its score is within this share of the threshold; 0.1: from 0.9 "
        "times the threshold",
    )
    format: Literal["png", "jpeg"] = Field(
        default="png", description="file format of the frames; png is lossless; jpeg takes a tenth of the space"
    )
    queue: int = Field(
        default=8, ge=1, le=256, description="number of frames that may wait for the disk; further frames are not saved"
    )


class Settings(Section):
    """The whole configuration file."""

    site: Level = Field(description="name of the plant; topics begin with edge-inspect/v1/SITE/LINE/STATION")
    line: Level = Field(description="name of the production line, part of every topic")
    stations: list[StationSettings] = Field(min_length=1, description="the stations of this box")
    bundles: BundleSettings = Field(default_factory=BundleSettings, description="which bundles the stations may run")
    sink: str = Field(
        default="mqtt",
        description="where messages are sent; mqtt: to the broker of the section mqtt",
        json_schema_extra=lambda schema: schema.update(pattern=f"^({'|'.join(sorted(SINKS))})(:|$)"),
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings, description="the connection to the broker")
    outbox: OutboxSettings = Field(default_factory=OutboxSettings, description="where messages wait for the broker")
    commands: CommandSettings = Field(default_factory=CommandSettings, description="commands that are carried out")
    engine: EngineSettings = Field(default_factory=EngineSettings, description="the engine that all stations share")
    evidence: EvidenceSettings | None = Field(default=None, description="saved frames; default: none are saved")
    health: HealthSettings = Field(default_factory=HealthSettings, description="watchdog and monitoring port")
    health_every_s: float = Field(default=10.0, ge=0.5, le=3600, description="seconds between two health messages")

    @field_validator("sink")
    @classmethod
    def _sink_is_known(cls, text: str) -> str:
        name, where = split_sink(text)
        if name == "mqtt" and where:
            raise ValueError(f"{text!r} names a broker; write sink: mqtt, and the broker as mqtt.host and mqtt.port")
        return text

    @model_validator(mode="after")
    def _triggers_are_allowed(self) -> Settings:
        triggered = [station.name for station in self.stations if station.trigger == "command"]
        if triggered and "trigger" not in self.commands.allow:
            raise ValueError(
                f"commands.allow: {', '.join(triggered)} has trigger: command, but the command trigger is not allowed; "
                "add trigger to commands.allow, or set the station's trigger to camera"
            )
        return self

    @model_validator(mode="after")
    def _edge_nodes_differ(self) -> Settings:
        if self.mqtt.encoding == "sparkplug_b" and ":" in self.line:
            raise ValueError(
                f"line: {self.line!r} holds ':', which separates line and station in Sparkplug; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _pictures_can_be_published(self) -> Settings:
        names = ", ".join(station.name for station in self.stations if station.pictures is not None)
        if names and split_sink(self.sink)[0] != "mqtt":
            raise ValueError(
                f"stations: {names}: pictures are published by the sink mqtt only; set sink to mqtt, or leave pictures "
                "out"
            )
        if names and self.mqtt.encoding != "json":
            raise ValueError(f"stations: {names}: pictures need JSON; set mqtt.encoding to json, or leave pictures out")
        return self

    @model_validator(mode="after")
    def _client_ids_differ(self) -> Settings:
        given = self.mqtt.client_id
        if given is not None and "{station}" not in given and len(self.stations) > 1:
            raise ValueError(
                f"mqtt.client_id: {len(self.stations)} stations would connect as {given!r}, but a client id can be "
                f"connected only once; add {{station}}, as in '{given}-{{station}}'"
            )
        return self

    @model_validator(mode="after")
    def _bundles_have_a_folder(self) -> Settings:
        if "bundle" in self.commands.allow and self.bundles.folder is None:
            raise ValueError("commands.allow: the command bundle needs bundles.folder; set it to the folder of bundles")
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
                    f"stations: {first} and {station.name} name the same camera {address.shown or station.camera}, "
                    "which only one station can open; name another camera, or leave one of the stations out"
                )
        return self

    @model_validator(mode="after")
    def _stations_differ(self) -> Settings:
        names = [station.name for station in self.stations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"stations: several are named {', '.join(twice)}; give each station its own name")
        return self
