"""Whether the two ends agree on what has been delivered, by what the satellite last said of itself (pure).

What the satellite counts as delivered the ground must hold: an acknowledgement leaves only after the journal has the layers. The other way
round the ground may hold more: layers whose acknowledgement is on its way, or came down and were given up on board before it arrived.
"""

from enum import StrEnum

from downlink.housekeeping import Housekeeping


class Agreement(StrEnum):
    """The verdict."""

    AGREE = "agree"
    """The same layers at both ends: as many, with the same digest."""
    ON_THE_WAY = "on the way"
    """The ground holds layers that the satellite did not yet count as delivered."""
    DISAGREE = "disagree"
    """The satellite counts as delivered what the ground does not hold."""
    UNKNOWN = "unknown"
    """The satellite has not said anything."""


def agreement(report: Housekeeping | None, *, held_layers: int, held_digest: bytes) -> Agreement:
    """The verdict on the layers that the ground holds now."""
    if report is None:
        return Agreement.UNKNOWN
    if report.delivered_layers == held_layers:
        return Agreement.AGREE if report.delivered_digest == held_digest else Agreement.DISAGREE
    return Agreement.ON_THE_WAY if report.delivered_layers < held_layers else Agreement.DISAGREE
