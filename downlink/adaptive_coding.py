"""Adaptive coding and modulation: from Es/N0 along a pass to the steps of a contact's rate (pure).

The satellite knows its orbit and the station, so the predicted Es/N0 decides: in every step of time the modulation and code
rate that carries most among those whose threshold lies at least the margin below the prediction (variable coding and
modulation of CCSDS 131.3-B, which may change from codeword to codeword). A fixed one can be asked for instead. Frames
that must come through (alerts) use one that decodes some decibels lower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from downlink.contact import RateStep
from downlink.errors import RadioError
from downlink.modcod import MOST_ROBUST, ModCod, frame_error_rate, more_robust, strongest_carrier


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSample:
    """The signal at one time of a pass."""

    at_ms: int
    """Unix ms UTC."""
    es_n0_db: float
    """Symbol energy over noise density, dB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingPlan:
    """How coding follows the signal, validated at birth (raises RadioError)."""

    symbol_rate_hz: float
    """Channel symbols per second that carry these frames."""
    frame_bytes: int
    """Length of a transfer frame."""
    margin_db: float
    """Distance kept between the prediction and the threshold."""
    fixed: ModCod | None = None
    """Used throughout instead of following the signal."""
    robust_gain_db: float = 3.0
    """Robust frames decode at least so much lower, where there is room below."""
    fade_sigma_db: float = 0.0
    """Standard deviation of the fade that the prediction does not know, dB."""
    pilots: bool = True
    """Whether pilot symbols are sent, which most receivers of moving transmitters need."""

    def __post_init__(self) -> None:
        if not (self.symbol_rate_hz > 0 and self.frame_bytes > 0):
            raise RadioError(
                f"{self.symbol_rate_hz} symbols/s with frames of {self.frame_bytes} bytes: both are above 0"
            )
        if min(self.margin_db, self.robust_gain_db, self.fade_sigma_db) < 0:
            raise RadioError(
                f"margin {self.margin_db} dB, robust gain {self.robust_gain_db} dB, fade {self.fade_sigma_db} dB: none is negative"
            )

    def choice(self, es_n0_db: float) -> ModCod:
        """What is used at a predicted Es/N0: the most robust one where nothing keeps the margin."""
        return self.fixed or strongest_carrier(es_n0_db - self.margin_db) or MOST_ROBUST

    def rate_bps(self, modcod: ModCod) -> int:
        """Bits of transfer frames per second, at least 1."""
        return max(1, modcod.frame_rate_bps(self.symbol_rate_hz, self.frame_bytes, pilots=self.pilots))


def rate_steps(
    plan: CodingPlan, samples: Sequence[SignalSample], *, unforeseen_loss_db: float = 0.0
) -> tuple[RateStep, ...]:
    """One step from every sample to the next, for at least two samples in order of time.

    A step goes by the weaker of the two samples, so the margin holds throughout where the signal rises or falls evenly.
    `unforeseen_loss_db` weakens the signal after the choice: what really happens where the prediction is wrong by so much.
    Raises RadioError.
    """
    if len(samples) < 2 or any(latter.at_ms <= former.at_ms for former, latter in pairwise(samples)):
        raise RadioError(f"{len(samples)} samples of the signal: give at least two, in order of time")
    return tuple(_step(plan, former, latter, unforeseen_loss_db) for former, latter in pairwise(samples))


def _step(plan: CodingPlan, former: SignalSample, latter: SignalSample, unforeseen_loss_db: float) -> RateStep:
    modcod = plan.choice(min(former.es_n0_db, latter.es_n0_db))
    robust = more_robust(modcod, plan.robust_gain_db)
    if robust.threshold_db >= modcod.threshold_db:
        robust = modcod
    loss = _mean_loss(plan, modcod, former, latter, unforeseen_loss_db)
    robust_loss = _mean_loss(plan, robust, former, latter, unforeseen_loss_db)
    return RateStep(
        from_ms=former.at_ms,
        downlink_bps=plan.rate_bps(modcod),
        frame_loss=loss,
        modcod=modcod.name,
        es_n0_db=(former.es_n0_db + latter.es_n0_db) / 2 - unforeseen_loss_db,
        robust_bps=plan.rate_bps(robust),
        robust_frame_loss=min(loss, robust_loss),
    )


def _mean_loss(
    plan: CodingPlan, modcod: ModCod, former: SignalSample, latter: SignalSample, unforeseen_loss_db: float
) -> float:
    """Loss of frames over a step: Simpson's rule between its ends."""
    middle_db = (former.es_n0_db + latter.es_n0_db) / 2
    at_ends_and_middle = [
        frame_error_rate(modcod, es_n0_db - unforeseen_loss_db, plan.frame_bytes, fade_sigma_db=plan.fade_sigma_db)
        for es_n0_db in (former.es_n0_db, middle_db, latter.es_n0_db)
    ]
    return min(1.0, (at_ends_and_middle[0] + 4 * at_ends_and_middle[1] + at_ends_and_middle[2]) / 6)
