"""The network's shape and its checkpoint, in ultralytics' own terms. The training side's edge to torch."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onboard.torchvision_stand_in import install_torchvision_stand_in, keep_ultralytics_offline

keep_ultralytics_offline()
install_torchvision_stand_in()

# By name, because the two lines above must come first and because neither has types worth checking.
torch: Any = importlib.import_module("torch")
ultralytics: Any = importlib.import_module("ultralytics")
tasks: Any = importlib.import_module("ultralytics.nn.tasks")
settings: Any = importlib.import_module("ultralytics.utils")

Network = Any
"""An ultralytics `OBBModel`."""


def fine_stride_layout() -> dict[str, Any]:
    """An OBB network of ultralytics' blocks with heads at strides 4 and 8 in place of 8, 16 and 32.

    A ship is 5 to 12 px wide: at stride 8 that is one cell. Nothing here is longer than 60 px, so the coarse heads have nothing to
    find; the coarse features stay, they tell land from water. Few plain convolutions and one residual block a stage: training
    on a CPU spends most of its time moving activations, and YOLO26's many narrow layers move more of them.
    """
    up = [-1, 1, "nn.Upsample", [None, 2, "nearest"]]
    return {
        "nc": 1,
        "end2end": False,
        "reg_max": 1,
        "activation": "nn.ReLU(inplace=True)",
        "scales": {"n": [1.0, 1.0, 1024]},
        "scale": "n",
        "backbone": [
            [-1, 1, "Conv", [24, 3, 2]],
            [-1, 1, "Conv", [48, 3, 2]],
            [-1, 1, "Bottleneck", [48, True]],
            [-1, 1, "Conv", [80, 3, 2]],
            [-1, 1, "Bottleneck", [80, True]],
            [-1, 1, "Conv", [112, 3, 2]],
            [-1, 1, "Bottleneck", [112, True]],
            [-1, 1, "Conv", [128, 3, 2]],
            [-1, 1, "Bottleneck", [128, True]],
            [-1, 1, "SPPF", [128, 5]],
        ],
        "head": [
            up,
            [[-1, 6], 1, "Concat", [1]],
            [-1, 1, "Conv", [112, 1, 1]],
            [-1, 1, "Conv", [112, 3, 1]],
            up,
            [[-1, 4], 1, "Concat", [1]],
            [-1, 1, "Conv", [80, 1, 1]],
            [-1, 1, "Conv", [80, 3, 1]],
            up,
            [[-1, 2], 1, "Concat", [1]],
            [-1, 1, "Conv", [64, 1, 1]],
            [-1, 1, "Conv", [64, 3, 1]],
            [[21, 17], 1, "OBB", ["nc", 1]],
        ],
    }


def build_network(layout: dict[str, Any] | str, *, channels: int = 3, classes: Sequence[str] = ("ship",)) -> Network:
    """A network with fresh weights (from torch's own seed), in channels-last order, ready for training."""
    network = tasks.OBBModel(layout, ch=channels, nc=len(classes), verbose=False)
    network.args = settings.IterableSimpleNamespace(**{**settings.DEFAULT_CFG_DICT, "task": "obb"})
    network.names = dict(enumerate(classes))
    return network.to(memory_format=torch.channels_last)


def save_checkpoint(network: Network, path: Path, *, notes: dict[str, Any]) -> None:
    """Write the weights as fp16 in the form that `ultralytics.YOLO(path)` loads; `notes` says how they came about."""
    bare = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format).half().eval()
    bare.args = dict(vars(network.args))
    bare.criterion = None
    for parameter in bare.parameters():
        parameter.requires_grad = False
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "epoch": -1,
            "model": bare,
            "ema": None,
            "optimizer": None,
            "train_args": {"task": "obb", "imgsz": 640},
            "version": ultralytics.__version__,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "license": "AGPL-3.0-or-later",
            "notes": notes,
        },
        path,
    )


def resume_network(path: Path, *, channels: int = 3, classes: Sequence[str] = ("ship",)) -> Network:
    """A network ready to be trained further from the weights of a checkpoint.

    Layers that the other number of channels or classes makes another shape start fresh.
    """
    network = build_network(fine_stride_layout(), channels=channels, classes=classes)
    held, fresh = load_network(path).state_dict(), network.state_dict()
    fitting = {name: value for name, value in held.items() if name in fresh and value.shape == fresh[name].shape}
    if not fitting:
        raise ValueError(
            f"{path} holds no layer of this network; leave out --start-from, or name a checkpoint made here"
        )
    network.load_state_dict(fitting, strict=False)
    return network


def mean_network(paths: Sequence[Path]) -> Network:
    """The network whose weights are the mean of those of several checkpoints of one training (Izmailov et al. 2018, arXiv:1803.05407)."""
    networks = [load_network(path) for path in paths]
    held = [network.state_dict() for network in networks]
    mean = {
        name: torch.stack([weights[name] for weights in held]).mean(dim=0) if value.dtype.is_floating_point else value
        for name, value in held[-1].items()
    }
    networks[-1].load_state_dict(mean)
    networks[-1].args = settings.IterableSimpleNamespace(**{**settings.DEFAULT_CFG_DICT, "task": "obb"})
    return networks[-1]


def load_network(path: Path) -> Network:
    """The network of a checkpoint, float32, evaluation mode."""
    network, _ = tasks.load_checkpoint(path)
    return network
