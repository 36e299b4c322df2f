"""The closed loop of references in memory: whatever is lost, late, evicted or restarted, nothing wrong is ever shown."""

import numpy as np
import pytest

from downlink.errors import MissingReferenceError
from downlink.image_encoding import encode_image
from downlink.image_layers import ImageAssembly
from downlink.journal import MemoryJournal
from downlink.prediction import Predicted, Reference, predict
from downlink.products import FIRST_BLOCK, SUMMARY_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind
from downlink.reference_chain import CHAIN_LIMIT
from downlink.scene import Georeference, SceneSummary, TileOutcome, Window, encode_summary
from ground.reconstruction import decoded_on_demand, reconstruct
from ground.scene_layers import SceneLayers
from ground.scene_references import SceneReferences
from ground.store import LayerStore
from ground.waiting_images import WaitingImages
from onboard.reference_store import ReferenceStore

BLOCK_PX = 24
SCENE_PX = 72
LAND_PX = 160
STEPS = (2.0, 12.0, 100.0)
BANDS = ("B02", "B04")
NODATA = 7


def land_of(rng):
    """(bands, rows, columns): smooth enough to be coded, with a change from scene to scene added later."""
    rows, cols = np.mgrid[0:LAND_PX, 0:LAND_PX]
    fields = [900 + 300 * np.sin(rows / (5 + band)) * np.cos(cols / (7 + band)) for band in range(len(BANDS))]
    return np.array(fields) + rng.normal(0, 30, (len(BANDS), LAND_PX, LAND_PX))


def summary_of(number, origin, fraction):
    """A scene whose pixel (0, 0) lies at `origin` + `fraction` of the land, 10 m pixels."""
    row, col = origin[0] + fraction[0], origin[1] + fraction[1]
    return SceneSummary(
        scene=number, name=f"scene {number}", captured_ms=1000 * number, height=SCENE_PX, width=SCENE_PX, dtype="uint16",
        band_names=BANDS, nodata=NODATA,
        georeference=Georeference(crs_wkt="EPSG:32617", transform=(10, 0, 5e5 + 10 * col, 0, -10, 4e6 - 10 * row)),
        peak_dn=4000, tile_px=BLOCK_PX, tile_outcomes=(TileOutcome.KEPT,) * 9, gsd_m=10.0, footprint_lonlat=None,
        model=None, classes=(), policy="test",
    )  # fmt: skip


class Flight:
    """The onboard end: codes scenes from what is acknowledged."""

    def __init__(self, rng, folder=None, capacity_bytes=1 << 30, predicted_share=0.8, spread_px=24):
        self.rng, self.folder, self.capacity_bytes, self.predicted_share = rng, folder, capacity_bytes, predicted_share
        self.spread_px = spread_px
        self.land = land_of(rng)
        self.references = ReferenceStore(folder, capacity_bytes=capacity_bytes)
        self.originals, self.stated, self.layers, self.depths, self.summaries = {}, {}, {}, {}, {}

    def restart(self):
        """What is in memory alone is gone."""
        self.references = ReferenceStore(self.folder, capacity_bytes=self.capacity_bytes)

    def look(self, number):
        """A scene, somewhere on the land, some of it without data."""
        origin = tuple(int(at) for at in self.rng.integers(0, self.spread_px, 2))
        fraction = (0.0, 0.0) if self.rng.random() < 0.5 else tuple(self.rng.random(2))
        rows, cols = slice(origin[0], origin[0] + SCENE_PX), slice(origin[1], origin[1] + SCENE_PX)
        gain = self.rng.uniform(0.9, 1.1)
        seen = gain * self.land[:, rows, cols] + self.rng.normal(0, 5, (len(BANDS), SCENE_PX, SCENE_PX))
        pixels = np.clip(seen, 10, 4000).astype(np.uint16)
        valid = np.ones(pixels.shape[1:], bool)
        if self.rng.random() < 0.4:
            corner = int(self.rng.integers(5, 50))
            valid[:corner, :corner] = False
            pixels[:, ~valid] = NODATA
        summary = summary_of(number, origin, fraction)
        self.summaries[number] = summary
        self.originals[number] = pixels, valid
        self.layers[LayerAddress(scene=number, product=SUMMARY_PRODUCT, step=0)] = encode_summary(summary)
        return summary

    def code(self, summary, tile):
        """One block, from the best candidate there is or from none; what each step is to show is stated."""
        pixels, valid = self.originals[summary.scene]
        window = Window(
            row=tile // 3 * BLOCK_PX, col=tile % 3 * BLOCK_PX, height=BLOCK_PX, width=BLOCK_PX
        )  # three by three
        candidates = self.references.candidates(summary.georeference, BANDS, "uint16", window)
        predicted = None
        if candidates and self.rng.random() < self.predicted_share:
            chosen = candidates[int(self.rng.integers(len(candidates)))]
            reference = Reference(
                scene=chosen.scene, row_shift=round(chosen.row_shift_px * 64), col_shift=round(chosen.col_shift_px * 64),
                blocks=chosen.blocks, gains=(4096, 4300), offsets=(16, -33), smoothing=int(self.rng.integers(2)),
            )  # fmt: skip
            predicted = Predicted(reference=reference, pixels=predict(reference, window, chosen.canvas))
        image = encode_image(
            pixels[:, *window.slices], window, valid=valid[window.slices], quality_percent=STEPS, levels=3,
            nodata=NODATA, predicted=predicted, unchanged=predicted is not None and self.rng.random() < 0.2,
        )  # fmt: skip
        product = FIRST_BLOCK + tile
        assembly = ImageAssembly(nodata=NODATA)
        for step, payload in enumerate(image.payloads):
            assembly.add(step, payload)
            self.layers[LayerAddress(scene=summary.scene, product=product, step=step)] = payload
            shown = assembly.decode(None if predicted is None else (lambda reference, window: predicted.pixels))
            self.stated[summary.scene, product, step + 1] = shown.pixels
        assert np.array_equal(shown.pixels, pixels[:, *window.slices])
        if predicted is None:
            self.depths[summary.scene, product] = 0
        else:
            below = [self.depths[predicted.reference.scene, block.product] for block in predicted.reference.blocks]
            self.depths[summary.scene, product] = 1 + max(below)
        return predicted


