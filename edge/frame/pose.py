"""Where a part lies in a frame, against where it lies in the reference picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.contract.fields import NotFound

ABSENT: Final = "absent"
"""Detail of a pose that was not found: nothing in the frame resembles the part."""

UNCLEAR: Final = "unclear"
"""Detail: something resembles the part, but too little of it (blur, another product, a hidden label)."""

GLARE: Final = "glare"
"""Detail: the part was not found, and much more of the frame is saturated than of the reference."""

OUTSIDE: Final = "outside"
"""Detail: the part lies partly outside the frame, or is shifted farther than allowed."""

TURNED: Final = "turned"
"""Detail: the part is turned farther than allowed."""

UPSIDE_DOWN: Final = "upside_down"
"""Detail: the part is turned by about half a turn."""

SEVERAL: Final = "several"
"""Detail: a second part is in the frame."""

Matrix = NDArray[np.float64]
"""(2, 3): the first two columns turn a point (x, y), the last column shifts it; pixel centres on whole numbers."""


@dataclass(frozen=True)
class Pose:
    """Where the part lies in one frame.

    A point of the reference picture lies in the frame at `centre + shift + turn(point - centre)`.

    Attributes:
        shift: x and y in frame pixels by which the middle of the part is displaced from the reference.
        angle: Degrees by which the part is turned, counter-clockwise as seen, as in `cv2.getRotationMatrix2D`.
        confidence: How well the part's edges were found again, from 0 to 1.
        detail: Why the part was not found where it is allowed to lie; `None` if it was.
        centre: x and y of the part's middle in the reference picture, in pixels.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    confidence: float = 1.0
    detail: NotFound | None = None
    centre: tuple[float, float] = (0.0, 0.0)

    @property
    def found(self) -> bool:
        """Whether the part was found where it is allowed to lie. Only then may the frame be judged."""
        return self.detail is None

    @property
    def moved(self) -> bool:
        """Whether the part lies elsewhere than in the reference."""
        return self.shift != (0.0, 0.0) or self.angle != 0.0

    @property
    def to_frame(self) -> Matrix:
        """(2, 3): brings points of the reference, and of the aligned frame, to the frame."""
        turn, centre = turning(self.angle), np.array(self.centre)
        return np.column_stack([turn, centre + self.shift - turn @ centre])


def turning(degrees: float) -> NDArray[np.float64]:
    """Return the (2, 2) matrix that turns points counter-clockwise as seen; y points down."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, s], [-s, c]])
