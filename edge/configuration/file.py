"""Reads a configuration file into settings, and lists all of its mistakes in one message."""

from __future__ import annotations

import os
import socket
import tempfile
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.signature import PublicKey, read_public_key
from edge_inspect.edge.cameras.opening import open_camera
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.configuration.yaml_file import Document, read_yaml, show_place
from edge_inspect.edge.engines.loading import engine_class
from edge_inspect.edge.errors import (
    BundleError,
    CameraError,
    ConfigurationError,
    EngineError,
    TriggerError,
    UsageError,
    YamlError,
)
from edge_inspect.edge.mqtt.credentials import (
    check_ca_file,
    check_credential,
    check_credentials,
    check_server_credentials,
    credential_path,
    credential_remedy,
)
from edge_inspect.edge.triggers import check_trigger

if TYPE_CHECKING:
    from edge_inspect.edge.bridge.settings import BridgeSettings
    from edge_inspect.edge.page.settings import PageSettings

Model = TypeVar("Model", bound=BaseModel)

_SHAPES = {"model_type": "a mapping (`key: value`)", "list_type": "a list (`- item`)"}
_LONGEST_SHOWN = 80


def load_settings(path: Path) -> Settings:
    """Read the service's configuration file; see `read_settings`."""
    return read_settings(path, Settings)


def read_settings(path: Path, whole: type[Model]) -> Model:
    """Read a configuration file.

    Relative paths in the file start at the working directory of the program.

    Args:
        path: The YAML file.
        whole: The model of the whole file.

    Raises:
        ConfigurationError: The file is missing, is no YAML, or has mistakes; the message lists each with its key.
    """
    try:
        document = read_yaml(path)
    except YamlError as error:
        said = list_mistakes(path, str(error).splitlines()) if error.in_keys else f"{path}: {error}"
        raise ConfigurationError(said) from error
    if not isinstance(document.value, dict):
        raise ConfigurationError(f"{path}: is empty or no mapping; it needs the keys {', '.join(_required(whole))}")
    try:
        return whole.model_validate(document.value)
    except ValidationError as error:
        mistakes = [_say(mistake, whole, document) for mistake in error.errors()]
        raise ConfigurationError(list_mistakes(path, mistakes)) from error


def list_mistakes(path: Path, mistakes: list[str]) -> str:
    """Return a message that lists the mistakes of a configuration file, one a line."""
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    return f"{path}: {count}\n" + "\n".join(f"  {mistake}" for mistake in mistakes)


def _required(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required()]


def _say(mistake: Any, whole: type[BaseModel], document: Document) -> str:
    """Return one mistake as `key: what is wrong; what is allowed (line)`."""
    place = mistake["loc"]
    where = show_place(place) or "(the file)"
    line = next((document.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in document.lines), None)
    return f"{where}: {_explain(mistake, whole)}" + (f" (line {line})" if line is not None else "")


def _explain(mistake: Any, whole: type[BaseModel]) -> str:
    place, kind, value = mistake["loc"], mistake["type"], mistake["input"]
    if kind == "extra_forbidden":
        model = _model_at(whole, place[:-1])
        return "unknown key" + (f"; the keys are {', '.join(model.model_fields)}" if model else "")
    if kind == "missing":
        model = _model_at(whole, place[:-1])
        field = model.model_fields.get(str(place[-1])) if model else None
        return "is missing" + (f" ({field.description})" if field is not None and field.description else "")
    if value is None and kind.endswith(("_type", "_parsing")):
        return "has no value; write one, or leave the key out"
    if kind in ("string_type", "path_type") and isinstance(value, bool | int | float):
        kind = "a truth value" if isinstance(value, bool) else "a number"
        return f"must be text, and {str(value).lower()} is {kind}; put it in quotes"
    if kind in _SHAPES:
        return f"must be {_SHAPES[kind]}; it is {_show(value)}"
    said = mistake["msg"].removeprefix("Value error, ")
    got = "" if isinstance(value, dict | list) or kind == "value_error" else f"; it is {_show(value)}"
    return f"{said[0].lower()}{said[1:]}{got}"


