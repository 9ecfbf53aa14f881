"""A file that is fetched by HTTP into a part file, and goes on where an earlier attempt broke off."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import logging
import re
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

from edge_inspect.edge import __version__
from edge_inspect.edge.bundle.patient_http import Pace, PatientConnection, explain
from edge_inspect.edge.bundle.web_address import WebAddress
from edge_inspect.edge.configuration.pull_settings import MB, PullSettings
from edge_inspect.edge.errors import PullError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

PAUSE_S = 0.25
"""Wait before the next request after one that broke off, in seconds; it doubles with each fruitless one."""
_BLOCK = 1 << 18
_ROOM_EVERY = 1 << 22
_REDIRECTS, _MOST_REDIRECTS = (301, 302, 303, 307, 308), 5
_LATER = (408, 425, 429)
"""Statuses below 500 that say that a later request may be answered."""
_MOST_FRUITLESS = 5
"""Number of requests in a row that may bring nothing."""
_LONGEST_VALIDATOR = 512


class _Broken(Exception):
    """A request broke off; the next one may go on from there."""


class _Beginning(NamedTuple):
    """What an earlier response said of the file whose first bytes are in the part file.

    Attributes:
        url: The URL of the command, without its query: a signature in it may be another one by the next command.
        validator: Its strong ETag, or its Last-Modified: the part file goes on only if it is still the same.
        size: Size of the whole file in bytes; `None` if unknown.
    """

    url: str
    validator: str
    size: int | None


class Download:
    """Fetches one file.

    Args:
        address: URL of the file; it lies under a prefix of the settings.
        part: The part file. What it holds is used if the server still has the same file.
        settings: Prefixes and bounds.
        context: Makes the context of TLS connections.
        pace: Deadline and lowest speed.

    Attributes:
        part: The part file.
        resumed: Whether the file was put together from several responses.
    """

    def __init__(
        self,
        address: WebAddress,
        part: Path,
        settings: PullSettings,
        context: Callable[[], ssl.SSLContext],
        pace: Pace,
    ) -> None:
        self._address, self.part, self._settings, self._context = address, part, settings, context
        self._pace, self._note = pace, note_of(part)
        self.resumed = False

    def run(self) -> None:
        """Fetch the file, with several requests if the connection breaks.

        Raises:
            PullError: The file cannot be fetched. The part file is left for a later attempt if that can use it.
        """
        fruitless = 0
        while True:
            before = self._size()
            try:
                self._request()
                return
            except ssl.SSLCertVerificationError as error:
                raise PullError(explain(error)) from error
            except OSError as error:
                problem = explain(error)
            except (_Broken, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
            fruitless = 0 if self._size() > before else fruitless + 1
            if fruitless == _MOST_FRUITLESS:
                raise PullError(f"{problem}, {fruitless} times in a row; check the server and send the command again")
            log.info("%s: %s; asking again", self._address.shown, problem)
            self._pace.wait(PAUSE_S * 2**fruitless)

    def discard(self) -> None:
        """Delete the part file, because it can be of no use."""
        with contextlib.suppress(OSError):  # whoever cannot delete it cannot write it either, and says so
            self.part.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def _request(self) -> None:
        beginning = self._read_note()
        have = self._size() if beginning is not None else 0
        if beginning is not None and beginning.size == have:
            self.resumed = True
            return
        headers = {"Accept-Encoding": "identity", "Connection": "close", "User-Agent": f"edge-inspect/{__version__}"}
        if beginning is not None and have:
            headers |= {"Range": f"bytes={have}-", "If-Range": beginning.validator}
        address = self._address
        for _ in range(_MOST_REDIRECTS + 1):
            context = self._context() if address.scheme == "https" else None
            with contextlib.closing(PatientConnection(address, context, self._pace)) as connection:
                response = connection.get(headers)
                if response.status not in _REDIRECTS:
                    self._take(response, beginning, have)
                    return
                address = self._follow(address, response.headers.get("Location"))
        raise PullError(f"the server redirects more than {_MOST_REDIRECTS} times; give the URL of the file itself")

    def _follow(self, address: WebAddress, location: str | None) -> WebAddress:
        """Return the address that a redirect leads to, if it lies under a prefix too."""
        if not location:
            raise PullError("the server redirects, but does not say where; give the URL of the file itself")
        try:
            following = WebAddress.parse(urljoin(str(address), location))
        except ValueError as error:
            raise PullError(f"the server redirects to {location[:200]!r}, which {error}") from error
        if not self._settings.allow(following):
            raise PullError(
                f"the server redirects to {following.shown}, which is under none of bundles.pull.prefixes; add its "
                "prefix there if you trust that server, or give another URL"
            )
        return following

    def _take(self, response: http.client.HTTPResponse, beginning: _Beginning | None, have: int) -> None:
        answers = f"the server answers {response.status} {clean(response.reason)[:80]}"
        if response.status >= 500 or response.status in _LATER:
            raise _Broken(answers)
        if response.status == 416:
            self.discard()
            raise _Broken("the server has a shorter file than before")
        if response.status not in (200, 206):
            raise PullError(f"{answers}; correct the URL")
        if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
            raise PullError(f"the server compresses the file ({coding[:80]!r}); let it send .zip files as they are")
        if response.status == 200:
            have, size = 0, response.length
        else:
            have, size = self._check_range(response, beginning, have)
            self.resumed = True
        if size is not None and size > self._settings.largest_bytes:
            self._refuse_size(size)
        self._check_room((size or 0) - have)
        if response.status == 200:
            self._write_note(response, size)
        self._receive(response, have, size)

    def _check_range(
        self, response: http.client.HTTPResponse, beginning: _Beginning | None, have: int
    ) -> tuple[int, int]:
        """Return where a partial response begins, and the size of the whole file."""
        found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", response.headers.get("Content-Range", ""))
        validators = (response.headers.get("ETag"), response.headers.get("Last-Modified"))
        fits = (
            beginning is not None
            and found is not None
            and int(found[1]) == have
            and beginning.size in (None, int(found[2]))
            and (not any(validators) or beginning.validator in validators)
        )
        if not fits or found is None:
            self.discard()
            raise _Broken("the server sends another part than the one that was asked for")
        return have, int(found[2])

    def _receive(self, response: http.client.HTTPResponse, have: int, size: int | None) -> None:
        room_at = have
        with self._open(have) as file:
            while size is None or have < size:
                block = response.read1(_BLOCK if size is None else min(_BLOCK, size - have))
                if not block:
                    break
                have += len(block)
                if have > self._settings.largest_bytes:
                    self._refuse_size(have)
                if have >= room_at + _ROOM_EVERY:
                    self._check_room(0)
                    room_at = have
                rest = memoryview(block)
                with self._writing():
                    while rest:
                        rest = rest[file.write(rest) :]
        if size is not None and have < size:
            raise _Broken(f"the connection broke off after {have} of {size} bytes")

    def _open(self, have: int) -> io.FileIO:
        """Open the part file to write on after its first bytes, without a buffer whose flush could fail later."""
        with self._writing():
            file = self.part.open("ab", buffering=0)
            file.truncate(have)
        return file

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an error of the disk into a `PullError`, and give the room back."""
        try:
            yield
        except OSError as error:
            self.discard()
            raise PullError(
                f"{self.part.parent}: cannot be written: {error.strerror}; make room there, and let this user write"
            ) from error

    def _check_room(self, missing: int) -> None:
        keep = self._settings.keep_free_bytes
        with self._writing():
            free = shutil.disk_usage(self.part.parent).free
        if free - missing >= keep:
            return
        self.discard()
        raise PullError(
            f"{self.part.parent}: the disk has {free / MB:.0f} MB free, {missing / MB:.0f} MB are still to come, and "
            f"{keep / MB:.0f} MB must stay free (bundles.pull.keep_free_mb); make room"
        )

    def _refuse_size(self, size: int) -> None:
        self.discard()
        raise PullError(
            f"the file has {size / MB:.1f} MB or more, and bundles.pull.largest_mb is {self._settings.largest_mb:g}; "
            "raise it if the bundle is that large"
        )

    def _size(self) -> int:
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def _read_note(self) -> _Beginning | None:
        """Return what is known of the part file; `None` if the download has to begin anew."""
        try:
            fields = json.loads(self._note.read_bytes())
            beginning = _Beginning(str(fields["url"]), str(fields["validator"]), fields["size"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        known = beginning.size is None or (isinstance(beginning.size, int) and self._size() <= beginning.size)
        return beginning if known and beginning.url == self._address.shown else None

    def _write_note(self, response: http.client.HTTPResponse, size: int | None) -> None:
        etag, changed = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
        validator = etag if etag.startswith('"') else changed
        with self._writing():
            self.part.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        if not validator or len(validator) > _LONGEST_VALIDATOR:  # then nobody can tell whether the file has changed
            return
        beginning = _Beginning(self._address.shown, validator, size)
        with self._writing():
            write_atomically(self._note, json.dumps(beginning._asdict()).encode())


def note_of(part: Path) -> Path:
    """Return the file beside a part file that says of which file it is the beginning."""
    return part.with_name(part.name + ".json")
