"""GObject introspection, through which Python uses GStreamer and Aravis."""

from __future__ import annotations

import importlib
from typing import Any

from edge_inspect.edge.errors import CameraError
from edge_inspect.edge.finding import Finding

_GSTREAMER = "gstreamer1.0-plugins-good gir1.2-gst-plugins-base-1.0"
PACKAGES = {"Gst": _GSTREAMER, "GstApp": _GSTREAMER, "Aravis": "gir1.2-aravis-0.8"}
"""Debian packages that provide each namespace. They are needed beside python3-gi, which provides GLib."""


def load(name: str, version: str) -> Any:
    """Load a namespace such as `Gst` in a version such as `1.0`.

    Raises:
        CameraError: PyGObject or the namespace is not installed.
    """
    try:
        gi = importlib.import_module("gi")
        gi.require_version(name, version)
        return importlib.import_module(f"gi.repository.{name}")
    except (ImportError, ValueError) as error:
        raise CameraError(
            f"camera: {name} {version} cannot be loaded: {error}; apt install python3-gi {PACKAGES.get(name, '')}, and "
            "a venv made with --system-site-packages"
        ) from error


def look_for_gstreamer() -> list[Finding]:
    """Look for the libraries that run the pipelines of `gst:`, in the order in which the camera tries them."""
    found = _look_for("gstreamer", "gst", ("Gst", "1.0"), ("GstApp", "1.0"))
    if not found.found:
        try:
            import cv2

            if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
                found = Finding("gstreamer", True, "through OpenCV, which does not tell when a frame was taken")
        except Exception:  # another finding reports a missing or broken OpenCV
            pass
    return [found]


def look_for_aravis() -> list[Finding]:
    """Look for Aravis."""
    return [_look_for("aravis", "aravis", ("Aravis", "0.8"))]


def _look_for(what: str, scheme: str, *namespaces: tuple[str, str]) -> Finding:
    try:
        for name, version in namespaces:
            load(name, version)
    except CameraError as error:
        return Finding(what, False, f"{str(error).removeprefix('camera: ')}; only for {scheme}: cameras")
    except Exception as error:  # the package is installed but broken
        return Finding(what, False, f"does not load: {error}")
    return Finding(what, True, f"{namespaces[0][0]} {namespaces[0][1]} by GObject introspection")
