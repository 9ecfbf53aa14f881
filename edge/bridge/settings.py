"""The bridge's configuration: which stations it follows, and how it shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from edge_inspect.edge.bridge.received_messages import ReceivedRegion
from edge_inspect.edge.bridge.registers import BLOCK, CLASSES
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.configuration.section import Host, Level, Section


class StationName(Section):
    """A station, as its topics name it."""

    site: Level
    line: Level
    station: Level


class DefectClass(Section):
    """A kind of defect, by its regions: all conditions given must hold."""

    name: str = Field(min_length=1, max_length=64, description="for people; the PLC gets its number")
    min_regions: int = Field(default=1, ge=0, le=2**31, description="this many regions or more")
    min_area_px: int = Field(
        default=0, ge=0, le=2**31, description="the largest region's area or more, in px of the frame"
    )
    min_area_mm2: float = Field(
        default=0, ge=0, le=1e12, description="the same in mm², where the station knows its scale"
    )

    def holds(self, regions: Sequence[ReceivedRegion], count: int) -> bool:
        """Return whether a part with these regions, the largest of `count`, is of this class."""
        return (
            count >= self.min_regions
            and max((region.area_px for region in regions), default=0) >= self.min_area_px
            and max((region.area_mm2 or 0.0 for region in regions), default=0.0) >= self.min_area_mm2
        )


class ModbusSettings(Section):
    """The Modbus server. Modbus has no passwords: whoever reaches the port reads, and may acknowledge."""

    host: Host = Field(default="127.0.0.1", description="address to listen on: that of the PLC's network")
    port: int = Field(default=5020, ge=1, le=65535, description="Modbus' own, 502, needs a privilege; see the unit")
    word_order: Literal["high_first", "low_first"] = Field(
        default="high_first", description="which register of a 32-bit value comes first; bytes are big-endian always"
    )
    acknowledge: bool = Field(
        default=False, description="true: a part waits until the PLC has acknowledged the one 16 parts before it"
    )


class BridgeSettings(Section):
    """The whole configuration file of the bridge."""

    name: Level = Field(default="bridge", description="part of its client id: two bridges on a box need two names")
    stations: list[StationName] = Field(
        min_length=1, max_length=0x10000 // BLOCK, description="in the order of their blocks of registers"
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    modbus: ModbusSettings = Field(default_factory=ModbusSettings)
    defect_classes: list[DefectClass] = Field(
        default_factory=list,
        max_length=CLASSES - 1,
        description="classes 1 to 7: the first that holds counts; 0 is for parts of none",
    )
    stale_after_s: float = Field(
        default=30.0,
        ge=0.5,
        le=3600,
        description="silence that sets the stale bit: twice the station's health_every_s, or more",
    )
    hold_s: float = Field(
        default=0.5, ge=0, le=60, description="how long a part may wait for a missing one before it, or for its defect"
    )
    state: Path = Field(
        default=Path("/var/lib/edge-inspect-bridge/state.json"),
        description="file in which it remembers how far it has followed; its folder must exist",
    )

    @field_validator("mqtt")
    @classmethod
    def _json_alone(cls, mqtt: MqttSettings) -> MqttSettings:
        if mqtt.encoding != "json" or mqtt.home_assistant is not None:
            raise ValueError("the bridge reads JSON and announces nothing; leave out encoding and home_assistant")
        if mqtt.client_id is not None and "{" in mqtt.client_id:
            raise ValueError(
                f"client_id: {mqtt.client_id!r} names a station, which a bridge is not; leave out the braces"
            )
        return mqtt

    @field_validator("stations")
    @classmethod
    def _stations_differ(cls, stations: list[StationName]) -> list[StationName]:
        if len(set(stations)) < len(stations):
            raise ValueError("a station is named twice; each has one block of registers")
        return stations
