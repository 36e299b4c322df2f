"""Scenes published from a journal, predicted ones among them: what is asked for, what waits, what is shown in the end."""

import json

import numpy as np
import rasterio

from downlink.image_encoding import encode_image
from downlink.image_layers import pixel_check
from downlink.journal import FileJournal
from downlink.prediction import Predicted, Reference, ReferenceBlock
from downlink.products import FIRST_BLOCK, SUMMARY_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind
from downlink.scene import Georeference, SceneSummary, TileOutcome, Window, encode_summary
from ground.store import LayerStore
from mission.live.publication import LayersFound, Publication, PublicationOrder
from mission.live.scene_publication import publish_scene

PX = 16
WHOLE = Window(row=0, col=0, height=PX, width=PX)


def summary(scene):
    return SceneSummary(
        scene=scene, name=f"harbour {scene}", captured_ms=1000 * scene, height=PX, width=PX, dtype="uint16", band_names=("B02",),
        nodata=0, georeference=Georeference(crs_wkt=None, transform=(1, 0, 0, 0, -1, 0)), peak_dn=4000, tile_px=PX,
        tile_outcomes=(TileOutcome.KEPT,), gsd_m=None, footprint_lonlat=None, model=None, classes=(), policy="test",
    )  # fmt: skip


def pixels_of(scene):
    return np.random.default_rng(scene).integers(1, 4000, (1, PX, PX)).astype(np.uint16)


class Ground:
    """A journal with layers, and the process that knows where they lie."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "layers.journal"
        self.journal = FileJournal(self.path)
        self.store = LayerStore(self.journal)
        self.asked, self.now_ms = [], 1_750_000_000_000

    def arrive(self, scene, payloads, product=FIRST_BLOCK):
        self.store.add(
            Record(
                kind=RecordKind.LAYER, address=LayerAddress(scene=scene, product=product, step=step), payload=payload
            )
            for step, payload in payloads.items()
        )

    def look_up(self, scene):
        self.asked.append(scene)
        return LayersFound(positions=tuple((one, self.store.position(one)) for one in self.store.layers_of(scene)))

    def publish(self, scene):
        self.now_ms += 1
        positions = tuple(self.store.position(one) for one in self.store.layers_of(scene))
        order = PublicationOrder(scene=scene, positions=positions, alerts_received_ms={}, now_ms=self.now_ms)
        told = publish_scene(self.path, self.folder, order, self.look_up)
        assert isinstance(told, Publication), told
        folder = self.folder / "ground" / told.folder
        with rasterio.open(folder / "scene.tif") as dataset:
            shown = dataset.read(1), dataset.dataset_mask() > 0
        return told, shown, json.loads((folder / "item.json").read_text())["properties"]


def coded(scene, *, on=None):
    """Payloads by step of a scene's only block; predicted from the exact pixels of an earlier scene where that is given."""
    predicted = None
    if on is not None:
        block = ReferenceBlock(product=FIRST_BLOCK, steps=3, check=pixel_check(pixels_of(on)))
        if on != 1:
            block = ReferenceBlock(product=FIRST_BLOCK, steps=4, check=pixel_check(pixels_of(on)))
        reference = Reference(scene=on, row_shift=0, col_shift=0, blocks=(block,), gains=(4096,), offsets=(0,))
        predicted = Predicted(reference=reference, pixels=pixels_of(on))
    image = encode_image(
        pixels_of(scene), WHOLE, valid=np.ones((PX, PX), bool), quality_percent=(3.0, 20.0, 100.0), levels=1, nodata=0,
        predicted=predicted,
    )  # fmt: skip
    return dict(enumerate(image.payloads))


def test_a_chain_of_scenes_is_looked_up_as_it_is_needed_and_shown_exactly(tmp_path):
    ground = Ground(tmp_path)
    for scene, on in ((1, None), (2, 1), (3, 2)):
        ground.arrive(scene, {0: encode_summary(summary(scene))}, SUMMARY_PRODUCT)
        ground.arrive(scene, coded(scene, on=on))
    told, (shown, valid), properties = ground.publish(3)
    assert np.array_equal(shown, pixels_of(3)[0]) and valid.all()
    assert (told.waiting_images, told.missing, told.byte_exact_fraction) == (0, (), 1.0)
    assert "tianshu:images_waiting" not in properties
    assert sorted(set(ground.asked)) == [1, 2] and len(ground.asked) == 2
    ground.publish(1)
    assert len(ground.asked) == 2


def test_an_image_without_its_reference_is_left_out_named_and_shown_once_it_has_come(tmp_path):
    ground = Ground(tmp_path)
    reference = coded(1)
    for scene in (1, 2):
        ground.arrive(scene, {0: encode_summary(summary(scene))}, SUMMARY_PRODUCT)
    ground.arrive(2, coded(2, on=1))
    ground.arrive(1, {step: payload for step, payload in reference.items() if step != 1})
    told, (_, valid), properties = ground.publish(2)
    assert not valid.any() and told.arrived_fraction == 0
    assert (told.waiting_images, told.missing) == (1, ((1, 3),))
    assert properties["tianshu:images_waiting"] == 1
    assert properties["tianshu:missing_references"] == [{"scene": 1, "product": FIRST_BLOCK, "steps": 3}]
    assert properties["tianshu:missing_references_total"] == 1
    ground.arrive(1, {1: reference[1]})
    told, (shown, valid), properties = ground.publish(2)
    assert valid.all() and np.array_equal(shown, pixels_of(2)[0])
    assert (told.waiting_images, told.missing) == (0, ()) and "tianshu:images_waiting" not in properties


def test_a_reference_that_has_rotted_in_the_journal_is_missing(tmp_path):
    ground = Ground(tmp_path)
    for scene, on in ((1, None), (2, 1)):
        ground.arrive(scene, {0: encode_summary(summary(scene))}, SUMMARY_PRODUCT)
        ground.arrive(scene, coded(scene, on=on))
    at = ground.store.position(LayerAddress(scene=1, product=FIRST_BLOCK, step=2))
    with ground.path.open("r+b") as file:
        file.seek(at + 20)
        byte = file.read(1)[0]
        file.seek(at + 20)
        file.write(bytes([byte ^ 0x10]))
    told, (_, valid), _ = ground.publish(2)
    assert told.waiting_images == 1 and not valid.any()
    assert [scene for scene, _ in told.missing] == [1]
