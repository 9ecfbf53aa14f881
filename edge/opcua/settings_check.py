"""Checks everything that the configuration of the OPC UA server names, for `edge-inspect check --opcua`."""

from __future__ import annotations

from pathlib import Path

from edge_inspect.edge.configuration.file import list_mistakes, look_at_host, look_at_new_folder
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.mqtt.credentials import check_credential, check_credentials, check_server_credentials
from edge_inspect.edge.mqtt.validity import date_problem
from edge_inspect.edge.opcua.certificates import TrustFolder, user_certificate
from edge_inspect.edge.opcua.settings import OpcuaSettings, nobody
from edge_inspect.edge.page.users import read_users


def check_opcua_settings(path: Path, settings: OpcuaSettings) -> list[str]:
    """Check the address, folders, users and certificates that a configuration names.

    Args:
        path: The configuration file, for messages.
        settings: Its content.

    Returns:
        The credentials that cannot be checked, because systemd shows them to the service only; and a sentence if nobody
        can log in.

    Raises:
        ConfigurationError: Something is missing or cannot be used; the message lists all of it.
    """
    mistakes, unseen = check_credentials(settings.mqtt)
    mistakes += look_at_host("listen.host", settings.listen.host)
    mistakes += look_at_new_folder("data", settings.data)
    if settings.listen.certificate is not None and settings.listen.key is not None:
        found, more = check_server_credentials("listen", settings.listen.certificate, settings.listen.key)
        mistakes, unseen = mistakes + found, unseen + more
    for i, user in enumerate(settings.certificate_users):
        key = f"certificate_users.{i}.certificate"
        found, more = check_credential(key, user.certificate)
        mistakes, unseen = mistakes + found, unseen + more
        if not found and not more:
            try:
                problem = date_problem(user_certificate(key, user.certificate))
                mistakes += [f"{key}: {user.certificate} {problem}"] if problem else []
            except ConfigurationError as error:
                mistakes.append(str(error))
    try:
        if settings.trusted is not None:
            TrustFolder(settings.trusted)
    except ConfigurationError as error:
        mistakes.append(str(error))
    try:
        if not (read_users(settings.users) or settings.certificate_users or settings.anonymous_read):
            unseen.append(f"users: {nobody(settings)}")
    except ConfigurationError as error:
        mistakes.append(f"users: {error}")
    if mistakes:
        raise ConfigurationError(list_mistakes(path, mistakes))
    return unseen