class Ground:
    """The other end: layers in any order, and what becomes of them."""

    def __init__(self, cache_bytes=20_000):
        self.store = LayerStore(MemoryJournal())
        self.cache_bytes = cache_bytes

    def hear(self, address, payload):
        self.store.add([Record(kind=RecordKind.LAYER, address=address, payload=payload)])

    def lose(self, keep):
        """A restart from a damaged disk."""
        records = [
            Record(kind=RecordKind.LAYER, address=one, payload=self.store.payload(one))
            for one in sorted(self.store.addresses) if keep(one)
        ]  # fmt: skip
        self.store = LayerStore(MemoryJournal())
        self.store.add(records)

    def show(self, scene):
        """Decoded blocks of a scene by product, and those that wait."""
        layers = SceneLayers.of(self.store, scene)
        summary = layers.summary()
        if summary is None:
            return {}, WaitingImages()
        waiting = WaitingImages()
        images = layers.images(summary, SceneReferences(self.store, cache_bytes=self.cache_bytes).predict)
        whole = Window(row=0, col=0, height=SCENE_PX, width=SCENE_PX)
        decoded = tuple(decoded_on_demand(images, waiting)(whole))
        reconstruct(summary, decoded)
        return {
            FIRST_BLOCK + image.window.row // BLOCK_PX * 3 + image.window.col // BLOCK_PX: image for image in decoded
        }, waiting


def check(flight, ground):
    """Whatever is shown is what was stated on board, for exactly the steps that arrived; how many blocks are shown, wait, differ."""
    shown = waiting = predicted = 0
    for scene in flight.originals:
        images, waits = ground.show(scene)
        waiting += len(waits)
        for product, image in images.items():
            held = {one.step for one in ground.store.layers_of(scene) if one.product == product}
            steps = next(step for step in range(len(held) + 1) if step not in held)
            assert np.array_equal(image.pixels, flight.stated[scene, product, steps])
            if image.lossless:
                window = image.window
                assert np.array_equal(image.pixels, flight.originals[scene][0][:, *window.slices])
            shown += 1
            predicted += flight.depths[scene, product] > 0
    return shown, waiting, predicted


def fly(seed, *, folder=None, loss=True, scenes=6, capacity_bytes=1 << 30):
    """A mission of choices by seed; returns both ends and how much was shown with predictions in all."""
    rng = np.random.default_rng(seed)
    flight, ground = Flight(rng, folder, capacity_bytes), Ground()
    open_layers, lost, totals = [], set(), np.zeros(3, int)
    for number in range(1, scenes + 1):
        summary = flight.look(number)
        open_layers.append(LayerAddress(scene=number, product=SUMMARY_PRODUCT, step=0))
        for tile in rng.permutation(9)[: int(rng.integers(5, 10))]:
            before = set(flight.layers)
            flight.code(summary, int(tile))
            open_layers += sorted(set(flight.layers) - before)
        rng.shuffle(open_layers)
        share = rng.uniform(0.5, 1.0)
        arriving, open_layers = (
            open_layers[: int(share * len(open_layers))],
            open_layers[int(share * len(open_layers)) :],
        )
        for address in arriving:
            ground.hear(address, flight.layers[address])
            if rng.random() < 0.95:  # the acknowledgement itself may be lost: then nothing is predicted from it
                flight.references.take(address, flight.layers[address])
        if rng.random() < (0.1 if folder is None else 0.5):
            flight.restart()
        if loss and rng.random() < 0.4:
            victims = {int(one) for one in rng.integers(1, number + 1, 2)}
            ground.lose(lambda one, victims=victims: one.scene not in victims or rng.random() < 0.4)
            lost |= victims
        totals += check(flight, ground)
        if lost and rng.random() < 0.7:
            for scene in tuple(lost):
                flight.references.forget(scene)
            lost.clear()
    for address in open_layers:
        ground.hear(address, flight.layers[address])
    totals += check(flight, ground)
    return flight, ground, totals


