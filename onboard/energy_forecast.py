"""What the battery will go through before the next contact and the next eclipse are over.

The forecast is a list of net energies between events (sunrise, sunset, AOS, LOS), in order. It knows nothing of image processing:
bus and radio are counted first, so that what the governor finds left over is free to spend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from onboard.sunlight import Sunlight


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """Constant powers of the satellite."""

    panel_w: float
    """What the panels give while lit, watts."""
    idle_w: float
    """What the bus draws always, watts."""
    radio_w: float
    """What the transmitter draws during contacts, watts."""


def forecast_horizon_ms(now_ms: int, *, sunlight: Sunlight, contacts_ms: Sequence[tuple[int, int]]) -> int:
    """The later of two ends: that of the contact that runs or comes next, and that of the eclipse that runs or comes next."""
    los_ms = next((los for _, los in contacts_ms if los > now_ms), now_ms)
    return max(now_ms, los_ms, sunlight.eclipse_end_ms(now_ms) or now_ms)


def forecast_net_j(
    now_ms: int, until_ms: int, *, sunlight: Sunlight, contacts_ms: Sequence[tuple[int, int]], loads: Loads
) -> tuple[float, ...]:
    """Net joules (income minus bus minus radio) of each phase from now on; `contacts_ms` are (aos, los) in order of time."""
    edges = {now_ms, until_ms}
    edges.update(edge for contact in contacts_ms for edge in contact if now_ms < edge < until_ms)
    edges.update(start for start, _, _ in sunlight.phases(now_ms, until_ms))
    cuts = sorted(edges)
    net = []
    for start_ms, end_ms in pairwise(cuts):
        lit = sunlight.lit_ms(start_ms, end_ms) > 0
        on_air = any(aos <= start_ms < los for aos, los in contacts_ms)
        power_w = loads.panel_w * lit - loads.idle_w - loads.radio_w * on_air
        net.append(power_w * (end_ms - start_ms) / 1000)
    return tuple(net)


def lowest_charge_j(charge_j: float, *, capacity_j: float, net_j: Sequence[float]) -> float:
    """The lowest charge on the way through the forecast, the start included; a full battery takes no more.

    It may be negative: then the battery runs empty. It never falls when `charge_j` rises.
    """
    return min(accumulate(net_j, lambda charge, net: min(capacity_j, charge + net), initial=charge_j))
