"""What is known of frame losses: what a station counted, and how sure that makes a sender of the next pass.

The share of frames lost in a pass to come is not a number but a distribution: a Beta (conjugate to the counts), whose
mean is the loss expected and whose weight is the number of frames that one has seen, in effect. Losses in bursts teach
less than independent ones: the variance of their number is larger by (1 + r) / (1 - r), where r is the correlation
between neighbouring frames. In a channel of two states (Elliott 1963) that loses every frame of the bad one,
r = 1 - 1 / (L (1 - p)) for mean burst length L and mean loss p.
"""

from dataclasses import dataclass, replace
from typing import Final

from downlink.errors import ProtectionError

LEAST_LOSS: Final = 1e-4
"""No link is taken to be better than this."""
LARGEST_LOSS: Final = 0.95
"""A link is never given up: what is worth sending is sent."""
LARGEST_WEIGHT_FRAMES: Final = 1e5
"""No belief is surer than this."""
OTHER_PASSES_FRAMES: Final = 60.0
"""What any number of frames counted in earlier passes teaches about the next one: passes differ."""
STRONGEST_CORRELATION: Final = 0.99
PLAN_WEIGHT_FRAMES: Final = 20.0
"""How sure a contact plan is of the loss it states. Where the plan is right this costs 1.5 % of the value delivered against
a plan that is sure; where 10 % were planned and 30 % are lost it delivers 70 % more (`benchmarks/erasure.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossBelief:
    """Frame loss of a pass to come, validated at birth (raises ProtectionError)."""

    mean: float
    """Expected share of frames lost, above 0, below 1."""
    weight_frames: float
    """How sure that is: the frames whose counts would make one as sure; above 0."""
    correlation: float = 0.0
    """Between the losses of neighbouring frames, from 0 (independent) to below 1."""

    def __post_init__(self) -> None:
        if not (0 < self.mean < 1 and self.weight_frames > 0 and 0 <= self.correlation < 1):
            raise ProtectionError(
                f"mean loss {self.mean}, weight {self.weight_frames} frames, correlation {self.correlation}: the mean lies "
                "between 0 and 1, the weight above 0, the correlation from 0 to below 1; see expected_loss"
            )

    @property
    def lost_weight(self) -> float:
        """First parameter of the Beta distribution of the loss."""
        return self.mean * self.weight_frames

    @property
    def heard_weight(self) -> float:
        """Second parameter of the Beta distribution of the loss."""
        return (1 - self.mean) * self.weight_frames

    @property
    def burst_frames(self) -> float:
        """Mean length of a run of lost frames."""
        return 1 / ((1 - self.mean) * (1 - self.correlation))

    def among(self, symbols: int, *, spacing_frames: float) -> "LossBelief":
        """The belief about `symbols` frames of one object that lie so far apart: what is left of bursts makes it less sure.

        The extra variance of their number of losses enters as correlation between any two of them, which a Beta of
        weight w has at 1 / (1 + w).
        """
        left = self.correlation ** max(1.0, spacing_frames)
        if symbols < 2 or left == 0:
            return replace(self, correlation=0.0)
        pairwise = 1 / (1 + self.weight_frames) + min(0.5, 2 * left / ((1 - left) * (symbols - 1)))
        return replace(self, correlation=0.0, weight_frames=max(0.5, 1 / pairwise - 1))


def expected_loss(
    mean: float, *, weight_frames: float = PLAN_WEIGHT_FRAMES, burst_frames: float | None = None
) -> LossBelief:
    """The belief of a contact plan that says no more than a mean loss, and perhaps a mean burst; within sane bounds.

    Raises ProtectionError for numbers that are none.
    """
    if not (0 <= mean <= 1 and weight_frames > 0 and (burst_frames is None or burst_frames >= 1)):
        raise ProtectionError(
            f"frame loss {mean}, weight {weight_frames} frames, bursts of {burst_frames} frames: the loss lies in 0..1, "
            "the weight above 0, a burst has at least 1 frame"
        )
    mean = min(max(mean, LEAST_LOSS), LARGEST_LOSS)
    correlation = 0.0 if burst_frames is None else _correlation(mean, burst_frames)
    return LossBelief(mean=mean, weight_frames=min(weight_frames, LARGEST_WEIGHT_FRAMES), correlation=correlation)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCount:
    """Frames counted at a receiver; adding counts joins them."""

    heard: int = 0
    """Frames that arrived whole."""
    lost: int = 0
    """Frames that did not."""
    bursts: int = 0
    """Runs of lost frames."""

    def __post_init__(self) -> None:
        if self.heard < 0 or not 0 <= self.bursts <= self.lost or (self.lost and not self.bursts):
            raise ProtectionError(
                f"{self.heard} frames heard, {self.lost} lost in {self.bursts} runs: counts are not negative, "
                "and losses come in runs of at least one"
            )

    def __add__(self, other: "LossCount") -> "LossCount":
        return LossCount(heard=self.heard + other.heard, lost=self.lost + other.lost, bursts=self.bursts + other.bursts)

    def after(self, frames_lost: int) -> "LossCount":
        """The count after one more frame was heard behind a gap of `frames_lost` frames (0: no gap)."""
        return self + LossCount(heard=1, lost=frames_lost, bursts=min(1, frames_lost))

    def belief(self, prior: LossBelief, *, most_frames: float = OTHER_PASSES_FRAMES) -> LossBelief:
        """What to expect after these counts, where `prior` was expected before them. They weigh `most_frames` at most."""
        frames = self.heard + self.lost
        if not frames:
            return prior
        correlation = prior.correlation
        if self.bursts:
            # The prior counts as one run.
            burst_frames = (self.lost + prior.burst_frames) / (self.bursts + 1)
            correlation = _correlation(min(self.lost / frames, LARGEST_LOSS), burst_frames)
        taught = min(most_frames, frames * (1 - correlation) / (1 + correlation))
        weight = prior.weight_frames + taught
        mean = (prior.lost_weight + taught * self.lost / frames) / weight
        return LossBelief(
            mean=min(max(mean, LEAST_LOSS), LARGEST_LOSS),
            weight_frames=min(weight, LARGEST_WEIGHT_FRAMES),
            correlation=correlation,
        )


def _correlation(mean: float, burst_frames: float) -> float:
    """Of neighbouring frames, from mean loss and mean burst; bursts as short as independent losses make them give 0."""
    return min(max(0.0, 1 - 1 / (burst_frames * (1 - mean))), STRONGEST_CORRELATION)
