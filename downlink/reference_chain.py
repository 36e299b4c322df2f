"""Blocks that others are predicted from, decoded from exactly the steps that were named (pure): the same on board and on the ground.

A block may itself be predicted from blocks of an earlier scene, and those again. Both ends keep to the same bounds (`is_followed`): so
that what the satellite codes is decoded, and a forged image costs bounded time. A block that is not there, holds fewer steps, has other
pixels than were named, leads back to itself or too far is told as MissingReferenceError: nothing is ever predicted from anything else than
was meant.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from downlink.errors import CodestreamError, LayerError, MissingReferenceError
from downlink.image_layers import DecodedImage, ImageAssembly, pixel_check
from downlink.prediction import Reference, ReferenceBlock, predict, region_of
from downlink.products import LayerAddress
from downlink.reference_canvas import canvas_of
from downlink.scene import Window

CHAIN_LIMIT: Final = 4
"""References from an image to the one that stands alone, at most."""
NEEDED_LIMIT: Final = 96
"""Blocks that one image may need in all, each counted once for every number of steps that is decoded of it."""
DECODES_LIMIT: Final = 2048
"""Blocks decoded for the sake of one image, at most, those among them that did not stay in memory again and again."""


class LayerSource(Protocol):
    """Where the layers of earlier scenes are looked up."""

    def nodata(self, scene: int) -> float | None:
        """The nodata value of a scene. Raises LookupError where its summary is not there."""

    def payload(self, address: LayerAddress) -> bytes | None:
        """A layer of a block; None where it is not there."""

    def version(self, scene: int, product: int) -> Hashable:
        """Changes whenever layers of a block that were there may have gone or changed; what was decoded before counts no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedBlock:
    """A block that others are predicted from."""

    image: DecodedImage
    """Decoded from so many steps."""
    check: int
    """`pixel_check` of it."""
    depth: int
    """References from it to the block that stands alone; 0 where it does so itself."""
    needs: frozenset[tuple[int, int, int, Hashable]]
    """Scene, product, steps and version of every block that it was decoded from, itself among them."""

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.image.pixels.nbytes + self.image.valid.nbytes


def is_followed(blocks: Sequence[DecodedBlock]) -> bool:
    """Whether an image that is predicted from these stays within the bounds of both ends."""
    needed = frozenset[tuple[int, int, int, Hashable]]().union(*(block.needs for block in blocks))
    return 1 + max(block.depth for block in blocks) <= CHAIN_LIMIT and len(needed) <= NEEDED_LIMIT


@dataclass(slots=True)
class _Walk:
    """One image's way along its references."""

    path: list[tuple[int, int, int]]
    """Scene, product and steps of the blocks being decoded, the outermost first."""
    decodes: int = 0
    below: list[DecodedBlock] = field(default_factory=list)
    """What the innermost image is predicted from."""


