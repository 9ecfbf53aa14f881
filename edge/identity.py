"""The identity of a box: an id that the service makes itself, and keeps beside its outbox.

/etc/machine-id is not used, because copies of a disk have the same one, and containers share it or have none. If the
outbox is copied, to another folder or with the whole disk to another box, the copy gets a new id.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.files import write_atomically

log = logging.getLogger(__name__)


class Identity(BaseModel):
    """The content of the identity file.

    Attributes:
        id: Id of the box.
        path: The path at which the file was written; a copy in another folder has another path.
        hardware: Serial numbers and network addresses of the box; empty if it shows none.
    """

    id: str
    path: Path
    hardware: list[str]


_current = secrets.token_hex(6)


def box_id() -> str:
    """Return the id of this box: the one from the identity file, or without a file one that only this process has."""
    return _current


def keep_identity(state: Path, sys: Path = Path("/sys")) -> str:
    """Read the id of this box from its identity file, and return it; make a new id if there is none or it is a copy.

    A file that cannot be read or written is only logged; the id is then another one at the next start.

    Args:
        state: File beside which the identity file lies: the outbox, or the record of the bridge.
        sys: Folder at which sysfs is mounted.
    """
    global _current
    path = state.absolute().with_suffix(".identity")
    hardware = _hardware(sys)
    kept = _read(path)
    if kept is None or (why := _copied(kept, path, hardware)) is not None:
        if kept is not None:
            log.warning("identity %s: %s; this box gets a new id", path, why)
        kept = Identity(id=secrets.token_hex(6), path=path, hardware=hardware)
        try:
            write_atomically(path, kept.model_dump_json().encode() + b"\n")
        except OSError as error:
            log.warning("identity %s: cannot be written: %s; the next start makes another id", path, error)
    _current = kept.id
    return _current


def read_boot_id() -> str:
    """Return the kernel's id of this boot, or a new id if the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return uuid7()


def _read(path: Path) -> Identity | None:
    try:
        return _parse(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or str(error)
    except ValidationError:
        why = "it is empty or damaged"
    log.warning("identity %s: cannot be read: %s; this box gets a new id", path, why)
    return None


def _parse(path: Path) -> Identity:
    return Identity.model_validate_json(path.read_bytes())


def _copied(kept: Identity, path: Path, hardware: list[str]) -> str | None:
    """Return why an identity file does not belong to this box; `None` if it does."""
    if kept.hardware and hardware and not set(kept.hardware) & set(hardware):
        return "it was made on other hardware: it was copied to another box, or the hardware was replaced"
    with suppress(OSError, ValidationError):
        if kept.path != path and _parse(kept.path).id == kept.id:
            return f"it is a copy of {kept.path}"
    return None


def _hardware(sys: Path) -> list[str]:
    """Return the serial number of the board, and the addresses of physical network cards."""
    found = [sys / "firmware/devicetree/base/serial-number", sys / "class/dmi/id/product_uuid"]
    found += [card / "address" for card in sorted(sys.glob("class/net/*")) if (card / "device").exists()]
    texts = []
    for file in found:
        with suppress(OSError):
            text = file.read_text(errors="replace").strip("\0 \n")
            if set(text) - set("0:- "):
                texts.append(text)
    return texts
