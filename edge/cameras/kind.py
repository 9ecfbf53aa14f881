"""The description of a kind of camera. It is known before any code of that kind is loaded."""

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
        scheme: Scheme of its URIs.
        about: Description for help texts.
        source: The callable that opens the camera and its module in this package, as `MODULE:CALLABLE`. It gets the
            `Address` and, if the kind is recorded, the `Place` at which to continue.
        options: Function that reads the value of each option. A value goes to the attribute of `Address` with the same
            name or, if there is none, to its `others`.
        recorded: Whether its frames come from files. When such a camera is reopened, it continues where it was.
        exclusive: Whether only one program, and in it only one station, can use the camera at a time.
        may_be_empty: Whether the URI may leave out which camera is meant.
        split: Function that splits the URI into its parts.
        look: Function that returns what `doctor` reports about packages that only this kind needs. Its module must
            import nothing but the standard library until it is called.
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
            CameraError: The source does not exist or refuses a value, or a package is missing.
        """
        module, _, name = self.source.partition(":")
        make: Any = getattr(importlib.import_module(f"edge_inspect.edge.cameras.{module}"), name)
        return cast("Camera", make(address, place) if self.recorded else make(address))
