"""What targets of whole ends read from a tape: layers, their addresses, contacts; and the link that both ends agree on."""

from downlink.contact import Contact
from downlink.link_profile import LinkProfile
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from mission.link_ends import LinkKeys
from onboard.valuation import ValuedLayer
from tests.fuzz.tape import Tape
from tests.fuzz.uplink_targets import KEYS, NOW_MS

PROFILE = LinkProfile(
    frame_bytes=200, uplink_frame_bytes=96, bundle_bytes=900, express_repeat_ms=100, ack_timeout_ms=200, nak_timeout_ms=100,
    silence_ms=5000,
)  # fmt: skip
LINK_KEYS = LinkKeys(associations=KEYS, reboot_lockout_ms=50)
PRODUCTS = (SUMMARY_PRODUCT, FIRST_BLOCK, FIRST_BLOCK + 1, FIRST_CHIP, FIRST_CHIP + 1, ALERTS_PRODUCT)
LAYERS_LIMIT = 24
CAPACITY_BYTES = 3000


def layer_of(address: LayerAddress, size_bytes: int, density: float) -> ValuedLayer:
    """A layer whose payload is told by its address and its length."""
    seed = address.product * 31 + address.step * 7 + address.scene
    payload = bytes((seed + n * n) & 0xFF for n in range(size_bytes))
    layer = Layer(
        address=address, rung=Rung.REFINEMENT, size_bytes=size_bytes + OVERHEAD_BYTES, value=density * size_bytes + 1e-6,
        half_life_s=1e9, captured_ms=NOW_MS,
    )  # fmt: skip
    return ValuedLayer(layer=layer, payload=payload)


def address_from(tape: Tape) -> LayerAddress:
    """One of few addresses, so that those of receipts and layers meet."""
    place = tape.byte()
    return LayerAddress(scene=place & 1, product=PRODUCTS[(place >> 1) % len(PRODUCTS)], step=place >> 5 & 3)


def contact_from(tape: Tape) -> Contact:
    """A contact with a station that answers, or one that only listens."""
    kind = tape.byte()
    return Contact(
        contact_id=kind, station="Awarua", aos_ms=NOW_MS, los_ms=NOW_MS + 1 + tape.number(2), downlink_bps=8000 * (1 + tape.byte()),
        uplink_bps=64_000 * (kind & 1), one_way_delay_ms=20, frame_loss=(kind >> 1) / 128,
    )  # fmt: skip


def captured_from(tape: Tape) -> list[ValuedLayer]:
    """Up to four layers."""
    return [layer_of(address_from(tape), tape.below(600), tape.below(64) / 8) for _ in range(1 + tape.below(4))]
