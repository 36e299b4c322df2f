"""The profile of a relayed channel: every key reaches the emulator, options go before the file."""

from pathlib import Path

import pytest

from mission.channel import ChannelRate, ChannelSettings, GilbertElliott
from mission.channel_profile import load_profile
from mission.errors import RelayError

FULL = """
seed = 7
duration_s = 600
queue_ms = 250
from_first_datagram = true
windows_s = [[0.0, 420.5], [5700, 6150]]
blackouts_s = [[100.0, 101.5]]

[down]
rate_bps = 10_000_000
delay_ms = 25
jitter_ms = 3
frame_loss = 0.02
bit_error_rate = 1e-6
duplicate = 0.01
reorder = 0.03
reorder_window_ms = 40

[down.burst]
p_bad_to_good = 0.25

[[down.rates]]
from_s = 60.25
rate_bps = 20_000_000
frame_loss = 0.001

[[down.rates]]
from_s = 90.0
rate_bps = 5_000_000
frame_loss = 0.5
bit_error_rate = 1e-5

[up]
rate_bps = 64_000
"""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "pass.toml"
    path.write_text(FULL, encoding="utf-8")
    return path


def step(from_ms, rate_bps, loss, bit_error_rate=None):
    return ChannelRate(
        from_ms=from_ms,
        rate_bps=rate_bps,
        frame_loss=loss,
        robust_rate_bps=rate_bps,
        robust_frame_loss=loss,
        bit_error_rate=bit_error_rate,
    )


def test_every_key_reaches_the_emulator(file):
    profile = load_profile(file, {})
    down, up = profile.channels()
    when = {"windows": ((0, 420_500), (5_700_000, 6_150_000)), "blackouts": ((100_000, 101_500),)}
    assert down == ChannelSettings(
        rate_bps=10_000_000,
        delay_ms=25,
        jitter_ms=3,
        loss=GilbertElliott.with_mean(0.02, p_bad_to_good=0.25, loss_good=0.0, loss_bad=1.0),
        bit_error_rate=1e-6,
        duplicate=0.01,
        reorder=0.03,
        reorder_window_ms=40,
        rates=(step(60_250, 20_000_000, 0.001), step(90_000, 5_000_000, 0.5, 1e-5)),
        **when,
    )
    assert up == ChannelSettings(
        rate_bps=64_000, delay_ms=0, loss=GilbertElliott.independent(0.0), reorder_window_ms=20, **when
    )
    assert (profile.seed, profile.duration_s, profile.queue_ms, profile.from_first_datagram) == (7, 600, 250, True)


def test_options_go_before_the_file(file):
    profile = load_profile(file, {"seed": 8, "down": {"delay_ms": 1}, "up": {"delay_ms": 2}})
    down, up = profile.channels()
    assert (profile.seed, down.delay_ms, up.delay_ms) == (8, 1, 2)
    assert (down.rate_bps, up.rate_bps) == (10_000_000, 64_000)


def test_a_burst_may_state_its_own_mean():
    profile = load_profile(None, {"down": {"burst": {"p_good_to_bad": 0.1, "p_bad_to_good": 0.3}}})
    assert profile.channels()[0].loss == GilbertElliott(
        p_good_to_bad=0.1, p_bad_to_good=0.3, loss_good=0.0, loss_bad=1.0
    )


def test_all_problems_are_named_at_once():
    with pytest.raises(RelayError) as refusal:
        load_profile(None, {"down": {"rate_bps": 0, "delay_ms": -1}, "speed": 3})
    assert all(key in str(refusal.value) for key in ("down.rate_bps = 0", "down.delay_ms = -1", "speed = 3"))
