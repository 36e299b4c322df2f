"""When a seeded mission has contact, and what its link does to frames."""

from collections.abc import Sequence
from dataclasses import replace

from downlink.contact import Contact
from downlink.link_profile import LinkProfile
from mission.channel import ChannelSettings, GilbertElliott, Span
from mission.contacts import PlannedContact
from mission.dice import Dice

START_MS = 1_767_225_600_000
"""When every mission begins: 2026-01-01 00:00 UTC."""
WORST_MEAN_LOSS = 0.4
HARSH_LOSS = 0.3
ORBIT_GAP_MS = (20 * 60_000, 100 * 60_000)
"""From one pass to the next: seldom less than 20 minutes, seldom more than an orbit."""
SHORT_GAP = 0.2
"""Chance that the next station comes at once instead."""


def seeded_profile(dice: Dice) -> LinkProfile:
    """Sizes and timers of the link."""
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


def seeded_windows(dice: Dice) -> list[Span]:
    """AOS and LOS of the contacts."""
    windows, now_ms = [], START_MS
    for number in range(dice.whole(2, 6)):
        is_short = number == 0 or dice.chance(SHORT_GAP)
        aos_ms = now_ms + round(dice.skewed(1, 60_000) if is_short else dice.share(*ORBIT_GAP_MS))
        now_ms = aos_ms + round(dice.skewed(300, 20_000))
        windows.append((aos_ms, now_ms))
    return windows


def seeded_contacts(
    dice: Dice, windows: Sequence[Span], profile: LinkProfile, total_bytes: int
) -> tuple[PlannedContact, ...]:
    """Together they carry from a third of what is captured to four times as much, faults not reckoned."""
    link_ms = sum(los_ms - aos_ms for aos_ms, los_ms in windows)
    mean_bps = total_bytes * 8000 * dice.skewed(0.3, 4.0) / link_ms
    faults = ("loss", "bits", "duplicate", "reorder", "uplink_loss", "listen_only", "blackout")
    kinds = {kind: dice.chance(0.6) for kind in faults}
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
            blackouts=_blackouts(dice, aos_ms, los_ms) if kinds["blackout"] else (),
        )
        uplink = replace(
            downlink,
            rate_bps=round(dice.skewed(4000, 128_000)),
            loss=_loss(dice) if kinds["uplink_loss"] else GilbertElliott.independent(0.0),
            blackouts=downlink.blackouts if dice.chance(0.5) else (),
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


def harsh_contact(dice: Dice, planned: PlannedContact) -> PlannedContact:
    """The same contact with 30 % of all frames lost in bursts, and many out of order."""
    loss = GilbertElliott.with_mean(HARSH_LOSS, p_bad_to_good=dice.share(0.1, 0.5), loss_good=0.0, loss_bad=0.95)
    reorder, window_ms = dice.share(0.1, 0.3), round(dice.skewed(10, 1000))

    def harsh(channel: ChannelSettings) -> ChannelSettings:
        return replace(channel, loss=loss, reorder=reorder, reorder_window_ms=window_ms)

    return PlannedContact(
        contact=replace(planned.contact, frame_loss=loss.mean_loss),
        downlink=harsh(planned.downlink),
        uplink=None if planned.uplink is None else harsh(planned.uplink),
    )


def _loss(dice: Dice) -> GilbertElliott:
    mean = dice.share(0.01, WORST_MEAN_LOSS)
    if dice.chance(0.4):
        return GilbertElliott.independent(mean)
    return GilbertElliott.with_mean(mean, p_bad_to_good=dice.share(0.02, 0.5), loss_good=0.0, loss_bad=0.95)


def _blackouts(dice: Dice, aos_ms: int, los_ms: int) -> tuple[Span, ...]:
    """In half of the contacts: behind a mountain, or an antenna that turns away."""
    if not dice.chance(0.5):
        return ()
    start_ms = dice.whole(aos_ms, los_ms - 1)
    return ((start_ms, start_ms + max(1, round(dice.share(0.05, 0.5) * (los_ms - aos_ms)))),)
