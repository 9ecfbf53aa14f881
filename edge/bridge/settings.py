"""The bridge's configuration: the stations that it follows, and how it shows their parts to the PLC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from edge_inspect.edge.bridge.received_messages import ReceivedRegion
from edge_inspect.edge.bridge.registers import BLOCK, CLASSES
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, of_subscriber
from edge_inspect.edge.configuration.section import Host, Level, Section


class StationName(Section):
    """A station that the bridge follows, named as in the station's own configuration."""

    site: Level
    line: Level
    station: Level
    recipes: tuple[Level, ...] = Field(
        default=(),
        max_length=100,
        description="names of the station's recipes, as in its own configuration; the PLC gets and asks for the first "
        "as number 1; default: none, and the PLC cannot change the recipe",
    )

    @field_validator("recipes")
    @classmethod
    def _recipes_differ(cls, recipes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(recipes)) < len(recipes):
            raise ValueError("a recipe is named twice; name each once, because it has one number")
        return recipes


class DefectClass(Section):
    """A class of defects. A rejected part belongs to it if its regions meet all conditions that are given."""

    name: str = Field(
        min_length=1, max_length=64, description="name of the class for people; the PLC gets the class's number"
    )
    min_regions: int = Field(default=1, ge=0, le=2**31, description="least number of regions of the part")
    min_area_px: int = Field(
        default=0, ge=0, le=2**31, description="least area of the part's largest region, in pixels of the frame"
    )
    min_area_mm2: float = Field(
        default=0,
        ge=0,
        le=1e12,
        description="least area of the part's largest region, in mm²; needs the station's mm_per_px",
    )

    reason: Literal["defect", "not_found"] = Field(
        default="defect",
        description="not_found: the class of parts that were not found in their frame, whatever the other conditions",
    )
    area: str | None = Field(
        default=None,
        max_length=256,
        description="name of the area to look at (edge-train fit --look) in which the regions lie; null: anywhere",
    )

    def holds(self, regions: Sequence[ReceivedRegion], count: int, reason: str | None = "defect") -> bool:
        """Return whether a part is of this class.

        Args:
            regions: Regions of the part; if there are very many, only the largest.
            count: Number of all regions of the part. With an area, only the given regions are counted.
            reason: Reason of the verdict.
        """
        if reason == "not_found" or self.reason == "not_found":
            return reason == self.reason
        if self.area is not None:
            regions = [region for region in regions if region.area_name == self.area]
            count = len(regions)
        return (
            count >= self.min_regions
            and max((region.area_px for region in regions), default=0) >= self.min_area_px
            and max((region.area_mm2 or 0.0 for region in regions), default=0.0) >= self.min_area_mm2
        )


class ModbusSettings(Section):
    """The Modbus server. Modbus has no passwords: everyone who can connect to the port may use it."""

    host: Host = Field(default="127.0.0.1", description="address to listen on: the box's address in the PLC's network")
    port: int = Field(
        default=5020,
        ge=1,
        le=65535,
        description="TCP port to listen on; Modbus' standard port 502 needs a privilege, which the systemd unit gives",
    )
    word_order: Literal["high_first", "low_first"] = Field(
        default="high_first",
        description="whether the high or the low register of a 32-bit value comes first; bytes are always big-endian",
    )
    acknowledge: bool = Field(
        default=False,
        description="true: a part is shown only after the PLC has acknowledged the part that it overwrites, "
        "which is 16 parts older",
    )


class BridgeSettings(Section):
    """The whole configuration file of the bridge."""

    name: Level = Field(
        default="bridge",
        description="name of the bridge, which is part of its MQTT client id; give two bridges on one box two names",
    )
    stations: list[StationName] = Field(
        min_length=1,
        max_length=0x10000 // BLOCK,
        description="stations to follow, in the order of their blocks of registers",
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    modbus: ModbusSettings = Field(default_factory=ModbusSettings)
    defect_classes: list[DefectClass] = Field(
        default_factory=list,
        max_length=CLASSES - 1,
        description="classes 1 to 7 of rejected parts; a part gets the first class whose conditions it meets, else 0",
    )
    stale_after_s: float = Field(
        default=30.0,
        ge=0.5,
        le=3600,
        description="seconds without a message from a station after which its stale bit is set; choose at least twice "
        "the station's health_every_s",
    )
    hold_s: float = Field(
        default=0.5,
        ge=0,
        le=60,
        description="longest time in seconds that a part waits for a missing part before it, or for its own defect",
    )
    state: Path = Field(
        default=Path("/var/lib/edge-inspect-bridge/state.json"),
        description="file that keeps counters and positions over restarts; its folder must exist",
    )

    @field_validator("mqtt")
    @classmethod
    def _json_alone(cls, mqtt: MqttSettings) -> MqttSettings:
        return of_subscriber(mqtt, "bridge")

    @field_validator("stations")
    @classmethod
    def _stations_differ(cls, stations: list[StationName]) -> list[StationName]:
        if len({(each.site, each.line, each.station) for each in stations}) < len(stations):
            raise ValueError("a station is named twice; name each station once, because it has one block of registers")
        return stations
