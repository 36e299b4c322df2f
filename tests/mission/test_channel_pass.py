"""The channel along a pass: rate and loss that change, robust frames, jitter, blackouts, windows of contact."""

import hashlib
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission.channel import Channel, ChannelRate, ChannelSettings, GilbertElliott
from mission.errors import ChannelError
from mission.streams import Streams

PLAIN = ChannelSettings(rate_bps=1_000_000, delay_ms=27)
FRAME = bytes.fromhex("12345678") * 64
FAULTY = ChannelSettings(
    rate_bps=256_000,
    delay_ms=26,
    loss=GilbertElliott.with_mean(0.05, p_bad_to_good=0.25, loss_good=0.01, loss_bad=0.9),
    bit_error_rate=2e-5,
    duplicate=0.03,
    reorder=0.04,
    reorder_window_ms=40,
)


def channel_of(channel_settings, seed=11):
    return Channel(channel_settings, Streams(seed).generator("channel"))


def rate(from_ms, rate_bps=1_000_000, loss=0.0, *, robust_bps=None, robust_loss=0.0, bit_error_rate=None):
    return ChannelRate(
        from_ms=from_ms,
        rate_bps=rate_bps,
        frame_loss=loss,
        robust_rate_bps=robust_bps or rate_bps,
        robust_frame_loss=robust_loss,
        bit_error_rate=bit_error_rate,
    )


def history(channel, count=2000):
    return [channel.transmit(FRAME, number) for number in range(count)]


def digest(outcomes):
    seen = hashlib.sha256()
    for number, arrivals in enumerate(outcomes):
        for arrival in arrivals:
            seen.update(f"{number} {arrival.at_ms} ".encode() + arrival.frame)
    return seen.hexdigest()


@pytest.mark.parametrize(
    ("bit_error_rate", "expected"),
    [
        (2e-5, "df373656338959bf7e1a3ef0798a5add5ce01c0ae2b95da63fb49658008bc0e3"),
        (0.0, "c67c02d490293221cf8851848b39f335bf7bea93ddc72a32f147d01241ff8a66"),
    ],
)
def test_what_a_seed_gave_it_gives_for_ever(bit_error_rate, expected):
    """The digests are those of the first version of the emulator, which drew frame by frame."""
    assert digest(history(channel_of(replace(FAULTY, bit_error_rate=bit_error_rate)))) == expected


# ---- rates


def test_a_frame_keeps_the_rate_it_began_with():
    steps = (rate(100, 8_000), rate(200, 80_000))
    channel = channel_of(ChannelSettings(rate_bps=800_000, delay_ms=5, rates=steps))
    assert channel.transmit(bytes(100), 99)[0].at_ms == 100 + 5  # before the first step: 1 ms
    assert channel.transmit(bytes(100), 100)[0].at_ms == 200 + 5  # 100 ms
    assert channel.transmit(bytes(100), 150)[0].at_ms == 210 + 5  # waits until 200, then 10 ms
    assert channel.departure_ms(100, 0) == 220


def test_robust_frames_take_their_own_rate_and_loss():
    steps = (rate(0, 800_000, 1.0, robust_bps=8_000, robust_loss=0.0),)
    channel = channel_of(ChannelSettings(rate_bps=800_000, delay_ms=0, rates=steps))
    assert channel.transmit(FRAME, 0) == []
    (arrival,) = channel.transmit(bytes(10), 100, robust=True)
    assert arrival.at_ms == 110
    assert channel.departure_ms(10, 200, robust=True) == 210
    assert channel.departure_ms(10, 200) == 201


def test_robust_means_nothing_without_rates():
    ordinary, robust = channel_of(FAULTY), channel_of(FAULTY)
    assert history(ordinary, 300) == [robust.transmit(FRAME, number, robust=True) for number in range(300)]


sendings = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 40), st.booleans()), max_size=30)
step_lists = st.lists(
    st.tuples(st.integers(0, 500), st.integers(1, 10**7), st.integers(1, 10**7)),
    max_size=8,
    unique_by=lambda step: step[0],
)


@given(sendings, step_lists, st.integers(1, 10**7))
def test_time_is_exact_at_any_rates(frames, steps, first_bps):
    """Against fractions: neither the end of a frame nor the time the transmitter falls idle is ever rounded."""
    rates = tuple(rate(at, bps, robust_bps=robust) for at, bps, robust in sorted(steps))
    channel = channel_of(ChannelSettings(rate_bps=first_bps, delay_ms=3, rates=rates))
    idle, now_ms = Fraction(0), 0
    for size_bytes, wait_ms, robust in frames:
        now_ms += wait_ms
        start = max(idle, Fraction(now_ms))
        bps = first_bps
        for at, ordinary_bps, robust_bps in sorted(steps):
            if at <= start:
                bps = robust_bps if robust else ordinary_bps
        idle = start + Fraction(size_bytes * 8000, bps)
        assert channel.departure_ms(size_bytes, now_ms, robust) == math.ceil(idle)
        (arrival,) = channel.transmit(bytes(size_bytes), now_ms, robust)
        assert arrival.at_ms == math.ceil(idle) + 3
        assert channel.busy_until_ms == math.floor(idle)


def test_the_mean_loss_follows_the_pass_and_bursts_keep_their_length():
    burst = GilbertElliott.with_mean(0.02, p_bad_to_good=0.25, loss_good=0.0, loss_bad=1.0)
    steps = (rate(20_000, 10**8, 0.1, robust_loss=0.3), rate(40_000, 10**8, 0.0))
    channel = channel_of(replace(PLAIN, rate_bps=10**8, loss=burst, rates=steps))
    lost = np.array([not arrivals for arrivals in history(channel, 50_000)])
    assert lost[:20_000].mean() == pytest.approx(0.02, abs=0.01)
    assert lost[20_000:40_000].mean() == pytest.approx(0.1, abs=0.02)
    assert not lost[40_000:].any()
    second = lost[20_000:40_000]
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], second, [0]]))))[::2]
    assert runs.mean() == pytest.approx(4, rel=0.2)


