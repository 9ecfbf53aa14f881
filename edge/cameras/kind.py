"""What a kind of camera says of itself, before anything of it is loaded."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from edge_inspect.edge.cameras.options import Reader
from edge_inspect.edge.cameras.split import Split, split_path
from edge_inspect.edge.finding import Finding

if TYPE_CHECKING:
    from edge_inspect.edge.cameras import Camera, Place
    from edge_inspect.edge.cameras.address import Address


@dataclass(frozen=True)
class CameraKind:
    """A kind of camera.

    Attributes:
        scheme: What its URIs begin with.
        about: What it is, for people.
        source: The module in this package and what opens the camera there, `MODULE:CALLABLE`. It takes the `Address`,
            and the `Place` to go on at where the kind is recorded.
        options: How the value of each option is read. One that is no attribute of `Address` is in its `others`.
        recorded: It gives pictures from files, and goes on where it was when it is opened again.
        exclusive: It gives its frames to one program, and one station of it.
        may_be_empty: Its URI need not say which camera.
        split: Takes the URI apart.
        look: Returns what `doctor` says of packages that this kind alone needs. It imports nothing but the standard
            library before it is called.
    """

    scheme: str
    about: str
    source: str
    options: Mapping[str, Reader]
    recorded: bool = False
    exclusive: bool = False
    may_be_empty: bool = False
    split: Split = split_path
    look: Callable[[], list[Finding]] = list

    def open(self, address: Address, place: Place) -> Camera:
        """Open a camera of this kind.

        Raises:
            CameraError: The source is not there, refuses a value, or a package is missing.
        """
        module, _, name = self.source.partition(":")
        make: Any = getattr(importlib.import_module(f"edge_inspect.edge.cameras.{module}"), name)
        return cast("Camera", make(address, place) if self.recorded else make(address))
