"""A request of OpenVINO with its input and its output."""

from __future__ import annotations

import logging

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame

log = logging.getLogger(__name__)


class Slot:
    """A request of a compiled network. Input and output are written in place, so that no tensor is created per frame.

    Args:
        network: The compiled network, from (1, height, width, 3) uint8 to a map of the same size.

    Raises:
        RuntimeError: OpenVINO cannot make a request.
    """

    def __init__(self, network: ov.CompiledModel) -> None:
        self._request = network.create_infer_request()
        self.input: Frame = self._request.get_input_tensor().data[0]
        self._output: NDArray[np.float32] = self._request.get_output_tensor().data.reshape(self.input.shape[:2])
        self._begun = 0

    def compute(self) -> NDArray[np.float32]:
        """Return the map of what the input holds, (height, width) float32, valid until the slot's next one.

        Raises:
            EngineError: OpenVINO failed.
        """
        try:
            self._request.infer()
        except RuntimeError as error:
            raise _failed(error) from error
        return self._output

    def begin(self, tile: Frame) -> int:
        """Begin to compute the map of a tile, and return its number. If the one before was not read, it is lost.

        Raises:
            EngineError: OpenVINO failed.
        """
        self.end()
        self._begun += 1
        self.input[:] = tile
        try:
            self._request.start_async()
        except RuntimeError as error:
            raise _failed(error) from error
        return self._begun

    def wait(self, number: int) -> NDArray[np.float32] | None:
        """Wait for the map of a number, and return it as `compute` does; `None` if another one was begun after it.

        Raises:
            EngineError: OpenVINO failed.
        """
        if number != self._begun:
            return None
        try:
            self._request.wait()
        except RuntimeError as error:
            raise _failed(error) from error
        return self._output

    def end(self) -> None:
        """Wait until nothing is being computed, whether it fails or not."""
        try:
            self._request.wait()
        except RuntimeError as error:
            log.debug("a map that nobody reads has failed: %s", error)


def _failed(error: RuntimeError) -> EngineError:
    return EngineError(f"OpenVINO failed on a frame: {error}")
