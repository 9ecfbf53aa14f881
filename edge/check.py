"""Check a configuration of the service, or of a program beside it, and its broker, for `edge-inspect check`."""

from __future__ import annotations

import importlib
import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Literal

from edge_inspect.edge.configuration.file import (
    check_bridge_settings,
    check_page_settings,
    check_settings,
    check_subscriber,
    load_settings,
    read_settings,
    trusted_keys,
)
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.configuration.pull_settings import PullSettings
from edge_inspect.edge.configuration.station_patterns import named_stations
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.errors import CheckFailed

if TYPE_CHECKING:
    from edge_inspect.edge.webhook.settings import TargetSettings

SERVICE_USER = "edge-inspect"
"""User as whom the systemd unit runs the service."""
# A verdict has about 600 bytes and health 1500; a defect with many regions has more. The bridge only sends `resend`.
_STATION_BYTES, _COMMAND_BYTES = 2048, 512
Program = Literal["run", "bridge", "opcua", "views", "webhook", "page", "archive"]
"""The programs that have a configuration, by their subcommand."""


def check(path: Path, program: Program, *, connect: bool) -> Iterator[str]:
    """Check a configuration file and all files and devices that it names, and yield lines with the result.

    Args:
        path: The configuration file.
        program: The program whose configuration it is.
        connect: Whether to connect to the broker, and to the servers of `bundles.pull`, too.

    Raises:
        ConfigurationError: Something is wrong or missing. If keys or values of the file are wrong, the message lists
            all of these; otherwise all that is wrong with what they name.
        Exception: A package of an extra that the program needs does not load.
        CheckFailed: The broker or a server cannot be reached, or the broker does not allow a topic that is needed; the
            message lists all of these.
    """
    if os.geteuid() == 0 and _is_user(SERVICE_USER):
        yield (
            f"root may read everything; to check what the service's own user may read, run: sudo -u {SERVICE_USER} "
            f"edge-inspect check {'' if program == 'run' else f'--{program} '}--config {path}"
        )
    if program != "run":
        checks = {
            "bridge": _check_bridge,
            "opcua": _check_opcua,
            "views": _check_views,
            "webhook": _check_webhook,
            "page": _check_page,
            "archive": _check_archive,
        }
        yield from checks[program](path, connect)
        return
    settings = load_settings(path)
    unseen = check_settings(path, settings)
    sink = f"broker {_place(settings.mqtt)}" if settings.sink == "mqtt" else f"sink {settings.sink}"
    yield from unseen
    for station in settings.stations:
        recipes = ", ".join(f"{recipe.name} ({recipe.bundle})" for recipe in station.recipes)
        yield f"station {station.name}: " + (f"recipes {recipes}" if recipes else f"bundle {station.bundle}")
    keys = ", ".join(key.id for key in trusted_keys(settings))
    yield f"bundles are signed with {keys}" if keys else "bundles need no signature; bundles.public_keys asks for one"
    trials: list[Iterator[str]] = []
    if (pull := settings.bundles.pull) is not None:
        yield f"bundles of at most {pull.largest_mb:g} MB are fetched from {', '.join(pull.prefixes)}"
        trials += [_try_server(path, pull, prefix) for prefix in pull.prefixes]
    if connect and settings.sink == "mqtt":
        from edge_inspect.edge.mqtt.encodings import used_topics

        topics = [Topics(settings.site, settings.line, station.name) for station in settings.stations]
        pairs = [
            used_topics(each, settings.mqtt, pictures=station.pictures is not None)
            for each, station in zip(topics, settings.stations, strict=True)
        ]
        publish, subscribe = ([topic for pair in pairs for topic in pair[i]] for i in (0, 1))
        trials.append(_try(path, settings.mqtt, publish, subscribe, _STATION_BYTES))
    elif connect:
        yield f"sink {settings.sink}: only a broker can be checked before the service runs"
    if connect:
        yield from _each(trials)
    yield f"{path}: good; {len(settings.stations)} station(s), {sink}"


