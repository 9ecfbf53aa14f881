"""A web server with a signed bundle, and a box that may fetch from it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_bundle
from file_server import FileServer, Served
from signed_bundle import SigningKey, pack

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.signature import read_public_key
from edge_inspect.edge.bundle.store import BundleStore, WantedBundle
from edge_inspect.edge.configuration.settings import BundleSettings
from edge_inspect.edge.errors import BundleError


class Plant:
    """A web server with one signed bundle, `flange.zip`, and the store of a box."""

    def __init__(self, work: Path, server: FileServer) -> None:
        self.work, self.server = work, server
        self.key = SigningKey(work)
        self.made = small_bundle.write(work / "flange")
        self.key.sign(self.made.path)
        self.served = self.serve("flange.zip", pack(self.made.path, work / "flange.zip"))
        self.folder = work / "bundles"
        self.folder.mkdir()
        self.trusted = [read_public_key(self.key.public)]
        self.in_use: set[Path] = set()
        self.stopped = False

    @property
    def url(self) -> str:
        return f"{self.server.url}/bundles/flange.zip"

    @property
    def asked(self) -> list[str | None]:
        """The `Range` of each request."""
        return [wanted for _, wanted in self.server.asked]

    def serve(self, name: str, data: bytes) -> Served:
        self.server.files[f"/bundles/{name}"] = Served(data)
        return self.server.files[f"/bundles/{name}"]

    def store(self, context: Callable[[], ssl.SSLContext] = ssl.create_default_context, **pull: Any) -> BundleStore:
        prefixes = pull.pop("prefixes", [f"{self.server.url}/bundles/"])
        window = pull.pop("speed_window_s", 20.0)
        settings = BundleSettings(
            folder=self.folder,
            public_keys=[self.key.public],
            pull={"prefixes": prefixes, "keep_free_mb": 0, "slowest_kb_s": 0, **pull},
        )
        return BundleStore(settings, self.trusted, context, lambda: self.in_use, window)

    def fetch(self, store: BundleStore | None = None, url: str | None = None, digest: str | None = None) -> Bundle:
        wanted = WantedBundle("flange", digest or self.made.digest, self.url if url is None else url)
        with (store or self.store()).provide(wanted, [], lambda: self.stopped) as bundle:
            return bundle

    def refused(self, *arguments: Any, **named: Any) -> str:
        """Why the fetch is refused; the folder then has no new bundle."""
        before = self.listed()
        with pytest.raises(BundleError) as caught:
            self.fetch(*arguments, **named)
        assert self.listed() == before
        return str(caught.value)

    def listed(self) -> list[str]:
        """The bundles in the folder."""
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))

    def parts(self) -> list[Path]:
        """What is left of downloads."""
        return sorted(path for path in self.folder.iterdir() if ".part" in path.name)
