"""What the ground makes of lost references: which orders, how often."""

from downlink.command import DropScene, ForgetReferences
from downlink.housekeeping import Housekeeping
from downlink.layer_digest import layer_digest
from downlink.products import LayerAddress
from mission.live.publication import Publication
from mission.live.reference_repair import OUTSTANDING_LIMIT, SCENES_LIMIT, ReferenceRepair

ALL = ForgetReferences(scene=None)


def published(scene, *missing):
    return Publication(
        scene=scene, layers=9, published_ms=1, name="n", folder="n", captured_ms=1, width=9, height=9, detections=0,
        arrived_fraction=0.5, byte_exact_fraction=0.5, psnr_db=None, waiting_images=len(missing),
        missing=tuple((one, 3) for one in missing),
    )  # fmt: skip


def digest(layers):
    return layer_digest(LayerAddress(scene=1, product=number, step=0) for number in range(layers))


class Bench:
    """A ground whose newest scene is 20, unless told otherwise."""

    def __init__(self):
        self.repair, self.outstanding, self.last_scene = ReferenceRepair(), [], 20

    def orders(self):
        given = self.repair.due(self.outstanding, last_scene=self.last_scene)
        for order in given:
            self.outstanding.append(order)
            self.repair.given(order)
        return given

    def executed(self):
        self.outstanding.clear()

    def say(self, *, delivered, held, same=True):
        told = digest(delivered) if same else b"\x01" * 8
        report = Housekeeping(at_ms=1, boot=1, uptime_s=1, delivered_layers=delivered, delivered_digest=told)
        self.repair.take_housekeeping(report, held_layers=held, held_digest=digest(held))


def test_a_missing_reference_is_ordered_forgotten_once():
    bench = Bench()
    bench.repair.take_publication(published(9, 4))
    assert bench.orders() == (ForgetReferences(scene=4),)
    for _ in range(3):
        bench.repair.take_publication(published(9, 4))
        bench.repair.take_publication(published(20, 4))  # may have been coded before the order got there
        assert bench.orders() == ()
        bench.executed()


def test_and_again_where_a_scene_that_is_newer_than_the_order_names_it():
    bench = Bench()
    bench.repair.take_publication(published(9, 4))
    bench.orders()
    bench.executed()
    bench.last_scene = 25
    bench.repair.take_publication(published(21, 4))
    assert bench.orders() == (ForgetReferences(scene=4),)
    bench.executed()
    bench.repair.take_publication(published(25, 4))
    assert bench.orders() == ()


def test_nothing_is_ordered_where_nothing_is_missing():
    bench = Bench()
    bench.repair.take_publication(published(9))
    bench.say(delivered=7, held=7)
    bench.say(delivered=5, held=7)
    assert bench.orders() == ()


def test_an_order_that_is_outstanding_already_is_not_given_again():
    bench = Bench()
    bench.outstanding = [DropScene(scene=4), ForgetReferences(scene=4)]
    bench.repair.take_publication(published(9, 4, 5))
    assert bench.orders() == (ForgetReferences(scene=5),)
    bench.executed()
    assert bench.orders() == ()
    bench.outstanding = [ALL]
    bench.last_scene = 40
    bench.repair.take_publication(published(30, 6, 7))
    assert bench.orders() == ()
    bench.executed()
    assert bench.orders() == ()


def test_many_lost_scenes_are_all():
    bench = Bench()
    bench.repair.take_publication(published(19, *range(1, SCENES_LIMIT + 2)))
    assert bench.orders() == (ALL,)
    bench.executed()
    bench.repair.take_publication(published(20, 3, 17))
    assert bench.orders() == ()


def test_orders_of_people_have_their_room():
    bench = Bench()
    bench.outstanding = [DropScene(scene=number) for number in range(OUTSTANDING_LIMIT - 1)]
    bench.repair.take_publication(published(9, 4, 5))
    assert len(bench.orders()) == 1 and bench.orders() == ()
    bench.executed()
    assert bench.orders() == (ForgetReferences(scene=5),)


def test_what_the_satellite_counts_delivered_and_nobody_holds_is_answered_once_per_loss():
    bench = Bench()
    bench.say(delivered=100, held=40)
    assert bench.orders() == (ALL,)
    bench.executed()
    for delivered, held in ((100, 40), (130, 75), (150, 90)):
        bench.say(delivered=delivered, held=held)
        assert bench.orders() == ()
    bench.say(delivered=150, held=80)
    assert bench.orders() == (ALL,)


def test_as_many_layers_but_others_are_a_loss_too():
    bench = Bench()
    bench.say(delivered=10, held=10, same=False)
    assert bench.orders() == (ALL,)
    bench.executed()
    bench.say(delivered=10, held=10, same=False)
    assert bench.orders() == ()
