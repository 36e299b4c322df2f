"""Which uncoded image to code next, and which to give up: the one whose first layers are worth most, or least, per byte (pure).

An image that is not coded yet stands here with the layers that it is expected to have. It is ranked by the first group of its
steps (`downlink.layer_table`: steps that are worth sending only together), since that is what the scheduler would send first
of it. So the order of coding is the order in which the link would ask for first groups, had everything been coded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from downlink.contact_groups import groups_at, windows_at
from downlink.layer_table import Floats, Ints, layer_table
from downlink.products import Layer
from downlink.requests import LayerRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class UncodedImage:
    """A block whose raw pixels are kept and that has no layers yet."""

    scene: int
    """Scene number, 32 bits."""
    product: int
    """Which block of it."""
    layers: tuple[Layer, ...]
    """What its layers are expected to be, in step order; one at least."""
    raw_bytes: int
    """What its raw pixels occupy in the raw store."""


class CodingQueue:
    """The uncoded images of all scenes. Ties are broken by scene and product, so that the order follows from the content."""

    def __init__(self, images: Iterable[UncodedImage] = ()) -> None:
        self._table = layer_table(())
        self._images: dict[int, UncodedImage] = {}
        self.add(images)

    def __len__(self) -> int:
        return len(self._images)

    def add(self, images: Iterable[UncodedImage]) -> None:
        """Images that wait from now on; one that waits already is passed over."""
        fresh = {_product_key(image.scene, image.product): image for image in images}
        fresh = {key: image for key, image in fresh.items() if key not in self._images}
        self._images.update(fresh)
        self._table = self._table.with_layers(layer for image in fresh.values() for layer in image.layers)

    def remove(self, scene: int, products: Iterable[int]) -> None:
        """Images that are coded or given up; those that do not wait are passed over."""
        keys = (_product_key(scene, product) for product in products)
        gone = [self._images.pop(key) for key in keys if key in self._images]
        self._table = self._table.without(layer.address for image in gone for layer in image.layers)

    def best(self, now_ms: int, *, price: float, requests: Sequence[LayerRequest]) -> UncodedImage | None:
        """The image whose first group is worth most per byte at `now_ms`.

        None where none is worth at least `price` points per byte, or none is worth anything.
        """
        keys, density = self._first_groups(now_ms, requests)
        if not len(keys):
            return None
        at = int(np.argmax(density))  # the first of equals
        return self._images[int(keys[at])] if density[at] > 0 and density[at] >= price else None

    def least(self, excess_bytes: int, now_ms: int, requests: Sequence[LayerRequest]) -> tuple[UncodedImage, ...]:
        """What to give up to save so many raw bytes: those that would be coded last, the very last first."""
        chosen: list[UncodedImage] = []
        keys, density = self._first_groups(now_ms, requests)
        for at in np.argsort(-density, kind="stable")[::-1]:
            if excess_bytes <= 0:
                break
            chosen.append(self._images[int(keys[at])])
            excess_bytes -= chosen[-1].raw_bytes
        return tuple(chosen)

    def _first_groups(self, now_ms: int, requests: Sequence[LayerRequest]) -> tuple[Ints, Floats]:
        """(n,) rising numbers of all images, and the value per byte of their first groups at `now_ms`, requests included."""
        groups = groups_at(self._table, windows_at((), now_ms=now_ms, payload_fraction=1.0), requests, now_ms)
        leading = ~groups.follows
        return self._table.keys[groups.first[leading]] >> 8, (groups.density * groups.boost)[leading]


def _product_key(scene: int, product: int) -> int:
    return scene << 16 | product
