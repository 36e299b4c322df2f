"""One flight: scenes are captured, worked through on board and sent over the contacts, all in virtual time.

The flight joins the scenario, the cores and the simulated world. It reads pixels through the frames it is given and
nothing else; what it made is handed back as a `FlightRecord`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from downlink.products import Layer, LayerAddress
from ground.link_events import OrderGiven
from ground.store import LayerStore
from mission.contacts import PlannedContact, capture_times_ms, plan_contacts
from mission.eclipse import sunlight_intervals
from mission.link_ends import EndJournals, ground_station, onboard_computer
from mission.link_setup import link_keys, link_profile, planner_settings
from mission.onboard_work import OnboardWork, WorkSetup
from mission.scenario import Scenario
from mission.simulation import World
from mission.streams import Streams
from onboard.battery import Battery
from onboard.detector import Detector
from onboard.energy_forecast import Loads
from onboard.energy_prices import EnergyPrices
from onboard.meter import choose_meter
from onboard.policy import Policy
from onboard.power_system import PowerSystem
from onboard.processed_scene import ProcessedScene, TileReport
from onboard.raw_store import RawStore
from onboard.reference_store import ReferenceStore
from onboard.scene_coder import CodedBlock
from onboard.sensor_frame import SensorFrame
from onboard.store import ProductStore
from onboard.sunlight import Sunlight
from onboard.uncoded_tiles import TileAccount, TileCount

AFTER_LAST_CONTACT_MS = 60_000
MOST_RAW_BYTES = 8_000_000_000
"""Of raw tiles, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingRecord:
    """What became of the tiles that the survey kept."""

    tiles: TileAccount
    """Kept raw, coded, discarded, damaged."""
    waiting: TileCount
    """Raw at the end."""
    blocks: tuple[CodedBlock, ...]
    """In order of coding."""
    spent_j: float
    """On coding them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightRecord:
    """Everything that a flight leaves behind."""

    scenario: Scenario
    """As flown."""
    seed: int
    """Of every random stream."""
    contacts: tuple[PlannedContact, ...]
    """In order of AOS."""
    captured_ms: tuple[int, ...]
    """Per scene."""
    scenes: tuple[ProcessedScene, ...]
    """What the pipeline made of each."""
    world: World
    """Observations, contact logs, both cores and their stores."""
    power: PowerSystem
    """Battery history and energy ledger."""
    coding: CodingRecord
    """What of the scenes was coded, and how."""
    captured: dict[LayerAddress, Layer]
    """Every layer made on board, in the order of making."""
    raw_bytes: int
    """Pixels captured, uncompressed."""

    @property
    def product_store(self) -> ProductStore:
        return self.world.computer.store

    @property
    def layer_store(self) -> LayerStore:
        return self.world.station.store


@dataclass(slots=True, kw_only=True)
class Flight:
    """Set up with what flies, then flown once."""

    scenario: Scenario
    """Orbit, contacts, channel, power."""
    policy: Policy
    """What is worth sending."""
    detector: Detector | None
    """What looks at tiles."""
    seed: int
    """Of every random stream."""
    onboard_journals: EndJournals = field(default_factory=EndJournals)
    """Memory of the satellite."""
    ground_journals: EndJournals = field(default_factory=EndJournals)
    """Memory of the ground."""
    raw: RawStore = field(default_factory=lambda: RawStore(None, capacity_bytes=MOST_RAW_BYTES))
    """Where tiles wait for coding."""
    on_tile: Callable[[TileReport], None] = field(default=lambda report: None)
    """Told of every tile done."""
    on_arrival: Callable[[int], None] = field(default=lambda layers: None)
    """Told after every event how many layers are on the ground."""

    def fly(self, frames: Sequence[SensorFrame]) -> FlightRecord:
        """Capture `frames` in order, process and send them. Raises ScenarioError when no contact can carry anything."""
        raw_bytes = sum(raw_size_bytes(frame) for frame in frames)
        contacts = plan_contacts(self.scenario, raw_bytes=raw_bytes)
        captured_ms = capture_times_ms(self.scenario, contacts, count=len(frames))
        profile = link_profile(self.scenario)
        keys = link_keys(self.scenario, seed=self.seed)
        references = ReferenceStore(None, capacity_bytes=self.policy.reference.capacity_bytes)
        works: list[OnboardWork] = []

        def discard_uncoded(scene: int) -> None:
            for work in works:
                work.tiles.discard(scene)

        computer = onboard_computer(
            profile,
            capacity_bytes=self.scenario.store.capacity_bytes,
            journals=self.onboard_journals,
            keys=keys,
            expected_contacts=[planned.contact for planned in contacts],
            planning=planner_settings(self.policy),
            references=references,
            discard_uncoded=discard_uncoded,
        )
        station = ground_station(profile, journals=self.ground_journals, keys=keys)
        world = World(computer, station, contacts, Streams(self.seed))
        power = self._power(contacts)
        world.on_time = power.advance
        world.after_event = lambda: self.on_arrival(len(world.station.store))
        setup = WorkSetup(
            scenario=self.scenario,
            policy=self.policy,
            detector=self.detector,
            frames=frames,
            captured_ms=captured_ms,
            raw=self.raw,
            references=references,
            on_tile=self.on_tile,
        )
        work = OnboardWork(setup, world, power, until_ms=contacts[-1].contact.los_ms)
        works.append(work)
        turns = work.turns
        for number, at_ms in enumerate(captured_ms):
            world.schedule(at_ms, lambda n=number: turns.capture(n))  # type: ignore[misc]
        start_ms = self.scenario.start_ms
        for section in self.scenario.order:
            given = OrderGiven(order=section.order(start_ms))
            world.schedule(start_ms + round(section.at_s * 1000), lambda g=given: world.tell_station(g))  # type: ignore[misc]
        world.schedule(contacts[-1].contact.los_ms + AFTER_LAST_CONTACT_MS, lambda: None)
        turns.watch([planned.contact for planned in contacts])
        world.run()
        return FlightRecord(
            scenario=self.scenario,
            seed=self.seed,
            contacts=contacts,
            captured_ms=captured_ms,
            scenes=work.scenes(),
            world=world,
            power=power,
            coding=CodingRecord(
                tiles=work.tiles.account, waiting=work.tiles.waiting, blocks=tuple(turns.coded), spent_j=turns.spent_j
            ),
            captured=work.layers,
            raw_bytes=raw_bytes,
        )

    def _power(self, contacts: Sequence[PlannedContact]) -> PowerSystem:
        section = self.scenario.power
        prices = EnergyPrices(**section.prices.model_dump())
        end_ms = max(self.scenario.horizon_ms, contacts[-1].contact.los_ms + AFTER_LAST_CONTACT_MS)
        satellite = self.scenario.orbit.satellite(self.scenario.start_ms)
        return PowerSystem(
            Battery(capacity_j=section.capacity_j, charge_j=section.initial_charge_j),
            reserve_j=section.reserve_j,
            loads=Loads(panel_w=section.panel_w, idle_w=section.idle_w, radio_w=section.radio_w),
            sunlight=Sunlight(intervals=sunlight_intervals(satellite, self.scenario.start_ms, end_ms)),
            contacts_ms=[(planned.contact.aos_ms, planned.contact.los_ms) for planned in contacts],
            prices=prices,
            meter=choose_meter(section.meter, prices=prices, core_w=section.core_w),
            start_ms=self.scenario.start_ms,
        )


def raw_size_bytes(frame: SensorFrame) -> int:
    """Uncompressed pixels of a scene."""
    return frame.height * frame.width * len(frame.band_names) * (1 if frame.dtype == "uint8" else 2)
