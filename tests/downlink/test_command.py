"""Commands and their report: golden bytes, round trips, and everything malformed refused."""

import hashlib
import hmac
from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.command import (
    MAX_COMMAND_BYTES,
    CancelRequest,
    Command,
    DropScene,
    ForgetReferences,
    ReportLink,
    RequestLayers,
    UploadContacts,
    condensed,
    decode_command,
    encode_command,
)
from downlink.command_report import MAX_COUNT, CommandReport, UplinkCounts
from downlink.contact import Contact, RateStep
from downlink.errors import CommandError
from downlink.frame_security import SecurityAssociation
from downlink.requests import LayerRequest

KIRUNA = Contact(
    contact_id=0x01020304,
    station="Kiruna",
    aos_ms=0x1122334455,
    los_ms=0x1122334455 + 0x98765,
    downlink_bps=0x12345678,
    uplink_bps=0x9ABC,
    one_way_delay_ms=0x17,
    frame_loss=0.15625,
)
REQUEST = LayerRequest(
    scene=0x12345678, first_product=0x9ABC, last_product=0xDEF0, last_step=0x11, factor=2.5, until_ms=0x18BCFE56789
)
GOLDEN = {
    "request": (
        Command(number=0x18BCFE5A5A5, after=0x18BCFE5A5A4, order=RequestLayers(request=REQUEST)),
        "01 01 018bcfe5a5a5 018bcfe5a5a4 12345678 9abc def0 11 4004000000000000 0000018bcfe56789",
    ),
    "cancel": (
        Command(number=0x18BCFE5A5A6, after=0, order=CancelRequest(request_number=0x18BCFE5A5A5)),
        "01 02 018bcfe5a5a6 000000000000 018bcfe5a5a5",
    ),
    "drop": (
        Command(number=0x123456789ABC, after=0x10, order=DropScene(scene=0xFEDCBA98)),
        "01 03 123456789abc 000000000010 fedcba98",
    ),
    "forget": (
        Command(number=0x18BCFE5A5A7, after=0x18BCFE5A5A6, order=ForgetReferences(scene=0x89ABCDEF)),
        "01 06 018bcfe5a5a7 018bcfe5a5a6 00 89abcdef",
    ),
    "forget all": (
        Command(number=0x18BCFE5A5A8, after=0, order=ForgetReferences(scene=None)),
        "01 06 018bcfe5a5a8 000000000000 01 00000000",
    ),
    "contacts": (
        Command(
            number=0x102,
            after=0x101,
            order=UploadContacts(from_ms=0x1122334400, until_ms=0x1122335500, contacts=(KIRUNA,)),
        ),
        "01 04 000000000102 000000000101 0000001122334400 0000001122335500 01"
        "01020304 0000001122334455 00098765 12345678 00009abc 0017 3fc4000000000000 06 4b6972756e61",
    ),
    "link": (
        Command(
            number=0, after=0, order=ReportLink(contact_id=0x11, frames_heard=0x12345, frames_lost=0x678, bursts=0x9A)
        ),
        "01 05 000000000000 000000000000 00000011 00012345 00000678 0000009a",
    ),
}

WORD = st.integers(0, 0xFFFF_FFFF)
NUMBERS = st.integers(1, (1 << 48) - 1)
REQUESTS = st.builds(
    lambda scene, products, step, factor, until_ms: LayerRequest(
        scene=scene,
        first_product=min(products),
        last_product=max(products),
        last_step=step,
        factor=factor,
        until_ms=until_ms,
    ),
    WORD,
    st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)),
    st.integers(0, 0xFF),
    st.floats(1, 1e6),
    st.integers(0, (1 << 63) - 1),
)
CONTACTS = st.builds(
    lambda number, station, aos_ms, duration_ms, rates, delay_ms, loss: Contact(
        contact_id=number,
        station=station,
        aos_ms=aos_ms,
        los_ms=aos_ms + duration_ms,
        downlink_bps=rates[0],
        uplink_bps=rates[1],
        one_way_delay_ms=delay_ms,
        frame_loss=loss,
    ),
    WORD,
    st.text(min_size=1, max_size=6).filter(lambda text: text.isprintable()),
    st.integers(1000, 1 << 42),
    st.integers(1, 0xFFFF_FFFF),
    st.tuples(st.integers(1, 0xFFFF_FFFF), WORD),
    st.integers(0, 0xFFFF),
    st.floats(0, 1, exclude_max=True),
)
UPLOADS = st.lists(CONTACTS, max_size=15, unique_by=lambda contact: contact.aos_ms).map(
    lambda contacts: UploadContacts(
        from_ms=1000, until_ms=1 << 43, contacts=tuple(sorted(contacts, key=lambda contact: contact.aos_ms))
    )
)
ORDERS = st.one_of(
    st.builds(RequestLayers, request=REQUESTS),
    st.builds(CancelRequest, request_number=NUMBERS),
    st.builds(DropScene, scene=WORD),
    st.builds(ForgetReferences, scene=st.none() | WORD),
    UPLOADS,
)
COMMANDS = st.one_of(
    st.builds(
        lambda numbers, order: Command(number=max(numbers), after=min(numbers), order=order),
        st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)).filter(lambda pair: pair[0] != pair[1]),
        ORDERS,
    ),
    st.builds(
        lambda order: Command(number=0, after=0, order=order),
        st.builds(
            lambda contact_id, heard, losses: ReportLink(
                contact_id=contact_id, frames_heard=heard, frames_lost=max(losses), bursts=min(losses)
            ),
            WORD,
            WORD,
            st.one_of(st.just((0, 0)), st.tuples(st.integers(1, 0xFFFF_FFFF), st.integers(1, 0xFFFF_FFFF))),
        ),
    ),
)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_commands(name):
    command, text = GOLDEN[name]
    assert encode_command(command).hex() == text.replace(" ", "")
    assert decode_command(bytes.fromhex(text)) == command


