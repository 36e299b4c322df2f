"""Which contacts are better served by erasure coding than by files with acknowledgements.

Measured with `benchmarks/erasure_feedback.py`: as long as answers come, asking for what is missing costs fewer frames than
guarding against every loss beforehand, even at 50 % loss. That turns where most answers are lost on the way up, and where a
round trip takes a large part of the pass.
"""

from typing import Final

from downlink.contact import Contact

DEAF_UPLINK_LOSS: Final = 0.7
"""Share of uplink frames lost from which erasure coding reaches 99 % of the value sooner (2 to 10 % of downlink frames lost), or
delivers more by loss of signal (30 % and more)."""
LONG_ROUND_TRIP: Final = 0.15
"""Share of the pass that a round trip takes from which it does: between 5 % (files are ahead up to 30 % loss) and 26 %."""


def erasure_is_better(contact: Contact, *, uplink_loss: float = 0.0) -> bool:
    """Whether to send layers of this contact erasure-coded. `uplink_loss` is the expected share of uplink frames lost."""
    if contact.uplink_bps == 0:
        return True
    round_trip_ms = 2 * contact.one_way_delay_ms
    return uplink_loss >= DEAF_UPLINK_LOSS or round_trip_ms >= LONG_ROUND_TRIP * contact.duration_ms
