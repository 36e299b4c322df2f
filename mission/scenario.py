"""The scenario: everything a mission run is told, from one TOML file.

A scenario says where the satellite flies, who hears it, what the link loses, what energy there is, and what camera and detector are
used. Each section has its own file: `scenario_onboard`, `scenario_orbit`, `scenario_contacts`, `scenario_link`,
`scenario_radio`. Keys that do not exist are refused, with the nearest one that does.
"""

import tomllib
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from mission.errors import ScenarioError, ScenarioProblem
from mission.orbit import DAY_MS, epoch_unix_ms
from mission.scenario_contacts import ContactSection, ContactsSection
from mission.scenario_eps import EpsSection
from mission.scenario_link import ChannelSection, LinkSection
from mission.scenario_onboard import (
    DetectorSection,
    PolicySection,
    PowerSection,
    ScreeningSection,
    SensorSection,
    StoreSection,
)
from mission.scenario_orbit import OrbitSection
from mission.scenario_orders import OrderSection
from mission.scenario_problems import problems_of
from mission.scenario_radio import RadioSection
from mission.scenario_section import NonNegativeInt, Section
from mission.scenario_security import SecuritySection
from mission.scenario_services import ServicesSection

SCENARIOS_FOLDER = Path(__file__).parent / "scenarios"
SENTINEL_2_ALTITUDE_KM = 786.0

ELEMENTS_AGE_LIMIT_DAYS = 30
"""SGP4 drifts by kilometres a day away from its epoch; far from it the result is nonsense without a warning."""


class MissionSection(Section):
    """`[mission]`: name, start, seed."""

    name: str = "mission"
    """What reports call this mission."""
    start: datetime = datetime(2025, 2, 28, tzinfo=UTC)
    """When the mission's time begins, ISO 8601 in UTC, for example 2025-02-28T00:00:00Z."""
    seed: NonNegativeInt = 0
    """Seed of every random stream; the command line may set another."""

    @field_validator("start", mode="before")
    @classmethod
    def _from_text(cls, start: object) -> object:
        return datetime.fromisoformat(start) if isinstance(start, str) else start

    @field_validator("start")
    @classmethod
    def _in_utc(cls, start: datetime) -> datetime:
        if start.utcoffset() is None:
            raise ValueError("the time has no zone; end it with Z, as in 2025-02-28T00:00:00Z")
        if not 1970 <= start.year <= 2050:
            raise ValueError("the year must lie in 1970 to 2050, where the Sun's position is good")
        return start.astimezone(UTC)


