"""Networks as ONNX that several tests of calibration look at."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from onnx import ModelProto


@pytest.fixture(scope="session")
def exported() -> Callable[[str], ModelProto]:
    """Gives an untrained system of a small teacher as ONNX, for pictures of 64x64; each is exported once a session."""
    from small_teacher import SMALL

    from edge_inspect.calibrate.export import to_onnx
    from edge_inspect.edge.frame.fit import Fit
    from edge_inspect.models.teacher import Teacher
    from edge_inspect.train.systems import system_of

    made: dict[str, ModelProto] = {}

    def export(name: str) -> ModelProto:
        if name not in made:
            made[name] = to_onnx(system_of(name).build(Teacher(SMALL), {}), Fit(64, 64))
        own = ModelProto()
        own.CopyFrom(made[name])
        return own

    return export
