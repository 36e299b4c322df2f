"""The audit on the wire: golden bytes, round trips, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.alerts import AlertDetection, decode_alerts, encode_alerts
from downlink.audit_sample import (
    AuditManifest,
    AuditStratum,
    AuditUnit,
    DiscardKind,
    decode_audit,
    decode_manifest,
    encode_audit,
    encode_manifest,
)
from downlink.errors import LayerError

CANDIDATE = AlertDetection(class_id=3, confidence=0.2, corners_px=((10, 20), (42, 20), (42, 28), (10, 28)))
MANIFEST = AuditManifest(
    cell_px=64,
    strata=(
        AuditStratum(
            kind=DiscardKind.CLOUD, population=1920, share=0.015625,
            units=(AuditUnit(row=0x1234, col=0x56), AuditUnit(row=0x1274, col=0x96)),
        ),
        AuditStratum(kind=DiscardKind.SEA_GATE, population=0x3039, share=0.0, units=()),
        AuditStratum(
            kind=DiscardKind.BELOW_THRESHOLD, population=9, share=0.25,
            units=(AuditUnit(row=5, col=7, candidate=CANDIDATE),),
        ),
    ),
)  # fmt: skip
GOLDEN = (
    f"01 40 03  {DiscardKind.CLOUD:02x} 800f 3c800000 02 b424 56 f424 9601  {DiscardKind.SEA_GATE:02x} b960 00000000 00 "
    f"{DiscardKind.BELOW_THRESHOLD:02x} 09 3e800000 01 05 07  01 01 03 33 0001a0 000180 0200 0080 0000"
)


def test_golden_bytes():
    assert encode_audit(MANIFEST, b"\xa1\xb2") == bytes.fromhex(GOLDEN + "a1b2")
    assert decode_audit(bytes.fromhex(GOLDEN + "a1b2")) == (MANIFEST, b"\xa1\xb2")
    assert decode_manifest(encode_manifest(MANIFEST)) == MANIFEST


def test_units_stand_in_the_order_of_the_picture():
    kinds = [kind for kind, _ in MANIFEST.units]
    assert kinds == [DiscardKind.CLOUD, DiscardKind.CLOUD, DiscardKind.BELOW_THRESHOLD]


@st.composite
def manifests(draw):
    strata = []
    for kind in sorted(draw(st.sets(st.sampled_from(DiscardKind)))):
        population = draw(st.integers(0, 1 << 31))
        places = draw(
            st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20)), max_size=min(9, population))
        )
        share = draw(st.floats(2**-30, 1, width=32))
        candidate = decode_alerts(encode_alerts([CANDIDATE]))[0] if kind is DiscardKind.BELOW_THRESHOLD else None
        units = tuple(AuditUnit(row=row, col=col, candidate=candidate) for row, col in places)
        strata.append(AuditStratum(kind=kind, population=population, share=share, units=units))
    return AuditManifest(cell_px=draw(st.integers(8, 256)), strata=tuple(strata))


@given(manifests(), st.binary(min_size=1))
def test_what_is_written_is_read_back(manifest, image):
    image = image if manifest.units else b""
    assert decode_audit(encode_audit(manifest, image)) == (manifest, image)


@given(st.binary(max_size=80))
def test_other_bytes_are_refused_or_read_whole(data):
    try:
        manifest, image = decode_audit(data)
    except LayerError:
        return
    assert decode_audit(encode_audit(manifest, image)) == (manifest, image)


@given(st.integers(0, len(bytes.fromhex(GOLDEN))))
def test_a_cut_audit_is_refused(length):
    with pytest.raises(LayerError):
        decode_audit(bytes.fromhex(GOLDEN)[:length])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("02 40 00", "not version 1"),
        ("01 07 00", "cells of 8 to 256"),
        ("01 40 01 00 01 3f800000 00", "names kind 0"),
        ("01 40 01 01 05 7fc00000 00", "chance of nan"),
        ("01 40 01 01 05 40000000 00", "chance of 2.0"),
        ("01 40 01 01 01 3f800000 02 05 06 07 08 ff", "2 units drawn of 1"),
        ("01 40 01 01 05 00000000 01 05 06 ff", "with a chance of 0"),
        ("01 40 02 02 05 3f800000 00 01 05 3f800000 00", "each kind once, in order"),
        ("01 40 00 ff", "0 units with an image"),
        ("01 40 01 01 05 3f800000 01 05 06", "1 units with an image of 0"),
    ],
)  # fmt: skip
def test_what_is_refused_names_what_is_wrong(changed, told):
    with pytest.raises(LayerError, match=told):
        decode_audit(bytes.fromhex(changed))


def test_a_candidate_belongs_to_its_kind_alone():
    unit = AuditUnit(row=1, col=2, candidate=CANDIDATE)
    with pytest.raises(LayerError, match="have no candidates"):
        AuditStratum(kind=DiscardKind.CLOUD, population=1, share=1.0, units=(unit,))
    with pytest.raises(LayerError, match="need candidates"):
        AuditStratum(kind=DiscardKind.BELOW_THRESHOLD, population=1, share=1.0, units=(AuditUnit(row=1, col=2),))
