"""Networks that OpenVINO has compiled on this box, kept on disk: they open in less time and memory than an ONNX.

    CACHE/<precision>-<digest of the key>.openvino    the sha256 of the rest, and OpenVINO's own format

The key is all that the compiled network depends on. A file is complete or absent, and the newest `KEPT` that were used
stay. Only the service should be able to write to this folder.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import mmap
import os
from pathlib import Path

import numpy as np
import openvino as ov

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.processor import describe

log = logging.getLogger(__name__)

KEPT = 20
"""Number of files that are kept; one has 10 to 100 MB."""

SUFFIX = ".openvino"
DIGEST_SIZE = hashlib.sha256().digest_size
SOURCES = ("engines/openvino.py", "engines/openvino_graph.py", "engines/openvino_sums.py", "discrepancy.py")
"""Files of this program that decide what is compiled."""


def compiled_file(folder: Path, bundle: Bundle, precision: Precision, threads: int, several: bool = False) -> Path:
    """Return the path of a bundle's compiled network, whether it exists or not.

    Args:
        folder: The cache.
        bundle: The bundle.
        precision: The precision whose model is compiled.
        threads: Number of processor threads for which it is compiled; 0 means all.
        several: Whether it is compiled for several tiles at a time.
    """
    key = [bundle.digest, precision, threads, several, ov.__version__, describe(), _program()]
    return folder / f"{precision}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}{SUFFIX}"


class KeptNetwork:
    """A compiled network that is mapped from its file.

    OpenVINO reads constants from the mapping, so this object must live as long as what it has imported from it.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is damaged.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            # Nothing is written to it. OpenVINO takes memory as it is only if it could be written to.
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        content = np.frombuffer(self._mapping, np.uint8)
        if hashlib.sha256(content[DIGEST_SIZE:].data).digest() != content[:DIGEST_SIZE].tobytes():
            raise ValueError("it is damaged")
        self.tensor = ov.Tensor(content[DIGEST_SIZE:], shared_memory=True)
        os.utime(path)

    def release_pages(self) -> None:
        """Release the pages that are in memory; those that are needed again are read again.

        OpenVINO reads most of them only once, when it packs the weights.
        """
        self._mapping.madvise(mmap.MADV_DONTNEED)


def find_compiled(path: Path) -> KeptNetwork | None:
    """Return a compiled network; `None` if there is none, or if it cannot be used, which is logged."""
    try:
        return KeptNetwork(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # ValueError also of an empty file
        log.warning("%s: cannot be used: %s; the network is compiled again", path, error)
        return None


def keep_compiled(path: Path, network: bytes) -> None:
    """Keep a compiled network, and delete those that have not been used for the longest time.

    If it cannot be written, that is logged.
    """
    try:
        write_atomically(path, hashlib.sha256(network).digest() + network)
        stored = sorted(path.parent.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in stored[KEPT:]:
            file.unlink(missing_ok=True)
    except OSError as error:
        log.warning(
            "%s: the compiled network cannot be written: %s; the next start compiles it again", path, error.strerror
        )


@functools.cache
def _program() -> str:
    """Return a digest of the source of this program that decides what is compiled."""
    edge = Path(__file__).parents[1]
    return hashlib.sha256(b"".join((edge / name).read_bytes() for name in SOURCES)).hexdigest()