def _load(*modules: str) -> None:
    """Load packages of an extra, as the program itself will; `run_command` says what is missing."""
    for module in modules:
        importlib.import_module(module)


def _each(trials: Iterable[Iterator[str]]) -> Iterator[str]:
    """Yield the lines of all trials, whichever of them fail.

    Raises:
        CheckFailed: Some have failed; the message is that of each.
    """
    failed = []
    for trial in trials:
        try:
            yield from trial
        except CheckFailed as error:
            failed.append(str(error))
    if failed:
        raise CheckFailed("\n".join(failed))


def _try_server(path: Path, pull: PullSettings, prefix: str) -> Iterator[str]:
    """Connect to a server from which bundles are fetched.

    Raises:
        CheckFailed: It cannot be reached.
    """
    from edge_inspect.edge.bundle.patient_http import try_server
    from edge_inspect.edge.bundle.web_address import WebAddress
    from edge_inspect.edge.mqtt.credentials import client_tls_context

    address = WebAddress.parse_prefix(prefix)
    secure = address.scheme == "https"
    problem = try_server(address, client_tls_context("bundles.pull.ca_file", pull.ca_file) if secure else None)
    if problem is not None:
        raise CheckFailed(f"{path}: bundles.pull.prefixes: {prefix}: {problem}")
    yield f"{prefix}: the server answers"


def _check_bridge(path: Path, connect: bool) -> Iterator[str]:
    from edge_inspect.edge.bridge.settings import BridgeSettings

    settings = read_settings(path, BridgeSettings)
    unseen = check_bridge_settings(path, settings)
    modbus = f"{settings.modbus.host}:{settings.modbus.port}"
    yield from unseen
    if connect:
        topics = [Topics(name.site, name.line, name.station) for name in settings.stations]
        heard = [topic for each in topics for topic in each.followed]
        yield from _try(path, settings.mqtt, [each.command for each in topics], heard, _COMMAND_BYTES)
    yield f"{path}: good; {len(settings.stations)} station(s), broker {_place(settings.mqtt)}, Modbus on {modbus}"


def _check_opcua(path: Path, connect: bool) -> Iterator[str]:
    from edge_inspect.edge.opcua.feed import topics
    from edge_inspect.edge.opcua.settings import OpcuaSettings
    from edge_inspect.edge.opcua.settings_check import check_opcua_settings

    settings = read_settings(path, OpcuaSettings)
    unseen = check_opcua_settings(path, settings)
    _load("asyncua")
    yield from unseen
    if connect:
        named = _named(settings.stations)
        yield from _try(path, settings.mqtt, [each.command for each in named], topics(settings), _COMMAND_BYTES)
    yield f"{path}: good; {settings.listen.url}, broker {_place(settings.mqtt)}"


def _check_views(path: Path, connect: bool) -> Iterator[str]:
    from edge_inspect.edge.mqtt.encodings import used_topics
    from edge_inspect.edge.views.settings import ViewsSettings

    settings = read_settings(path, ViewsSettings)
    unseen = check_subscriber(path, settings.mqtt, {"outbox.path": settings.outbox.path})
    yield from unseen
    if connect:
        followed = [topics for _, topics in settings.followed]
        heard = [topic for each in followed for topic in each.followed]
        own = used_topics(Topics(settings.site, settings.line, settings.station), settings.mqtt)
        publish = [*own.publish, *(each.command for each in followed)]
        status = [topics.status for topics in followed]
        yield from _try(path, settings.mqtt, publish, [*heard, *own.subscribe], _STATION_BYTES, status)
    yield f"{path}: good; {len(settings.views)} views, broker {_place(settings.mqtt)}"