def test_nothing_wrong_is_ever_shown():
    totals = sum(fly(seed)[2] for seed in range(7))
    assert totals[0] > 350 and totals[1] > 20 and totals[2] > 40, "blocks are shown, wait, and are predicted"


@pytest.mark.parametrize("seed", range(40, 42))
def test_with_a_ground_that_loses_nothing_every_block_is_shown_in_the_end(seed, tmp_path):
    flight, ground, _ = fly(seed, folder=tmp_path, loss=False, capacity_bytes=60_000 if seed % 2 else 1 << 30)
    for scene in flight.originals:
        images, waiting = ground.show(scene)
        coded = {product for number, product, _ in flight.stated if number == scene}
        assert not waiting and images.keys() == coded and all(image.lossless for image in images.values())
    assert max(flight.depths.values()) <= CHAIN_LIMIT
    assert flight.references.used_bytes <= flight.references.capacity_bytes


def test_no_chain_grows_longer_than_the_ground_follows():
    flight, ground = Flight(np.random.default_rng(5), predicted_share=1.0, spread_px=6), Ground(cache_bytes=1 << 20)
    for number in range(1, 8):
        summary = flight.look(number)
        for tile in range(9):
            flight.code(summary, tile)
        for address in [one for one in flight.layers if one.scene == number]:
            ground.hear(address, flight.layers[address])
            flight.references.take(address, flight.layers[address])
    assert max(flight.depths.values()) == CHAIN_LIMIT
    shown, waiting, predicted = check(flight, ground)
    assert (shown, waiting) == (7 * 9, 0) and predicted > 30


def test_a_lost_reference_is_named_and_comes_back_into_sight_when_it_arrives_again():
    rng = np.random.default_rng(2)
    rng_flight = Flight(rng)
    ground = Ground()
    first = rng_flight.look(1)
    for tile in range(9):
        rng_flight.code(first, tile)
    for address, payload in rng_flight.layers.items():
        ground.hear(address, payload)
        rng_flight.references.take(address, payload)
    second = replace_scene(rng_flight, first, 2)
    predicted = None
    while predicted is None:
        predicted = rng_flight.code(second, 4)
    for address, payload in rng_flight.layers.items():
        ground.hear(address, payload)
    lost = LayerAddress(scene=1, product=predicted.reference.blocks[0].product, step=1)
    ground.lose(lambda one: one != lost)
    images, waiting = ground.show(2)
    assert FIRST_BLOCK + 4 not in images and len(waiting) == 1 and waiting.scenes == (1,)
    (missing,) = waiting.references
    assert (missing.scene, missing.product, missing.steps) == (1, lost.product, predicted.reference.blocks[0].steps)
    layers = SceneLayers.of(ground.store, 2)
    (image,) = layers.images(layers.summary(), SceneReferences(ground.store).predict)
    with pytest.raises(MissingReferenceError, match="lacks step 1"):
        image.decode()
    ground.hear(lost, rng_flight.layers[lost])
    images, waiting = ground.show(2)
    assert images[FIRST_BLOCK + 4].lossless and not waiting
    check(rng_flight, ground)


def replace_scene(flight, summary, number):
    """The same place again, a little later."""
    again = summary.model_copy(update={"scene": number, "captured_ms": 1000 * number})
    pixels, valid = flight.originals[summary.scene]
    flight.originals[number] = np.where(valid, pixels + np.uint16(3), pixels), valid
    flight.summaries[number] = again
    flight.layers[LayerAddress(scene=number, product=SUMMARY_PRODUCT, step=0)] = encode_summary(again)
    return again


def test_a_reference_with_other_pixels_is_found_by_its_check():
    rng = np.random.default_rng(3)
    flight, ground = Flight(rng), Ground()
    first = flight.look(1)
    for tile in range(9):
        flight.code(first, tile)
    for address, payload in flight.layers.items():
        flight.references.take(address, payload)
    second = replace_scene(flight, first, 2)
    while (predicted := flight.code(second, 4)) is None:
        pass
    other = Flight(np.random.default_rng(99))  # another satellite's scene of the same number
    same = other.look(1)
    for tile in range(9):
        other.code(same, tile)
    for address, payload in {**flight.layers, **other.layers}.items():
        ground.hear(address, payload)
    images, waiting = ground.show(2)
    assert FIRST_BLOCK + 4 not in images and len(waiting) == 1
    layers = SceneLayers.of(ground.store, 2)
    (image,) = layers.images(layers.summary(), SceneReferences(ground.store).predict)
    with pytest.raises(MissingReferenceError, match="other pixels"):
        image.decode()
    assert predicted.reference.scene == 1
