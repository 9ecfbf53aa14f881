"""The packages that the programs import: how to install each, and what to do if one does not load.

This module imports only the standard library, so that it works when nothing else loads.
"""

from __future__ import annotations

import importlib.util
import re

from edge_inspect.edge.errors import DependencyError, EdgeInspectError, UsageError

NEEDED = {
    "numpy": "numpy>=1.23",
    "cv2": "opencv-python>=4.10.0.84",
    "simplejpeg": "simplejpeg>=1.8",
    "yaml": "pyyaml>=6.0.2",
    "paho": "paho-mqtt>=2.1",
    "pydantic": "pydantic>=2.8",
    "openvino": "openvino>=2025.0",
    "cryptography": "cryptography>=3.4",
}
"""The modules that every box needs, each with its requirement in pyproject.toml."""

EXTRAS = {
    **dict.fromkeys(("torch", "torchvision", "timm", "safetensors", "onnx", "onnxscript", "scipy", "tqdm"), "train"),
    "amqtt": "demo",
    **dict.fromkeys(("starlette", "uvicorn", "h11"), "page"),
    **dict.fromkeys(("sqlalchemy", "psycopg", "alembic"), "archive"),
    "pyarrow": "parquet",
    **dict.fromkeys(("ray", "fsspec"), "ray"),
    "asyncua": "opcua",
    "google": "sparkplug",
    "gpiod": "gpio",
    "harvesters": "genicam",
}
"""The modules that only some programs need, each with the extra of edge-inspect that installs it."""

_OWN = "edge_inspect"
OPENCV_LIBRARIES = "apt-get install libgl1 libglib2.0-0 libxcb1"
HEADLESS = "pip uninstall -y opencv-python && pip install --force-reinstall --no-deps opencv-python-headless"


def require(*modules: str) -> None:
    """Find out whether packages of an extra are installed, without importing them.

    Args:
        modules: Names in `EXTRAS`.

    Raises:
        UsageError: One is not installed.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"this needs the extra [{EXTRAS[module]}], and {module} is not installed; {_get(module)}")


def explain(error: BaseException) -> EdgeInspectError | None:
    """Return the error to show if the import of another package failed; `None` for any other error.

    A package that lacks a shared library may raise an error of any type, so this looks at the traceback, not the type.
    """
    module = failed_import(error)
    if module in NEEDED:
        return DependencyError(
            f"import {module} fails: {_say(error)}; {remedy(module, str(error))}; "
            "edge-inspect doctor checks all packages"
        )
    if module in EXTRAS:
        return UsageError(
            f"this needs the extra [{EXTRAS[module]}], and import {module} fails: {_say(error)}; {_get(module)}"
        )
    return None


def failed_import(error: BaseException) -> str | None:
    """Return the package whose import by this project raised the error; `None` if no import raised it."""
    names: list[tuple[str, str]] = []
    step = error.__traceback__
    while step is not None:
        names.append((str(step.tb_frame.f_globals.get("__name__")).split(".")[0], step.tb_frame.f_code.co_name))
        step = step.tb_next
    names = [(module, code) for module, code in names if module != "importlib"]
    ours = max((i for i, (module, _) in enumerate(names) if module in (_OWN, "__main__")), default=-1)
    if ours + 1 < len(names):
        module, code = names[ours + 1]
        return module if code == "<module>" else None
    if isinstance(error, ImportError) and error.name:
        module = error.name.split(".")[0]
        return None if module == _OWN else module
    return None


def remedy(module: str, said: str) -> str:
    """Return what to do if the import of a needed module failed with the message `said`."""
    if module == "cv2" and ".so" in said:
        return f"OpenCV lacks libraries of a desktop: {OPENCV_LIBRARIES}, or {HEADLESS}"
    if module == "cv2" and re.search(r"multiarray|_ARRAY_API|compiled using NumPy 1", said):
        return "OpenCV before 4.10.0.84 does not load beside numpy 2: pip install 'numpy<2', or a newer OpenCV"
    if ".so" in said:
        return f"install the library that the message names, or pip install --force-reinstall '{NEEDED[module]}'"
    return f"pip install '{NEEDED[module]}'"


def _get(module: str) -> str:
    extra = EXTRAS[module]
    return f"pip install 'edge-inspect[{extra}]', or '.[{extra}]' in the repository"


def _say(error: BaseException) -> str:
    """Return the first line of an error's message; those of OpenCV and torch are pages long."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
