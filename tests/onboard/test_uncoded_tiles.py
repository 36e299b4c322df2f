"""Raw tiles and their queue: whatever happens to them, every tile is in one book, and the raw store agrees with the books."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung
from downlink.requests import LayerRequest
from onboard.coding_queue import UncodedImage
from onboard.errors import StoreError
from onboard.processed_scene import TilePixels
from onboard.raw_codec import encode_raw
from onboard.raw_store import RawStore
from onboard.uncoded_tiles import UncodedTiles
from tests.onboard.survey_samples import CAPTURED_MS, note_of

PIXELS = np.random.default_rng(0x1234).integers(200, 900, (2, 48, 80)).astype(np.uint16)
VALID = np.ones(PIXELS.shape[1:], bool)
DATA = encode_raw(PIXELS, VALID)
SIZE = len(DATA)


def image_of(scene, tile, value, raw_bytes=SIZE):
    address = LayerAddress(scene=scene, product=FIRST_BLOCK + tile, step=0)
    layer = Layer(
        address=address, rung=Rung.PREVIEW, size_bytes=100, value=value, half_life_s=3600.0, captured_ms=CAPTURED_MS
    )
    return UncodedImage(scene=scene, product=address.product, layers=(layer,), raw_bytes=raw_bytes)


class Books:
    """Uncoded tiles in a raw store that holds so many, with what was told of each."""

    def __init__(self, room=10, requests=()):
        self.places = {}
        self.raw = RawStore(None, capacity_bytes=room * SIZE + 4000)
        self.tiles = UncodedTiles(
            self.raw,
            requests=lambda now_ms: requests,
            on_pixels=lambda scene, tile, pixels: self.places.__setitem__((scene, tile), pixels),
        )

    def keep(self, scene, tile, value):
        return self.tiles.keep(image_of(scene, tile, value), DATA, now_ms=CAPTURED_MS)

    def best(self, price=0.0):
        return self.tiles.best(CAPTURED_MS, price=price, requests=())

    def check(self):
        account = self.tiles.account
        ended = (account.coded, account.discarded, account.damaged, self.tiles.waiting)
        assert account.kept.tiles == sum(count.tiles for count in ended)
        assert account.kept.size_bytes == sum(count.size_bytes for count in ended)
        waiting = {place for place, pixels in self.places.items() if pixels is TilePixels.RAW}
        assert len(waiting) == len(self.tiles) == self.tiles.waiting.tiles
        held = {(scene, tile) for scene, tile in self.places if tile in self.raw.tiles(scene)}
        assert held == waiting


def test_the_most_valuable_is_coded_first_and_its_raw_pixels_go_with_it():
    books = Books()
    for tile, value in enumerate((2.0, 9.0, 5.0)):
        assert books.keep(3, tile, value)
    books.tiles.seal(note_of(3, tiles=3))
    order = []
    while (image := books.best()) is not None:
        pixels, valid = books.tiles.pixels(image)
        assert np.array_equal(pixels, PIXELS) and valid.all()
        books.tiles.coded(image)
        order.append(image.product - FIRST_BLOCK)
        books.check()
    assert order == [1, 2, 0]
    assert not books.tiles.holds(3) and books.raw.scenes == ()
    assert set(books.places.values()) == {TilePixels.CODED}


def test_nothing_below_the_price_is_named():
    books = Books()
    books.keep(1, 0, 5.0)  # 0.05 points per byte
    assert books.best(price=0.051) is None
    assert books.best(price=0.05).product == FIRST_BLOCK


def test_a_full_store_gives_up_what_promises_least_of_any_scene():
    books = Books(room=3)
    for tile, value in enumerate((4.0, 1.0, 6.0)):
        books.keep(1, tile, value)
    books.tiles.seal(note_of(1, tiles=3))
    assert books.keep(2, 0, 5.0), "worth more than tile 1 of scene 1, which goes"
    assert not books.keep(2, 1, 0.5), "worth less than all that is there"
    assert books.places == {
        (1, 0): TilePixels.RAW,
        (1, 1): TilePixels.DISCARDED,
        (1, 2): TilePixels.RAW,
        (2, 0): TilePixels.RAW,
        (2, 1): TilePixels.DISCARDED,
    }
    assert (books.tiles.account.discarded.tiles, books.tiles.account.discarded.size_bytes) == (2, 2 * SIZE)
    books.check()


def test_what_the_ground_asks_for_stays():
    wanted = LayerRequest(
        scene=1, first_product=FIRST_BLOCK, last_product=FIRST_BLOCK, last_step=255, factor=100.0, until_ms=1 << 60
    )
    books = Books(room=1, requests=(wanted,))
    books.keep(1, 0, 1.0)
    assert not books.keep(2, 0, 50.0)
    assert books.places[1, 0] is TilePixels.RAW


def test_a_tile_larger_than_the_store_costs_no_other_its_place():
    books = Books(room=1)
    books.keep(1, 0, 1.0)
    large = DATA * 100
    assert not books.tiles.keep(image_of(1, 1, 1e9, raw_bytes=len(large)), large, now_ms=CAPTURED_MS)
    assert books.places[1, 0] is TilePixels.RAW


def test_a_survey_that_failed_leaves_nothing_and_a_sealed_one_is_not_touched():
    books = Books()
    books.keep(1, 0, 1.0)
    books.tiles.seal(note_of(1, tiles=1))
    books.keep(2, 0, 1.0)
    for scene in (1, 2, 3):
        books.tiles.abandon(scene)
    assert books.places == {(1, 0): TilePixels.RAW, (2, 0): TilePixels.DISCARDED}
    books.check()


def test_a_disk_that_refuses_leaves_the_books_as_they_were(monkeypatch):
    books = Books()
    books.keep(1, 0, 1.0)

    def refused(scene, tile, data):
        raise StoreError("no room on the disk")

    monkeypatch.setattr(books.raw, "put", refused)
    with pytest.raises(StoreError, match="no room"):
        books.keep(1, 1, 9.0)
    assert books.tiles.account.kept.tiles == 1
    assert books.best().product == FIRST_BLOCK


def test_a_raw_tile_that_rotted_is_given_up_and_counted(tmp_path):
    raw = RawStore(tmp_path, capacity_bytes=10_000_000)
    tiles = UncodedTiles(raw)
    for tile in (0, 1):
        tiles.keep(image_of(7, tile, 2.0 - tile), DATA, now_ms=CAPTURED_MS)
    tiles.seal(note_of(7, tiles=2))
    first = next(path for path in sorted(tmp_path.rglob("*0.raw")))
    rotten = bytearray(DATA)
    rotten[SIZE // 2] ^= 0x10
    first.write_bytes(rotten)
    image = tiles.best(CAPTURED_MS, price=0.0, requests=())
    with pytest.raises(StoreError):
        tiles.pixels(image)
    assert (tiles.account.damaged.tiles, len(tiles), raw.tiles(7)) == (1, 1, (1,))
    assert np.array_equal(tiles.pixels(tiles.best(CAPTURED_MS, price=0.0, requests=()))[0], PIXELS)


def test_a_start_takes_up_what_was_sealed_and_gives_up_what_no_note_speaks_of():
    books = Books()
    for scene in (1, 2, 3):
        for tile in (0, 1):
            books.keep(scene, tile, 10 * scene + tile)
    books.tiles.seal(note_of(1, tiles=2))
    books.raw.seal(2, b'{"version": 2}')
    books.raw.seal(3, note_of(3, tiles=1).encode())
    again = UncodedTiles(books.raw)
    notes = list(again.resume(lambda note, tile, raw_bytes: image_of(note.summary.scene, tile, 1.0 + tile, raw_bytes)))
    assert [note.summary.scene for note in notes] == [1, 3]
    assert (len(again), again.account.kept.tiles, again.account.damaged.tiles) == (3, 6, 3)
    assert {scene: books.raw.tiles(scene) for scene in books.raw.scenes} == {1: (0, 1), 3: (0,)}
    assert again.best(CAPTURED_MS, price=0.0, requests=()).layers[0].value == 2.0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), st.integers(1, 3), st.floats(0.1, 100.0)),
        st.tuples(st.sampled_from(["code", "seal", "abandon", "give up"]), st.integers(1, 3), st.just(0.0)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 5))
def test_whatever_happens_every_tile_is_in_one_book(steps, room):
    books, numbers, sealed = Books(room=room), dict.fromkeys((1, 2, 3), 0), set()
    for what, scene, value in steps:
        if what == "keep" and scene not in sealed:
            kept = books.keep(scene, numbers[scene], value)
            assert kept == (books.places[scene, numbers[scene]] is TilePixels.RAW)
            numbers[scene] += 1
        elif what == "code" and (image := books.best()) is not None:
            books.tiles.coded(image)
        elif what == "seal" and scene not in sealed and numbers[scene]:
            books.tiles.seal(note_of(scene, tiles=numbers[scene]))
            sealed.add(scene)
        elif what == "abandon":
            books.tiles.abandon(scene)
        elif what == "give up":
            books.tiles.give_up(scene)
        books.check()
        assert books.raw.used_bytes <= books.raw.capacity_bytes
