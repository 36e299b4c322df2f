"""The order of coding: against groups ranked one by one, against the planner, and against a world in which all is coded."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.backlog_price import backlog_price
from downlink.contact import Contact
from downlink.contact_groups import windows_at
from downlink.contact_planner import ContactPlanner
from downlink.layer_table import layer_table
from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung
from downlink.requests import LayerRequest, apply_requests
from downlink.scheduler import hull_groups, rank_groups
from onboard.coding_queue import CodingQueue, UncodedImage

NOW_MS = 7_000_000
NOTHING = ()


def image(scene, product, steps, *, captured_ms=0, raw_bytes=5000, half_life_s=3600.0):
    layers = tuple(
        Layer(
            address=LayerAddress(scene=scene, product=FIRST_BLOCK + product, step=step), rung=Rung.REFINEMENT,
            size_bytes=size_bytes, value=value, half_life_s=half_life_s, captured_ms=captured_ms,
        )
        for step, (size_bytes, value) in enumerate(steps)
    )  # fmt: skip
    return UncodedImage(scene=scene, product=FIRST_BLOCK + product, layers=layers, raw_bytes=raw_bytes)


STEPS = st.lists(st.tuples(st.integers(1, 900), st.floats(0.5, 50)), min_size=1, max_size=4)
IMAGES = st.dictionaries(
    st.tuples(st.integers(0, 3), st.integers(0, 9)),
    st.tuples(STEPS, st.integers(0, NOW_MS), st.integers(1, 9000)),
    max_size=9,
).map(
    lambda found: [
        image(*address, steps, captured_ms=captured_ms, raw_bytes=raw_bytes)
        for address, (steps, captured_ms, raw_bytes) in found.items()
    ]
)
REQUESTS = st.lists(
    st.builds(
        LayerRequest, scene=st.integers(0, 3), first_product=st.just(1), last_product=st.integers(1, 9),
        last_step=st.integers(0, 4), factor=st.floats(1, 40), until_ms=st.integers(NOW_MS - 5, NOW_MS + 99),
    ),
    max_size=3,
)  # fmt: skip


def density(one, requests=NOTHING):
    """Value per byte of the first group, by the scheduler."""
    return hull_groups(apply_requests(one.layers, requests, NOW_MS), NOW_MS)[0].density


def drained(queue, *, price=0.0, requests=NOTHING):
    order = []
    while (one := queue.best(NOW_MS, price=price, requests=requests)) is not None:
        order.append(one)
        queue.remove(one.scene, [one.product])
    return order


@given(IMAGES, REQUESTS, st.floats(0, 0.3))
def test_images_come_by_the_value_per_byte_of_their_first_group_down_to_the_price(images, requests, price):
    order = drained(CodingQueue(images), price=price, requests=requests)
    densities = [density(one, requests) for one in order]
    assert all(one >= other * (1 - 1e-9) for one, other in pairwise(densities))
    assert all(one >= price * (1 - 1e-9) for one in densities)
    left = {(one.scene, one.product) for one in images} - {(one.scene, one.product) for one in order}
    assert all(density(one, requests) <= price * (1 + 1e-9) for one in images if (one.scene, one.product) in left)


@given(IMAGES)
def test_coding_goes_in_the_order_in_which_the_link_would_ask_for_first_groups(images):
    planner = ContactPlanner()
    planner.add(layer for one in images for layer in one.layers)
    planner.set_contacts([contact(0, 10**9)])
    sent = [layer.address for _, layer in planner.order(NOW_MS) if layer.address.step == 0]
    order = drained(CodingQueue(images))
    found = {(one.scene, one.product): density(one) for one in images}
    for one, address in zip(order, sent, strict=True):
        exactly = found[one.scene, one.product]
        assert abs(exactly - found[address.scene, address.product]) <= 1e-9 * exactly


def contact(number, room_bytes):
    aos_ms = NOW_MS + 1000 + 100_000 * number
    return Contact(
        contact_id=number, station="north", aos_ms=aos_ms, los_ms=aos_ms + 1000, downlink_bps=8 * room_bytes,
        uplink_bps=0, one_way_delay_ms=0, frame_loss=0.0,
    )  # fmt: skip


@settings(max_examples=80)
@given(IMAGES, REQUESTS, st.lists(st.integers(1, 1500), min_size=1, max_size=2))
def test_nothing_that_would_fly_is_left_uncoded_and_little_is_coded_that_will_not(images, requests, rooms):
    """What is coded at the price of the moment, against a world in which everything had been coded.

    Of what is coded, only the image in whose first group the room ends may not fly whole.
    """
    coming = windows_at([contact(*one) for one in enumerate(rooms)], now_ms=NOW_MS, payload_fraction=1.0)
    queue, table, coded = CodingQueue(images), layer_table(()), []
    while True:
        price = backlog_price(table, coming, now_ms=NOW_MS, requests=requests, contacts_ahead=len(rooms))
        one = queue.best(NOW_MS, price=price, requests=requests)
        if one is None:
            break
        coded.append((one.scene, one.product))
        queue.remove(one.scene, [one.product])
        table = table.with_layers(one.layers)
    everything = apply_requests((layer for one in images for layer in one.layers), requests, NOW_MS)
    left, carried = sum(rooms), []
    for group in rank_groups(everything, NOW_MS):
        left -= group.size_bytes
        if left < 0:
            break
        if group.layers[0].address.step == 0:
            carried.append((group.layers[0].address.scene, group.layers[0].address.product))
    assert set(carried) <= set(coded)
    distinct = {round(density(one, requests), 9) for one in images}
    if len(distinct) == len(images):
        assert len(set(coded) - set(carried)) <= 1


def test_a_request_brings_an_image_forward_while_it_holds():
    plain, wanted = image(1, 1, [(100, 50.0)]), image(2, 1, [(100, 20.0)])
    queue = CodingQueue([plain, wanted])
    request = LayerRequest(scene=2, first_product=1, last_product=99, last_step=255, factor=9, until_ms=NOW_MS + 1)
    assert queue.best(NOW_MS, price=0.0, requests=()) is plain
    assert queue.best(NOW_MS, price=0.0, requests=(request,)) is wanted
    assert queue.best(NOW_MS + 1, price=0.0, requests=(request,)) is plain


def test_steps_that_are_worth_more_together_count_together():
    steep = image(1, 1, [(100, 1.0), (100, 99.0)])  # half a point per byte for both
    even = image(1, 2, [(100, 40.0), (100, 40.0)])
    assert drained(CodingQueue([even, steep])) == [steep, even]


def test_equals_are_coded_by_scene_and_product_whatever_order_they_came_in():
    images = [image(scene, product, [(100, 5.0)]) for scene in (2, 1) for product in (7, 3)]
    order = [(one.scene, one.product - FIRST_BLOCK) for one in drained(CodingQueue(images))]
    assert order == [(1, 3), (1, 7), (2, 3), (2, 7)]


def test_what_is_worth_nothing_is_not_coded_even_where_nothing_else_is():
    queue = CodingQueue([image(1, 1, [(100, 0.0), (100, 0.0)])])
    assert queue.best(NOW_MS, price=0.0, requests=()) is None
    assert len(queue) == 1 and queue.least(1, NOW_MS, ())[0].product == FIRST_BLOCK + 1


@given(IMAGES, REQUESTS, st.integers(-5, 40_000))
def test_the_last_in_the_order_are_given_up_and_no_more_than_needed(images, requests, excess_bytes):
    queue = CodingQueue(images)
    chosen = queue.least(excess_bytes, NOW_MS, requests)
    order = drained(CodingQueue(images), requests=requests)
    assert list(chosen) == order[::-1][: len(chosen)]
    freed = sum(one.raw_bytes for one in chosen)
    assert freed >= min(excess_bytes, sum(one.raw_bytes for one in images))
    assert not chosen or freed - chosen[-1].raw_bytes < excess_bytes
    assert len(queue) == len(images), "asking gives nothing up"


def test_an_image_is_added_once_and_removed_once():
    one, other = image(1, 1, [(100, 5.0)]), image(1, 1, [(10, 50.0)])
    queue = CodingQueue([one])
    queue.add([other])
    assert len(queue) == 1 and queue.best(NOW_MS, price=0.0, requests=()) is one
    queue.remove(1, [FIRST_BLOCK + 1, FIRST_BLOCK + 2])
    queue.remove(4, [FIRST_BLOCK + 1])
    assert len(queue) == 0 and queue.best(NOW_MS, price=0.0, requests=()) is None
    queue.add([other])
    assert queue.best(NOW_MS, price=0.0, requests=()) is other
