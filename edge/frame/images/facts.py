"""The facts that a file gives about its picture, and the reasons to refuse it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """Facts about a picture that are known before it is decoded.

    Attributes:
        orientation: EXIF's number, 1 to 8, for the orientation of the stored picture; 1 is upright.
        white: Value of a white pixel, if the file gives it and it is not the largest value of the type.
        lossy: Whether decoded values can differ from those that were written.
    """

    orientation: int = 1
    white: int | None = None
    lossy: bool = False


class Unreadable(Exception):
    """A picture is refused. The message has the reason and the remedy, without the file's name."""


def cut_off() -> Unreadable:
    """Return the exception for a file that ends before its picture does."""
    return Unreadable("is cut off before its end; copy the file again or remove it")


def damaged(why: object) -> Unreadable:
    """Return the exception for a damaged picture."""
    return Unreadable(f"is damaged: {why}; copy the file again or remove it")


def not_read(what: str) -> Unreadable:
    """Return the exception for a kind of picture that cannot be read, or would be read wrongly."""
    return Unreadable(f"{what}; save it again as PNG, or remove it")
