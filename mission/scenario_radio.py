"""Scenario section of the radio: with it, rates and losses of the contacts follow from where the satellite stands."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from downlink.adaptive_coding import CodingPlan
from downlink.errors import RadioError
from downlink.link_budget import Atmosphere, Radio, atmosphere_of_band
from downlink.modcod import modcod_named
from mission.scenario_section import NonNegativeFloat, Section

Decibels = Annotated[float, Field(ge=-100, le=100)]


class RadioSection(Section):
    """`[radio]`: a DVB-S2 transmitter (CCSDS 131.3-B) and the stations' receivers. Absent: contacts have a constant rate."""

    frequency_ghz: Annotated[float, Field(gt=0, le=50)]
    """Carrier, GHz."""
    eirp_dbw: Decibels
    """Radiated power with antenna gain, feeder losses taken off, dBW."""
    g_over_t_db_per_k: Decibels
    """Antenna gain over system noise temperature, the same at every station, dB/K."""
    symbol_rate_msps: Annotated[float, Field(gt=0, le=10_000)]
    """Channel symbols, millions per second."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of the symbols that carries this camera's frames; the rest belongs to others on board."""
    other_losses_db: NonNegativeFloat = 2.0
    """Pointing, polarisation and demodulator together, dB."""
    zenith_loss_db: NonNegativeFloat | None = None
    """Loss of the air towards the zenith, dB; it grows with the inverse sine of the elevation. Absent: the table of the band
    (S, X or Ka; exceeded for 1 % of the year at a temperate station)."""
    adaptive: bool = True
    """Whether modulation and code rate follow the elevation; false: `modcod` throughout."""
    modcod: str | None = None
    """The fixed modulation and code rate, as in the standard (`QPSK 3/4`); only with `adaptive = false`."""
    margin_db: NonNegativeFloat = 1.0
    """Distance kept between the predicted Es/N0 and the threshold, dB; only with `adaptive = true`."""
    robust_gain_db: NonNegativeFloat = 3.0
    """Alerts are sent with coding that decodes at least so much lower, where there is room below, dB."""
    fade_sigma_db: NonNegativeFloat = 0.0
    """Standard deviation of a fade that is drawn anew for every codeword, dB."""
    unforeseen_loss_db: Annotated[float, Field(ge=0, le=60)] = 0.0
    """What the signal is weaker than the satellite believes, dB: neither its coding nor its plan knows."""
    pilots: bool = True
    """Whether pilot symbols are sent (2.4 % of the symbols)."""
    step_s: Annotated[float, Field(ge=0.1, le=120)] = 10.0
    """Time between two looks at the signal, seconds."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.adaptive and self.modcod is not None:
            raise ValueError(f"modcod = {self.modcod!r} is fixed; set adaptive = false to use it, or remove it")
        if not self.adaptive and self.modcod is None:
            raise ValueError("adaptive = false needs modcod, for example modcod = 'QPSK 3/4'")
        try:
            self.radio()
            self.plan(frame_bytes=1)
        except RadioError as error:
            raise ValueError(str(error)) from error
        return self

    def radio(self) -> Radio:
        """The link budget."""
        frequency_hz = self.frequency_ghz * 1e9
        zenith = self.zenith_loss_db
        atmosphere = atmosphere_of_band(frequency_hz) if zenith is None else Atmosphere.from_zenith(zenith)
        return Radio(
            frequency_hz=frequency_hz,
            eirp_dbw=self.eirp_dbw,
            g_over_t_db_per_k=self.g_over_t_db_per_k,
            symbol_rate_hz=self.symbol_rate_msps * 1e6,
            other_losses_db=self.other_losses_db,
            atmosphere=atmosphere,
        )

    def plan(self, *, frame_bytes: int) -> CodingPlan:
        """How coding follows the signal, for frames of that length."""
        return CodingPlan(
            symbol_rate_hz=self.symbol_rate_msps * 1e6 * self.share,
            frame_bytes=frame_bytes,
            margin_db=self.margin_db,
            fixed=None if self.modcod is None else modcod_named(self.modcod),
            robust_gain_db=self.robust_gain_db,
            fade_sigma_db=self.fade_sigma_db,
            pilots=self.pilots,
        )
