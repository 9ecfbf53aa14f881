"""The broker that a configuration names: of a service, of a bridge or of a page."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.errors import UsageError


class _BrokerFile(BaseModel):
    """A configuration of which only the section `mqtt` is read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    mqtt: MqttSettings = Field(default_factory=MqttSettings)


def read_broker(path: Path) -> MqttSettings:
    """Return the section `mqtt` of a configuration.

    Raises:
        ConfigurationError: The file cannot be read, or the section has mistakes.
        UsageError: The stations use Sparkplug B.
    """
    settings = read_settings(path, _BrokerFile).mqtt
    if settings.encoding == "sparkplug_b":
        raise UsageError(
            f"{path}: its stations use Sparkplug B, which `edge-inspect fleet` does not read; let the Sparkplug host "
            "list and change them, see docs/sparkplug.md"
        )
    return settings