@given(command=COMMANDS)
def test_what_is_encoded_is_decoded(command):
    assert decode_command(encode_command(command)) == command


@given(data=st.binary(max_size=200), command=COMMANDS, at=st.integers(0, 1023), byte=st.integers(0, 255))
def test_bytes_are_a_command_or_refused_and_nothing_else(data, command, at, byte):
    """Noise, noise behind a good header, and a good command with one byte changed."""
    encoded = encode_command(command)
    changed = bytearray(encoded)
    changed[at % len(changed)] = byte
    for tried in (data, encoded[:14] + data, bytes(changed)):
        try:
            decoded = decode_command(tried)
        except CommandError:
            continue
        assert decode_command(encode_command(decoded)) == decoded


@pytest.mark.parametrize("name", GOLDEN)
def test_every_cut_and_every_longer_command_is_refused(name):
    encoded = encode_command(GOLDEN[name][0])
    for length in range(len(encoded)):
        with pytest.raises(CommandError):
            decode_command(encoded[:length])
    for tail in (b"\x00", b"\x12" * 5, encoded, bytes(MAX_COMMAND_BYTES)):
        with pytest.raises(CommandError):
            decode_command(encoded + tail)


@pytest.mark.parametrize(
    ("name", "at", "byte"),
    [
        ("request", 0, 2),  # version
        ("request", 1, 0),  # kinds that do not exist
        ("request", 1, 6),
        ("request", 8, 0xFF),  # after a later command
        ("request", 18, 0xFF),  # first product above the last
        ("request", 23, 0x7F),  # a factor that is far too large
        ("request", 23, 0xC0),  # a negative factor
        ("request", 31, 0x80),  # a time beyond 63 bits
        ("drop", 1, 2),  # a cancellation of 4 bytes
        ("contacts", 30, 2),  # two contacts announced
        ("contacts", 30, 0),
        ("contacts", 37, 0x00),  # AOS before the span
        ("contacts", 57, 0x3F),  # a loss of 1 would be 3ff0...
        ("contacts", 65, 0xFF),  # a name longer than what is left
        ("contacts", 65, 0x00),  # no name, and six bytes over
        ("contacts", 66, 0xC0),  # a name that is not UTF-8
        ("link", 7, 1),  # a link report with a number
        ("link", 13, 1),  # a link report after a command
        ("link", 28, 0x06),  # more runs of lost frames than lost frames
        ("link", 29, 0x00),  # lost frames in no run
    ],
)
def test_fields_out_of_place_are_refused(name, at, byte):
    data = bytearray(encode_command(GOLDEN[name][0]))
    if data[at] == byte:
        data[at + 1] = 0xF0
    data[at] = byte
    with pytest.raises(CommandError):
        decode_command(bytes(data))


def test_commands_that_cannot_be_said_are_refused_at_birth():
    with pytest.raises(CommandError, match="link reports have 0"):
        Command(number=0, after=0, order=DropScene(scene=1))
    with pytest.raises(CommandError, match="cannot wait"):
        Command(number=5, after=5, order=DropScene(scene=1))
    with pytest.raises(CommandError, match=r"2\*\*48"):
        Command(number=1 << 48, after=5, order=DropScene(scene=1))
    with pytest.raises(CommandError, match="32 bits"):
        DropScene(scene=1 << 32)
    with pytest.raises(CommandError, match="condensed"):
        step = RateStep(from_ms=KIRUNA.aos_ms, downlink_bps=1000, frame_loss=0.5)
        UploadContacts(from_ms=1, until_ms=1 << 42, contacts=(replace(KIRUNA, rates=(step,)),))
    with pytest.raises(CommandError, match="out of order"):
        UploadContacts(from_ms=1, until_ms=1 << 42, contacts=(KIRUNA, KIRUNA))
    for frames_lost, bursts in ((3, 0), (3, 4), (0, 1), (3, -1)):
        with pytest.raises(CommandError, match=f"{frames_lost} frames lost in {bursts} runs"):
            ReportLink(contact_id=1, frames_heard=9, frames_lost=frames_lost, bursts=bursts)
    with pytest.raises(CommandError, match="span"):
        UploadContacts(from_ms=9, until_ms=9, contacts=())


