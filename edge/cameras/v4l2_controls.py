"""Video4Linux requests that OpenCV does not offer: which formats, sizes and control values a device allows.

Numbers and layouts are taken from linux/videodev2.h and linux/v4l2-controls.h.
"""

from __future__ import annotations

import fcntl
import os
import struct
from types import TracebackType

from edge_inspect.edge.errors import CameraError

_QUERYCTRL, _QUERYCTRL_FORM = 0xC0445624, "=II32s4iI2I"
_S_CTRL, _S_CTRL_FORM = 0xC008561C, "=Ii"
_ENUM_FMT, _ENUM_FMT_FORM = 0xC0405602, "=III32s4sI3I"
_ENUM_FRAMESIZES, _ENUM_FRAMESIZES_FORM = 0xC02C564A, "=I4sI6I2I"
_CAPTURE, _DISCRETE = 1, 1
_EXPOSURE_AUTO, _EXPOSURE_ABSOLUTE = 0x009A0901, 0x009A0902
_GAIN, _AUTOGAIN = 0x00980913, 0x00980912
_MANUAL = 1
_EXPOSURE_UNIT_US = 100
_DISABLED = 1


class Controls:
    """Formats, sizes and controls of a Video4Linux device, which is opened a second time beside OpenCV.

    Args:
        path: The device file.
        name: Name of the camera in messages.

    Raises:
        CameraError: The file cannot be opened.
    """

    def __init__(self, path: str, name: str) -> None:
        self._name = name
        try:
            self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise CameraError(f"camera {name}: {error.strerror}; v4l2-ctl --list-devices lists the devices") from error

    def __enter__(self) -> Controls:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def check_format(self, wanted: str) -> None:
        """Check that the device offers a pixel format.

        Raises:
            CameraError: The device does not offer it; the message lists those that it does.
        """
        formats = self._formats()
        if wanted not in formats:
            raise CameraError(f"camera {self._name}: format cannot be {wanted}; allowed: {', '.join(formats)}")

    def check_size(self, wanted: tuple[int, int], form: str | None) -> None:
        """Check that the device offers a frame size, in one pixel format or in any.

        Raises:
            CameraError: The device does not offer it; the message lists those that it does.
        """
        allowed: list[str] = []
        for name in self._formats() if form is None else [form]:
            for low, high, step in self._sizes(name):
                sides = zip(wanted, low, high, step, strict=True)
                if all(a <= side <= b and (side - a) % (s or 1) == 0 for side, a, b, s in sides):
                    return
                allowed.append(f"{low[0]}x{low[1]}" + (f" to {high[0]}x{high[1]}" if high != low else ""))
        sizes = ", ".join(dict.fromkeys(allowed))
        raise CameraError(f"camera {self._name}: size cannot be {wanted[0]}x{wanted[1]}; allowed: {sizes}")

    def set_exposure_and_gain(self, exposure: float | None, gain: float | None) -> None:
        """Set the exposure in microseconds and the gain in the device's unit, and turn off their automatic modes.

        Raises:
            CameraError: The device does not have the control, or refuses the value.
        """
        if exposure is not None:
            if self._range(_EXPOSURE_AUTO):
                self._set(_EXPOSURE_AUTO, _MANUAL)
            self._set_number("exposure", _EXPOSURE_ABSOLUTE, exposure, _EXPOSURE_UNIT_US)
        if gain is not None:
            if self._range(_AUTOGAIN):
                self._set(_AUTOGAIN, 0)
            self._set_number("gain", _GAIN, gain, 1)

    def _set_number(self, option: str, control: int, value: float, unit: int) -> None:
        bounds = self._range(control)
        if bounds is None:
            raise CameraError(f"camera {self._name}: the device has no control for {option}; leave the option out")
        low, high, step = (unit * bound for bound in bounds)
        if not low <= value <= high or (value - low) % step:
            raise CameraError(
                f"camera {self._name}: {option} cannot be {value:g}; allowed: {low} to {high} in steps of {step}"
            )
        self._set(control, int(value // unit))

    def _set(self, control: int, value: int) -> None:
        try:
            fcntl.ioctl(self._file, _S_CTRL, struct.pack(_S_CTRL_FORM, control, value))
        except OSError as error:
            raise CameraError(f"camera {self._name}: 0x{control:x} refuses {value}: {error.strerror}") from error

    def _range(self, control: int) -> tuple[int, int, int] | None:
        """Return the lowest value, highest value and step of a control; `None` if the device does not have it."""
        fields = self._ask(_QUERYCTRL, struct.pack(_QUERYCTRL_FORM, control, *[0, b"", *[0] * 7]))
        if fields is None:
            return None
        _, _, _, low, high, step, _, flags, *_ = struct.unpack(_QUERYCTRL_FORM, fields)
        return None if flags & _DISABLED else (low, high, max(1, step))

    def _formats(self) -> list[str]:
        found: list[str] = []
        while fields := self._ask(_ENUM_FMT, struct.pack(_ENUM_FMT_FORM, len(found), _CAPTURE, 0, b"", b"", *[0] * 4)):
            found.append(struct.unpack(_ENUM_FMT_FORM, fields)[4].decode("ascii", "replace"))
        return found

    def _sizes(self, form: str) -> list[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
        """Return the smallest size, the largest and the step of each range of sizes. A single size is a range too."""
        found: list[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = []
        question = (form.encode(), *[0] * 9)
        while fields := self._ask(_ENUM_FRAMESIZES, struct.pack(_ENUM_FRAMESIZES_FORM, len(found), *question)):
            _, _, kind, a, b, c, d, e, f, *_ = struct.unpack(_ENUM_FRAMESIZES_FORM, fields)
            if kind == _DISCRETE:
                found.append(((a, b), (a, b), (1, 1)))
            else:  # min width, max width, step, min height, max height, step
                found.append(((a, d), (b, e), (c, f)))
                break
        return found

    def _ask(self, question: int, fields: bytes) -> bytes | None:
        """Return the kernel's answer; `None` after the last entry of a list, or if there is no such control."""
        try:
            return fcntl.ioctl(self._file, question, fields)
        except OSError:
            return None
