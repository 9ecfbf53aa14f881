"""Look for all that edge-inspect uses on this box, for `edge-inspect doctor`."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.dependencies import NEEDED, remedy
from edge_inspect.edge.engines.loading import engine_class
from edge_inspect.edge.engines.registry import ENGINES, EVERYWHERE
from edge_inspect.edge.finding import Finding, jetpack, look_for_package, look_for_program, tegra_release
from edge_inspect.edge.processor import features
from edge_inspect.edge.sinks import SINKS, load_sink
from edge_inspect.edge.triggers import TRIGGERS

# Only the standard library is imported at the top, so that doctor works even if no package loads.

USED = {
    "numpy": "from numpy import __version__",
    "cv2": "from cv2 import __version__, imdecode",
    "simplejpeg": "from simplejpeg import __version__, decode_jpeg",
    "yaml": "from yaml import __version__, safe_load",
    "paho": "from paho.mqtt import __version__; from paho.mqtt.enums import CallbackAPIVersion",
    "pydantic": "from pydantic import VERSION as __version__, BaseModel",
    "openvino": "from openvino import __version__, opset13, Core; Core().available_devices",
    "cryptography": (
        "from cryptography import __version__; from cryptography.hazmat.primitives.asymmetric.ed25519 import *"
    ),
}
"""Code that imports each needed module, and runs it if the import alone does not show that it works."""

_OPCUA = "pip install 'edge-inspect[opcua]'; only needed for edge-inspect opcua"
_PAGE = "pip install 'edge-inspect[page]'; only needed for edge-inspect page"
_ARCHIVE = "pip install 'edge-inspect[archive]'; only needed for edge-inspect archive"
ACCELERATED = ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp")
"""Features of processors with instructions for INT8, by their names in /proc/cpuinfo."""


def examine() -> list[Finding]:
    """Return findings about Python, processor, packages, GPU, cameras and systemd. Missing ones raise no exception."""
    python = f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} processors, {sys.executable}"
    system = [
        Finding("python", True, python),
        _processor(),
    ]
    if jetson := tegra_release():
        system.append(Finding("jetson", True, jetson + (f" (JetPack {jetpack()})" if jetpack() else "")))
    needed = [_needed(module) for module in NEEDED]
    whole = all(finding.found for finding in needed)
    return [
        *system,
        *needed,
        _engine(whole),
        *(_choices() if whole else []),
        _int8(whole),
        Finding("engines", True, ", ".join(f"{kind.name} ({kind.runs_on})" for kind in ENGINES.values())),
        *(finding for engine in ENGINES.values() for finding in engine.look()),
        Finding("cameras", True, ", ".join(f"{scheme}:" for scheme in CAMERAS)),
        *(finding for camera in CAMERAS.values() for finding in camera.look()),
        Finding("triggers", True, ", ".join(kind.form for kind in TRIGGERS)),
        *(finding for trigger in TRIGGERS for finding in trigger.look()),
        *(_sink(name, whole) for name in SINKS),
        *(look_for_package(name, _PAGE) for name in ("starlette", "uvicorn")),
        look_for_package("asyncua", _OPCUA),
        *(look_for_package(name, _ARCHIVE) for name in ("sqlalchemy", "psycopg", "alembic")),
        look_for_program("mosquitto", "apt-get install mosquitto; only if this box is also the broker"),
        look_for_program("systemctl", "the service needs systemd to start with the box"),
    ]


def _processor() -> Finding:
    had = features()
    found = [flag for flag in ACCELERATED if flag in had]
    detail = ", ".join(found) if found else "none of " + ", ".join(ACCELERATED) + ": INT8 gains less on this processor"
    return Finding("int8 units", bool(found), detail)


def _needed(module: str) -> Finding:
    """Import a module that every box needs, in a process of its own, because a build for another processor kills it."""
    # Importing edge first keeps OpenVINO from sending telemetry.
    code = f"import edge_inspect.edge; {USED[module]}; print(__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode < 0:
        cause = ": it is for another processor" if done.returncode == -signal.SIGILL else ""
        how = f"import {module} is killed by {signal.Signals(-done.returncode).name}{cause}"
        return Finding(module, False, f"{how}; pip install --force-reinstall '{NEEDED[module]}'", True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return Finding(module, False, f"{said.partition(': ')[2] or said}; {remedy(module, done.stderr)}", True)
    version = done.stdout.split()[-1]
    # The version of an OpenCV that loads does not matter: JetPack's own is older than the one that pip would install.
    if module != "cv2" and _numbers(version) < _numbers(NEEDED[module].partition(">=")[2]):
        return Finding(module, False, f"{version} is too old: pip install '{NEEDED[module]}'", True)
    return Finding(module, True, version, True)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.partition("-")[0])[:3]]


def _engine(whole: bool) -> Finding:
    if not whole:
        return Finding("engine", False, "no engine runs until the missing packages above are installed", True)
    try:
        from edge_inspect.edge.engines.opening import best_engine

        engine_class(EVERYWHERE).check_box()
        name = best_engine()
    except Exception as error:  # a broken package can fail in any way
        return Finding("engine", False, f"no engine runs: {error}", True)
    return Finding(
        "engine", True, f"{name} is the engine that the service uses here; edge-inspect selftest checks it", True
    )


def _choices() -> list[Finding]:
    """Return the precisions that the service has chosen on this box, by the record beside the default outbox."""
    from edge_inspect.edge.configuration.outbox_settings import OutboxSettings
    from edge_inspect.edge.engines.choice_file import CHOICES

    return find_choices(OutboxSettings().path.with_suffix(CHOICES))


def find_choices(record: Path) -> list[Finding]:
    """Return one finding for each bundle whose precision was chosen on this processor with this OpenVINO.

    Args:
        record: The record of a service; if it does not exist, there are no findings.
    """
    from edge_inspect.edge.engines.choice_file import read_choices
    from edge_inspect.edge.processor import describe

    try:
        entries = read_choices(record)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged; remove it, and they are timed again"
        return [Finding("precision", False, f"{record}: cannot be read: {why}")]
    here = (EVERYWHERE, engine_class(EVERYWHERE).version(), describe())
    return [
        Finding("precision", True, f"{entry.name}: {entry.choice}")
        for entry in entries
        if entry.choice is not None and (entry.key.engine, entry.key.version, entry.key.processor) == here
    ]


def _int8(whole: bool) -> Finding:
    """Count the layers that run as INT8. Instructions for INT8 do not say that OpenVINO has kernels that use them."""
    if not whole:
        return Finding("int8 layers", False, "not counted until the missing packages above are installed")
    try:
        from edge_inspect.edge.bundle.bundle import open_bundle
        from edge_inspect.edge.engines.openvino_layers import int8_convolutions
        from edge_inspect.edge.selftest import BUNDLE

        fast, all_of_them = int8_convolutions(open_bundle(BUNDLE))
    except Exception as error:  # a broken package can fail in any way
        return Finding("int8 layers", False, f"cannot be counted: {error}")
    detail = f"OpenVINO runs {fast} of the self-test's {all_of_them} convolutions as INT8"
    if 2 * fast >= all_of_them:
        return Finding("int8 layers", True, detail)
    return Finding(
        "int8 layers", False, f"{detail}, the others as float32; edge-inspect bench says which precision is fast"
    )


def _sink(name: str, whole: bool) -> Finding:
    """Look whether a sink can be used, which is the case if its module loads."""
    if not whole:
        return Finding(f"sink {name}", False, "not checked until the missing packages above are installed")
    try:
        load_sink(name)
    except Exception as error:  # a broken package can fail in any way
        return Finding(
            f"sink {name}", False, f"does not load: {error}; only needed if the configuration says sink: {name}"
        )
    return Finding(f"sink {name}", True, f"gets the messages if the configuration says sink: {name}")
