"""Scenario sections of the contacts: computed from the orbit, or listed one by one."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mission.scenario_link import BurstSection, Loss
from mission.scenario_section import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Section


class ContactsSection(Section):
    """`[contacts]`: where contacts come from, and how much they carry."""

    source: Literal["orbit", "list"] = "orbit"
    """`orbit`: the windows of `[orbit]` over its stations. `list`: the `[[contact]]` entries."""
    downlink_bps: PositiveInt = 1_000_000
    """Rate to the ground of contacts from the orbit, bits per second, whole transfer frames counted; without `[radio]`."""
    uplink_bps: NonNegativeInt = 64_000
    """Rate to the satellite of contacts from the orbit, bits per second; 0: the stations only listen."""
    ground_delay_ms: NonNegativeInt = 20
    """Delay between antenna and control centre, one way, milliseconds; the light time from the orbit is added."""
    horizon_h: PositiveFloat = 24.0
    """How far ahead windows are computed, hours from the mission's start."""
    max_contacts: PositiveInt | None = None
    """Only the first so many contacts are used. Absent: all."""
    min_duration_s: NonNegativeFloat = 30.0
    """Windows from the orbit that are shorter are left out, seconds."""
    capacity_raw_fraction: PositiveFloat | None = None
    """The contacts together carry at most this share of the captured raw bytes (0.01 is 1 %). Rates and AOS stay, every
    contact is cut to the same share of its natural duration. Absent: natural durations."""


class ContactSection(Section):
    """One of `[[contact]]`, for `source = "list"`."""

    station: Annotated[str, Field(min_length=1)] = "listed"
    """Name of the ground station."""
    aos_s: NonNegativeFloat
    """Acquisition of signal, seconds after the mission's start."""
    duration_s: Annotated[float, Field(ge=0.001)]
    """Time from acquisition to loss of signal, seconds."""
    downlink_bps: PositiveInt
    """Rate to the ground, bits per second."""
    uplink_bps: NonNegativeInt = 64_000
    """Rate to the satellite, bits per second."""
    delay_ms: NonNegativeInt = 25
    """One-way delay, milliseconds."""
    frame_loss: Loss | None = None
    """Mean share of downlink frames lost in this contact. Absent: as in `[channel]`."""
    burst: BurstSection | None = None
    """Shape of this contact's bursts. Absent: as in `[channel]`."""

    @model_validator(mode="after")
    def _one_mean(self) -> Self:
        if self.burst is not None and (self.frame_loss is None) == (self.burst.p_good_to_bad is None):
            raise ValueError(
                "with a burst of its own a contact gives exactly one of frame_loss and burst.p_good_to_bad"
            )
        return self
