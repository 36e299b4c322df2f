"""What a training run is told: bands, length, batch, learning rate. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onboard.network_input import InputKind

BANDS = ("B08", "B04", "B03")
"""What every scene in the training data has: near infrared, red, green."""

INPUT_KIND: InputKind = "sqrt_above_dark"
"""How digital numbers reach a network that is trained here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How long and how hard to train."""

    bands: tuple[str, ...] = BANDS
    """What the network sees, in the order of its channels."""
    classes: tuple[str, ...] = ("ship",)
    """Names of the classes, by number."""
    ignored_classes: tuple[int, ...] = ()
    """Labels of these numbers are neither learned nor counted; they may lie beyond `classes`."""
    steps: int = 1000
    """Optimizer steps."""
    limit_s: float | None = None
    """Seconds after which training ends in any case; the learning rate falls with whichever is further on, steps or time."""
    batch: int = 16
    """Chips per step."""
    chip_px: int = 192
    """Side of a chip."""
    learning_rate: float = 2e-3
    """AdamW peak, reached after a warm-up, then a cosine to one hundredth."""
    weight_decay: float = 0.02
    """AdamW decoupled weight decay."""
    averaging: float = 0.995
    """Exponential moving average of the weights: what is kept."""
    seed: int = 0
    """Seeds the first weights and the chips."""
    threads: int = 1
    """Torch threads. Two trainings of one thread each get 1.5 times as far as one of two threads."""


def step_at(step: int, elapsed_s: float, plan: TrainingPlan) -> int:
    """Where on the way of `plan.steps` a training is after `step` steps and `elapsed_s` seconds."""
    if plan.limit_s is None:
        return step
    return max(step, math.ceil(plan.steps * elapsed_s / plan.limit_s) if plan.limit_s > 0 else plan.steps)


def learning_rate_at(step: int, plan: TrainingPlan) -> float:
    """Linear warm-up over a twentieth of the steps, then a cosine down to one hundredth of the peak."""
    warm_up = max(1, plan.steps // 20)
    if step < warm_up:
        return plan.learning_rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, plan.steps - warm_up)
    return plan.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
