"""Files where answers come, erasure coding where they do not."""

from dataclasses import replace

from downlink.contact import Contact
from downlink.erasure_choice import erasure_is_better

CONTACT = Contact(
    contact_id=0,
    station="north",
    aos_ms=1_000,
    los_ms=421_000,
    downlink_bps=8_000_000,
    uplink_bps=64_000,
    one_way_delay_ms=40,
    frame_loss=0.3,
)


def test_answers_decide() -> None:
    assert not erasure_is_better(CONTACT)
    assert not erasure_is_better(CONTACT, uplink_loss=0.5)
    assert erasure_is_better(CONTACT, uplink_loss=0.8)
    assert erasure_is_better(replace(CONTACT, uplink_bps=0))
    assert erasure_is_better(replace(CONTACT, one_way_delay_ms=32_000))
    assert not erasure_is_better(replace(CONTACT, one_way_delay_ms=10_000))
