"""The setting `bundles.pull`: the web servers from which stations may fetch bundles, and the bounds of that."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from edge_inspect.edge.bundle.web_address import WebAddress
from edge_inspect.edge.configuration.section import Section

MB = 1_000_000


class PullSettings(Section):
    """Bundles that the command bundle fetches from a web server."""

    prefixes: list[str] = Field(
        min_length=1,
        description="URLs of the folders from which bundles may be fetched, such as "
        "https://central.example/bundles/; plain http is used only for a prefix that begins with http://",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file with the CAs of the servers' certificates; default: the CAs that this system trusts",
    )
    largest_mb: float = Field(
        default=500.0, ge=0.01, le=100_000, description="largest size of a bundle in MB, both packed and unpacked"
    )
    keep_free_mb: float = Field(
        default=512.0, ge=0, le=1e9, description="MB that must stay free on the disk; no bundle is fetched below that"
    )
    timeout_s: float = Field(
        default=600.0,
        ge=1,
        le=86400,
        description="longest time in seconds for fetching one bundle, with all waits and repeated requests",
    )
    slowest_kb_s: float = Field(
        default=1.0,
        ge=0,
        le=1e6,
        description="a server that sends less than this many kB a second, over 20 seconds, is given up",
    )
    keep: int = Field(
        default=4,
        ge=1,
        le=100,
        description="number of fetched bundles that are kept beside those in use; those used longest ago are deleted",
    )

    @field_validator("prefixes")
    @classmethod
    def _prefixes_are_urls(cls, prefixes: list[str]) -> list[str]:
        for prefix in prefixes:
            try:
                WebAddress.parse_prefix(prefix)
            except ValueError as error:
                raise ValueError(f"{prefix!r} {error}") from error
        return prefixes

    def allow(self, address: WebAddress) -> bool:
        """Return whether an address lies under one of the prefixes."""
        return any(address.is_under(WebAddress.parse_prefix(prefix)) for prefix in self.prefixes)

    @property
    def largest_bytes(self) -> int:
        """Largest size of a bundle, in bytes."""
        return int(self.largest_mb * MB)

    @property
    def keep_free_bytes(self) -> int:
        """Bytes that must stay free on the disk."""
        return int(self.keep_free_mb * MB)
