"""Secured uplink frames: the format byte by byte, and everything that must not pass."""

import binascii
import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.errors import FrameSecurityError, TransferFrameError
from downlink.frame_security import (
    MAX_NUMBER,
    NUMBERS_PER_MS,
    SECURITY_BYTES,
    AuthenticFrame,
    FrameProtector,
    FrameRefusal,
    FrameVerifier,
    SecurityAssociation,
)
from downlink.transfer_frame import TransferFrame, decode_transfer_frame

KEY = bytes(range(0x10, 0x30))
OUR = SecurityAssociation(spi=0x1234, key=KEY)
SPACECRAFT = 0x2A5
ZONE = bytes.fromhex("1113c0010008112233445566778899")
SECURED_BYTES = len(ZONE) + 10 + SECURITY_BYTES
NOW_MS = 0x0123456789A
GOLDEN_OPEN = "6942456789630000" + ZONE.hex() + "b55d"
GOLDEN_SECURED = (
    "694245678963"  # primary header
    "1234"  # security parameter index
    "0000123456789b00"  # sequence number, (NOW_MS + 1) * 256
    "0000"  # first header pointer
    "1113c0010008112233445566778899"  # packet zone
    "815e74e5122447bc86719aedd35b566b"  # tag, as test_aes_gmac writes GHASH out
    "979b"  # check value
)


def open_frame(zone=ZONE, **changes):
    fields = {"spacecraft_id": SPACECRAFT, "vc_id": 2, "frame_count": 0x3456789, "first_header_pointer": 0}
    return TransferFrame(**{**fields, **changes}, packet_zone=zone).encode()


def verifier(*associations, frame_bytes=SECURED_BYTES, spacecraft_id=SPACECRAFT, vc_ids=(2,)):
    return FrameVerifier(associations or (OUR,), spacecraft_id=spacecraft_id, frame_bytes=frame_bytes, vc_ids=vc_ids)


def secured(now_ms=NOW_MS, association=OUR, **changes):
    return FrameProtector(association).protect(open_frame(**changes), now_ms)


def with_check(frame):
    """The frame with a check value that agrees, as a forger would send it."""
    body = bytes(frame[:-2])
    return body + struct.pack(">H", binascii.crc_hqx(body, 0xFFFF))


def test_golden_frame():
    assert open_frame().hex() == GOLDEN_OPEN
    assert secured().hex() == GOLDEN_SECURED
    assert verifier().verify(bytes.fromhex(GOLDEN_SECURED)) == AuthenticFrame(
        spi=0x1234, number=(NOW_MS + 1) * 256, open_frame=bytes.fromhex(GOLDEN_OPEN)
    )


@given(
    zone=st.binary(min_size=7, max_size=300),
    spacecraft_id=st.integers(0, 1023),
    vc_id=st.integers(0, 62),
    frame_count=st.integers(0, (1 << 28) - 1),
    pointer=st.integers(0, 0x7FF),
    replay=st.booleans(),
    spi=st.integers(1, 0xFFFE),
    now_ms=st.integers(0, 1 << 50),
)
def test_what_is_protected_is_verified(zone, spacecraft_id, vc_id, frame_count, pointer, replay, spi, now_ms):
    frame = TransferFrame(
        spacecraft_id=spacecraft_id,
        vc_id=vc_id,
        frame_count=frame_count,
        first_header_pointer=pointer,
        packet_zone=zone,
        replay=replay,
    )
    association = SecurityAssociation(spi=spi, key=KEY)
    sent = FrameProtector(association).protect(frame.encode(), now_ms)
    assert len(sent) == len(zone) + 10 + SECURITY_BYTES
    ours = verifier(association, frame_bytes=len(sent), spacecraft_id=spacecraft_id, vc_ids=(vc_id,))
    heard = ours.verify(sent)
    assert isinstance(heard, AuthenticFrame)
    assert (heard.spi, heard.number) == (spi, (now_ms + 1) * 256)
    assert decode_transfer_frame(heard.open_frame) == frame


