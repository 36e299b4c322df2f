"""The ground's store: where each layer lies, what it comes to, and what it costs in memory."""

import tracemalloc

from downlink.journal import FileJournal, MemoryJournal
from downlink.layer_digest import NO_LAYERS, layer_digest
from downlink.products import FIRST_BLOCK, LayerAddress
from downlink.record import Record, RecordKind
from ground.store import CompletedFile, LayerStore

FILE = CompletedFile(number=3, file_size_bytes=0x01020304, checksum=0x9ABCDEF0)


def record(scene, product, step=0, size_bytes=40):
    address = LayerAddress(scene=scene, product=product, step=step)
    payload = bytes((scene + 7 * product + 3 * step + n) & 0xFF for n in range(size_bytes))
    return Record(kind=RecordKind.LAYER, address=address, payload=payload)


def test_layers_are_read_from_the_journal_before_and_after_a_restart(tmp_path):
    records = [record(scene, FIRST_BLOCK + n, size_bytes=20 + n) for scene in (9, 4) for n in range(5)]
    with FileJournal(tmp_path / "layers") as journal:
        store = LayerStore(journal)
        assert (len(store), store.held_bytes, store.digest, store.scenes) == (0, 0, NO_LAYERS, ())
        store.add(records[:7])
        store.complete_file(FILE, [*records[5:], records[0]])
        _check(store, records)
    with FileJournal(tmp_path / "layers") as journal:
        again = LayerStore(journal)
        _check(again, records)
        assert again.completed_files == (FILE,)
        assert next(mark for mark in journal.records() if mark.kind is RecordKind.FILE).payload.hex() == (
            "0000000001020304 9abcdef0".replace(" ", "")
        )


def _check(store, records):
    assert {one.address: one.payload for one in records} == {one: store.payload(one) for one in store.addresses}
    assert store.digest == layer_digest(one.address for one in records)
    assert store.held_bytes == sum(one.size_bytes for one in records)
    assert store.scenes == (4, 9)
    assert store.layers_of(9) == tuple(one.address for one in records[:5])
    assert store.layers_of(5) == ()


def test_a_file_of_which_the_journal_does_not_say_what_it_was_is_not_known():
    journal = MemoryJournal()
    journal.append([Record(kind=RecordKind.FILE, address=LayerAddress(scene=3, product=0, step=0), payload=b"")])
    assert LayerStore(journal).completed_files == ()


def test_memory_does_not_hold_what_the_journal_holds(tmp_path):
    with FileJournal(tmp_path / "layers") as journal:
        layers = [record(1, FIRST_BLOCK + n, size_bytes=4096) for n in range(2000)]
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        store = LayerStore(journal)
        for first in range(0, 2000, 100):
            store.add(layers[first : first + 100])
        held = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert journal.size_bytes > 8_000_000
        assert held < 2000 * 500


def test_the_first_of_two_layers_of_one_address_stays():
    journal = MemoryJournal()
    first = record(1, FIRST_BLOCK)
    second = Record(kind=RecordKind.LAYER, address=first.address, payload=b"another")
    journal.append([first, second])
    store = LayerStore(journal)
    assert store.add([second]) == ()
    assert store.payload(first.address) == first.payload
    assert store.digest == layer_digest([first.address])
