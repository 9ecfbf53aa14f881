"""The packages that the programs import: what brings each, and what to do where one does not load.

Imports nothing but the standard library, so that it can speak when nothing else loads.
"""

from __future__ import annotations

import re

from edge_inspect.edge.errors import DependencyError, EdgeInspectError, UsageError

NEEDED = {
    "numpy": "numpy>=1.23",
    "cv2": "opencv-python>=4.10",
    "simplejpeg": "simplejpeg>=1.8",
    "yaml": "pyyaml>=6.0.2",
    "paho": "paho-mqtt>=2.1",
    "pydantic": "pydantic>=2.8",
    "openvino": "openvino>=2025.0",
    "cryptography": "cryptography>=3.4",
}
"""What every box needs: the requirement, as in pyproject.toml, by the module that is imported."""

EXTRAS = {
    **dict.fromkeys(("torch", "torchvision", "timm", "safetensors", "onnx", "onnxscript", "scipy", "tqdm"), "train"),
    "amqtt": "demo",
    "google": "sparkplug",
    "gpiod": "gpio",
    "harvesters": "genicam",
}
"""The extra that brings a module which only some programs need."""

_OWN = "edge_inspect"
OPENCV_LIBRARIES = "apt-get install libgl1 libglib2.0-0 libxcb1"
HEADLESS = "pip uninstall -y opencv-python && pip install --force-reinstall --no-deps opencv-python-headless"


def explain(error: BaseException) -> EdgeInspectError | None:
    """Return the error to show where the import of another package failed; `None` where it was anything else.

    Packages without their shared libraries fail with whatever they like, so the traceback tells, not the type.
    """
    module = failed_import(error)
    if module in NEEDED:
        return DependencyError(
            f"import {module} fails: {_say(error)}; {remedy(module, str(error))}; "
            "edge-inspect doctor looks at everything that is needed"
        )
    if module in EXTRAS:
        extra = EXTRAS[module]
        return UsageError(
            f"this needs the extra [{extra}], and import {module} fails: {_say(error)}; "
            f"pip install 'edge-inspect[{extra}]', or '.[{extra}]' in the repository"
        )
    return None


def failed_import(error: BaseException) -> str | None:
    """Return the package whose import, by a module of this project, raised the error; `None` where none did."""
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
    """Return what to do about a needed module whose import failed with the words `said`."""
    if module == "cv2" and ".so" in said:
        return f"{OPENCV_LIBRARIES} (on a server without a desktop), or {HEADLESS}"
    if module == "cv2" and re.search(r"multiarray|_ARRAY_API|compiled using NumPy 1", said):
        return "OpenCV before 4.10 does not load beside numpy 2: pip install 'numpy<2', or a newer OpenCV"
    if ".so" in said:
        return f"install the library that is named, or pip install --force-reinstall '{NEEDED[module]}'"
    return f"pip install '{NEEDED[module]}'"


def _say(error: BaseException) -> str:
    """Return the first line of what was said: OpenCV's and torch's messages are pages."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