def test_every_flipped_bit_is_refused_and_with_a_fitting_check_value_too():
    sent = secured()
    ours = verifier()
    reasons = set()
    for bit in range(8 * len(sent)):
        flipped = bytearray(sent)
        flipped[bit // 8] ^= 1 << bit % 8
        assert ours.verify(bytes(flipped)) is FrameRefusal.DAMAGED
        if bit < 8 * (len(sent) - 2):
            refusal = ours.verify(with_check(flipped))
            assert isinstance(refusal, FrameRefusal) and refusal is not FrameRefusal.DAMAGED, bit
            reasons.add(refusal)
    assert reasons == {FrameRefusal.FOREIGN, FrameRefusal.UNKNOWN_KEY, FrameRefusal.FORGED}


@pytest.mark.parametrize("length", [0, 1, 5, 6, 16, 24, 50, 52, 256, 4096])
def test_truncated_and_oversized_frames_are_refused(length):
    sent = secured()
    assert length != len(sent)
    for frame in ((sent * 100)[:length], with_check((sent * 100)[: max(length, 2)])):
        if len(frame) != len(sent):
            assert verifier().verify(frame) is FrameRefusal.DAMAGED


def test_frames_for_others_and_from_others_are_told_apart():
    assert verifier().verify(secured(spacecraft_id=SPACECRAFT ^ 0x200)) is FrameRefusal.FOREIGN
    assert verifier().verify(secured(vc_id=3)) is FrameRefusal.FOREIGN
    assert verifier().verify(secured(vc_id=63)) is FrameRefusal.FOREIGN
    other_index = SecurityAssociation(spi=0x1235, key=KEY)
    assert verifier().verify(secured(association=other_index)) is FrameRefusal.UNKNOWN_KEY
    other_key = SecurityAssociation(spi=OUR.spi, key=KEY[::-1])
    assert verifier().verify(secured(association=other_key)) is FrameRefusal.FORGED


def test_an_authentic_frame_cannot_be_moved_to_another_spacecraft_or_channel_that_has_the_key():
    sent = bytearray(secured())
    their_spacecraft = verifier(spacecraft_id=SPACECRAFT ^ 1)
    sent[1] ^= 1 << 6
    assert their_spacecraft.verify(with_check(sent)) is FrameRefusal.FORGED
    sent = bytearray(secured())
    sent[1] ^= 1
    assert verifier(vc_ids=(2, 3)).verify(with_check(sent)) is FrameRefusal.FORGED


def test_two_keys_are_good_while_one_follows_the_other():
    new = SecurityAssociation(spi=0x4321, key=KEY[::-1])
    both = verifier(OUR, new)
    assert [both.verify(secured(association=one)).spi for one in (OUR, new)] == [0x1234, 0x4321]
    assert verifier(new).verify(secured()) is FrameRefusal.UNKNOWN_KEY


def test_random_bytes_never_raise_and_never_pass():
    """Without and with a fitting check value, and with a fitting primary header and key index as well."""
    ours, length = verifier(), len(secured())
    noise = Random(0x12345678).randbytes(200_000 + length)
    head = secured()[:8]
    for at in range(0, 200_000, 17):
        frame = noise[at : at + length]
        for forged in (frame, with_check(frame), with_check(head + frame[8:])):
            assert isinstance(ours.verify(forged), FrameRefusal)


# ---- numbers


def number_of(frame):
    return int.from_bytes(frame[8:16], "big")


@settings(max_examples=60)
@given(
    boots=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=40), min_size=1, max_size=6),
    away_ms=st.integers(1, 3),
)
def test_no_number_is_used_twice_across_restarts_without_memory(boots, away_ms):
    """Up to 40 frames in a millisecond, restarts after at least one millisecond."""
    now_ms, used = NOW_MS, []
    for steps in boots:
        protector = FrameProtector(OUR)
        for step in steps:
            now_ms += step
            used.append(number_of(protector.protect(open_frame(), now_ms)))
        now_ms += away_ms
    assert used == sorted(set(used))


def test_a_burst_of_more_frames_than_a_millisecond_has_numbers_still_rises():
    protector = FrameProtector(OUR)
    numbers = [number_of(protector.protect(open_frame(), NOW_MS)) for _ in range(1000)]
    assert numbers == list(range(numbers[0], numbers[0] + 1000))


def test_a_kept_number_and_a_clock_set_back_use_no_number_twice():
    before = FrameProtector(OUR)
    last = number_of(before.protect(open_frame(), NOW_MS))
    after = FrameProtector(OUR, first_number=before.next_number)
    assert number_of(after.protect(open_frame(), NOW_MS - 3_600_000)) == last + 1


def test_after_a_clock_set_back_numbers_go_on_at_the_pace_of_the_clock():
    """Or a receiver that has started again would refuse all of them until the clock is where it was."""
    before = FrameProtector(OUR)
    last = number_of(before.protect(open_frame(), NOW_MS))
    after = FrameProtector(OUR, first_number=before.next_number)
    back_ms = NOW_MS - 3_600_000
    assert number_of(after.protect(open_frame(), back_ms)) == last + 1
    assert number_of(after.protect(open_frame(), back_ms + 5_000)) >= last + 4_999 * NUMBERS_PER_MS
    assert number_of(after.protect(open_frame(), back_ms + 4_000)) > last + 4_999 * NUMBERS_PER_MS  # never back


def test_numbers_end_before_they_wrap():
    protector = FrameProtector(OUR, first_number=MAX_NUMBER)
    protector.protect(open_frame(), NOW_MS)
    with pytest.raises(FrameSecurityError, match="change the key"):
        protector.protect(open_frame(), NOW_MS)


# ---- keys


@pytest.mark.parametrize(("spi", "key"), [(0, KEY), (0xFFFF, KEY), (7, KEY[:16]), (7, b""), (7, KEY + b"\x01")])
def test_unusable_keys_are_refused(spi, key):
    with pytest.raises(FrameSecurityError):
        SecurityAssociation(spi=spi, key=key)


def test_a_key_is_shown_nowhere():
    assert KEY.hex() not in repr(OUR) and repr(KEY) not in repr(OUR)


def test_a_verifier_needs_keys_with_an_index_each():
    with pytest.raises(FrameSecurityError, match="at least one key"):
        FrameVerifier((), spacecraft_id=1, frame_bytes=256, vc_ids=(2,))
    with pytest.raises(FrameSecurityError, match="own index"):
        verifier(OUR, SecurityAssociation(spi=OUR.spi, key=KEY[::-1]))
    with pytest.raises(TransferFrameError):
        verifier(frame_bytes=SECURITY_BYTES + 16)
