"""One small number for a set of layers."""

import hashlib
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from downlink.layer_digest import NO_LAYERS, layer_digest, toggle
from downlink.products import LayerAddress

ADDRESSES = st.builds(
    LayerAddress, scene=st.integers(0, 0xFFFF_FFFF), product=st.integers(0, 0xFFFF), step=st.integers(0, 0xFF)
)


def test_golden():
    chip = LayerAddress(scene=0x01020304, product=0x8001, step=5)
    alert = LayerAddress(scene=9, product=0xFFFF, step=200)
    assert layer_digest([]) == NO_LAYERS == bytes(8)
    assert layer_digest([chip]).hex() == "96bf07e469b941ef"
    assert layer_digest([chip, alert]).hex() == "77440b402ebb03f4"


@given(st.sets(ADDRESSES, max_size=20))
def test_it_is_the_exclusive_or_of_the_hashes(addresses):
    hashes = (hashlib.blake2b(one.pack(), digest_size=8).digest() for one in addresses)
    expected = reduce(lambda left, right: bytes(a ^ b for a, b in zip(left, right, strict=True)), hashes, bytes(8))
    assert layer_digest(addresses) == expected


@given(st.lists(ADDRESSES, unique=True, max_size=20), st.randoms(use_true_random=False), st.data())
def test_order_plays_no_part_and_a_layer_taken_away_is_as_if_never_added(addresses, chance, data):
    shuffled = addresses.copy()
    chance.shuffle(shuffled)
    assert layer_digest(shuffled) == layer_digest(addresses)
    if addresses:
        gone = data.draw(st.sampled_from(addresses))
        rest = layer_digest(one for one in addresses if one != gone)
        assert toggle(layer_digest(addresses), gone) == rest != layer_digest(addresses)
