"""A handover comes back as it was put down, or not at all."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.products import Layer, LayerAddress, Rung
from mission.live.handover import read_handover, write_handover
from onboard.valuation import ValuedLayer


def valued(product: int, step: int, payload: bytes) -> ValuedLayer:
    layer = Layer(
        address=LayerAddress(scene=0x12345678, product=product, step=step),
        rung=Rung.PREVIEW,
        size_bytes=18 + len(payload),
        value=1.25,
        half_life_s=3600.5,
        captured_ms=1_770_000_000_123,
        deadline_ms=None if step else 1_770_000_999_999,
    )
    return ValuedLayer(layer=layer, payload=payload)


LAYERS = (valued(0x7FFF, 0, b"\xeb\x71first"), valued(0x7FFF, 1, b""), valued(0xFFFF, 3, bytes(range(256)) * 9))


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "handover"
    assert read_handover(path) is None
    write_handover(path, scene=0x12345678, layers=LAYERS, efforts="2102")
    found = read_handover(path)
    assert found is not None
    assert (found.scene, found.layers, found.efforts) == (0x12345678, LAYERS, "2102")
    write_handover(path, scene=9, layers=LAYERS[:1], efforts="")
    assert [entry.name for entry in tmp_path.iterdir()] == ["handover"]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_one_is_never_taken_for_another(data: st.DataObject, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("damaged") / "handover"
    write_handover(path, scene=7, layers=LAYERS, efforts="22")
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[at] ^ data.draw(st.integers(1, 255))
    path.write_bytes(data.draw(st.sampled_from([whole[:at], whole[:at] + bytes([flipped]) + whole[at + 1 :]])))
    found = read_handover(path)
    assert found is None or (found.layers == LAYERS and found.efforts == "22")
