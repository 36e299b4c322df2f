"""The price of the coming contacts, against groups ranked one by one; and how long it takes for a large backlog."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.backlog_price import backlog_price
from downlink.contact import Contact
from downlink.contact_groups import windows_at
from downlink.layer_table import layer_table
from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung
from downlink.requests import LayerRequest, apply_requests
from downlink.scheduler import rank_groups

NOW_MS = 5_000_000


def layer(scene, product, step, *, size_bytes, value, captured_ms=0, half_life_s=3600.0):
    return Layer(
        address=LayerAddress(scene=scene, product=FIRST_BLOCK + product, step=step), rung=Rung.REFINEMENT,
        size_bytes=size_bytes, value=value, half_life_s=half_life_s, captured_ms=captured_ms,
    )  # fmt: skip


def contact(number, aos_s, los_s, downlink_bps):
    return Contact(
        contact_id=number, station="north", aos_ms=aos_s * 1000, los_ms=los_s * 1000, downlink_bps=downlink_bps,
        uplink_bps=0, one_way_delay_ms=0, frame_loss=0.0,
    )  # fmt: skip


def windows(*contacts, fraction=1.0, committed_bytes=0):
    return windows_at(contacts, now_ms=NOW_MS, payload_fraction=fraction, committed_bytes=committed_bytes)


def price(layers, coming, *, requests=(), contacts_ahead=2):
    return backlog_price(layer_table(layers), coming, now_ms=NOW_MS, requests=requests, contacts_ahead=contacts_ahead)


STEPS = st.lists(st.tuples(st.integers(1, 900), st.floats(0, 50)), min_size=1, max_size=5)
PRODUCTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, NOW_MS), STEPS), max_size=8)
REQUESTS = st.lists(
    st.builds(
        LayerRequest, scene=st.integers(0, 3), first_product=st.just(1), last_product=st.integers(1, 9),
        last_step=st.integers(0, 5), factor=st.floats(1, 40), until_ms=st.integers(NOW_MS - 5, NOW_MS + 99),
    ),
    max_size=3,
)  # fmt: skip


def layers_of(products):
    given_once = {(scene, product): (captured_ms, steps) for scene, product, captured_ms, steps in products}
    return [
        layer(scene, product, step, size_bytes=size_bytes, value=value, captured_ms=captured_ms)
        for (scene, product), (captured_ms, steps) in given_once.items()
        for step, (size_bytes, value) in enumerate(steps)
    ]


@given(PRODUCTS, REQUESTS, st.lists(st.integers(1, 3000), max_size=4), st.integers(1, 3))
def test_the_price_is_the_density_of_the_group_in_which_the_room_ends(products, requests, rooms, ahead):
    layers = layers_of(products)
    coming = windows(*(contact(n, 6000 + 100 * n, 6001 + 100 * n, 8 * room) for n, room in enumerate(rooms)))
    room_bytes, expected = sum(rooms[:ahead]), 0.0
    for group in rank_groups(apply_requests(layers, requests, NOW_MS), NOW_MS) if rooms else ():
        room_bytes -= group.size_bytes
        if room_bytes < 0:
            expected = group.density
            break
    assert price(layers, coming, requests=requests, contacts_ahead=ahead) == pytest.approx(expected, rel=1e-9)


@given(PRODUCTS, st.integers(1, 4000), STEPS)
def test_more_backlog_never_lowers_the_price_and_more_room_never_raises_it(products, room, steps):
    layers = layers_of(products)
    more = [*layers, *layers_of([(9, 9, 1000, steps)])]
    small, large = windows(contact(0, 6000, 6001, 8 * room)), windows(contact(0, 6000, 6001, 12 * room))
    assert price(more, small) >= price(layers, small) >= price(layers, large) >= 0


def test_what_is_left_of_a_contact_counts_less_what_is_spoken_for():
    layers = [layer(1, n, 0, size_bytes=100, value=float(100 * (9 - n)), half_life_s=1e12) for n in range(8)]
    going_on = contact(0, 4996, 5004, 800)  # 100 bytes a second, of which four seconds are left
    assert price(layers, windows(going_on)) == pytest.approx(5.0)
    assert price(layers, windows(going_on, committed_bytes=150)) == pytest.approx(7.0)
    assert price(layers, windows(going_on, fraction=0.5)) == pytest.approx(7.0)
    later = contact(1, 6000, 6002, 800)
    assert price(layers, windows(going_on, later)) == pytest.approx(3.0)
    assert price(layers, windows(going_on, later), contacts_ahead=1) == pytest.approx(5.0)
    assert price(layers, windows(going_on, later, contact(2, 7000, 7002, 800)), contacts_ahead=3) == 0.0


def test_without_a_contact_or_a_backlog_there_is_no_price():
    assert price([layer(1, 1, 0, size_bytes=100, value=5.0)], windows()) == 0.0
    assert price([], windows(contact(0, 6000, 6001, 800))) == 0.0
    over = contact(0, 100, 200, 800)
    assert price([layer(1, 1, 0, size_bytes=100, value=5.0)], windows(over)) == 0.0


def test_a_large_backlog_is_priced_without_a_plan():
    layers = [
        layer(n // 6000, n // 6 % 1000, n % 6, size_bytes=100 + n % 977, value=1.0 + (n * 7919) % 1013, captured_ms=n)
        for n in range(100_000)
    ]
    table = layer_table(layers)
    coming = windows(contact(0, 6000, 6600, 200_000), contact(1, 9000, 9600, 200_000))
    start_s = time.process_time()
    found = backlog_price(table, coming, now_ms=NOW_MS, requests=(), contacts_ahead=2)
    assert found > 0
    assert time.process_time() - start_s < 1.0
