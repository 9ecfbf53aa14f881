"""What tells this box from others: an id of its own making, kept beside the state of the service that runs on it.

The machine's own id (/etc/machine-id) does not serve: images of disks carry it along, containers share it or have none.
Where the state itself was copied, with the disk's image to another box or to another folder, the copy gets a new id.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from edge_inspect.edge.files import write_atomically

log = logging.getLogger(__name__)


class Identity(BaseModel):
    """The file's content."""

    id: str
    path: Path
    """Where it was written: a copy lies elsewhere."""
    hardware: list[str]
    """What the box's hardware says of itself; empty where it says nothing."""


_current = secrets.token_hex(6)


def box_id() -> str:
    """Return the id that this process uses: the one kept, or where none is, one that ends with the process."""
    return _current


def keep_identity(state: Path, sys: Path = Path("/sys")) -> str:
    """Use the id kept beside a file of state from now on; make one where there is none, or where it is a copy's.

    A file that cannot be read or written is logged, and is no error: the id is then another one at the next start.

    Args:
        state: The outbox, or the bridge's record.
        sys: Where sysfs is.
    """
    global _current
    path = state.absolute().with_suffix(".identity")
    hardware = _hardware(sys)
    kept = _read(path)
    if kept is None or (why := _copied(kept, path, hardware)) is not None:
        if kept is not None:
            log.warning("identity %s: %s; this one gets an id of its own", path, why)
        kept = Identity(id=secrets.token_hex(6), path=path, hardware=hardware)
        try:
            write_atomically(path, kept.model_dump_json().encode() + b"\n")
        except OSError as error:
            log.warning("identity %s: cannot be written: %s; the id is another one at the next start", path, error)
    _current = kept.id
    return _current


def _read(path: Path) -> Identity | None:
    try:
        return _parse(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or str(error)
    except ValidationError:
        why = "it is empty or damaged"
    log.warning("identity %s: cannot be read: %s; a new id is made", path, why)
    return None


def _parse(path: Path) -> Identity:
    return Identity.model_validate_json(path.read_bytes())


def _copied(kept: Identity, path: Path, hardware: list[str]) -> str | None:
    """Return why an identity is another one's; `None` where it is not."""
    if kept.hardware and hardware and not set(kept.hardware) & set(hardware):
        return "it was made with other hardware: this is a copy on another box, or the hardware was exchanged"
    with suppress(OSError, ValidationError):
        if kept.path != path and _parse(kept.path).id == kept.id:
            return f"it is a copy of {kept.path}"
    return None


def _hardware(sys: Path) -> list[str]:
    """Return the serial number of the board, and the addresses of network cards that are no software."""
    found = [sys / "firmware/devicetree/base/serial-number", sys / "class/dmi/id/product_uuid"]
    found += [card / "address" for card in sorted(sys.glob("class/net/*")) if (card / "device").exists()]
    told = []
    for file in found:
        with suppress(OSError):
            text = file.read_text(errors="replace").strip("\0 \n")
            if set(text) - set("0:- "):
                told.append(text)
    return told