def test_commands_that_do_not_fit_are_refused():
    many = tuple(replace(KIRUNA, aos_ms=KIRUNA.aos_ms + step) for step in range(40))
    upload = UploadContacts(from_ms=1, until_ms=1 << 42, contacts=many)
    with pytest.raises(CommandError, match="split it"):
        encode_command(Command(number=1, after=0, order=upload))
    for contact, said in (
        (replace(KIRUNA, station="x" * 25), "at most 24"),
        (replace(KIRUNA, downlink_bps=1 << 33), "does not fit"),
    ):
        upload = UploadContacts(from_ms=1, until_ms=1 << 42, contacts=(contact,))
        with pytest.raises(CommandError, match=said):
            encode_command(Command(number=1, after=0, order=upload))


def test_a_condensed_contact_carries_what_its_profile_carried():
    steps = (
        RateStep(from_ms=KIRUNA.aos_ms, downlink_bps=20_000_000, frame_loss=0.25),
        RateStep(from_ms=KIRUNA.aos_ms + 100_000, downlink_bps=90_000_000, frame_loss=0.0),
        RateStep(from_ms=KIRUNA.aos_ms + 500_000, downlink_bps=10_000_000, frame_loss=0.5),
    )
    profile = replace(KIRUNA, rates=steps)
    flat = condensed(profile)
    assert flat.rates == () and (flat.aos_ms, flat.los_ms) == (profile.aos_ms, profile.los_ms)
    assert flat.capacity_bytes == pytest.approx(profile.capacity_bytes, rel=1e-6)
    assert flat.expected_bytes == pytest.approx(profile.expected_bytes, rel=1e-6)
    assert condensed(KIRUNA) == KIRUNA
    hopeless = replace(KIRUNA, rates=(RateStep(from_ms=KIRUNA.aos_ms, downlink_bps=10_000_000, frame_loss=1.0),))
    assert condensed(hopeless).frame_loss == 0.999


def test_measured_loss():
    assert ReportLink(contact_id=1, frames_heard=75, frames_lost=25, bursts=9).frame_loss == 0.25
    assert ReportLink(contact_id=1, frames_heard=0, frames_lost=0, bursts=0).frame_loss is None


# ---- report

OUR = SecurityAssociation(spi=0x1234, key=bytes(range(0x10, 0x30)))
OTHER = SecurityAssociation(spi=0x1235, key=bytes(range(0x30, 0x50)))
COUNTS = UplinkCounts(
    accepted=0x123456,
    damaged=0x010203,
    foreign=0x040506,
    unknown_key=0x070809,
    forged=0x0A0B0C,
    replayed=0x0D0E0F,
    unsaved=0x101112,
    malformed=0x131415,
)
REPORT = CommandReport(last_number=0x018BCFE5A5A6, counts=COUNTS)
GOLDEN_REPORT = "01 018bcfe5a5a6 123456 010203 040506 070809 0a0b0c 0d0e0f 101112 131415"


def test_golden_report():
    body = bytes.fromhex(GOLDEN_REPORT)
    key = hmac.new(OUR.key, b"tianshu command report 1", hashlib.sha256).digest()
    tag = hmac.new(key, body, hashlib.sha256).digest()[:8]
    assert REPORT.encode(OUR) == body + tag
    assert tag.hex() == "9a44620b9f660f4c"
    assert CommandReport.decode(body + tag, (OTHER, OUR)) == REPORT


def test_a_changed_report_is_refused_in_every_bit_and_under_every_other_key():
    encoded = REPORT.encode(OUR)
    for bit in range(8 * len(encoded)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CommandError):
            CommandReport.decode(bytes(changed), (OUR,))
    for data, keys in ((encoded, (OTHER,)), (encoded, ()), (encoded[:-1], (OUR,)), (encoded + b"\x00", (OUR,))):
        with pytest.raises(CommandError):
            CommandReport.decode(data, keys)


@given(counts=st.lists(st.integers(0, 1 << 26), min_size=8, max_size=8), number=st.integers(0, (1 << 48) - 1))
def test_reports_come_back_with_counters_that_stay_at_their_largest(counts, number):
    report = CommandReport(
        last_number=number, counts=UplinkCounts(**dict(zip(UplinkCounts.__slots__, counts, strict=True)))
    )
    decoded = CommandReport.decode(report.encode(OUR), (OUR,))
    assert decoded.last_number == number
    assert astuple(decoded.counts) == tuple(min(count, MAX_COUNT) for count in counts)
    assert report.counts.refused == sum(counts[1:])


@pytest.mark.parametrize("body", ["02 00000000", "01 00000001", "ff 89abcdef"])
def test_references_of_every_scene_and_of_one_are_not_said_at_once(body):
    with pytest.raises(CommandError, match="every scene"):
        decode_command(bytes.fromhex("01 06 018bcfe5a5a8 000000000000" + body))
