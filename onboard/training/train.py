"""A lean training loop around ultralytics' network and loss: bfloat16, channels-last, chips drawn as needed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from onboard.training.chip_sampler import ChipBatch, ChipSampler
from onboard.training.ignored_objects import without_classes
from onboard.training.labelled_scene import LabelledScene
from onboard.training.network import Network, build_network, fine_stride_layout, resume_network, torch
from onboard.training.plan import TrainingPlan, learning_rate_at, step_at


def train(
    scenes: Sequence[LabelledScene],
    plan: TrainingPlan,
    *,
    start_from: Path | None = None,
    report: Callable[[str], None] = print,
    on_step: Callable[[int], None] | None = None,
) -> Network:
    """Train on `scenes`, from scratch or from a checkpoint; returns the averaged network in evaluation mode.

    `report` takes a line now and then, `on_step` how many of `plan.steps` are behind, time limit included.
    """
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    channels = len(plan.bands)
    if start_from:
        network = resume_network(start_from, channels=channels, classes=plan.classes)
    else:
        network = build_network(fine_stride_layout(), channels=channels, classes=plan.classes)
    network.train()
    averaged = copy.deepcopy(network).eval()
    loss_of = network.init_criterion()
    optimizer = _optimizer(network, plan)
    learned = [without_classes(scene, plan.ignored_classes) for scene in scenes]
    sampler = ChipSampler(learned, bands=plan.bands, chip_px=plan.chip_px, seed=plan.seed)
    recent: list[float] = []
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=1) as drawer:
        upcoming = drawer.submit(sampler.batch, plan.batch)
        reached = step = 0
        while reached < plan.steps:
            batch = upcoming.result()
            upcoming = drawer.submit(sampler.batch, plan.batch)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(reached, plan)
            recent.append(_step(network, loss_of, optimizer, batch))
            _average(averaged, network, min(plan.averaging, (1 + step) / (10 + step)))
            step += 1
            elapsed_s = time.monotonic() - started
            reached = min(step_at(step, elapsed_s, plan), plan.steps)
            if on_step is not None:
                on_step(reached)
            if step % 50 == 0 or reached == plan.steps:
                rate = step * plan.batch / elapsed_s
                report(f"step {step}/{plan.steps} loss {np.mean(recent[-50:]):.3f} {rate:.1f} chips/s")
    return averaged


def _optimizer(network: Network, plan: TrainingPlan) -> Any:
    """AdamW that decays convolution weights only, not norms and biases."""
    parameters = list(network.parameters())
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=plan.learning_rate,
        betas=(0.9, 0.99),
    )


def _step(network: Network, loss_of: Any, optimizer: Any, batch: ChipBatch) -> float:
    images = torch.from_numpy(batch.images).contiguous(memory_format=torch.channels_last)
    size = float(batch.images.shape[-1])
    boxes = torch.from_numpy(batch.boxes) / torch.tensor([size, size, size, size, 1.0])
    targets = {
        "batch_idx": torch.from_numpy(batch.chip_index).float(),
        "cls": torch.from_numpy(batch.classes).float()[:, None],
        "bboxes": boxes,
    }
    with torch.autocast("cpu", torch.bfloat16):
        predictions = network(images)
    loss, _ = loss_of(_in_float32(predictions), targets)
    loss.sum().backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0 * len(images))
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach().sum()) / len(images)


def _in_float32(value: Any) -> Any:
    """Raw predictions with every tensor in float32: the loss is not made for bfloat16."""
    if isinstance(value, dict):
        return {key: _in_float32(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_float32(inner) for inner in value]
    return value.float()


def _average(averaged: Network, network: Network, decay: float) -> None:
    for kept, current in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(current, 1.0 - decay)
        else:
            kept.copy_(current)
