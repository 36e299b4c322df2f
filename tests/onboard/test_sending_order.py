"""The sending order: what it takes for a file, and how it fills the end of a contact."""

from downlink.journal import MemoryJournal
from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung
from onboard.sending_order import SendingOrder
from onboard.standing_orders import StandingOrders
from onboard.uplink_journal import UplinkJournal


def layer(product, step=0, *, size_bytes=100, density=1.0):
    return Layer(
        address=LayerAddress(scene=3, product=FIRST_BLOCK + product, step=step), rung=Rung.REFINEMENT,
        size_bytes=size_bytes, value=density * size_bytes, half_life_s=1e9, captured_ms=0,
    )  # fmt: skip


def order(*layers):
    made = SendingOrder(layers, StandingOrders(UplinkJournal(MemoryJournal())), ())
    assert made.refresh(0, committed_bytes=0) and not made.refresh(0, committed_bytes=0)
    return made


def names(layers):
    return [(one.address.product - FIRST_BLOCK, one.address.step) for one in layers]


def test_a_file_takes_what_fits_in_order_and_one_layer_at_least():
    made = order(*(layer(n, density=9.0 - n) for n in range(5)), layer(7, size_bytes=9000, density=0.5))
    assert names(made.take(250, room_bytes=10_000)) == [(0, 0), (1, 0)]
    assert made.best_density == 7.0
    assert names(made.take(10, room_bytes=10_000)) == [(2, 0)]
    assert names(made.take(1000, room_bytes=10_000)) == [(3, 0), (4, 0)]
    assert names(made.take(1000, room_bytes=10_000)) == [(7, 0)]
    assert made.take(1000, room_bytes=10_000) == [] and made.best_density is None


def test_the_end_of_a_contact_is_filled_with_the_best_that_fits():
    made = order(
        layer(0, size_bytes=5000, density=9.0), layer(1, size_bytes=300, density=3.0), layer(2, density=2.0),
        layer(3, density=1.0),
    )  # fmt: skip
    assert names(made.take(1000, room_bytes=450)) == [(1, 0), (2, 0)]
    assert names(made.take(1000, room_bytes=50)) == [(0, 0)]  # nothing fits: the best begins, and goes on later
    assert names(made.take(1000, room_bytes=450)) == [(3, 0)]


def test_no_step_is_taken_before_one_that_it_needs():
    made = order(
        layer(0, 0, size_bytes=5000, density=9.0), layer(0, 1, density=5.0), layer(1, density=1.0)
    )  # fmt: skip
    assert names(made.take(1000, room_bytes=450)) == [(1, 0)]
    assert names(made.take(6000, room_bytes=6000)) == [(0, 0), (0, 1)]


def test_what_may_have_arrived_counts_for_less():
    sure, doubtful = layer(0, density=2.0), layer(1, density=3.0)
    made = order(sure, doubtful)
    made.discount([sure, doubtful], {doubtful.address: 0.9})
    assert made.refresh(0, committed_bytes=0)
    assert [(density, one.address.product - FIRST_BLOCK) for density, one in made.ranked()] == [
        (2.0, 0), (3.0 * (1 - 0.9), 1)
    ]  # fmt: skip
