"""The OpenVINO engine: the one that flies. The only file that imports openvino for inference."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from onboard.errors import EngineError
from onboard.network_output import candidates_of


class OpenVinoEngine:
    """One compiled network on the CPU, as many images at a time as there are `streams`; None: a thread for each.

    On two cores two images at a time take less time than each of them on both. One image more may wait, so that no stream does while the
    next is prepared.
    """

    def __init__(self, path: Path, *, threads: int, streams: int | None = None, precision: str = "f32") -> None:
        try:
            import openvino
        except ImportError as error:
            raise EngineError(
                "the engine openvino is not installed; `pip install openvino`, or choose onnxruntime",
                engine="openvino",
            ) from error
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams or threads,
            # Left to itself the plugin takes bfloat16 where the processor has it, and the same scene
            # gives other detections on other machines.
            "INFERENCE_PRECISION_HINT": precision,
        }
        compiled = core.compile_model(core.read_model(path), "CPU", settings)
        self._idle: list[Any] = [compiled.create_infer_request() for _ in range((streams or threads) + 1)]
        self._in_work: deque[_Run] = deque()

    def candidates(self, image: np.ndarray, min_score: float) -> np.ndarray:
        return self.submit(image, min_score)()

    def submit(self, image: np.ndarray, min_score: float) -> Callable[[], np.ndarray]:
        if not self._idle:
            self._end(self._in_work[0])
        run = _Run(self._idle.pop(), image, min_score)
        self._in_work.append(run)

        return lambda: self._end(run) if run.found is None else run.found

    def _end(self, run: _Run) -> np.ndarray:
        self._in_work.remove(run)
        try:
            return run.end()
        finally:
            self._idle.append(run.request)


class _Run:
    """An image in work, or what was found in it."""

    def __init__(self, request: Any, image: np.ndarray, min_score: float) -> None:
        self.request = request
        self.found: np.ndarray | None = None
        """None while in work."""
        self._min_score = min_score
        # The request reads the array's own memory: it is kept until the end.
        self._input: np.ndarray | None = np.ascontiguousarray(image[None])
        request.start_async([self._input], share_inputs=True)

    def end(self) -> np.ndarray:
        self.request.wait()
        self.found = candidates_of(self.request.get_output_tensor(0).data, self._min_score)
        self._input = None
        return self.found
