"""The ONNX Runtime engine: smaller to install. The only file that imports onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from onboard.errors import EngineError
from onboard.network_output import candidates_of


class OnnxRuntimeEngine:
    """One session on the CPU, one image at a time; threads share it."""

    def __init__(self, path: Path, *, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(
                "the engine onnxruntime is not installed; `pip install onnxruntime`, or choose openvino",
                engine="onnxruntime",
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input_name = self._session.get_inputs()[0].name

    def candidates(self, image: np.ndarray, min_score: float) -> np.ndarray:
        outputs = self._session.run(None, {self._input_name: np.ascontiguousarray(image[None])})
        return candidates_of(np.asarray(outputs[0]), min_score)

    def submit(self, image: np.ndarray, min_score: float) -> Callable[[], np.ndarray]:
        found = self.candidates(image, min_score)
        return lambda: found
