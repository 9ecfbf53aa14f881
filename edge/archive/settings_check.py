"""Checks everything that the configuration of the archive names, for `edge-inspect check --archive`."""

from __future__ import annotations

from pathlib import Path

from edge_inspect.edge.archive.settings import ArchiveSettings
from edge_inspect.edge.configuration.file import list_mistakes, look_at_file, look_at_new_folder
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.mqtt.credentials import check_credential, check_credentials


def check_archive_settings(path: Path, settings: ArchiveSettings) -> list[str]:
    """Check the folders, the database's file and the credentials that a configuration names.

    Args:
        path: The configuration file, for messages.
        settings: Its content.

    Returns:
        The credentials that cannot be checked, because systemd shows them to the service only.

    Raises:
        ConfigurationError: Something is missing or cannot be used; the message lists all of it.
    """
    mistakes, unseen = check_credentials(settings.mqtt)
    mistakes += look_at_new_folder("data", settings.data)
    if settings.password_file is not None:
        of_password, more = check_credential("password_file", settings.password_file)
        mistakes, unseen = mistakes + of_password, unseen + more
    if settings.sqlite_file is not None:
        mistakes += look_at_file("database", settings.sqlite_file)
    if settings.pictures is not None and "://" not in settings.pictures:
        mistakes += look_at_new_folder("pictures", Path(settings.pictures))
    if mistakes:
        raise ConfigurationError(list_mistakes(path, mistakes))
    return unseen