def _show(value: Any) -> str:
    """Return a value for use in a message, shortened if it is long."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."


def _model_at(model: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel] | None:
    """Return the settings model at a place in the file; `None` if the place is in no section."""
    in_mapping = False
    for part in location:
        if isinstance(part, int) or in_mapping:  # an index, or a key that the user has chosen
            in_mapping = False
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if field is None or inner is None:
            return None
        model, in_mapping = inner, typing.get_origin(field.annotation) is dict
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)


def trusted_keys(settings: Settings) -> list[PublicKey]:
    """Return the public keys of `bundles.public_keys`; the list is empty if bundles need no signature.

    Raises:
        ConfigurationError: Some keys cannot be read; the message lists all of them.
    """
    keys, mistakes = [], []
    for i, file in enumerate(settings.bundles.public_keys):
        path = credential_path(file)
        try:
            keys.append(read_public_key(path))
        except UsageError as error:
            mistakes.append(
                f"bundles.public_keys.{i}: {error}{'' if os.path.exists(path) else credential_remedy(file)}"
            )
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return keys


def check_settings(path: Path, settings: Settings) -> list[str]:
    """Check everything that a configuration names: bundles, signatures, keys, cameras, triggers, folders, credentials.

    Returns:
        The credentials that could not be checked, because systemd shows them to the service only.

    Raises:
        ConfigurationError: Something is missing or cannot be used; the message lists all of it.
    """
    mistakes: list[str] = []
    trusted: list[PublicKey] = []
    try:
        trusted = trusted_keys(settings)
    except ConfigurationError as error:
        mistakes += str(error).splitlines()
    for i, station in enumerate(settings.stations):
        for n, place in enumerate(station.bundles):
            try:
                bundle = open_bundle(place, trusted)
                if station.precision is not None:
                    bundle.model(station.precision)
            except BundleError as error:
                key = f"recipes.{n}.bundle" if station.recipes else "bundle"
                mistakes.append(f"stations.{i}.{key}: {error}")
        try:
            open_camera(station.camera).close()
        except CameraError as error:
            mistakes.append(f"stations.{i}.camera: {error}")
        try:
            check_trigger(station.trigger)
        except TriggerError as error:
            mistakes.append(f"stations.{i}.trigger: {error}")
    mistakes += _look_at_folders(settings)
    of_broker, unseen = check_credentials(settings.mqtt)
    mistakes += of_broker
    if settings.bundles.pull is not None and settings.bundles.pull.ca_file is not None:
        of_servers, more = check_ca_file("bundles.pull.ca_file", settings.bundles.pull.ca_file)
        mistakes, unseen = mistakes + of_servers, unseen + more
    if settings.engine.name is not None:
        try:
            engine_class(settings.engine.name).check_box()
        except EngineError as error:
            mistakes.append(f"engine.name: {error}")
    if mistakes:
        raise ConfigurationError(list_mistakes(path, mistakes))
    return unseen


def check_bridge_settings(path: Path, settings: BridgeSettings) -> list[str]:
    """Check everything that the bridge's configuration names: its state file, its address, credentials.

    Returns:
        The credentials that could not be checked, as for `check_settings`.

    Raises:
        ConfigurationError: Something is missing or cannot be used; the message lists all of it.
    """
    mistakes, unseen = check_credentials(settings.mqtt)
    mistakes += look_at_file("state", settings.state)
    mistakes += look_at_host("modbus.host", settings.modbus.host)
    if mistakes:
        raise ConfigurationError(list_mistakes(path, mistakes))
    return unseen


def check_subscriber(path: Path, mqtt: MqttSettings, files: Mapping[str, Path]) -> list[str]:
    """Check the credentials of a program that follows stations, and the files that it writes, by their keys.

    Returns:
        The credentials that could not be checked, as for `check_settings`.

    Raises:
        ConfigurationError: Something is missing or cannot be used; the message lists all of it.
    """
    mistakes, unseen = check_credentials(mqtt)
    mistakes += [mistake for key, file in files.items() for mistake in look_at_file(key, file)]
    if mistakes:
        raise ConfigurationError(list_mistakes(path, mistakes))
    return unseen


def check_page_settings(path: Path, settings: PageSettings) -> list[str]:
    """Check everything that the page's configuration names: its address, its files, folders and users, credentials.

    Returns:
        The credentials that could not be checked, as for `check_settings`; and a sentence if there are no users yet.

    Raises:
        ConfigurationError: Something is missing or cannot be used; the message lists all of it.
    """
    from edge_inspect.edge.page.texts import read_texts
    from edge_inspect.edge.page.users import no_users, read_users

    mistakes, unseen = check_credentials(settings.mqtt)
    mistakes += look_at_host("listen.host", settings.listen.host)
    mistakes += look_at_new_folder("data", settings.data)
    folders = [("bundles", settings.bundles)] + [(f"evidence.{i}", each) for i, each in enumerate(settings.evidence)]
    mistakes += [
        f"{key}: {folder} is no folder that this user may read; create it, or change its permissions"
        for key, folder in folders
        if folder is not None and not (os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK))
    ]
    if settings.listen.certificate is not None and settings.listen.key is not None:
        of_server, more = check_server_credentials("listen", settings.listen.certificate, settings.listen.key)
        mistakes, unseen = mistakes + of_server, unseen + more
    if settings.signing_key is not None:
        of_key, more = check_credential("signing_key", settings.signing_key)
        mistakes, unseen = mistakes + of_key, unseen + more
    try:
        read_texts(settings.texts)
    except UsageError as error:
        mistakes.append(f"texts: {error}")
    try:
        if not read_users(settings.users):
            unseen.append(f"users: {no_users(settings.users)}")
    except ConfigurationError as error:
        mistakes.append(f"users: {error}")
    if mistakes:
        raise ConfigurationError(list_mistakes(path, mistakes))
    return unseen


def look_at_host(key: str, host: str) -> list[str]:
    """Return why no server can listen on an address; an empty list if one can."""
    try:
        # On any free port, because a running program may occupy the configured one.
        family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family[0], family[1]) as listening:
            listening.bind(family[4])
    except OSError as error:
        return [f"{key}: {host} is no address of this box: {error.strerror}; `ip addr` lists them"]
    return []


def look_at_file(key: str, file: Path) -> list[str]:
    """Return why a file cannot be created or written; an empty list if it can."""
    # The folder that a symbolic link leads to, not the folder that it lies in.
    folder = Path(os.path.realpath(file)).parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return [f"{key}: the folder {folder} is missing or cannot be written; create it, or name another"]
    if os.path.exists(file) and not (os.path.isfile(file) and os.access(file, os.R_OK | os.W_OK)):
        return [f"{key}: {file} is no file, or this user cannot write it; change its permissions, or name another"]
    return []


def _look_at_folders(settings: Settings) -> list[str]:
    mistakes = look_at_file("outbox.path", settings.outbox.path)
    bundles = settings.bundles.folder
    # os.path, because the methods of Path raise if a parent folder may not be read.
    if bundles is not None and not os.path.isdir(bundles):
        mistakes.append(f"bundles.folder: {bundles} is no folder; create it, or name another")
    elif bundles is not None and settings.bundles.pull is not None and not os.access(bundles, os.W_OK | os.X_OK):
        mistakes.append(
            f"bundles.folder: this user cannot write {bundles}, and bundles.pull stores bundles there; change its "
            "permissions, or leave pull out"
        )
    if settings.evidence is not None:
        mistakes += look_at_new_folder("evidence.folder", settings.evidence.folder)
    return mistakes


def look_at_new_folder(key: str, folder: Path) -> list[str]:
    """Return why a folder cannot be created or written; an empty list if it can."""
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    try:
        # Some folders have the permissions, and yet nothing can be created in them: /proc, or a read-only file system.
        os.rmdir(tempfile.mkdtemp(prefix=".edge-inspect-check-", dir=there))
    except OSError as error:
        return [
            f"{key}: this user cannot create or write {folder}: {error.strerror}; create it, change the permissions, "
            "or name another"
        ]
    return []
