"""Scenario sections of the satellite: sensor, policy, detector, power, store."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mission.scenario_section import NonNegativeFloat, PositiveFloat, PositiveInt, Probability, Section
from onboard.engine_names import EngineName


class SensorSection(Section):
    """`[sensor]`: what the camera takes, and when."""

    band_names: Annotated[tuple[str, ...], Field(strict=False, max_length=13)] | None = None
    """Names of the bands in file order, where the file does not say them (for example B02, B03, B04, B08)."""
    peak_dn: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Digital number that counts as full scale in every PSNR. Absent: 255 for uint8, 10000 for uint16."""
    dn_offset: Annotated[int, Field(ge=0, le=65535)] = 0
    """Digital number of reflectance 0, taken off for screening and detector (Sentinel-2 since baseline 04.00: 1000). Pixels
    are sent as they are."""
    allow_no_crs: bool = False
    """Take scenes without a coordinate reference system; their detections then have pixel coordinates only."""
    capture_interval_s: PositiveFloat = 15.0
    """Time from one capture to the next, seconds."""
    capture_before_first_contact_s: NonNegativeFloat | None = 600.0
    """The first scene is captured this long before the first contact, seconds. Absent or too long: at the mission's start."""


class PolicySection(Section):
    """`[policy]`: what the mission values."""

    file: Annotated[Path, Field(strict=False)] | None = None
    """A policy file; a relative path counts from the scenario file's folder. Absent: the policy that ships."""


class ScreeningSection(Section):
    """`[screening]`: which tiles are not worth looking at."""

    max_cloud_fraction: Probability = 0.7
    """A tile with a larger share of cloud is set aside."""
    keep_what_may_be_snow: bool = False
    """Keep a tile of cloud where the bands do not tell snow from cloud (there is no short-wave infrared)."""


class DetectorSection(Section):
    """`[detector]`: the network that looks at each tile."""

    model: str | None = None
    """Name of a shipped model or path of a model folder. Absent: the model that ships."""
    engine: EngineName | None = None
    """What runs the network. Absent: 8-bit integers where the model has them, else float32, both on OpenVINO."""
    threads: PositiveInt | None = None
    """Threads of the engine. Absent: one for each core the process may use."""


class PricesSection(Section):
    """`[power.prices]`: what each step costs where nothing is measured; docs/energy.md says how the defaults were found."""

    ingest_j_per_mpix: NonNegativeFloat = 0.3
    """Reading and decoding, joules per million scene pixels (all bands)."""
    screen_j_per_mpix: NonNegativeFloat = 0.09
    """Screening and sea gate, joules per million scene pixels."""
    store_j_per_mpix: NonNegativeFloat = 0.2
    """Keeping a tile raw: forecast of its coding, fast lossless codec, raw store; joules per million scene pixels."""
    detect_j_per_mpix: NonNegativeFloat = 0.8
    """The detector, joules per million scene pixels; halos are inside the price."""
    encode_j_per_mpix: NonNegativeFloat = 6.2
    """Progressive image coding up to lossless, joules per million scene pixels (four bands)."""


class BudgetSection(Section):
    """`[power.budget]`: how the onboard service follows the power system in real time."""

    floor_fraction: Probability | None = None
    """Share of the charge below which nothing is done. Absent: half of `power.reserve_fraction`."""
    burst_j: NonNegativeFloat = 4.0
    """Joules that may be saved up under a power limit and spent at once; a tile that costs more saves up what it costs."""
    heat_margin_c: NonNegativeFloat = 5.0
    """Work stops this far below the critical temperature, degrees."""


class PowerSection(Section):
    """`[power]`: battery, panels and loads."""

    battery_capacity_wh: PositiveFloat = 20.0
    """Usable battery capacity, watt-hours."""
    initial_charge_fraction: Probability = 0.8
    """Charge at the mission's start, share of the capacity."""
    reserve_fraction: Probability = 0.3
    """Share of the capacity that image processing never touches; it keeps the bus alive through eclipse."""
    panel_w: NonNegativeFloat = 22.0
    """What the panels give in sunlight, watts."""
    idle_w: NonNegativeFloat = 6.0
    """What the bus draws all the time, watts, computer at rest included."""
    meter: Literal["auto", "model", "cpu", "powercap"] = "auto"
    """How steps are charged: `powercap` reads the kernel's counters, `cpu` takes CPU seconds times `core_w`, `model` takes
    `[power.prices]` (repeatable to the joule), `auto` takes the first of powercap and cpu that works here."""
    core_w: PositiveFloat = 4.0
    """Power of one busy processor core, watts."""
    radio_w: NonNegativeFloat = 12.0
    """What the transmitter draws while a contact lasts, watts."""
    prices: PricesSection = PricesSection()
    """The price list."""
    budget: BudgetSection = BudgetSection()
    """The governor in real time."""

    @model_validator(mode="after")
    def _floor_below_reserve(self) -> Self:
        if self.floor_fraction > self.reserve_fraction:
            raise ValueError(
                f"power.budget.floor_fraction = {self.floor_fraction} is above "
                f"power.reserve_fraction = {self.reserve_fraction}; lower it"
            )
        return self

    @property
    def floor_fraction(self) -> float:
        """Share of the charge below which the onboard service does nothing."""
        floor = self.budget.floor_fraction
        return self.reserve_fraction / 2 if floor is None else floor

    @property
    def capacity_j(self) -> float:
        """Battery capacity in joules."""
        return self.battery_capacity_wh * 3600

    @property
    def initial_charge_j(self) -> float:
        """Charge at the start in joules."""
        return self.capacity_j * self.initial_charge_fraction

    @property
    def reserve_j(self) -> float:
        """The untouched reserve in joules."""
        return self.capacity_j * self.reserve_fraction


class StoreSection(Section):
    """`[store]`: the memory on board that keeps products until they are on the ground."""

    capacity_bytes: PositiveInt = 2_000_000_000
    """Bytes of layers kept at most; beyond it the least valuable are evicted."""
    raw_capacity_bytes: PositiveInt = 8_000_000_000
    """Bytes of raw tiles kept at most until they are coded; beyond it those that promise least are discarded."""
