"""The verdict on both ledgers."""

from downlink.housekeeping import Housekeeping
from downlink.layer_digest import layer_digest
from downlink.products import LayerAddress
from mission.live.agreement import Agreement, agreement

LAYERS = [LayerAddress(scene=1, product=1 + n, step=0) for n in range(5)]


def verdict(delivered, held):
    report = Housekeeping(
        at_ms=1, boot=1, uptime_s=1, delivered_layers=len(delivered), delivered_digest=layer_digest(delivered)
    )
    return agreement(report, held_layers=len(held), held_digest=layer_digest(held))


def test_the_same_layers_agree_in_any_order():
    assert verdict(LAYERS, LAYERS[::-1]) is Agreement.AGREE
    assert verdict([], []) is Agreement.AGREE


def test_more_on_the_ground_is_on_the_way_and_less_is_lost():
    assert verdict(LAYERS[:3], LAYERS) is Agreement.ON_THE_WAY
    assert verdict(LAYERS, LAYERS[:3]) is Agreement.DISAGREE


def test_as_many_but_not_the_same_disagree():
    assert verdict(LAYERS[:4], LAYERS[1:]) is Agreement.DISAGREE


def test_without_housekeeping_nothing_is_known():
    assert agreement(None, held_layers=3, held_digest=layer_digest(LAYERS[:3])) is Agreement.UNKNOWN
