"""Scenario sections of the contacts: computed from the orbit, or listed one by one."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mission.scenario_link import BurstSection, Loss
from mission.scenario_section import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Section


class ContactsSection(Section):
    """`[contacts]`: where contacts come from, and how much they carry."""

    source: Literal["orbit", "list", "repeating"] = "orbit"
    """`orbit`: the windows of `[orbit]` over its stations. `list`: the `[[contact]]` entries. `repeating`: the same window every
    `period_s`, counted from the Unix epoch, so that every program that reads this file has the same contacts."""
    downlink_bps: PositiveInt = 1_000_000
    """Rate to the ground of contacts that are not listed, bits per second, whole transfer frames counted; without `[radio]`."""
    uplink_bps: NonNegativeInt = 64_000
    """Rate to the satellite of contacts that are not listed, bits per second; 0: the stations only listen."""
    station: Annotated[str, Field(min_length=1)] = "repeating"
    """Name of the ground station of repeating contacts."""
    offset_s: NonNegativeFloat = 0.0
    """Acquisition of signal of repeating contacts after each whole period, seconds, below `period_s`."""
    period_s: Annotated[float, Field(ge=0.5)] | None = None
    """From one acquisition of signal to the next, seconds; only with `source = "repeating"`."""
    duration_s: Annotated[float, Field(ge=0.001)] | None = None
    """From acquisition to loss of signal, seconds, at most `period_s`; only with `source = "repeating"`."""
    delay_ms: NonNegativeInt = 25
    """One-way delay of repeating contacts, milliseconds."""
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

    @model_validator(mode="after")
    def _one_rhythm(self) -> Self:
        if self.source != "repeating":
            said = sorted({"station", "offset_s", "period_s", "duration_s", "delay_ms"} & self.model_fields_set)
            if said:
                raise ValueError(
                    f'{", ".join(said)}: only for repeating contacts; set contacts.source = "repeating", or remove them'
                )
            return self
        if self.period_s is None or self.duration_s is None:
            raise ValueError('source = "repeating" needs period_s and duration_s')
        if self.duration_s > self.period_s or self.offset_s >= self.period_s:
            raise ValueError(
                f"a contact of duration_s = {self.duration_s} at offset_s = {self.offset_s} does not fit period_s = "
                f"{self.period_s}; the duration is at most the period, the offset below it"
            )
        return self


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
