"""The roles of the page's users. Imports only the standard library."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["viewer", "operator", "engineer"]
ROLES: tuple[Role, ...] = get_args(Role)
"""The roles. Each may do everything that the one before it may do."""

PURPOSES: dict[Role, str] = {
    "viewer": "look at the stations",
    "operator": "label parts, and pause, resume or trigger a station",
    "engineer": "change thresholds and bundles, teach, and read the audit log",
}
"""What a role adds to the one before it, as the end of a sentence with "may"."""
