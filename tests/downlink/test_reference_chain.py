"""Chains of references: exactly the steps that were named, no circles, bounds in length, number and memory."""

import numpy as np
import pytest

from downlink import reference_chain
from downlink.errors import MissingReferenceError
from downlink.image_encoding import encode_image
from downlink.image_layers import pixel_check
from downlink.prediction import Predicted, Reference, ReferenceBlock
from downlink.products import LayerAddress
from downlink.reference_chain import CHAIN_LIMIT, DecodedBlock, ReferenceChain, is_followed
from downlink.scene import Window

PX = 16
WINDOW = Window(row=0, col=0, height=PX, width=PX)


class Layers:
    """Layers at hand, with a count of what was looked up."""

    def __init__(self):
        self.payloads, self.versions, self.without_summary, self.looked_up = {}, {}, set(), 0
        self.pixels = {}

    def nodata(self, scene):
        if scene in self.without_summary:
            raise LookupError(scene)
        return None

    def payload(self, address):
        self.looked_up += 1
        return self.payloads.get(address)

    def version(self, scene, product):
        return self.versions.get((scene, product))

    def add(self, scene, product, *, reference=None, predicted=None, seed=None):
        """A block of three steps, alone or predicted; returns its pixels."""
        rng = np.random.default_rng(scene if seed is None else seed)
        pixels = rng.integers(0, 4000, (1, PX, PX)).astype(np.uint16)
        image = encode_image(
            pixels, WINDOW, valid=np.ones((PX, PX), bool), quality_percent=(20.0, 100.0), levels=1, nodata=None,
            predicted=None if reference is None else Predicted(reference=reference, pixels=predicted),
        )  # fmt: skip
        for step, payload in enumerate(image.payloads):
            self.payloads[LayerAddress(scene=scene, product=product, step=step)] = payload
        self.pixels[scene, product] = pixels
        return pixels


def reference_to(scene, *blocks):
    return Reference(scene=scene, row_shift=0, col_shift=0, blocks=blocks, gains=(4096,), offsets=(0,))


def block(product, steps, pixels):
    return ReferenceBlock(product=product, steps=steps, check=pixel_check(pixels))


def chain_of(layers, length):
    """Scenes 1 to `length` + 1, each predicted exactly from the one before."""
    pixels = layers.add(1, 1)
    for scene in range(2, length + 2):
        steps = 2 if scene == 2 else 3
        pixels = layers.add(scene, 1, reference=reference_to(scene - 1, block(1, steps, pixels)), predicted=pixels)
    return pixels


def test_a_block_is_decoded_from_exactly_the_named_steps():
    layers = Layers()
    pixels = layers.add(1, 1)
    chain = ReferenceChain(layers, cache_bytes=1 << 20)
    whole, part = chain.block(1, 1, 2), chain.block(1, 1, 1)
    assert np.array_equal(whole.image.pixels, pixels) and whole.check == pixel_check(pixels) and whole.depth == 0
    assert not np.array_equal(part.image.pixels, pixels)
    predicted = chain.predict(reference_to(1, block(1, 1, part.image.pixels)), WINDOW)
    assert np.array_equal(predicted, part.image.pixels)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_chain_is_followed_to_its_limit_and_no_further(cache_bytes):
    layers = Layers()
    pixels = chain_of(layers, CHAIN_LIMIT)
    chain = ReferenceChain(layers, cache_bytes=cache_bytes)
    before_last = layers.pixels[CHAIN_LIMIT, 1]
    assert np.array_equal(chain.predict(reference_to(CHAIN_LIMIT, block(1, 3, before_last)), WINDOW), before_last)
    end = chain.block(CHAIN_LIMIT, 1, 3)
    assert (end.depth, len(end.needs)) == (CHAIN_LIMIT - 1, CHAIN_LIMIT)
    with pytest.raises(MissingReferenceError, match=f"more than {CHAIN_LIMIT} references"):
        chain.predict(reference_to(CHAIN_LIMIT + 1, block(1, 3, pixels)), WINDOW)
    fresh = ReferenceChain(layers, cache_bytes=cache_bytes)
    with pytest.raises(MissingReferenceError, match=f"chain of more than {CHAIN_LIMIT}"):
        fresh.predict(reference_to(CHAIN_LIMIT + 1, block(1, 3, pixels)), WINDOW)


def test_what_is_missing_is_named_wherever_it_lies_in_the_chain():
    layers = Layers()
    pixels = chain_of(layers, 2)
    reference = reference_to(3, block(1, 3, pixels))
    for scene, step, steps in ((1, 1, 2), (2, 2, 3), (3, 0, 3)):
        gone = LayerAddress(scene=scene, product=1, step=step)
        payload = layers.payloads.pop(gone)
        with pytest.raises(MissingReferenceError, match=f"lacks step {step}; ask the satellite") as caught:
            ReferenceChain(layers, cache_bytes=0).predict(reference, WINDOW)
        assert (caught.value.scene, caught.value.product, caught.value.steps) == (scene, 1, steps)
        layers.payloads[gone] = payload
    assert np.array_equal(ReferenceChain(layers, cache_bytes=0).predict(reference, WINDOW), pixels)
    layers.without_summary.add(1)
    with pytest.raises(MissingReferenceError, match="summary of its scene"):
        ReferenceChain(layers, cache_bytes=0).predict(reference, WINDOW)


