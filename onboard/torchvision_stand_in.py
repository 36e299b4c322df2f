"""Let ultralytics import beside a CPU torch whose torchvision wheel was built for CUDA.

Such a torchvision raises "operator torchvision::nms does not exist" on import, and with it fail predict, val and
train of ultralytics. Only its `nms` is ever asked for here, and for oriented boxes not even that.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import tempfile
import types
from pathlib import Path


def install_torchvision_stand_in() -> bool:
    """Put a two-module stand-in for torchvision into `sys.modules` if the installed one cannot be imported.

    Returns True if the stand-in is in place, False if the real torchvision works.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        package = types.ModuleType("torchvision")
        operators = types.ModuleType("torchvision.ops")
        for module in (package, operators):
            module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        package.__dict__.update(ops=operators, __version__="0", __path__=[])
        operators.__dict__["nms"] = _torch_nms
        sys.modules["torchvision"] = package
        sys.modules["torchvision.ops"] = operators
        return True
    return getattr(sys.modules["torchvision"], "__version__", "") == "0"


def keep_ultralytics_offline() -> None:
    """Set the environment that keeps ultralytics from resolving hosts, posting events and fetching fonts.

    Takes effect only before the first import of ultralytics.
    """
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    if "YOLO_CONFIG_DIR" not in os.environ:
        settings_dir = Path(tempfile.gettempdir()) / "tianshu-ultralytics"
        settings_dir.mkdir(parents=True, exist_ok=True)
        os.environ["YOLO_CONFIG_DIR"] = str(settings_dir)


def _torch_nms(boxes, scores, iou_threshold: float):  # type: ignore[no-untyped-def]
    """`torchvision.ops.nms` by ultralytics' own implementation: indices of the kept boxes, best first."""
    nms = importlib.import_module("ultralytics.utils.nms")
    return nms.TorchNMS.nms(boxes, scores, iou_threshold)