class Scenario(Section):
    """A whole scenario, checked."""

    mission: MissionSection = MissionSection()
    """Name, start, seed."""
    sensor: SensorSection = SensorSection()
    """The camera."""
    screening: ScreeningSection = ScreeningSection()
    """Tiles that are set aside."""
    policy: PolicySection = PolicySection()
    """What is worth sending."""
    detector: DetectorSection = DetectorSection()
    """The network."""
    power: PowerSection = PowerSection()
    """Battery, panels, loads."""
    eps: EpsSection = EpsSection()
    """The simulated power system of the live services, where it differs."""
    orbit: OrbitSection = OrbitSection(altitude_km=SENTINEL_2_ALTITUDE_KM)
    """Elements and stations; also decides sunlight and eclipse."""
    contacts: ContactsSection = ContactsSection()
    """Where contacts come from."""
    contact: Annotated[tuple[ContactSection, ...], Field(strict=False)] = ()
    """The listed contacts, where `contacts.source` is `list`."""
    radio: RadioSection | None = None
    """The radio; with it, contacts from the orbit get their rates and losses from the elevation."""
    channel: ChannelSection = ChannelSection()
    """What the link does to frames."""
    link: LinkSection = LinkSection()
    """Frames and timers."""
    order: Annotated[tuple[OrderSection, ...], Field(strict=False)] = ()
    """What the ground orders."""
    security: SecuritySection = SecuritySection()
    """Keys of the uplink."""
    store: StoreSection = StoreSection()
    """Memory on board."""
    services: ServicesSection = ServicesSection()
    """Addresses and folders of the live services; a simulation asks nothing of it."""

    @property
    def start_ms(self) -> int:
        """The mission's start as Unix milliseconds UTC."""
        return (self.mission.start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

    @property
    def horizon_ms(self) -> int:
        """Unix time up to which windows and sunlight are computed."""
        return self.start_ms + round(self.contacts.horizon_h * 3600000)

    @model_validator(mode="after")
    def _elements_are_fresh(self) -> Self:
        if self.orbit.tle is not None:
            age_days = (self.start_ms - epoch_unix_ms(self.orbit.satellite(self.start_ms))) / DAY_MS
            if abs(age_days) > ELEMENTS_AGE_LIMIT_DAYS:
                raise ValueError(
                    f"orbit.tle has its epoch {abs(age_days):.0f} days {'before' if age_days > 0 else 'after'} mission.start; "
                    f"use elements within {ELEMENTS_AGE_LIMIT_DAYS} days of it, or orbit.altitude_km"
                )
        return self

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.radio is None:
            return self
        if self.contacts.source != "orbit":
            raise ValueError('[radio] needs elevations: set contacts.source = "orbit", or remove [radio]')
        if "downlink_bps" in self.contacts.model_fields_set:
            raise ValueError("[radio] gives the contacts their rates; remove contacts.downlink_bps, or remove [radio]")
        return self

    @model_validator(mode="after")
    def _contacts_have_a_source(self) -> Self:
        if self.contacts.source != "list" and self.contact:
            raise ValueError('[[contact]] entries are given; set contacts.source = "list" to use them, or remove them')
        if self.contacts.source == "orbit" and not self.orbit.stations:
            raise ValueError("contacts come from the orbit, but no station hears it; add [[orbit.stations]]")
        if self.contacts.source == "list" and not self.contact:
            raise ValueError('contacts.source = "list" needs at least one [[contact]]')
        in_order = sorted(self.contact, key=lambda contact: contact.aos_s)
        for former, latter in pairwise(in_order):
            if latter.aos_s < former.aos_s + former.duration_s:
                raise ValueError(
                    f"the contact at {latter.aos_s} s begins before the one at {former.aos_s} s ends "
                    f"({former.aos_s + former.duration_s} s); one transmitter serves one station at a time"
                )
        return self


def load_scenario(path: Path | str | None = None) -> Scenario:
    """Reads a scenario file, or a shipped scenario by its name, or `default` where `path` is None.

    A file that says nothing of orbit and contacts gets the default scenario's stations under a Sentinel-2 orbit. A relative
    `policy.file` or `security.uplink_key_file` comes back counted from the scenario's folder. Raises ScenarioError: the file is absent, not
    TOML, or says something unknown or impossible.
    """
    file = scenario_file(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        shipped = ", ".join(shipped_scenarios())
        remedy = (
            f"the file cannot be read ({error.strerror}); give a TOML file or one of the shipped scenarios: {shipped}"
        )
        raise ScenarioError(str(path), [ScenarioProblem(key="", value=None, remedy=remedy)]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problem = ScenarioProblem(key="", value=None, remedy=f"this is not valid TOML: {error}")
        raise ScenarioError(str(file), [problem]) from error
    try:
        scenario = Scenario.model_validate(_with_stations(data))
    except ValidationError as error:
        raise ScenarioError(str(file), problems_of(error, Scenario)) from error
    return _with_files_of(scenario, file.resolve().parent)


def _with_files_of(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario with its relative files counted from `folder`."""
    policy, security = scenario.policy, scenario.security
    if policy.file is not None:
        policy = policy.model_copy(update={"file": folder / policy.file})
    if security.uplink_key_file is not None:
        security = security.model_copy(update={"uplink_key_file": folder / security.uplink_key_file})
    return scenario.model_copy(update={"policy": policy, "security": security})


def _with_stations(data: dict[str, Any]) -> dict[str, Any]:
    """The scenario's data, with an orbit that is heard where it gives no contacts of its own and says nothing of an orbit."""
    contacts = data.get("contacts")
    listed = "contact" in data or (isinstance(contacts, dict) and contacts.get("source") in ("list", "repeating"))
    if listed or "orbit" in data:
        return data
    default = tomllib.loads((SCENARIOS_FOLDER / "default.toml").read_text(encoding="utf-8"))
    return data | {"orbit": {"altitude_km": SENTINEL_2_ALTITUDE_KM, "stations": default["orbit"]["stations"]}}


def shipped_scenarios() -> tuple[str, ...]:
    """Names of the scenarios that come with the package."""
    return tuple(sorted(file.stem for file in SCENARIOS_FOLDER.glob("*.toml")))


def scenario_file(path: Path | str | None) -> Path:
    """Where a scenario lies: a bare shipped name means the shipped file unless a file of that name is here."""
    if path is None:
        return SCENARIOS_FOLDER / "default.toml"
    given = Path(path)
    shipped = SCENARIOS_FOLDER / f"{given.name}.toml"
    return shipped if given.parent == Path() and not given.exists() and shipped.exists() else given
