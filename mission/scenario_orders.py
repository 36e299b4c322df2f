"""Scenario section of the orders that the ground gives: they go up authenticated, in a contact, and are repeated until executed."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from downlink.command import DropScene, ForgetReferences, Order, RequestLayers
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT
from downlink.requests import LARGEST_FACTOR, LayerRequest
from mission.scenario_section import NonNegativeFloat, PositiveFloat, Section

PRODUCTS = {
    "all": (SUMMARY_PRODUCT, ALERTS_PRODUCT),
    "blocks": (FIRST_BLOCK, FIRST_CHIP - 1),
    "chips": (FIRST_CHIP, ALERTS_PRODUCT - 1),
}
DAY_S = 86_400.0


class OrderSection(Section):
    """One of `[[order]]`."""

    at_s: NonNegativeFloat
    """When the ground gives it, seconds after the mission's start; it goes up in the next contact with an uplink."""
    kind: Literal["request", "drop", "forget"] = "request"
    """`request`: rank layers of a scene higher. `drop`: give up what still waits of a scene. `forget`: the ground has lost what it had of a
    scene, nothing is to be predicted from it."""
    scene: Annotated[int, Field(ge=1, le=0xFFFF_FFFF)] | None = None
    """Number of the scene, from 1 in order of capture; left out in `forget`: every scene."""
    products: Literal["all", "blocks", "chips"] = "all"
    """Which layers of the scene a request means."""
    last_step: Annotated[int, Field(ge=0, le=255)] = 255
    """Highest quality step that a request means; 255: up to the exact pixels."""
    factor: Annotated[float, Field(ge=1, le=LARGEST_FACTOR)] = 100.0
    """What a request multiplies values by."""
    for_s: PositiveFloat = DAY_S
    """How long a request holds, seconds."""

    @model_validator(mode="after")
    def _only_a_request_says_more(self) -> Self:
        said = self.model_fields_set & {"products", "last_step", "factor", "for_s"}
        if self.kind != "request" and said:
            raise ValueError(f"a {self.kind} means a whole scene; remove {', '.join(sorted(said))}")
        if self.kind != "forget" and self.scene is None:
            raise ValueError(f"a {self.kind} means one scene; give its number as scene")
        return self

    def order(self, start_ms: int) -> Order:
        """What goes up."""
        if self.kind == "forget" or self.scene is None:
            return ForgetReferences(scene=self.scene)
        if self.kind == "drop":
            return DropScene(scene=self.scene)
        first, last = PRODUCTS[self.products]
        request = LayerRequest(
            scene=self.scene,
            first_product=first,
            last_product=last,
            last_step=self.last_step,
            factor=self.factor,
            until_ms=start_ms + round((self.at_s + self.for_s) * 1000),
        )
        return RequestLayers(request=request)