class ReferenceChain:
    """Decodes named blocks, with those decoded last in memory."""

    def __init__(self, source: LayerSource, *, cache_bytes: int) -> None:
        self._source = source
        self._cache_bytes = cache_bytes
        self._cached: OrderedDict[tuple[int, int, int], DecodedBlock] = OrderedDict()
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Memory taken by decoded blocks, at most `cache_bytes`."""
        return self._held_bytes

    def predict(self, reference: Reference, window: Window) -> np.ndarray:
        """The prediction of a window: (bands, height, width). Raises MissingReferenceError; JournalError where layers cannot be read."""
        return self._predict(reference, window, _Walk(path=[]))

    def block(self, scene: int, product: int, steps: int) -> DecodedBlock:
        """A block from exactly so many steps. Raises MissingReferenceError; JournalError where layers cannot be read."""
        return self._block(scene, product, steps, _Walk(path=[]))

    def _predict(self, reference: Reference, window: Window, walk: _Walk) -> np.ndarray:
        named = [self._named(reference.scene, block, walk) for block in reference.blocks]
        walk.below = named
        first = reference.blocks[0]
        if not is_followed(named):
            what = f"leads to more than {CHAIN_LIMIT} references after each other, or {NEEDED_LIMIT} blocks"
            raise _missing(reference.scene, first.product, first.steps, what)
        try:
            canvas = canvas_of(region_of(reference, window), [decoded.image for decoded in named])
            return predict(reference, window, canvas)
        except LayerError as error:
            raise _missing(reference.scene, first.product, first.steps, f"does not fit: {error}") from error

    def _named(self, scene: int, block: ReferenceBlock, walk: _Walk) -> DecodedBlock:
        decoded = self._block(scene, block.product, block.steps, walk)
        if decoded.check != block.check:
            what = f"has other pixels here (check {decoded.check:08x}, named was {block.check:08x})"
            raise _missing(scene, block.product, block.steps, what)
        return decoded

    def _block(self, scene: int, product: int, steps: int, walk: _Walk) -> DecodedBlock:
        key = scene, product, steps
        cached = self._cached.get(key)
        if cached is not None and self._is_fresh(cached):
            self._cached.move_to_end(key)
            return cached
        if key in walk.path:
            raise _missing(*key, "is predicted from itself")
        if len(walk.path) >= CHAIN_LIMIT:
            raise _missing(*key, f"is the end of a chain of more than {CHAIN_LIMIT} references")
        walk.decodes += 1
        if walk.decodes > DECODES_LIMIT:
            raise _missing(*key, f"is one of more than {DECODES_LIMIT} blocks that one image needs")
        decoded = self._decode(key, walk)
        self._keep(key, decoded)
        return decoded

    def _is_fresh(self, cached: DecodedBlock) -> bool:
        return all(self._source.version(scene, product) == version for scene, product, _, version in cached.needs)

    def _decode(self, key: tuple[int, int, int], walk: _Walk) -> DecodedBlock:
        scene, product, steps = key
        # Before its layers are read: what changes in between is found changed the next time.
        version = self._source.version(scene, product)
        assembly = self._assembly(scene, product, steps)
        walk.path.append(key)
        walk.below = []
        try:
            image = assembly.decode(lambda reference, window: self._predict(reference, window, walk), steps=steps)
        except MissingReferenceError:
            raise
        except (LayerError, CodestreamError) as error:
            raise _missing(*key, f"cannot be decoded: {error}") from error
        finally:
            walk.path.pop()
        if image is None:
            raise _missing(*key, "has no step 0")
        below, walk.below = walk.below, []
        return DecodedBlock(
            image=image,
            check=pixel_check(image.pixels),
            depth=1 + max((one.depth for one in below), default=-1),
            needs=frozenset({(scene, product, steps, version)}).union(*(one.needs for one in below)),
        )

    def _assembly(self, scene: int, product: int, steps: int) -> ImageAssembly:
        try:
            assembly = ImageAssembly(nodata=self._source.nodata(scene))
        except LookupError:
            raise _missing(scene, product, steps, "cannot be decoded: the summary of its scene is not here") from None
        for step in range(steps):
            payload = self._source.payload(LayerAddress(scene=scene, product=product, step=step))
            if payload is None:
                raise _missing(scene, product, steps, f"lacks step {step}")
            assembly.add(step, payload)
        return assembly

    def _keep(self, key: tuple[int, int, int], decoded: DecodedBlock) -> None:
        stale = self._cached.pop(key, None)
        self._held_bytes += decoded.size_bytes - (0 if stale is None else stale.size_bytes)
        self._cached[key] = decoded
        while self._held_bytes > self._cache_bytes:
            self._held_bytes -= self._cached.popitem(last=False)[1].size_bytes


def _missing(scene: int, product: int, steps: int, what: str) -> MissingReferenceError:
    return MissingReferenceError(
        f"block {product} of scene {scene}, of which {steps} steps are a reference, {what}; "
        "ask the satellite to forget the references of that scene",
        scene=scene,
        product=product,
        steps=steps,
    )