@given(st.floats(0, 1), st.floats(0.01, 1), st.floats(0, 0.5), st.floats(0.5, 1))
def test_a_scaled_model_has_the_mean_asked_for(mean, p_bad_to_good, loss_good, loss_bad):
    shape = GilbertElliott(p_good_to_bad=0.1, p_bad_to_good=p_bad_to_good, loss_good=loss_good, loss_bad=loss_bad)
    scaled = shape.scaled_to(mean)
    assert scaled.mean_loss == pytest.approx(mean, abs=1e-9)
    bursts = (scaled.p_bad_to_good, scaled.loss_good, scaled.loss_bad) == (p_bad_to_good, loss_good, loss_bad)
    assert bursts or scaled == GilbertElliott.independent(mean)


def test_bit_errors_follow_the_pass():
    steps = (rate(1000, 10**8, bit_error_rate=1e-3), rate(2000, 10**8))
    channel = channel_of(replace(PLAIN, rate_bps=10**8, bit_error_rate=0.0, rates=steps))
    damaged = [arrivals[0].frame != FRAME for arrivals in history(channel, 3000)]
    assert sum(damaged[1000:2000]) / 1000 == pytest.approx(1 - (1 - 1e-3) ** (len(FRAME) * 8), abs=0.05)
    assert not any(damaged[:1000]) and not any(damaged[2000:])


# ---- jitter


@given(st.integers(1, 50), st.integers(0, 2**32))
@settings(max_examples=30)
def test_jitter_delays_within_its_bound_and_keeps_order(jitter_ms, seed):
    channel = channel_of(replace(PLAIN, rate_bps=10**9, jitter_ms=jitter_ms), seed)
    at_ms = [channel.transmit(FRAME, 3 * number)[0].at_ms for number in range(200)]
    extra_ms = [at - (3 * number + 1 + 27) for number, at in enumerate(at_ms)]
    assert at_ms == sorted(at_ms)
    assert min(extra_ms) >= 0
    assert max(extra_ms) <= jitter_ms
    assert len(set(extra_ms)) > 1


# ---- blackouts


def test_a_blackout_takes_what_is_sent_in_it_and_nothing_else():
    """8 ms a frame: those that touch 100..150 are lost, the fates of all others are as without the blackout."""
    slow = replace(FAULTY, rate_bps=256_000)
    dark = channel_of(replace(slow, blackouts=((100, 150), (400, 401))))
    light = history(channel_of(slow), 100)
    for number, (seen, arrivals) in enumerate(zip(light, history(dark, 100), strict=True)):
        start_ms, end_ms = 8 * number, 8 * number + 8
        touched = (start_ms < 150 and end_ms > 100) or (start_ms < 401 and end_ms > 400)
        assert arrivals == ([] if touched else seen), number
    assert dark.counts.blacked_out == 7 + 1


# ---- windows


def test_nothing_leaves_after_loss_of_signal_and_frames_in_flight_arrive():
    channel = channel_of(replace(PLAIN, rate_bps=256_000, delay_ms=500, windows=((0, 100), (1000, 1100))))
    arrivals = [channel.transmit(FRAME, 0) for _ in range(30)]  # 8 ms each: 12 fit before LOS
    assert [len(each) for each in arrivals] == [1] * 12 + [0] * 18
    assert [each[0].at_ms for each in arrivals[:12]] == [8 * number + 508 for number in range(12)]
    assert channel.counts.unsent == 18
    assert channel.counts.sent == channel.counts.arrived == 12
    assert channel.busy_until_ms == 96
    assert channel.transmit(FRAME[:128], 96)[0].at_ms == 600  # a shorter one fits
    assert channel.transmit(FRAME, 999) == []
    assert channel.transmit(FRAME, 1000)[0].at_ms == 1508


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_frames_without_contact_do_not_touch_chance(seed):
    """What is sent in contact fares the same, however much is offered without."""
    offered = channel_of(replace(FAULTY, rate_bps=10**9, windows=((0, 100), (200, 300))), seed)
    polite = channel_of(replace(FAULTY, rate_bps=10**9), seed)
    outcomes = history(offered, 300)
    assert outcomes[:100] + outcomes[200:] == [polite.transmit(FRAME, at) for at in (*range(100), *range(200, 300))]
    assert not any(outcomes[100:200])
    assert offered.counts.unsent == 100


# ---- refusals


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"jitter_ms": -1}, "jitter -1"),
        ({"rates": (rate(5), rate(5))}, r"\[5, 5\]"),
        ({"rates": (rate(9), rate(5))}, r"\[9, 5\]"),
        ({"blackouts": ((5, 5),)}, r"blackouts \[\(5, 5\)\]"),
        ({"blackouts": ((5, 9), (8, 12))}, "without overlap"),
        ({"windows": ((20, 30), (0, 10))}, "windows"),
    ],
)
def test_impossible_passes_are_refused(change, said):
    with pytest.raises(ChannelError, match=said):
        replace(PLAIN, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"rate_bps": 0},
        {"robust_rate_bps": 0},
        {"frame_loss": 1.5},
        {"robust_frame_loss": -0.5},
        {"bit_error_rate": 0.75},
    ],
)
def test_impossible_rates_are_refused(change):
    with pytest.raises(ChannelError, match=str(next(iter(change.values())))):
        replace(rate(0), **change)
