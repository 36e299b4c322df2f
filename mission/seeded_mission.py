"""A random mission from one seed: what is captured, which contacts there are, and everything that goes wrong.

Every mission draws which kinds of fault it has at all, so that each kind also meets missions without the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from downlink.command import DropScene, Order, RequestLayers
from downlink.contact_plan import PlannerSettings
from downlink.link_profile import LinkProfile
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT
from downlink.requests import LayerRequest
from mission.channel import Span
from mission.contacts import PlannedContact
from mission.dice import Dice
from mission.seeded_captures import Capture, seeded_captures
from mission.seeded_contacts import START_MS, harsh_contact, seeded_contacts, seeded_profile, seeded_windows
from mission.seeded_faults import ClockFaults, DiskFaults, Reboot, clock_faults, disk_faults, sensor_faults
from mission.strangers import Stranger, stranger
from mission.streams import Streams

FRAMES = (40, 300)
"""Transfer frames that the captured bytes fill."""
LARGEST_MISSION_BYTES = 400_000
ORDERS_JOURNAL_BYTES = 600
FAR_FUTURE_MS = 1 << 42
HARSH_REBOOTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededMission:
    """All that one seed decides before the mission begins. Times are Unix milliseconds, from START_MS on."""

    seed: int
    """Of every random stream."""
    profile: LinkProfile
    """Sizes and timers of the link."""
    planning: PlannerSettings
    """How the onboard computer plans."""
    reboot_lockout_ms: int
    """How long the satellite may refuse the ground after a reboot."""
    contacts: tuple[PlannedContact, ...]
    """With faults, in order of AOS."""
    captures: tuple[Capture, ...]
    """In order of time."""
    captures_missed: int
    """Emissions that fell into a gap of the sensor."""
    captures_late: int
    """Emissions that a slow detector delayed."""
    capacity_bytes: int
    """Room of the store on board."""
    cuts_ms: tuple[int, ...]
    """Loss of signal before its time."""
    onboard_reboots: tuple[Reboot, ...]
    """The onboard computer starts again from its journals."""
    ground_reboots: tuple[Reboot, ...]
    """The ground station starts again from its journals, and from its last snapshot where there is one."""
    ground_snapshots_ms: tuple[int, ...]
    """The ground station saves the state of its unfinished files."""
    compactions_ms: tuple[int, ...]
    """The onboard store rewrites its journal."""
    onboard_disks: tuple[DiskFaults, DiskFaults]
    """Of the journal of layers and of that of the uplink."""
    ground_disks: tuple[DiskFaults, DiskFaults]
    """Of the journal of layers and of that of orders."""
    onboard_clock: ClockFaults
    """Of the satellite."""
    ground_clock: ClockFaults
    """Of the ground station."""
    orders: tuple[tuple[int, Order], ...]
    """When the ground gives which order."""
    attacks_ms: tuple[int, ...]
    """Somebody sends up what was sent up before, as it was and changed."""
    strangers: tuple[Stranger, ...]
    """Frames from elsewhere."""
    misread: float
    """Chance of a frame on the downlink to be damaged in a way that its check does not show."""

    @property
    def captured_bytes(self) -> int:
        """Records of all layers."""
        return sum(valued.layer.size_bytes for capture in self.captures for valued in capture.layers)


def seeded_mission(seed: int) -> SeededMission:
    """The mission of a seed."""
    dice = Dice(Streams(seed).generator("seeded mission"))
    profile = seeded_profile(dice)
    total_bytes = min(LARGEST_MISSION_BYTES, round(dice.skewed(*FRAMES)) * (profile.frame_bytes - 16))
    windows = seeded_windows(dice)
    span = START_MS, windows[-1][1]
    early = windows[: (len(windows) + 1) // 2]
    times_ms = tuple(_moment(dice, early) for _ in range(dice.whole(1, 5)))
    planned = seeded_captures(dice, times_ms=times_ms, total_bytes=total_bytes)
    express = [v.layer.address for capture in planned for v in capture.layers if v.layer.address.is_express]
    contacts = seeded_contacts(dice, windows, profile, total_bytes)

    def moments(likely: float, most: int) -> tuple[int, ...]:
        return tuple(_moment(dice, windows) for _ in range(dice.whole(1, most) if dice.chance(likely) else 0))

    def reboots() -> tuple[Reboot, ...]:
        return tuple(Reboot(at_ms=at_ms, lost_power=dice.chance(0.5)) for at_ms in moments(0.4, 3))

    sensed = sensor_faults(dice, planned)
    cuts = dice.chance(0.6)
    return SeededMission(
        seed=seed,
        profile=profile,
        planning=_planning(dice),
        reboot_lockout_ms=200 if dice.chance(0.8) else 5000,
        contacts=contacts,
        captures=sensed.captures,
        captures_missed=sensed.missed,
        captures_late=sensed.late,
        capacity_bytes=round(total_bytes * (dice.share(0.05, 0.7) if dice.chance(0.35) else 10)),
        cuts_ms=tuple(dice.whole(aos_ms, los_ms - 1) for aos_ms, los_ms in windows if cuts and dice.chance(0.5)),
        onboard_reboots=reboots(),
        ground_reboots=reboots(),
        ground_snapshots_ms=moments(0.5, 6),
        compactions_ms=moments(0.3, 3),
        onboard_disks=(
            disk_faults(dice, span, written_bytes=total_bytes),
            disk_faults(dice, span, written_bytes=ORDERS_JOURNAL_BYTES),
        ),
        ground_disks=(
            disk_faults(dice, span, written_bytes=total_bytes),
            disk_faults(dice, span, written_bytes=ORDERS_JOURNAL_BYTES),
        ),
        onboard_clock=clock_faults(dice, span, [_moment(dice, windows) for _ in range(2)]),
        ground_clock=clock_faults(dice, span, [_moment(dice, windows) for _ in range(2)]),
        orders=tuple((at_ms, _order(dice, scenes=len(times_ms))) for at_ms in moments(0.5, 5)),
        attacks_ms=moments(0.5, 6),
        strangers=tuple(
            stranger(dice, profile, at_ms=dice.whole(*span), express=express) for _ in range(dice.whole(0, 6))
        ),
        misread=dice.skewed(0.001, 0.03) if dice.chance(0.3) else 0.0,
    )


def harsh_mission(seed: int) -> SeededMission:
    """The mission of a seed with 30 % of all frames lost in bursts, many out of order, every contact cut short and ten reboots."""
    mission = seeded_mission(seed)
    dice = Dice(Streams(seed).generator("harsh mission"))
    reboots = tuple(
        Reboot(at_ms=dice.whole(*_within(dice.pick(mission.contacts))), lost_power=dice.chance(0.5))
        for _ in range(HARSH_REBOOTS)
    )
    on_board = dice.whole(3, HARSH_REBOOTS - 3)
    return replace(
        mission,
        contacts=tuple(harsh_contact(dice, planned) for planned in mission.contacts),
        cuts_ms=tuple(dice.whole(*_within(planned)) for planned in mission.contacts),
        onboard_reboots=reboots[:on_board],
        ground_reboots=reboots[on_board:],
        ground_snapshots_ms=tuple(dice.whole(*_within(planned)) for planned in mission.contacts),
    )


def _within(planned: PlannedContact) -> Span:
    return planned.contact.aos_ms, planned.contact.los_ms - 1


def _planning(dice: Dice) -> PlannerSettings:
    """Sometimes with a limit to waiting that the gaps between passes exceed."""
    return PlannerSettings(
        max_wait_s=dice.skewed(10, 10_000) if dice.chance(0.4) else None,
        waiting_share=dice.share(0, 0.5),
        new_scene_share=dice.share(0, 0.7) if dice.chance(0.3) else 0.0,
        price_rounds=dice.pick((2, 4, 16)),
    )


def _order(dice: Dice, *, scenes: int) -> Order:
    scene = dice.whole(1, scenes)
    if dice.chance(0.2):
        return DropScene(scene=scene)
    first = dice.pick((SUMMARY_PRODUCT, FIRST_BLOCK, FIRST_CHIP))
    request = LayerRequest(
        scene=scene,
        first_product=first,
        last_product=ALERTS_PRODUCT,
        last_step=dice.whole(0, 255),
        factor=dice.skewed(1, 1000),
        until_ms=FAR_FUTURE_MS,
    )
    return RequestLayers(request=request)


def _moment(dice: Dice, windows: Sequence[Span]) -> int:
    """Half of what happens happens during a contact, the rest at any time."""
    if dice.chance(0.5):
        return dice.whole(*dice.pick(windows))
    return dice.whole(START_MS, windows[-1][1])
