"""The channel: no faults means identity, faults follow their settings, one seed gives one history."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission.channel import Channel, ChannelSettings, GilbertElliott
from mission.errors import ChannelError
from mission.streams import Streams

CLEAN = ChannelSettings(rate_bps=1_000_000, delay_ms=27)
FRAME = bytes.fromhex("12345678") * 64


def rng(name="channel", seed=11):
    return Streams(seed).generator(name)


def send_all(channel, count, frame=FRAME, step_ms=1):
    return [channel.transmit(frame, step_ms * number) for number in range(count)]


frames = st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 50)), max_size=40)


@given(frames, st.integers(1, 10**9), st.integers(0, 1000))
def test_without_faults_all_frames_arrive_unchanged_in_order(sendings, rate_bps, delay_ms):
    channel = Channel(ChannelSettings(rate_bps=rate_bps, delay_ms=delay_ms), rng())
    now_ms, arrivals = 0, []
    for frame, wait_ms in sendings:
        now_ms += wait_ms
        expected_ms = channel.departure_ms(len(frame), now_ms) + delay_ms
        (arrival,) = channel.transmit(frame, now_ms)
        assert arrival.at_ms == expected_ms >= now_ms + delay_ms
        arrivals.append(arrival)
    assert [arrival.frame for arrival in arrivals] == [frame for frame, _ in sendings]
    assert [arrival.at_ms for arrival in arrivals] == sorted(arrival.at_ms for arrival in arrivals)


def test_serialization_takes_the_bits_time_without_gathering_rounding():
    channel = Channel(replace(CLEAN, rate_bps=999_983), rng())
    last = send_all(channel, 10_000, step_ms=0)[-1][0]
    assert last.at_ms == -(-10_000 * len(FRAME) * 8 * 1000 // 999_983) + 27
    assert channel.busy_until_ms == 10_000 * len(FRAME) * 8 * 1000 // 999_983


def test_an_idle_transmitter_starts_at_once():
    channel = Channel(ChannelSettings(rate_bps=8000, delay_ms=5), rng())
    assert channel.transmit(b"\x12" * 10, 100)[0].at_ms == 115
    assert channel.transmit(b"\x34" * 10, 103)[0].at_ms == 125  # waits for the first
    assert channel.transmit(b"\x56" * 10, 500)[0].at_ms == 515


FAULTY = ChannelSettings(
    rate_bps=256_000,
    delay_ms=26,
    loss=GilbertElliott.with_mean(0.05, p_bad_to_good=0.25, loss_good=0.01, loss_bad=0.9),
    bit_error_rate=2e-5,
    duplicate=0.03,
    reorder=0.04,
    reorder_window_ms=40,
)


def test_statistics_match_the_settings():
    """60,000 frames; every bound is about five standard deviations (bursts widen that of the loss)."""
    channel = Channel(FAULTY, rng())
    outcomes = send_all(channel, 60_000)
    counts = channel.counts
    assert counts.sent == 60_000
    assert counts.sent_bytes == 60_000 * len(FRAME)
    assert counts.lost / counts.sent == pytest.approx(0.05, abs=0.012)
    survived = counts.sent - counts.lost
    assert counts.duplicated / survived == pytest.approx(0.03, abs=0.004)
    assert counts.reordered / survived == pytest.approx(0.04, abs=0.005)
    assert counts.bits_flipped / (survived * len(FRAME) * 8) == pytest.approx(2e-5, rel=0.1)
    assert counts.corrupted / survived == pytest.approx(1 - (1 - 2e-5) ** (len(FRAME) * 8), rel=0.1)
    assert counts.arrived == survived + counts.duplicated == sum(map(len, outcomes))


def test_losses_come_in_bursts_of_the_stated_length():
    burst = GilbertElliott.with_mean(0.02, p_bad_to_good=0.25, loss_good=0.0, loss_bad=1.0)
    channel = Channel(replace(CLEAN, loss=burst), rng())
    lost = np.array([not arrivals for arrivals in send_all(channel, 60_000)])
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], lost, [0]]))))[::2]
    assert lost.mean() == pytest.approx(0.02, abs=0.006)
    assert runs.mean() == pytest.approx(4, rel=0.25)


def test_independent_losses_come_alone():
    channel = Channel(replace(CLEAN, loss=GilbertElliott.independent(0.02)), rng())
    lost = np.array([not arrivals for arrivals in send_all(channel, 60_000)])
    assert lost.mean() == pytest.approx(0.02, abs=0.003)
    assert (lost[1:] & lost[:-1]).sum() / lost.sum() == pytest.approx(0.02, abs=0.02)


@given(st.floats(0, 0.9), st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_model_made_for_a_mean_has_that_mean(mean, p_bad_to_good, loss_good, loss_bad):
    try:
        model = GilbertElliott.with_mean(mean, p_bad_to_good=p_bad_to_good, loss_good=loss_good, loss_bad=loss_bad)
    except ChannelError:
        share = (mean - loss_good) / (loss_bad - loss_good) if loss_bad > loss_good else 2
        assert not 0 <= share < 1 or p_bad_to_good * share / (1 - share) > 1
    else:
        assert model.mean_loss == pytest.approx(mean, abs=1e-9)


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_same_seed_same_history(seed):
    first, second = Channel(FAULTY, rng(seed=seed)), Channel(FAULTY, rng(seed=seed))
    assert send_all(first, 200) == send_all(second, 200)
    assert asdict(first.counts) == asdict(second.counts)


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_every_arrival_is_a_sent_frame_with_at_most_the_counted_flips(seed):
    channel = Channel(replace(FAULTY, bit_error_rate=1e-3), rng(seed=seed))
    flips = 0
    for number in range(100):
        frame = number.to_bytes(4, "big") * 32
        arrivals = channel.transmit(frame, number)
        assert [arrival.at_ms for arrival in arrivals] == sorted(arrival.at_ms for arrival in arrivals)
        assert all(len(arrival.frame) == len(frame) for arrival in arrivals)
        assert len({arrival.frame for arrival in arrivals}) <= 1
        if arrivals:
            flips += (int.from_bytes(arrivals[0].frame, "big") ^ int.from_bytes(frame, "big")).bit_count()
    assert flips == channel.counts.bits_flipped


def test_reordering_overtakes_within_the_window():
    channel = Channel(replace(CLEAN, reorder=0.2, reorder_window_ms=40), rng())
    on_time_ms = [channel.departure_ms(len(FRAME), 3 * number) + 27 for number in range(1)]
    arrivals = [arrival for arrivals in send_all(channel, 500, step_ms=3) for arrival in arrivals]
    at_ms = np.array([arrival.at_ms for arrival in arrivals])
    expected_ms = np.arange(500) * 3 + on_time_ms[0]
    lateness_ms = at_ms - expected_ms
    assert ((lateness_ms == 0) | ((lateness_ms >= 1) & (lateness_ms <= 40))).all()
    assert (lateness_ms > 0).sum() == channel.counts.reordered > 50
    assert (np.diff(at_ms) < 0).any()


@pytest.mark.parametrize(
    "change",
    [
        {"rate_bps": 0},
        {"delay_ms": -1},
        {"bit_error_rate": 0.6},
        {"duplicate": -0.1},
        {"reorder": 1.5},
        {"reorder_window_ms": 0},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ChannelError, match=str(next(iter(change.values())))):
        replace(CLEAN, **change)


def test_a_channel_that_never_recovers_is_refused():
    with pytest.raises(ChannelError, match="p_bad_to_good"):
        GilbertElliott(p_good_to_bad=0.1, p_bad_to_good=0.0, loss_good=0.0, loss_bad=1.0)
