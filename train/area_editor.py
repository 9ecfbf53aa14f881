"""The picture that areas are drawn on and the file that they are saved to, behind the page of `edge-train regions`."""

from __future__ import annotations

import shlex
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

import cv2
from pydantic import BaseModel, ConfigDict

from edge_inspect.edge.errors import EdgeInspectError, UsageError
from edge_inspect.edge.files import sha256, write_atomically
from edge_inspect.edge.frame.images import read_image
from edge_inspect.edge.program import say
from edge_inspect.edge.text import clean
from edge_inspect.train.area_drawing import DrawnArea, find_problems, read_drawing, write_drawing

LARGEST_FILE = 2**20
"""Largest YAML file that the programs read, in bytes; a request of the page may be as large."""
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class SaveRequest(BaseModel):
    """What the page sends to be checked or saved.

    Attributes:
        areas: The areas, in the order of the page's list.
        version: Version of the file that the page has loaded or saved last.
        replace: Save even if the file has changed since.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    areas: list[DrawnArea]
    version: str = ""
    replace: bool = False


class Refused(Exception):
    """A request that gets an answer other than 200.

    Args:
        status: The HTTP status.
        text: What is wrong and what to do about it; the page shows it.
        more: Further fields of the answer.
    """

    def __init__(self, status: HTTPStatus, text: str, **more: Any) -> None:
        super().__init__(text)
        self.status = status
        self.answer = {"error": text, **more}


class AreaEditor:
    """The picture, and the file that its areas are saved to; its methods may be called from any thread.

    Args:
        picture: The picture to draw on; any that `read_image` reads.
        out: The YAML file; areas that it holds already are edited.
        bits: How many bits the values of a 16-bit picture use; see `read_image`.

    Raises:
        ImageError: The picture cannot be read.
        ConfigurationError: The file cannot be read or is no file of areas.
        UsageError: `out` is a folder, or its areas were drawn on a picture of another size.
    """

    def __init__(self, picture: Path, out: Path, bits: int | None = None) -> None:
        self.picture = picture
        self.out = out
        frame = read_image(picture, bits)
        self.size = (frame.shape[1], frame.shape[0])
        self.png: bytes = cv2.imencode(".png", frame, _FAST)[1].tobytes()
        self.saved = False
        self._saving = threading.Lock()
        if out.is_dir():
            raise UsageError(f"--out {clean(out)}: is a folder; name a file such as {clean(out / 'regions.yaml')}")
        read_drawing(out, self.size)

    def load(self) -> dict[str, Any]:
        """Return what the page shows at its start, with the areas as the file has them now.

        Raises:
            Refused: The file cannot be read any more.
        """
        try:
            version = self._version()
            areas = read_drawing(self.out, self.size)
        except (EdgeInspectError, OSError) as error:
            raise Refused(HTTPStatus.CONFLICT, f"{error}. Mend the file, then reload this page.") from error
        return {
            "picture": clean(self.picture),
            "size": self.size,
            "file": clean(self.out),
            "version": version,
            "areas": [area.model_dump() for area in areas],
        }

    def find_problems(self, request: SaveRequest) -> dict[str, Any]:
        """Return why the areas cannot be saved as they are."""
        return {"problems": [problem.model_dump() for problem in find_problems(request.areas, self.size)]}

    def save(self, request: SaveRequest) -> dict[str, Any]:
        """Write the file, whole or not at all; return its version and the command that uses it.

        Raises:
            Refused: An area has a problem, somebody else has changed the file, or it cannot be written.
        """
        if problems := self.find_problems(request)["problems"]:
            text = "Not saved yet: the list says what has to be changed."
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, text, problems=problems)
        content = write_drawing(request.areas, self.size, self.picture)
        if len(content) > LARGEST_FILE:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Not saved: there are too many points; delete some.")
        name = clean(self.out)
        with self._saving:
            try:
                if self._version() != request.version and not request.replace:
                    raise Refused(HTTPStatus.CONFLICT, f"{name} has changed since this page loaded it.", changed=True)
                write_atomically(self.out, content)
            except OSError as error:
                reason = f"Not saved: {name} cannot be written: {error.strerror}. Your drawing is still here."
                raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, reason) from error
            self.saved = True
            version = self._version()
        command = self._next_command(request.areas)
        counts = ", ".join(f"{sum(area.kind == kind for area in request.areas)} {kind}" for kind in ("look", "ignore"))
        say(f"{name}: saved, areas: {counts}\nNext: {command}")
        return {"version": version, "file": clean(self.out.absolute()), "command": command}

    def close(self) -> None:
        """Wait until a file that is being written is there; none is written afterwards."""
        self._saving.acquire()

    def _version(self) -> str:
        """Return what tells one content of the file from another; empty where there is no file."""
        try:
            return sha256(self.out)
        except FileNotFoundError:
            return ""

    def _next_command(self, areas: list[DrawnArea]) -> str:
        file = shlex.quote(clean(self.out))
        options = [f"--{kind} {file}" for kind in ("look", "ignore") if any(area.kind == kind for area in areas)]
        return " ".join(["edge-train fit --data DIR --out RUN", *options])