def _check_webhook(path: Path, connect: bool) -> Iterator[str]:
    from edge_inspect.edge.webhook.sender import read_files
    from edge_inspect.edge.webhook.settings import WebhookSettings
    from edge_inspect.edge.webhook.subscriber import topics

    settings = read_settings(path, WebhookSettings)
    unseen = check_subscriber(path, settings.mqtt, {"outbox.path": settings.outbox.path})
    yield from unseen
    contexts = {target.name: read_files(target)[1] for target in settings.targets}
    if connect:
        trials = [_try_target(path, target, contexts[target.name]) for target in settings.targets]
        yield from _each([*trials, _try(path, settings.mqtt, [], topics(settings), _COMMAND_BYTES)])
    else:
        yield from (f"target {name}: its secret and its CAs can be read" for name in contexts)
    yield f"{path}: good; {len(settings.targets)} target(s), broker {_place(settings.mqtt)}"


def _try_target(path: Path, target: TargetSettings, context: SSLContext | None) -> Iterator[str]:
    """Connect to the server of a webhook.

    Raises:
        CheckFailed: It cannot be reached.
    """
    from edge_inspect.edge.bundle.patient_http import try_server
    from edge_inspect.edge.webhook.settings import address_of

    if (problem := try_server(address_of(target.url), context)) is not None:
        raise CheckFailed(f"{path}: target {target.name}: {target.url}: {problem}")
    yield f"target {target.name}: the server answers"


def _check_page(path: Path, connect: bool) -> Iterator[str]:
    from edge_inspect.edge.page.feed import topics
    from edge_inspect.edge.page.settings import PageSettings

    settings = read_settings(path, PageSettings)
    unseen = check_page_settings(path, settings)
    _load("starlette", "uvicorn", "h11")
    yield from unseen
    if connect:
        named = _named(settings.stations)
        publish = [topic for each in named for topic in (each.command, each.label)]
        yield from _try(path, settings.mqtt, publish, topics(settings), _COMMAND_BYTES)
    yield f"{path}: good; {settings.listen.address}, broker {_place(settings.mqtt)}"


def _check_archive(path: Path, connect: bool) -> Iterator[str]:
    from edge_inspect.edge.archive.settings import ArchiveSettings
    from edge_inspect.edge.archive.settings_check import check_archive_settings

    settings = read_settings(path, ArchiveSettings)
    unseen = check_archive_settings(path, settings)
    _load("sqlalchemy", "alembic", *(() if settings.database.startswith("sqlite") else ("psycopg",)))
    yield from unseen
    if connect:
        from edge_inspect.edge.archive.database import open_database, place_of, reading
        from edge_inspect.edge.archive.migrations import current_revision
        from edge_inspect.edge.archive.subscriber import topics

        named = _named(settings.stations)
        yield from _try(path, settings.mqtt, [each.command for each in named], topics(settings), _COMMAND_BYTES)
        engine, place = open_database(settings), place_of(settings)
        with reading(engine, place) as connection:
            revision = current_revision(connection)
        engine.dispose()
        yield f"database {place}: connected; " + (f"tables of revision {revision}" if revision else "no tables yet")
    yield f"{path}: good; broker {_place(settings.mqtt)}"


def _try(
    path: Path,
    mqtt: MqttSettings,
    publish: list[str],
    subscribe: list[str],
    packet_bytes: int,
    expected: Sequence[str] = (),
) -> Iterator[str]:
    from edge_inspect.edge.mqtt.problem import ConnectionProblem
    from edge_inspect.edge.mqtt.trial import try_broker

    broker = f"broker {_place(mqtt)}"
    yield f"{broker}: connecting with a separate client id"
    try:
        trial = try_broker(mqtt, publish, subscribe, packet_bytes=packet_bytes, expected=expected)
    except ConnectionProblem as problem:
        raise CheckFailed(f"{path}: {broker}: {problem}") from None
    yield from (f"{broker}: {line}" for line in trial.said)
    if trial.mistakes:
        raise CheckFailed("\n".join([f"{path}: {broker}:", *(f"  {mistake}" for mistake in trial.mistakes)]))


def _named(patterns: list[str]) -> list[Topics]:
    """Return the topics of the stations with names: a pattern is no topic to which anything can be published."""
    return [Topics(*key.split("/")) for key in named_stations(patterns)]


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _place(mqtt: MqttSettings) -> str:
    return f"{mqtt.host}:{mqtt.port}"
