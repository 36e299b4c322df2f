"""The OpenVINO engine: the one that flies. The only file that imports openvino for inference."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from onboard.errors import EngineError
from onboard.network_output import candidates_of

SIZES_KEPT: Final = 8
"""Sizes of image for which the network stays compiled; a search asks for four."""


class OpenVinoEngine:
    """A network on the CPU, as many images at a time as there are `streams`; None: a thread for each.

    On two cores two images at a time take less time than each of them on both. One image more may wait, so that no stream does while the
    next is prepared. A network that takes any size is compiled for each size of image when it is first asked for: compiled for all
    at once it is slower, and slower still whenever the size changes.
    """

    def __init__(self, path: Path, *, threads: int, streams: int | None = None, precision: str = "f32") -> None:
        try:
            import openvino
        except ImportError as error:
            raise EngineError(
                "the engine openvino is not installed; `pip install openvino`, or choose onnxruntime",
                engine="openvino",
            ) from error
        self._core = openvino.Core()
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams or threads,
            # Left to itself the plugin takes bfloat16 where the processor has it, and the same scene
            # gives other detections on other machines.
            "INFERENCE_PRECISION_HINT": precision,
        }
        self._at_a_time = (streams or threads) + 1
        self._network = self._core.read_model(path)
        self._compiled: OrderedDict[tuple[int, ...], _Compiled] = OrderedDict()
        self._in_work: deque[_Run] = deque()

    def candidates(self, image: np.ndarray, min_score: float) -> np.ndarray:
        return self.submit(image, min_score)()

    def submit(self, image: np.ndarray, min_score: float) -> Callable[[], np.ndarray]:
        if len(self._in_work) == self._at_a_time:
            self._end(self._in_work[0])
        run = _Run(self._compiled_for(image.shape), image, min_score)
        self._in_work.append(run)
        return lambda: self._end(run) if run.found is None else run.found

    def _end(self, run: _Run) -> np.ndarray:
        self._in_work.remove(run)
        return run.end()

    def _compiled_for(self, shape: tuple[int, ...]) -> _Compiled:
        if shape in self._compiled:
            self._compiled.move_to_end(shape)
            return self._compiled[shape]
        network = self._network
        if network.input(0).partial_shape.is_dynamic:
            network = network.clone()
            network.reshape([1, *shape])
        while len(self._compiled) >= SIZES_KEPT:
            self._compiled.popitem(last=False)
        self._compiled[shape] = _Compiled(self._core.compile_model(network, "CPU", self._settings))
        return self._compiled[shape]


class _Compiled:
    """The network for one size of image, with the requests that are idle."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._idle: list[Any] = []

    def take(self) -> Any:
        return self._idle.pop() if self._idle else self._network.create_infer_request()

    def give(self, request: Any) -> None:
        self._idle.append(request)


class _Run:
    """An image in work, or what was found in it."""

    def __init__(self, compiled: _Compiled, image: np.ndarray, min_score: float) -> None:
        self.found: np.ndarray | None = None
        """None while in work."""
        self._compiled, self._min_score = compiled, min_score
        self._request = compiled.take()
        # The request reads the array's own memory: it is kept until the end.
        self._input: np.ndarray | None = np.ascontiguousarray(image[None])
        self._request.start_async([self._input], share_inputs=True)

    def end(self) -> np.ndarray:
        try:
            self._request.wait()
            self.found = candidates_of(self._request.get_output_tensor(0).data, self._min_score)
        finally:
            self._compiled.give(self._request)
            self._input = None
        return self.found
