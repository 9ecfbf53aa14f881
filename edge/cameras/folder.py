from __future__ import annotations

from pathlib import Path

from edge_inspect.edge.cameras import Capture, Place
from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.pace import Pace
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.errors import CameraError, ImageError
from edge_inspect.edge.frame.images import Frame, list_images, nothing_here, read_image
from edge_inspect.edge.text import clean


class FolderCamera:
    """A camera that gives the pictures of a folder, sorted by name. The stem of a file's name is the part's id.

    A picture that cannot be read is a camera error, so that no part passes unnoticed without a verdict. No picture is
    given twice, even if the folder has to be opened again.

    Args:
        address: The folder, with the options `fps` (default 0: as fast as frames are read), `loop` and `bits`.
        place: Position at which to continue.

    Raises:
        CameraError: The folder does not exist or holds no pictures.
    """

    def __init__(self, address: Address, place: Place) -> None:
        self._folder, self._place = Path(address.path), place
        self._images = self._list()
        self._pace = Pace(address.fps or 0.0, place.stopping)
        self.live = self._pace.live
        self._loop, self._bits = address.loop, address.bits
        self._next = sum(path.name <= place.name for path in self._images)

    def read(self, buffer: Frame | None, after: float = 0.0) -> Capture | None:
        """Return the next picture; see `edge.cameras.Camera`."""
        if self._next == len(self._images):
            if not self._loop:
                return None
            self._images, self._next = self._list(), 0  # pictures may have been added or removed
        path = self._images[self._next]
        self._next += 1
        self._place.name = path.name  # set first, because reading may hang
        self._pace.wait()
        try:
            return Capture(read_image(path, self._bits), utc_now(), clean(path.stem))
        except ImageError as error:
            raise CameraError(f"camera: {error}") from error

    def close(self) -> None:
        """Do nothing, because no file stays open."""

    def _list(self) -> list[Path]:
        if not self._folder.is_dir():
            raise CameraError(f"camera folder:{clean(self._folder)}: no such folder")
        try:
            images = list_images(self._folder)
            if not images:
                raise CameraError(f"camera folder:{nothing_here(self._folder)}")
        except ImageError as error:
            raise CameraError(f"camera folder:{error}") from error
        return images
