"""GObject introspection, by which Python uses GStreamer and Aravis."""

from __future__ import annotations

import importlib
from typing import Any

from edge_inspect.edge.errors import CameraError

_GSTREAMER = "gstreamer1.0-plugins-good gir1.2-gst-plugins-base-1.0"
PACKAGES = {"Gst": _GSTREAMER, "GstApp": _GSTREAMER, "Aravis": "gir1.2-aravis-0.8"}
"""What brings a namespace, beside python3-gi, which brings GLib."""


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
