"""A random mission from one seed: what is captured, which contacts there are, and everything that goes wrong.

Every mission draws which kinds of fault it has at all, so that each kind also meets missions without the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from downlink.command import DropScene, Order, RequestLayers
from downlink.contact import Contact
from downlink.link_profile import LinkProfile
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT
from downlink.requests import LayerRequest
from mission.channel import ChannelSettings, GilbertElliott
from mission.contacts import PlannedContact
from mission.dice import Dice
from mission.seeded_captures import Capture, seeded_captures
from mission.strangers import Stranger, stranger
from mission.streams import Streams

FRAMES = (40, 300)
"""Transfer frames that the captured bytes fill."""
LARGEST_MISSION_BYTES = 400_000
WORST_MEAN_LOSS = 0.4
FAR_FUTURE_MS = 1 << 40
HARSH_LOSS = 0.3
HARSH_REBOOTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededMission:
    """All that one seed decides before the mission begins."""

    seed: int
    """Of every random stream."""
    profile: LinkProfile
    """Sizes and timers of the link."""
    contacts: tuple[PlannedContact, ...]
    """With faults, in order of AOS."""
    captures: tuple[Capture, ...]
    """In order of time."""
    capacity_bytes: int
    """Room of the store on board."""
    cuts_ms: tuple[int, ...]
    """Loss of signal before its time."""
    onboard_reboots_ms: tuple[int, ...]
    """The onboard computer starts again from its store."""
    ground_reboots_ms: tuple[int, ...]
    """The ground station starts again from its store, and from its last snapshot where there is one."""
    ground_snapshots_ms: tuple[int, ...]
    """The ground station saves the state of its unfinished files."""
    compactions_ms: tuple[int, ...]
    """The onboard store rewrites its journal."""
    onboard_power_bytes: tuple[int, ...]
    """Bytes written on board from one loss of power to the next."""
    uplink_power_bytes: tuple[int, ...]
    """Bytes of the uplink journal from one loss of power to the next."""
    ground_power_bytes: tuple[int, ...]
    """Bytes written on the ground from one loss of power to the next."""
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

    @property
    def end_ms(self) -> int:
        """When the last planned thing happens."""
        orders_ms = tuple(at_ms for at_ms, _ in self.orders)
        moments = (
            orders_ms,
            self.onboard_reboots_ms,
            self.ground_reboots_ms,
            self.ground_snapshots_ms,
            self.compactions_ms,
        )
        last_ms = (self.contacts[-1].contact.los_ms, self.captures[-1].at_ms)
        return max([*last_ms, *(at_ms for each in moments for at_ms in each)])


def seeded_mission(seed: int) -> SeededMission:
    """The mission of a seed."""
    dice = Dice(Streams(seed).generator("seeded mission"))
    profile = _profile(dice)
    total_bytes = min(LARGEST_MISSION_BYTES, round(dice.skewed(*FRAMES)) * (profile.frame_bytes - 16))
    windows = _windows(dice)
    end_ms = windows[-1][1]
    early = windows[: (len(windows) + 1) // 2]
    times_ms = tuple(_moment(dice, early) for _ in range(dice.whole(1, 5)))
    captures = seeded_captures(dice, times_ms=times_ms, total_bytes=total_bytes)
    express = [v.layer.address for capture in captures for v in capture.layers if v.layer.address.is_express]
    contacts = _contacts(dice, windows, profile, total_bytes)

    def moments(likely: float, most: int) -> tuple[int, ...]:
        return tuple(_moment(dice, windows) for _ in range(dice.whole(1, most) if dice.chance(likely) else 0))

    def power_bytes(largest: int) -> tuple[int, ...]:
        losses = dice.whole(1, 3) if dice.chance(0.3) else 0
        return tuple(round(dice.skewed(1, largest)) for _ in range(losses))

    cuts = dice.chance(0.6)
    return SeededMission(
        seed=seed,
        profile=profile,
        contacts=contacts,
        captures=captures,
        capacity_bytes=round(total_bytes * (dice.share(0.05, 0.7) if dice.chance(0.35) else 10)),
        cuts_ms=tuple(dice.whole(aos_ms, los_ms - 1) for aos_ms, los_ms in windows if cuts and dice.chance(0.5)),
        onboard_reboots_ms=moments(0.4, 3),
        ground_reboots_ms=moments(0.4, 3),
        ground_snapshots_ms=moments(0.5, 6),
        compactions_ms=moments(0.3, 3),
        onboard_power_bytes=power_bytes(total_bytes),
        uplink_power_bytes=power_bytes(600),
        ground_power_bytes=power_bytes(total_bytes),
        orders=tuple((at_ms, _order(dice, scenes=len(times_ms))) for at_ms in moments(0.5, 5)),
        attacks_ms=moments(0.5, 6),
        strangers=tuple(
            stranger(dice, profile, at_ms=dice.whole(0, end_ms), express=express) for _ in range(dice.whole(0, 6))
        ),
        misread=dice.skewed(0.001, 0.03) if dice.chance(0.3) else 0.0,
    )


def harsh_mission(seed: int) -> SeededMission:
    """The mission of a seed with 30 % of all frames lost in bursts, both ways, frames out of order, every contact cut
    short and ten reboots, whatever else the seed has drawn."""
    mission = seeded_mission(seed)
    dice = Dice(Streams(seed).generator("harsh mission"))
    reboots_ms = [dice.whole(*_span(dice.pick(mission.contacts))) for _ in range(HARSH_REBOOTS)]
    on_board = dice.whole(3, HARSH_REBOOTS - 3)
    return replace(
        mission,
        contacts=tuple(_harsh(dice, planned) for planned in mission.contacts),
        cuts_ms=tuple(dice.whole(*_span(planned)) for planned in mission.contacts),
        onboard_reboots_ms=tuple(reboots_ms[:on_board]),
        ground_reboots_ms=tuple(reboots_ms[on_board:]),
        ground_snapshots_ms=tuple(dice.whole(*_span(planned)) for planned in mission.contacts),
    )


def _span(planned: PlannedContact) -> tuple[int, int]:
    return planned.contact.aos_ms, planned.contact.los_ms - 1


def _harsh(dice: Dice, planned: PlannedContact) -> PlannedContact:
    loss = GilbertElliott.with_mean(HARSH_LOSS, p_bad_to_good=dice.share(0.1, 0.5), loss_good=0.0, loss_bad=0.95)
    reorder, window_ms = dice.share(0.1, 0.3), round(dice.skewed(10, 1000))

    def harsh(channel: ChannelSettings) -> ChannelSettings:
        return replace(channel, loss=loss, reorder=reorder, reorder_window_ms=window_ms)

    return PlannedContact(
        contact=replace(planned.contact, frame_loss=loss.mean_loss),
        downlink=harsh(planned.downlink),
        uplink=None if planned.uplink is None else harsh(planned.uplink),
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


def _profile(dice: Dice) -> LinkProfile:
    return LinkProfile(
        spacecraft_id=dice.whole(0, 1023),
        frame_bytes=dice.pick((96, 223, 512, 1115, 2048)),
        uplink_frame_bytes=dice.pick((64, 128, 256, 512)),
        bundle_bytes=round(dice.skewed(256, 65_536)),
        express_repeat_ms=round(dice.skewed(300, 5000)),
        ack_timeout_ms=round(dice.skewed(300, 5000)),
        nak_timeout_ms=round(dice.skewed(300, 5000)),
        silence_ms=round(dice.skewed(2000, 60_000)),
    )


def _windows(dice: Dice) -> list[tuple[int, int]]:
    """AOS and LOS of the contacts."""
    windows, now_ms = [], 0
    for _ in range(dice.whole(2, 6)):
        aos_ms = now_ms + round(dice.skewed(1, 60_000))
        now_ms = aos_ms + round(dice.skewed(300, 20_000))
        windows.append((aos_ms, now_ms))
    return windows


def _moment(dice: Dice, windows: Sequence[tuple[int, int]]) -> int:
    """Half of what happens happens during a contact, the rest at any time."""
    if dice.chance(0.5):
        aos_ms, los_ms = dice.pick(windows)
        return dice.whole(aos_ms, los_ms)
    return dice.whole(0, windows[-1][1])


def _contacts(
    dice: Dice, windows: Sequence[tuple[int, int]], profile: LinkProfile, total_bytes: int
) -> tuple[PlannedContact, ...]:
    """Together they carry from a third of what is captured to four times as much, faults not reckoned."""
    link_ms = sum(los_ms - aos_ms for aos_ms, los_ms in windows)
    mean_bps = total_bytes * 8000 * dice.skewed(0.3, 4.0) / link_ms
    kinds = {kind: dice.chance(0.6) for kind in ("loss", "bits", "duplicate", "reorder", "uplink_loss", "listen_only")}
    planned = []
    for number, (aos_ms, los_ms) in enumerate(windows):
        downlink = ChannelSettings(
            rate_bps=max(profile.frame_bytes * 8, round(mean_bps * dice.share(0.5, 1.5))),
            delay_ms=dice.whole(1, 600) if dice.chance(0.9) else dice.whole(600, 3000),
            loss=_loss(dice) if kinds["loss"] else GilbertElliott.independent(0.0),
            bit_error_rate=dice.skewed(0.003, 0.3) / (profile.frame_bytes * 8) if kinds["bits"] else 0.0,
            duplicate=dice.share(0, 0.2) if kinds["duplicate"] else 0.0,
            reorder=dice.share(0, 0.3) if kinds["reorder"] else 0.0,
            reorder_window_ms=round(dice.skewed(1, 3000)),
        )
        uplink = ChannelSettings(
            rate_bps=round(dice.skewed(4000, 128_000)),
            delay_ms=downlink.delay_ms,
            loss=_loss(dice) if kinds["uplink_loss"] else GilbertElliott.independent(0.0),
            bit_error_rate=downlink.bit_error_rate,
            duplicate=downlink.duplicate,
            reorder=downlink.reorder,
            reorder_window_ms=downlink.reorder_window_ms,
        )
        listens = kinds["listen_only"] and dice.chance(0.3)
        contact = Contact(
            contact_id=number,
            station=f"station {number}",
            aos_ms=aos_ms,
            los_ms=los_ms,
            downlink_bps=downlink.rate_bps,
            uplink_bps=0 if listens else uplink.rate_bps,
            one_way_delay_ms=downlink.delay_ms,
            frame_loss=downlink.loss.mean_loss,
        )
        planned.append(PlannedContact(contact=contact, downlink=downlink, uplink=None if listens else uplink))
    return tuple(planned)


def _loss(dice: Dice) -> GilbertElliott:
    mean = dice.share(0.01, WORST_MEAN_LOSS)
    if dice.chance(0.4):
        return GilbertElliott.independent(mean)
    return GilbertElliott.with_mean(mean, p_bad_to_good=dice.share(0.02, 0.5), loss_good=0.0, loss_bad=0.95)
