"""Our side of the coding benchmark: the layers of a scene, which of them come first, and what the ground makes of a part of them.

Sizes count every byte of every record on the link, the scene summary among them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.coding_port import KnobRange, Pixels
from benchmarks.coding_scenes import TILE_PX, CodingScene
from downlink.image_encoding import ImageProduct, encode_image
from downlink.image_layers import DecodedImage, ImageAssembly
from downlink.products import FIRST_BLOCK, FIRST_CHIP, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from downlink.scene import SceneSummary, Window, encode_summary
from downlink.scheduler import rank, rank_groups
from ground.reconstruction import reconstruct
from onboard.policy import ImageInterest
from onboard.tiles import tile_grid

FINE_LADDER_PERCENT = (0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.35, 0.6, 1.0, 1.7, 3.0, 5.0, 9.0, 16.0, 30.0, 100.0)
"""Cumulative bytes of each step, for what the coder can do whatever the policy asks for."""
EVEN_LADDER_PERCENT = (0.06, 0.13, 0.28, 0.6, 1.2, 2.5, 5.0, 10.0, 20.0, 100.0)
"""Where the coder is compared with itself: each step about twice the one before, in two thirds of the time."""


@dataclass(slots=True, kw_only=True)
class LayeredScene:
    """Images of a scene and the order in which their layers are sent. A prefix of so many groups is a picture."""

    summary: SceneSummary
    images: dict[int, ImageProduct]
    """By product number."""
    order: list[tuple[Layer, ...]]
    """Groups of layers; the first holds step 0 of every image."""
    unseen: Pixels
    """(bands, 1, 1), what stands where nothing came."""
    decoded: dict[tuple[int, int], DecodedImage | None] = field(default_factory=dict)

    @property
    def knob(self) -> KnobRange:
        return KnobRange(low=1, high=len(self.order), step=1)

    def code(self, groups: float) -> tuple[int, Pixels]:
        """Bytes and pixels of the first `groups` groups."""
        sent = [layer for group in self.order[: round(groups)] for layer in group]
        size_bytes = OVERHEAD_BYTES + len(encode_summary(self.summary)) + sum(layer.size_bytes for layer in sent)
        steps: dict[int, int] = defaultdict(int)
        for layer in sent:
            steps[layer.address.product] = max(steps[layer.address.product], layer.address.step + 1)
        return size_bytes, rebuilt(self.summary, self._decode(steps), self.unseen)

    def _decode(self, steps: dict[int, int]) -> list[DecodedImage]:
        images = []
        for key in steps.items():
            if key not in self.decoded:
                self.decoded[key] = decode_steps(self.images[key[0]].payloads[: key[1]], self.summary.nodata)
            if (image := self.decoded[key]) is not None:
                images.append(image)
        return images


def decode_steps(payloads: Sequence[bytes], nodata: float | None) -> DecodedImage | None:
    """An image from its first steps, as the ground decodes it."""
    assembly = ImageAssembly(nodata=nodata)
    for step, payload in enumerate(payloads):
        assembly.add(step, payload)
    return assembly.decode()


def rebuilt(summary: SceneSummary, images: Iterable[DecodedImage], unseen: Pixels | None = None) -> Pixels:
    """The scene on the ground. Where nothing came stands `unseen`, or the mean of what did come."""
    scene = reconstruct(summary, images)
    came = scene.quality != 0
    if unseen is None:
        seen = scene.pixels[:, came]
        means = seen.mean(axis=1) if came.any() else np.zeros(len(scene.pixels))
        unseen = np.rint(means).astype(scene.pixels.dtype)[:, None, None]
    pixels: Pixels = np.where(came, scene.pixels, unseen)
    return pixels


def blocks_of(scene: CodingScene, interest: ImageInterest, *, tile_px: int = TILE_PX) -> LayeredScene:
    """The whole scene as blocks, in order of squared error gained per byte once every block has its first step."""
    return _layered(scene, block_windows(scene, tile_px), interest, FIRST_BLOCK)


def block_windows(scene: CodingScene, tile_px: int = TILE_PX) -> list[Window]:
    """The blocks of a scene."""
    return [tile.core for tile in tile_grid(scene.frame.height, scene.frame.width, tile_px=tile_px, halo_px=0)]


def regions_of(scene: CodingScene, interest: ImageInterest) -> LayeredScene:
    """Only the regions of a scene, as chips, in the same order."""
    return _layered(scene, scene.regions, interest, FIRST_CHIP)


def with_ladder(interest: ImageInterest, percent: tuple[float, ...]) -> ImageInterest:
    """The same interest with other steps."""
    return interest.model_copy(update={"quality_percent": percent})


def encode_windows(
    pixels: Pixels,
    valid: np.ndarray,
    windows: Sequence[Window],
    *,
    interest: ImageInterest,
    nodata: float | None,
    settled_mse: float = 0.0,
) -> list[ImageProduct]:
    """Every window coded to the last bit; steps behind one that leaves no more than `settled_mse` are not decoded."""
    return [
        encode_image(
            pixels[:, window.slices[0], window.slices[1]],
            window,
            valid=valid[window.slices],
            quality_percent=interest.quality_percent,
            levels=interest.levels,
            nodata=nodata,
            settled_mse=settled_mse,
        )
        for window in windows
    ]


def _layered(scene: CodingScene, windows: Sequence[Window], interest: ImageInterest, first: int) -> LayeredScene:
    images = encode_windows(scene.pixels, scene.valid, windows, interest=interest, nodata=scene.frame.nodata)
    numbered = {first + number: image for number, image in enumerate(images)}
    layers = [layer for product, image in numbered.items() for layer in _layers(product, image, len(scene.pixels))]
    start = rank([layer for layer in layers if layer.address.step == 0], 0)
    later = rank_groups([layer for layer in layers if layer.address.step > 0], 0)
    means = scene.pixels[:, scene.valid].mean(axis=1) if scene.valid.any() else np.zeros(len(scene.pixels))
    return LayeredScene(
        summary=scene.summary,
        images=numbered,
        order=[start, *(group.layers for group in later)],
        unseen=np.rint(means).astype(scene.pixels.dtype)[:, None, None],
    )


def _layers(product: int, image: ImageProduct, bands: int) -> list[Layer]:
    """Layers whose value is the squared error that they take away."""
    samples = image.window.height * image.window.width * bands
    before = (*image.mse[:1], *image.mse[:-1])
    return [
        Layer(
            address=LayerAddress(scene=1, product=product, step=step),
            rung=Rung.REFINEMENT,
            size_bytes=OVERHEAD_BYTES + len(payload),
            value=max(0.0, (earlier - mse) * samples),
            half_life_s=1.0,
            captured_ms=0,
        )
        for step, (payload, earlier, mse) in enumerate(zip(image.payloads, before, image.mse, strict=True))
    ]
