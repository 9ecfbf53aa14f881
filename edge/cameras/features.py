"""GenICam features by their standard names (SFNC 2.7 and the older names): each value is checked, then set."""

from __future__ import annotations

from typing import Protocol

from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.errors import CameraError

EXPOSURE = ("ExposureTime", "ExposureTimeAbs")
GAIN = ("Gain", "GainRaw")
RATE = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs")


class Nodes(Protocol):
    """The features of a camera. Every method may raise a `CameraError`."""

    def has(self, name: str) -> bool:
        """Return whether the camera has a feature that can be set now."""

    def bounds(self, name: str) -> tuple[float, float, float]:
        """Return the lowest value, the highest value and the step of a number at present; step 0 allows any value."""

    def choices(self, name: str) -> list[str]:
        """Return the values that an enumeration can have now."""

    def set(self, name: str, value: float | str) -> None:
        """Set a number, a switch or an enumeration."""


def configure(nodes: Nodes, address: Address) -> None:
    """Set all options of a camera's URI.

    Raises:
        CameraError: The camera does not have the feature, or does not allow the value.
    """
    _configure_trigger(nodes, address)
    if address.format is not None:
        _choose(nodes, address, "format", "PixelFormat", address.format)
    _configure_region(nodes, address)
    for option, value, names in (("exposure", address.exposure, EXPOSURE), ("gain", address.gain, GAIN)):
        if value is not None:
            automatic = "ExposureAuto" if option == "exposure" else "GainAuto"
            if nodes.has(automatic):  # set first, because the automatic mode locks the value
                nodes.set(automatic, "Off")
            _set_number(nodes, address, option, _find(nodes, address, option, names), value)
    if address.fps is not None:
        for switch in ("AcquisitionFrameRateEnable", "AcquisitionFrameRateEnabled"):
            if nodes.has(switch):
                nodes.set(switch, True)
        # Set last, because the highest frame rate depends on region and exposure.
        _set_number(nodes, address, "fps", _find(nodes, address, "fps", RATE), address.fps)


def _configure_trigger(nodes: Nodes, address: Address) -> None:
    """Turn off all triggers, which the last user may have left on; then set the one for the start of a frame."""
    if nodes.has("AcquisitionMode"):
        nodes.set("AcquisitionMode", "Continuous")
    for selector in nodes.choices("TriggerSelector") if nodes.has("TriggerSelector") else []:
        nodes.set("TriggerSelector", selector)
        if nodes.has("TriggerMode"):
            nodes.set("TriggerMode", "Off")
    if address.trigger is None:
        return
    _find(nodes, address, "trigger", ("TriggerMode",))
    if nodes.has("TriggerSelector"):
        _choose(nodes, address, "trigger", "TriggerSelector", "FrameStart")
    _choose(nodes, address, "trigger", "TriggerSource", address.trigger)
    nodes.set("TriggerMode", "On")


def _configure_region(nodes: Nodes, address: Address) -> None:
    if address.size is None and address.region is None:
        return
    option = "size" if address.region is None else "region"
    x, y, width, height = address.region or (0, 0, *(address.size or ()))
    for offset in ("OffsetX", "OffsetY"):  # set first, because the largest width and height depend on them
        if nodes.has(offset):
            nodes.set(offset, nodes.bounds(offset)[0])
    for name, value in (("Width", width), ("Height", height), ("OffsetX", x), ("OffsetY", y)):
        if value or name in ("Width", "Height"):
            _set_number(nodes, address, option, _find(nodes, address, option, (name,)), value)


def _set_number(nodes: Nodes, address: Address, option: str, name: str, value: float) -> None:
    low, high, step = nodes.bounds(name)
    if not low <= value <= high or (step and (value - low) % step):
        steps = f" in steps of {step:g}" if step > 1 else " in whole numbers" if step else ""
        unit = {"exposure": " µs", "fps": " frames per second"}.get(option, "")
        raise CameraError(
            f"camera {address.shown}: {option}: {name} cannot be {value:g}; allowed: {low:g} to {high:g}{unit}{steps}"
        )
    nodes.set(name, value)


def _choose(nodes: Nodes, address: Address, option: str, name: str, value: str) -> None:
    choices = nodes.choices(_find(nodes, address, option, (name,)))
    found = next((choice for choice in choices if choice.lower() == value.lower()), None)
    if found is None:
        raise CameraError(f"camera {address.shown}: {option}: {name} cannot be {value}; allowed: {', '.join(choices)}")
    nodes.set(name, found)


def _find(nodes: Nodes, address: Address, option: str, names: tuple[str, ...]) -> str:
    name = next((name for name in names if nodes.has(name)), None)
    if name is None:
        raise CameraError(f"camera {address.shown}: has no {' or '.join(names)}; leave out the option {option}")
    return name
