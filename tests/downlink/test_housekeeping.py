"""Housekeeping: its bytes, whom it is believed, and which of two tells more."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.errors import HousekeepingError
from downlink.frame_security import SecurityAssociation
from downlink.housekeeping import HOUSEKEEPING_BYTES, Housekeeping
from downlink.report_tag import report_tag

OUR = SecurityAssociation(spi=7, key=bytes(range(32)))
OTHER = SecurityAssociation(spi=8, key=bytes(range(1, 33)))
PURPOSE = b"tianshu housekeeping 1"
REPORT = Housekeeping(
    at_ms=1_750_000_000_123, boot=0x01020304, uptime_s=0x0A0B0C0D, charge_permille=873, cap_mw=15_000, compute_mw=None,
    temperature_decicelsius=-123, captured_layers=0x11223344, captured_bytes=0x112233445566, delivered_layers=0x21,
    delivered_bytes=0x212223, queued_layers=0x3132, queued_bytes=0x3132333435, evicted_layers=0x414243, evicted_bytes=0x41,
    delivered_digest=bytes.fromhex("5152535455565758"), scenes_waiting=0x6162, scenes_done=0x63646566, scenes_rejected=0x67,
    open_files=0x7172, refused_frames=0x73747576, waiting_for_power=True, disk_full=True,
)  # fmt: skip
GOLDEN = bytes.fromhex(
    "01 06 01977420dc7b 01020304 0a0b0c0d 0369 00003a98 ffffffff ff85"
    "11223344 00000021 00003132 00414243 112233445566 000000212223 003132333435 000000000041"
    "5152535455565758 6162 63646566 00000067 7172 73747576 0ae29dfabe9d6970"
)
U16, U32, U48 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 48))
REPORTS = st.builds(
    Housekeeping,
    at_ms=U48, boot=U32, uptime_s=U32,
    charge_permille=st.none() | st.integers(0, 0xFFFE), cap_mw=st.none() | st.integers(0, 0xFFFF_FFFE),
    compute_mw=st.none() | st.integers(0, 0xFFFF_FFFE), temperature_decicelsius=st.none() | st.integers(-0x7FFF, 0x7FFF),
    **{f"{what}_layers": U32 for what in ("captured", "delivered", "queued", "evicted")},
    **{f"{what}_bytes": U48 for what in ("captured", "delivered", "queued", "evicted")},
    delivered_digest=st.binary(min_size=8, max_size=8),
    scenes_waiting=U16, scenes_done=U32, scenes_rejected=U32, open_files=U16, refused_frames=U32,
    computing=st.booleans(), waiting_for_power=st.booleans(), disk_full=st.booleans(),
)  # fmt: skip


def test_golden_bytes():
    assert REPORT.encode(OUR) == GOLDEN
    assert Housekeeping.decode(GOLDEN, (OTHER, OUR)) == REPORT
    assert len(GOLDEN) == HOUSEKEEPING_BYTES


@given(REPORTS)
def test_round_trip(report):
    assert Housekeeping.decode(report.encode(OTHER), (OUR, OTHER)) == report


def test_what_is_too_large_stays_at_the_largest_value_and_never_reads_as_not_known():
    huge = {
        one.name: 1 << 70
        for one in fields(Housekeeping)
        if one.name not in ("at_ms", "delivered_digest", "computing", "waiting_for_power", "disk_full")
    }
    read = Housekeeping.decode(replace(REPORT, **huge).encode(OUR), (OUR,))
    assert (read.boot, read.captured_layers, read.captured_bytes) == (0xFFFF_FFFF, 0xFFFF_FFFF, (1 << 48) - 1)
    assert (read.charge_permille, read.cap_mw, read.compute_mw) == (0xFFFE, 0xFFFF_FFFE, 0xFFFF_FFFE)
    assert (read.temperature_decicelsius, read.scenes_waiting, read.scenes_done) == (0x7FFF, 0xFFFF, 0xFFFF_FFFF)
    cold = replace(REPORT, temperature_decicelsius=-(1 << 40), uptime_s=-5).encode(OUR)
    assert Housekeeping.decode(cold, (OUR,)).temperature_decicelsius == -0x7FFF
    assert Housekeeping.decode(cold, (OUR,)).uptime_s == 0


@pytest.mark.parametrize("wrong", [{"at_ms": -1}, {"at_ms": 1 << 48}, {"delivered_digest": b"1234567"}])
def test_a_time_or_a_digest_that_does_not_fit_is_refused(wrong):
    with pytest.raises(HousekeepingError, match="do not fit"):
        replace(REPORT, **wrong).encode(OUR)


@pytest.mark.parametrize(
    "data",
    [
        b"", GOLDEN[:1], GOLDEN[:-1], GOLDEN + b"\0", b"\2" + GOLDEN[1:],
        *(body + report_tag(PURPOSE, body, OUR) for body in (b"\2" + GOLDEN[1:-8], b"\1\x0e" + GOLDEN[2:-8], GOLDEN[:-9], GOLDEN[:-7])),
    ],
    ids=["empty", "one byte", "truncated", "oversized", "version", "version tagged", "flag tagged", "truncated tagged", "oversized tagged"],
)  # fmt: skip
def test_anything_else_is_refused(data):
    with pytest.raises(HousekeepingError, match="are no housekeeping of version 1"):
        Housekeeping.decode(data, (OUR,))


def test_one_bit_changed_anywhere_is_refused_and_so_is_a_stranger():
    for at in range(8, 8 * len(GOLDEN)):
        changed = bytearray(GOLDEN)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(HousekeepingError):
            Housekeeping.decode(bytes(changed), (OUR,))
    with pytest.raises(HousekeepingError, match="tag"):
        Housekeeping.decode(GOLDEN, (OTHER,))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=2, max_size=8), st.data())
def test_in_a_life_without_mishap_the_later_of_two_is_newer_and_the_other_never_is(steps, data):
    """Every step is a reboot or not, and seconds."""
    life, boot, uptime_s, at_ms = [], 1, 0, 1_750_000_000_000
    for reboot, seconds in steps:
        boot, uptime_s = (boot + 1, 0) if reboot == 0 else (boot, uptime_s + seconds)
        at_ms += 1000 * seconds
        life.append(replace(REPORT, boot=boot, uptime_s=uptime_s, at_ms=at_ms))
    first, second = sorted(data.draw(st.lists(st.integers(0, len(life) - 1), min_size=2, max_size=2)))
    assert life[second].is_newer_than(life[first]) == (first < second)
    assert not life[first].is_newer_than(life[second])


def test_a_clock_put_back_or_a_disk_replaced_does_not_silence_the_satellite():
    clock_back = replace(REPORT, at_ms=REPORT.at_ms - 3_600_000, uptime_s=REPORT.uptime_s + 1)
    booted_in_1970 = replace(REPORT, at_ms=5_000, boot=REPORT.boot + 1, uptime_s=5)
    disk_replaced = replace(REPORT, at_ms=REPORT.at_ms + 1, boot=1, uptime_s=0)
    assert all(later.is_newer_than(REPORT) for later in (clock_back, booted_in_1970, disk_replaced))