def test_other_pixels_than_were_named_are_found():
    layers = Layers()
    pixels = chain_of(layers, 1)
    layers.add(1, 1, seed=99)
    with pytest.raises(MissingReferenceError, match="other pixels") as caught:
        ReferenceChain(layers, cache_bytes=0).predict(reference_to(2, block(1, 3, pixels)), WINDOW)
    assert caught.value.scene == 1


def test_what_cannot_be_decoded_or_has_fewer_steps_than_named_is_missing():
    layers = Layers()
    pixels = layers.add(1, 1)
    for steps, problem in ((3, "lacks step 2"), (9, "lacks step 2")):
        with pytest.raises(MissingReferenceError, match=problem):
            ReferenceChain(layers, cache_bytes=0).predict(reference_to(1, block(1, steps, pixels)), WINDOW)
    layers.payloads[LayerAddress(scene=1, product=1, step=2)] = b"more than there is"
    with pytest.raises(MissingReferenceError, match="cannot be decoded"):
        ReferenceChain(layers, cache_bytes=0).predict(reference_to(1, block(1, 3, pixels)), WINDOW)
    layers.payloads[LayerAddress(scene=1, product=1, step=0)] = b"no header"
    with pytest.raises(MissingReferenceError, match="cannot be decoded"):
        ReferenceChain(layers, cache_bytes=0).predict(reference_to(1, block(1, 1, pixels)), WINDOW)


def test_images_of_another_number_of_bands_do_not_fit():
    layers = Layers()
    pixels = layers.add(1, 1)
    named = reference_to(1, block(1, 2, pixels))
    two = Reference(scene=1, row_shift=0, col_shift=0, blocks=named.blocks, gains=(4096, 4096), offsets=(0, 0))
    with pytest.raises(MissingReferenceError, match="does not fit"):
        ReferenceChain(layers, cache_bytes=0).predict(two, WINDOW)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_circles_are_refused(cache_bytes):
    layers = Layers()
    flat = np.zeros((1, PX, PX), np.uint16)
    for scene, other in ((1, 2), (2, 1), (3, 3)):
        layers.add(scene, 1, reference=reference_to(other, block(1, 1, flat)), predicted=flat)
    chain = ReferenceChain(layers, cache_bytes=cache_bytes)
    for scene in (1, 2, 3, 1):
        with pytest.raises(MissingReferenceError, match="predicted from itself"):
            chain.predict(reference_to(scene, block(1, 1, flat)), WINDOW)


def test_blocks_decoded_last_stay_in_memory_within_its_bound():
    layers = Layers()
    for scene in range(1, 6):
        layers.add(scene, 1)
    one_bytes = 2 * PX * PX + PX * PX
    chain = ReferenceChain(layers, cache_bytes=3 * one_bytes)
    for scene in range(1, 6):
        chain.block(scene, 1, 2)
        assert chain.held_bytes <= 3 * one_bytes
    before = layers.looked_up
    for scene in (5, 4, 3):
        chain.block(scene, 1, 2)
    assert layers.looked_up == before
    chain.block(1, 1, 2)
    assert layers.looked_up == before + 2


def test_what_was_decoded_from_a_block_that_has_gone_or_changed_counts_no_more():
    layers = Layers()
    pixels = chain_of(layers, 2)
    chain = ReferenceChain(layers, cache_bytes=1 << 20)
    assert chain.block(3, 1, 3).check == pixel_check(pixels)
    layers.versions[1, 1] = "gone"
    for step in range(3):
        layers.payloads.pop(LayerAddress(scene=1, product=1, step=step), None)
    with pytest.raises(MissingReferenceError):
        chain.block(3, 1, 3)


def test_the_number_of_blocks_is_bounded_for_both_ends():
    def leaning_on(*numbers, depth=0):
        image = None
        needs = frozenset((1, number, 1, None) for number in numbers)
        return DecodedBlock(image=image, check=0, depth=depth, needs=needs)

    assert is_followed([leaning_on(*range(60)), leaning_on(*range(30, 96))])
    assert not is_followed([leaning_on(*range(60)), leaning_on(*range(30, 97))])
    assert is_followed([leaning_on(1, depth=CHAIN_LIMIT - 1)])
    assert not is_followed([leaning_on(1), leaning_on(2, depth=CHAIN_LIMIT)])


def test_a_thicket_of_references_costs_bounded_work(monkeypatch):
    monkeypatch.setattr(reference_chain, "DECODES_LIMIT", 200)
    layers = Layers()
    pixels = {product: layers.add(1, product, seed=product) for product in range(1, 10)}
    named = reference_to(1, *(block(product, 2, pixels[product]) for product in pixels))
    chain = ReferenceChain(layers, cache_bytes=1 << 20)
    for scene in range(2, 2 + CHAIN_LIMIT - 1):
        predicted = chain.predict(named, WINDOW)
        for product in range(1, 10):
            layers.add(scene, product, reference=named, predicted=predicted, seed=10 * scene + product)
        named = reference_to(scene, *(block(product, 1, predicted) for product in range(1, 10)))
    layers.looked_up = 0
    assert np.array_equal(ReferenceChain(layers, cache_bytes=1 << 20).predict(named, WINDOW), predicted)
    assert layers.looked_up == 9 * (2 + CHAIN_LIMIT - 1)
    with pytest.raises(MissingReferenceError, match="more than 200 blocks"):
        ReferenceChain(layers, cache_bytes=0).predict(named, WINDOW)  # without memory each is decoded again and again
    assert layers.looked_up < 600
