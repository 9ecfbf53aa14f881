"""The roles of the page's users. Imports only the standard library."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["viewer", "operator", "engineer"]
ROLES: tuple[Role, ...] = get_args(Role)
"""The roles. Each may do everything that the one before it may do."""
