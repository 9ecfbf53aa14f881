"""What a picture's file says of itself, and why it may be refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What is known of a picture before it is decoded.

    Attributes:
        orientation: EXIF's number, 1 to 8, of how the stored picture lies; 1 is upright.
        white: The value of a pixel that is white, where the file says it and it is not the type's largest.
        lossy: Whether decoded values scatter around those that were written.
    """

    orientation: int = 1
    white: int | None = None
    lossy: bool = False


class Unreadable(Exception):
    """A picture is refused; the message says why and what to do, without the file's name."""


def cut_off() -> Unreadable:
    """Return what to raise for a file that ends before its picture does."""
    return Unreadable("is cut off before its end; copy the file again or remove it")


def damaged(why: object) -> Unreadable:
    """Return what to raise for a picture with damage inside."""
    return Unreadable(f"is damaged: {why}; copy the file again or remove it")


def not_read(what: str) -> Unreadable:
    """Return what to raise for a kind of picture that is not read, or would be misread."""
    return Unreadable(f"{what}; save it again as PNG, or remove it")
