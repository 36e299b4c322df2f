"""Contacts whose rates and losses follow from the radio and from where the satellite stands."""

from dataclasses import dataclass, replace

import numpy as np
from sgp4.api import Satrec

from downlink.adaptive_coding import SignalSample, rate_steps
from downlink.contact import Contact, RateStep
from downlink.link_budget import Radio
from mission.channel import ChannelRate, ChannelSettings
from mission.orbit import look_angles
from mission.scenario import Scenario
from mission.scenario_radio import RadioSection
from mission.visibility import VisibilityWindow

LARGEST_EXPECTED_LOSS = 0.999
"""A contact states a mean loss below 1; one that loses more than this is not worth planning for either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRates:
    """What a pass carries, step by step."""

    expected: tuple[RateStep, ...]
    """What the satellite reckons with."""
    actual: tuple[RateStep, ...]
    """What happens: another loss where the prediction is wrong."""

    def on(self, contact: Contact, *, other_loss: float) -> Contact:
        """The contact with these rates, a loss beside the radio's added; its constant rate and loss become their means."""
        rates = tuple(_with_loss(step, other_loss) for step in self.expected)
        rated = replace(contact, rates=rates)
        capacity_bytes = max(1, rated.capacity_bytes)
        loss = 1 - rated.expected_bytes / capacity_bytes
        mean_bps = max(1, capacity_bytes * 8000 // contact.duration_ms)
        return replace(rated, downlink_bps=mean_bps, frame_loss=min(LARGEST_EXPECTED_LOSS, max(0.0, loss)))

    def through(self, settings: ChannelSettings) -> ChannelSettings:
        """The channel with these rates; losses of the radio and of the settings strike independently."""
        rates = []
        for step in self.actual:
            lossy = _with_loss(step, settings.loss.mean_loss)
            robust_loss = lossy.frame_loss if lossy.robust_frame_loss is None else lossy.robust_frame_loss
            rates.append(
                ChannelRate(
                    from_ms=step.from_ms,
                    rate_bps=step.downlink_bps,
                    frame_loss=lossy.frame_loss,
                    robust_rate_bps=step.robust_bps or step.downlink_bps,
                    robust_frame_loss=robust_loss,
                )
            )
        return replace(settings, rates=tuple(rates))


def pass_rates(scenario: Scenario, section: RadioSection, satellite: Satrec, window: VisibilityWindow) -> PassRates:
    """The steps of one window."""
    plan = section.plan(frame_bytes=scenario.link.frame_bytes)
    samples = signal_along(section.radio(), satellite, window, step_ms=round(section.step_s * 1000))
    actual = rate_steps(plan, samples, unforeseen_loss_db=section.unforeseen_loss_db)
    return PassRates(expected=rate_steps(plan, samples), actual=actual)


def signal_along(
    radio: Radio, satellite: Satrec, window: VisibilityWindow, *, step_ms: int
) -> tuple[SignalSample, ...]:
    """Es/N0 from AOS to LOS every `step_ms`, both ends included."""
    times_ms = [*range(window.aos_ms, window.los_ms, step_ms), window.los_ms]
    elevations_deg, ranges_km = look_angles(satellite, window.station, np.array(times_ms, dtype=np.float64))
    return tuple(
        SignalSample(at_ms=at_ms, es_n0_db=radio.es_n0_db(range_km=float(range_km), elevation_deg=float(elevation)))
        for at_ms, elevation, range_km in zip(times_ms, elevations_deg, ranges_km, strict=True)
    )


def _with_loss(step: RateStep, other_loss: float) -> RateStep:
    """The step where frames may also be lost to something else, independently."""
    robust = step.robust_frame_loss
    return replace(
        step,
        frame_loss=1 - (1 - step.frame_loss) * (1 - other_loss),
        robust_frame_loss=None if robust is None else 1 - (1 - robust) * (1 - other_loss),
    )
