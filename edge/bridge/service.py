"""The bridge as a service: connects stations, broker and PLC from its start until SIGTERM."""

from __future__ import annotations

import contextlib
import logging
import time

from edge_inspect.edge.bridge.modbus_server import ModbusServer
from edge_inspect.edge.bridge.settings import BridgeSettings
from edge_inspect.edge.bridge.state_file import StateFile
from edge_inspect.edge.bridge.station import BridgedStation
from edge_inspect.edge.bridge.subscriber import BridgeSubscriber
from edge_inspect.edge.clock import ClockWatch
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.identity import keep_identity
from edge_inspect.edge.signals import Signals
from edge_inspect.edge.systemd import notify

log = logging.getLogger(__name__)

_TICK_S = 0.02
_BEAT_S = 1.0


def run(settings: BridgeSettings) -> None:
    """Follow the stations until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: The state file cannot be used, or the Modbus server cannot listen on its address.
    """
    state_file = StateFile(settings.state)
    keep_identity(settings.state)
    stations = {}
    for name in settings.stations:
        topics = Topics(name.site, name.line, name.station)
        saved = state_file.station(topics.prefix)
        stations[topics.prefix] = BridgedStation(topics, settings, saved, state_file.starts, name.recipes)

    def save() -> None:
        state_file.save({prefix: station.saved() for prefix, station in stations.items()})

    followed = list(stations.values())
    with Signals() as signals, contextlib.ExitStack() as stack:
        stack.callback(save)
        stack.callback(ModbusServer(settings.modbus, followed).close)
        stack.callback(BridgeSubscriber(settings.name, settings.mqtt, followed).close)
        notify(READY=1)
        log.info(
            "following %d station(s), serving Modbus on %s:%d",
            len(followed),
            settings.modbus.host,
            settings.modbus.port,
        )
        beat_at, clock = time.monotonic(), ClockWatch()
        while not signals.stop:
            time.sleep(_TICK_S)
            now = time.monotonic()
            for station in followed:
                station.release(now)
            if now >= beat_at:
                beat_at = now + _BEAT_S
                clock.look()
                for station in followed:
                    station.beat()
                save()
                notify(WATCHDOG=1)
        notify(STOPPING=1)
