"""The store of a box's bundles: the folder `bundles.folder`, in which commands find bundles, and into which they fetch.

    NAME@DIGEST.zip       a fetched bundle: the name in its manifest, and the first 16 digits of its digest
    .DIGEST.part          the beginning of a bundle that is being fetched, or whose download broke off
    .DIGEST.part.json     the file that it is the beginning of
    .fetching.lock        the lock of whoever fetches; one bundle is fetched at a time

All other files belong to people, and are only read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_inspect.edge.bundle.archive_check import check_archive
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.download import Download, note_of
from edge_inspect.edge.bundle.patient_http import Pace
from edge_inspect.edge.bundle.search import find_bundles, manifest_digest
from edge_inspect.edge.bundle.signature import PublicKey
from edge_inspect.edge.bundle.web_address import WebAddress
from edge_inspect.edge.configuration.pull_settings import PullSettings
from edge_inspect.edge.configuration.settings import BundleSettings
from edge_inspect.edge.errors import BundleError, PullError
from edge_inspect.edge.files import sync_folder
from edge_inspect.edge.sqlite_file import InUse, lock

log = logging.getLogger(__name__)

SPEED_WINDOW_S = 20.0
_FETCHED = re.compile(r".+@[0-9a-f]{16}([0-9a-f]{48})?\.zip")
_PART = re.compile(r"\.[0-9a-f]{64}\.part(\.json)?")
_LONGEST_NAME = 50
_LOCK = ".fetching"
_TURN_S = 0.2


class WantedBundle(NamedTuple):
    """A bundle that is asked for by its digest.

    Attributes:
        name: Name below `bundles.folder` that is tried first.
        digest: sha256 of its manifest.
        url: URL from which it may be fetched; `None` if it must be there.
    """

    name: str
    digest: str
    url: str | None


class BundleStore:
    """Finds bundles by name or digest, and fetches those that are missing. Any thread may use it.

    Args:
        settings: The section `bundles` of the configuration.
        trusted: Public keys; a bundle is fetched only if there are any.
        context: Makes the context of TLS connections.
        in_use: Returns the paths of the bundles that must not be deleted.
        speed_window_s: Time over which the speed of a server is measured, in seconds.
    """

    def __init__(
        self,
        settings: BundleSettings,
        trusted: Sequence[PublicKey],
        context: Callable[[], ssl.SSLContext],
        in_use: Callable[[], Collection[Path]],
        speed_window_s: float = SPEED_WINDOW_S,
    ) -> None:
        self._settings, self._trusted, self._context, self._in_use = settings, trusted, context, in_use
        self._speed_window_s = speed_window_s
        self._lock = threading.Lock()
        self._claimed: Counter[Path] = Counter()

    def find(self, name: str) -> Path:
        """Return the path of a bundle by its name.

        Raises:
            BundleError: No folder is configured, the name leads out of it, or it holds no bundle of that name.
        """
        if self._settings.folder is None:
            raise BundleError("bundles.folder is not configured; set it to the folder that holds bundles")
        try:
            folder = self._settings.folder.resolve()
            path = (folder / name).resolve()
            there = path.is_relative_to(folder) and path != folder and path.exists()
        except (OSError, ValueError, RuntimeError):  # the name is too long, holds a NUL, or is a circle of links
            there = False
        if not there:
            raise BundleError(f"bundles.folder holds no {name!r}; copy the bundle there")
        return path

    @contextlib.contextmanager
    def provide(self, wanted: WantedBundle, known: Sequence[Path], stopped: Callable[[], bool]) -> Iterator[Bundle]:
        """Yield a bundle with the wanted digest, fetched if need be. It is not deleted before the block ends.

        Args:
            wanted: The bundle.
            known: Paths at which a bundle with that digest was seen, which may lie outside of the folder.
            stopped: Returns whether the service is stopping, which ends a download.

        Raises:
            BundleError: There is no such bundle, and it cannot be fetched.
        """
        bundle = self._look_for(wanted, known)
        if bundle is None:
            bundle = self._fetch(wanted, stopped)
        with self._lock:
            self._claimed[bundle.path] += 1
        try:
            yield bundle
        finally:
            with self._lock:
                self._claimed[bundle.path] -= 1

    def _look_for(self, wanted: WantedBundle, known: Sequence[Path]) -> Bundle | None:
        """Return a bundle that is on the disk, undamaged; `None` if there is none."""
        problem: BundleError | None = None
        for path in self._places(wanted, known):
            try:
                bundle = open_bundle(path, self._trusted)
            except BundleError as error:
                log.warning("%s; the bundle is looked for elsewhere", error)
                problem = error
                continue
            if bundle.digest == wanted.digest:
                with contextlib.suppress(OSError):
                    if _FETCHED.fullmatch(path.name):
                        os.utime(path)  # so that it counts as used now
                return bundle
        if problem is not None and wanted.url is None:
            raise problem
        return None

    def _places(self, wanted: WantedBundle, known: Sequence[Path]) -> Iterator[Path]:
        yield from (path for path in known if manifest_digest(path) == wanted.digest)
        if self._settings.folder is None:
            return
        with contextlib.suppress(BundleError):
            named = self.find(wanted.name)
            if manifest_digest(named) == wanted.digest:
                yield named
        yield from find_bundles(self._settings.folder, wanted.digest)

    def _fetch(self, wanted: WantedBundle, stopped: Callable[[], bool]) -> Bundle:
        folder, pull = self._settings.folder, self._settings.pull
        if wanted.url is None:
            raise BundleError(
                f"bundles.folder holds no bundle with the digest {wanted.digest}; copy it there, or send the command "
                "with a url"
            )
        if pull is None or folder is None or not self._trusted:
            raise PullError(
                f"bundles.folder holds no bundle with the digest {wanted.digest}, and bundles.pull is not configured, "
                "so none is fetched; copy the bundle there, or set bundles.pull.prefixes"
            )
        try:
            address = WebAddress.parse(wanted.url)
        except ValueError as error:
            raise PullError(f"the url {error}") from error
        if not pull.allow(address):
            raise PullError(
                f"the url {address.shown} is under none of bundles.pull.prefixes ({', '.join(pull.prefixes)}); put the "
                "bundle there, or add its prefix"
            )
        pace = Pace(pull.timeout_s, pull.slowest_kb_s * 1000, self._speed_window_s, stopped)
        part = folder.resolve() / f".{wanted.digest}.part"
        download = Download(address, part, pull, self._context, pace)
        try:
            with _locked(part.with_name(_LOCK), pace):
                # Another station of this box may have fetched it meanwhile.
                return self._look_for(wanted, []) or self._download(wanted, pull, download, pace)
        except PullError as error:
            raise PullError(f"{address.shown}: {error}") from error
        except OSError as error:
            raise PullError(f"{folder}: {error.strerror}; let this user write there") from error

    def _download(self, wanted: WantedBundle, pull: PullSettings, download: Download, pace: Pace) -> Bundle:
        part = download.part
        for left in _listed(part.parent, _PART):
            if left not in (part, note_of(part)):
                left.unlink(missing_ok=True)
        log.info("the bundle with the digest %s is fetched", wanted.digest[:16])
        while True:
            download.run()
            try:
                name = self._check(part, wanted.digest, pull.largest_bytes)
                break
            except BundleError as error:
                download.discard()
                said = str(error).replace(f"sign {part}", "sign BUNDLE").replace(str(part), "the bundle")
                if not download.resumed:
                    raise PullError(said) from error
                log.warning(
                    "a file that came in several parts is fetched once more, because it cannot be used: %s", said
                )
                download.resumed = False
        pace.check_time()
        path = _free_place(part.parent, name, wanted.digest)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
        download.discard()
        sync_folder(path.parent)
        log.info("the bundle with the digest %s was fetched, and is stored as %s", wanted.digest[:16], path)
        self._delete_old(path, pull.keep)
        return open_bundle(path, self._trusted)

    def _check(self, part: Path, digest: str, largest: int) -> str:
        """Check a fetched file: its structure, its digest, its signature, and all its files. Return the bundle's name.

        Raises:
            BundleError: It is not the wanted bundle, or not signed with a trusted key.
        """
        check_archive(part, largest)
        found = manifest_digest(part)
        if found is None:
            raise PullError("the .zip holds no bundle: manifest.yaml is missing or damaged; pack the bundle again")
        if found != digest:
            raise PullError(f"the .zip holds another bundle: its digest is {found}, and {digest} was asked for")
        return open_bundle(part, self._trusted).manifest.name

    def _delete_old(self, new: Path, keep: int) -> None:
        """Delete the fetched bundles that were used longest ago, beyond the number that is kept."""
        kept = {path.resolve() for path in self._in_use()} | {new}
        with self._lock:
            kept |= {path.resolve() for path, users in self._claimed.items() if users}
        others = [path for path in _listed(new.parent, _FETCHED) if path.is_file() and path not in kept]
        for path in sorted(others, key=lambda each: -each.stat().st_mtime_ns)[keep:]:
            path.unlink(missing_ok=True)
            log.info("%s: deleted, because newer fetched bundles are kept (bundles.pull.keep)", path)


def _listed(folder: Path, names: re.Pattern[str]) -> list[Path]:
    return [path for path in folder.iterdir() if names.fullmatch(path.name)]


def _free_place(folder: Path, name: str, digest: str) -> Path:
    """Return a path for a fetched bundle at which no other bundle lies."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip(".-")[:_LONGEST_NAME] or "bundle"
    for digits in (digest[:16], digest):
        path = folder / f"{plain}@{digits}.zip"
        if not os.path.lexists(path) or manifest_digest(path) == digest:
            return path
    raise PullError(f"{path}: holds something else than the bundle of its name; remove it")


@contextlib.contextmanager
def _locked(file: Path, pace: Pace) -> Iterator[None]:
    """Hold a lock that threads and processes share; wait for it as long as the pace allows."""
    while True:
        try:
            handle = lock(file)
            break
        except InUse:
            pace.wait(_TURN_S)
    try:
        yield
    finally:
        os.close(handle)
