"""The pace of a live transmitter against the simulation's channel, an implementation of its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.contact import Contact, RateStep
from mission.channel import Channel, ChannelRate, ChannelSettings
from mission.live.transmitter_pace import TransmitterPace

RATES = st.sampled_from([1, 999, 9600, 256_000, 1_000_003, 8_000_000])
AOS_MS = 1_795_374_000_000


def contact(rates: tuple[RateStep, ...] = (), *, downlink_bps: int = 256_000, uplink_bps: int = 64_000) -> Contact:
    return Contact(
        contact_id=1,
        station="Kiruna",
        aos_ms=AOS_MS,
        los_ms=AOS_MS + 600_000,
        downlink_bps=downlink_bps,
        uplink_bps=uplink_bps,
        one_way_delay_ms=10,
        frame_loss=0.0,
        rates=rates,
    )


@given(
    st.lists(st.tuples(st.integers(1, 60_000), RATES, RATES), max_size=4),
    RATES,
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(17, 2048), st.booleans()), max_size=30),
)
def test_it_reckons_as_the_simulated_channel(
    steps: list[tuple[int, int, int]], rate_bps: int, frames: list[tuple[int, int, bool]]
) -> None:
    starts = np.cumsum([0, *(length for length, _, _ in steps)])[:-1].tolist() if steps else []
    rated = [
        (AOS_MS + start, max(one, other), min(one, other)) for start, (_, one, other) in zip(starts, steps, strict=True)
    ]
    expected = tuple(
        RateStep(from_ms=at_ms, downlink_bps=fast, frame_loss=0.5, robust_bps=slow, robust_frame_loss=0.1)
        for at_ms, fast, slow in rated
    )
    channel = Channel(
        ChannelSettings(
            rate_bps=rate_bps,
            delay_ms=0,
            rates=tuple(
                ChannelRate(from_ms=at_ms, rate_bps=fast, frame_loss=0.0, robust_rate_bps=slow, robust_frame_loss=0.0)
                for at_ms, fast, slow in rated
            ),
        ),
        np.random.default_rng(0),
    )
    pace = TransmitterPace(contact(expected, downlink_bps=rate_bps), "down")
    now_ms = AOS_MS
    for wait_ms, size_bytes, robust in frames:
        now_ms += wait_ms
        assert pace.departure_ms(size_bytes, now_ms, robust=robust) == channel.departure_ms(size_bytes, now_ms, robust)
        channel.transmit(bytes(size_bytes), now_ms, robust)
        pace.occupy(size_bytes, now_ms, robust=robust)
        assert pace.busy_until_ms == channel.busy_until_ms


def test_the_uplink_has_its_own_rate() -> None:
    steps = (RateStep(from_ms=AOS_MS, downlink_bps=9_000_000, frame_loss=0.0),)
    assert TransmitterPace(contact(steps), "up").departure_ms(256, AOS_MS) == AOS_MS + 32


def test_a_contact_without_uplink_has_no_such_pace() -> None:
    with pytest.raises(ValueError, match="contact 1 over Kiruna has no uplink"):
        TransmitterPace(contact(uplink_bps=0), "up")
