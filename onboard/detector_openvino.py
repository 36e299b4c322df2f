"""The OpenVINO engine: the one that flies. The only file that imports openvino for inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onboard.errors import EngineError
from onboard.network_output import candidates_of


class OpenVinoEngine:
    """One compiled network on the CPU, one image at a time."""

    def __init__(self, path: Path, *, threads: int, precision: str = "f32") -> None:
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
            "NUM_STREAMS": 1,
            # Left to itself the plugin takes bfloat16 where the processor has it, and the same scene
            # gives other detections on other machines.
            "INFERENCE_PRECISION_HINT": precision,
        }
        self._request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def candidates(self, image: np.ndarray, min_score: float) -> np.ndarray:
        self._request.infer([np.ascontiguousarray(image[None])], share_inputs=True)
        return candidates_of(self._request.get_output_tensor(0).data, min_score)
