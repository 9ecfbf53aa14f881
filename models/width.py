"""How many channels a student has inside: as many as its teacher, or half of them."""

from __future__ import annotations

from typing import Literal, get_args

StudentWidth = Literal["full", "half"]
STUDENT_WIDTHS: tuple[str, ...] = get_args(StudentWidth)


def inner_channels(channels: tuple[int, int, int], width: StudentWidth) -> tuple[int, int, int]:
    """Return the channels inside a student whose teacher has `channels`; half of an odd number is rounded up.

    Raises:
        ValueError: There is no such width.
    """
    if width not in STUDENT_WIDTHS:
        raise ValueError(f"student width {width!r} is unknown; there are {', '.join(STUDENT_WIDTHS)}")
    if width == "full":
        return channels
    c1, c2, c3 = channels
    return (c1 + 1) // 2, (c2 + 1) // 2, (c3 + 1) // 2
