"""Requests from the ground: layers of a scene that are worth more than the policy on board knew, until a moment (pure).

A request never lowers a value, and several that name the same layer do not compound: the largest factor counts. So a
request that is heard twice does what it did the first time.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from downlink.errors import ScheduleError
from downlink.products import Layer, LayerAddress

LARGEST_FACTOR: Final = 1e6
"""A request cannot raise a value further than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRequest:
    """What the ground wants more of, validated at birth (raises ScheduleError)."""

    scene: int
    """Scene number, 32 bits."""
    first_product: int
    """First product of the range, 16 bits: 0 the summary, 1 to 0x7FFF blocks, from 0x8000 chips, 0xFFFF alerts."""
    last_product: int
    """Last product of the range, included; not below `first_product`."""
    last_step: int
    """Highest step that is wanted of each product, 0 to 255: 255 asks for everything up to the exact pixels."""
    factor: float
    """What the values are multiplied by, 1 to 1e6."""
    until_ms: int
    """The request ends then, Unix milliseconds: values count as before from that moment on."""

    def __post_init__(self) -> None:
        if not 0 <= self.scene <= 0xFFFF_FFFF:
            raise ScheduleError(f"request for scene {self.scene}: a scene number has 32 bits")
        if not 0 <= self.first_product <= self.last_product <= 0xFFFF:
            raise ScheduleError(
                f"request for products {self.first_product} to {self.last_product} of scene {self.scene}: "
                "product numbers have 16 bits and the first is not above the last"
            )
        if not 0 <= self.last_step <= 0xFF:
            raise ScheduleError(f"request up to step {self.last_step} of scene {self.scene}: steps are 0 to 255")
        if not (math.isfinite(self.factor) and 1 <= self.factor <= LARGEST_FACTOR):
            raise ScheduleError(
                f"request with factor {self.factor} for scene {self.scene}: a factor is 1 to {LARGEST_FACTOR:g}"
            )
        if not 0 <= self.until_ms < 1 << 63:
            raise ScheduleError(f"request until {self.until_ms} ms for scene {self.scene}: give Unix milliseconds")

    def names(self, address: LayerAddress) -> bool:
        """Whether the request asks for this layer."""
        return (
            address.scene == self.scene
            and self.first_product <= address.product <= self.last_product
            and address.step <= self.last_step
        )


def apply_requests(layers: Iterable[Layer], requests: Sequence[LayerRequest], now_ms: int) -> tuple[Layer, ...]:
    """The layers in the order given, each with its value raised by the largest request that names it at `now_ms`."""
    active = [request for request in requests if now_ms < request.until_ms]
    return tuple(_raised(layer, active) for layer in layers)


def _raised(layer: Layer, active: Sequence[LayerRequest]) -> Layer:
    factor = max((request.factor for request in active if request.names(layer.address)), default=1.0)
    return layer if factor == 1.0 else replace(layer, value=layer.value * factor)
