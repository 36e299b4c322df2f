"""The reference engine: the checkpoint in ultralytics itself. The only flight-side file that imports ultralytics."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from onboard.errors import EngineError
from onboard.torchvision_stand_in import install_torchvision_stand_in, keep_ultralytics_offline


class UltralyticsEngine:
    """`YOLO(path).predict`, its own decoding and suppression included."""

    def __init__(self, path: Path, *, threads: int) -> None:
        keep_ultralytics_offline()
        try:
            # By name: what these two export differs between their versions.
            torch: Any = importlib.import_module("torch")
            install_torchvision_stand_in()
            ultralytics: Any = importlib.import_module("ultralytics")
        except ImportError as error:
            raise EngineError(
                f"the engine ultralytics is not installed ({error}); install the extra `tianshu[train]`, "
                "or choose openvino",
                engine="ultralytics",
            ) from error
        self._torch = torch
        self._threads = threads
        self._network = ultralytics.YOLO(str(path), task="obb")

    def candidates(self, image: np.ndarray, min_score: float) -> np.ndarray:
        # The predictor sets one thread when it is set up, so the count is set before each call.
        self._torch.set_num_threads(self._threads)
        results = self._network.predict(
            self._torch.from_numpy(np.ascontiguousarray(image[None])),
            imgsz=image.shape[-1],
            conf=min_score,
            iou=0.7,
            max_det=1000,
            device="cpu",
            verbose=False,
            save=False,
        )
        found = results[0].obb
        boxes = found.xywhr.double().numpy().reshape(-1, 5)
        return np.column_stack([boxes, found.conf.double().numpy(), found.cls.double().numpy()])

    def submit(self, image: np.ndarray, min_score: float) -> Callable[[], np.ndarray]:
        found = self.candidates(image, min_score)
        return lambda: found
