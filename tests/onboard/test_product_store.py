"""The product store: nothing accepted is forgotten, nothing is counted twice, through restarts, torn writes and compaction."""

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from downlink.errors import JournalError
from downlink.journal import FileJournal, MemoryJournal
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import Record, RecordKind, encode_record
from onboard.errors import StoreError
from onboard.store import ProductStore
from onboard.valuation import ValuedLayer


def address(number):
    return LayerAddress(scene=0x01020304, product=FIRST_BLOCK + number // 4, step=number % 4)


def valued(number, size_bytes=None):
    payload = bytes([number + 1]) * (10 + number)
    layer = Layer(
        address=address(number),
        rung=Rung(1 + number % 6),
        size_bytes=18 + len(payload) if size_bytes is None else size_bytes,
        value=number / 7,
        half_life_s=60.0 * (number + 1),
        captured_ms=1_750_000_000_000 + number,
    )
    return ValuedLayer(layer=layer, payload=payload)


NUMBERS = st.lists(st.integers(0, 11), max_size=5)


class StoreMachine(RuleBasedStateMachine):
    """A store on a file beside a model of three sets; the process may die at any point between two calls, or in one."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "products.journal"
        self.waiting, self.delivered, self.evicted = {}, set(), set()
        self.files, self.used = {}, 0
        self.open()

    def open(self):
        self.journal = FileJournal(self.path)
        self.store = ProductStore(self.journal)

    def teardown(self):
        if hasattr(self, "folder"):
            self.journal.close()
            self.folder.cleanup()

    @rule(numbers=NUMBERS)
    def add(self, numbers):
        self.store.add([valued(number) for number in numbers])
        for number in numbers:
            if number not in self.delivered | self.evicted:
                self.waiting.setdefault(number, None)

    @rule(numbers=NUMBERS)
    def deliver(self, numbers):
        fresh = self.store.mark_delivered(address(number) for number in numbers)
        expected = [number for number in dict.fromkeys(numbers) if number in self.waiting]
        assert fresh == tuple(address(number) for number in expected)
        self._leave(expected, self.delivered)

    @rule(numbers=NUMBERS)
    def evict(self, numbers):
        if set(numbers) <= set(self.waiting):
            self.store.evict(address(number) for number in numbers)
            self._leave(dict.fromkeys(numbers), self.evicted)
        else:
            with pytest.raises(StoreError, match="does not wait"):
                self.store.evict(address(number) for number in numbers)

    @rule(numbers=NUMBERS)
    def open_file(self, numbers):
        addresses = tuple(address(number) for number in numbers if number in self.waiting)
        if addresses:
            number = self.store.open_file(addresses)
            assert number >= self.used
            self.used = number + 1
            self.files[number] = addresses

    @rule(data=st.data(), delivered=st.booleans())
    def close_file(self, data, delivered):
        if self.files:
            number = data.draw(st.sampled_from(sorted(self.files)))
            fresh = self.store.close_file(number, delivered=delivered)
            expected = [n for n in self.waiting if delivered and address(n) in self.files[number]]
            assert set(fresh) == {address(n) for n in expected}
            del self.files[number]
            self._leave(expected, self.delivered)

    def _leave(self, numbers, where):
        for number in numbers:
            del self.waiting[number]
            where.add(number)

    @rule()
    def compact(self):
        self.store.compact()

    @rule()
    def restart(self):
        self.journal.close()
        self.open()

    @rule(numbers=NUMBERS, share=st.floats(0, 1, exclude_max=True))
    def die_while_adding(self, numbers, share):
        before = self.path.stat().st_size
        self.store.add([valued(number) for number in numbers])
        self.journal.close()
        written = self.path.stat().st_size - before
        with self.path.open("r+b") as file:
            file.truncate(before + int(written * share))
        self.open()
        kept = {layer.address for layer in self.store.backlog()} - {address(number) for number in self.waiting}
        fresh = [n for n in dict.fromkeys(numbers) if n not in self.delivered | self.evicted and n not in self.waiting]
        assert kept == {address(number) for number in fresh[: len(kept)]}
        self.waiting.update(dict.fromkeys(fresh[: len(kept)]))

    @invariant()
    def holds_what_the_model_holds(self):
        if not hasattr(self, "store"):
            return
        assert self.store.backlog() == tuple(valued(number).layer for number in self.waiting)
        assert self.store.files == self.files
        assert self.store.delivered == {address(number) for number in self.delivered}
        assert self.store.evicted == {address(number) for number in self.evicted}
        for number in self.waiting:
            assert self.store.payload(address(number)) == valued(number).payload
        account = self.store.account()
        assert account.balanced
        assert account.queued_bytes == self.store.queued_bytes
        assert account.delivered_bytes == sum(valued(number).layer.size_bytes for number in self.delivered)
        assert account.evicted_bytes == sum(valued(number).layer.size_bytes for number in self.evicted)


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestStoreThroughRestarts = StoreMachine.TestCase


def test_what_does_not_wait_is_refused_with_its_state():
    store = ProductStore(MemoryJournal())
    store.add([valued(1), valued(2)])
    store.mark_delivered([address(1)])
    store.evict([address(2)])
    for number, state in ((1, "delivered"), (2, "evicted"), (3, "unknown")):
        for refused in (store.payload, lambda one: store.evict([one])):
            with pytest.raises(StoreError, match=f"it is {state}"):
                refused(address(number))


def test_a_layer_given_twice_at_once_is_captured_once():
    store = ProductStore(MemoryJournal())
    store.add([valued(1), valued(1)])
    assert store.account().captured_bytes == valued(1).layer.size_bytes
    assert store.account().balanced


def test_compaction_keeps_the_accounts_and_lets_the_bytes_go():
    journal = MemoryJournal()
    store = ProductStore(journal)
    store.add([valued(number) for number in range(8)])
    store.mark_delivered(address(number) for number in range(5))
    store.evict([address(6)])
    before, size_bytes = store.account(), journal.size_bytes
    store.compact()
    assert journal.size_bytes < size_bytes
    again = ProductStore(journal)
    assert again.account() == before == store.account()
    assert again.backlog() == store.backlog()
    again.add([valued(2), valued(6)])
    assert again.account() == before


def test_layers_are_found_where_they_lie_after_a_compaction_whose_folder_could_not_be_synchronised(
    tmp_path, monkeypatch
):
    with FileJournal(tmp_path / "products.journal") as journal:
        store = ProductStore(journal)
        store.add([valued(number) for number in range(8)])
        store.mark_delivered([address(0), address(3)])
        store.open_file([address(2), address(5)])
        with monkeypatch.context() as failing:
            failing.setattr("downlink.journal_file._sync_directory", _no_space)
            store.compact()
            with pytest.raises(JournalError, match="its folder is not on the disk"):
                store.add([valued(8)])
        _check_payloads(store, (1, 2, 4, 5, 6, 7))
        store.add([valued(8)])
        _check_payloads(store, (1, 2, 4, 5, 6, 7, 8))
    with FileJournal(tmp_path / "products.journal") as journal:
        _check_payloads(ProductStore(journal), (1, 2, 4, 5, 6, 7, 8))


def _check_payloads(store, numbers):
    assert {one.address: store.payload(one.address) for one in store.backlog()} == {
        address(number): valued(number).payload for number in numbers
    }


def _no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_journal_of_layers_that_wait_no_more_is_rewritten_when_it_has_grown_long(monkeypatch):
    monkeypatch.setattr("onboard.store.COMPACT_ABOVE_BYTES", 4000)
    journal = MemoryJournal()
    store = ProductStore(journal)
    longest_bytes = 0
    for number in range(200):
        store.add([valued(number)])
        store.mark_delivered([address(number - 3)] if number > 2 else [])
        store.compact_when_long()
        longest_bytes = max(longest_bytes, journal.size_bytes)
    marks_bytes = 197 * (18 + 8)
    assert longest_bytes < 2 * (marks_bytes + 4000)
    again = ProductStore(journal)
    assert again.account() == store.account() and again.backlog() == store.backlog()
    assert all(again.payload(address(number)) == valued(number).payload for number in range(197, 200))


def test_a_full_disk_refuses_the_layers_and_keeps_the_accounts(monkeypatch):
    journal = MemoryJournal()
    store = ProductStore(journal)
    store.add([valued(1)])
    before = store.account()

    def full(records):
        raise JournalError("cannot append: No space left on device")

    monkeypatch.setattr(journal, "append", full)
    for refused in (
        lambda: store.add([valued(2)]),
        lambda: store.mark_delivered([address(1)]),
        lambda: store.evict([address(1)]),
    ):
        with pytest.raises(JournalError):
            refused()
    assert store.account() == before
    assert store.waits(address(1)) and not store.has_seen(address(2))


@pytest.mark.parametrize("note", [b"{", b"{}", b'{"rung": 9}', b"[1]", b"\xff"])
def test_a_note_that_cannot_be_read_is_told(note):
    journal = MemoryJournal()
    journal.append([Record(kind=RecordKind.NOTE, address=address(1), payload=note)])
    with pytest.raises(StoreError, match="cannot be read"):
        ProductStore(journal)


def test_notes_are_plain_json_for_whoever_has_to_look():
    journal = MemoryJournal()
    ProductStore(journal).add([valued(3, size_bytes=0x1234)])
    note, layer = journal.records()
    assert json.loads(note.payload) == {
        "rung": 4, "size_bytes": 0x1234, "value": 3 / 7, "half_life_s": 240.0, "captured_ms": 1_750_000_000_003,
        "deadline_ms": None,
    }  # fmt: skip
    assert (layer.kind, layer.address, layer.payload) == (RecordKind.LAYER, address(3), valued(3).payload)


def test_open_files_and_their_numbers_survive_a_reboot_and_a_compaction():
    journal = MemoryJournal()
    store = ProductStore(journal)
    store.add([valued(step) for step in range(5)])
    assert (store.open_file([address(3), address(0)]), store.open_file([address(1)])) == (0, 1)
    assert store.close_file(1, delivered=True) == (address(1),)
    for restart in (ProductStore, _compacted):
        again = restart(journal)
        assert again.files == {0: (address(3), address(0))}
        assert again.file_content(0) == b"".join(
            encode_record(Record(kind=RecordKind.LAYER, address=address(step), payload=valued(step).payload))
            for step in (3, 0)
        )
        assert again.payload(address(4)) == valued(4).payload
    assert _compacted(journal).open_file([address(2)]) == 2


def test_a_file_number_is_not_used_again_after_its_file_is_over_and_the_journal_compacted():
    journal = MemoryJournal()
    store = ProductStore(journal)
    store.add([valued(0)])
    store.close_file(store.open_file([address(0)]), delivered=False)
    assert store.waits(address(0))
    assert _compacted(journal).open_file([address(0)]) == 1


def test_a_file_given_up_delivers_nothing_and_one_with_a_lost_layer_has_no_content():
    store = ProductStore(MemoryJournal())
    store.add([valued(0), valued(1)])
    number = store.open_file([address(0), address(1)])
    store.mark_delivered([address(1)])
    with pytest.raises(StoreError, match="it is delivered"):
        store.file_content(number)
    assert store.close_file(number, delivered=True) == (address(0),)
    assert store.account().balanced and store.files == {}


@pytest.mark.parametrize("damage", ["flipped", "torn"])
def test_a_number_that_may_stand_in_damaged_bytes_is_not_used_again(tmp_path, damage):
    """The ground may have acknowledged that file: another one of its number would be taken for it."""
    path = tmp_path / "layers"
    with FileJournal(path) as journal:
        store = ProductStore(journal)
        store.add([valued(1), valued(2)])
        used = [store.open_file([address(1)]), store.open_file([address(2)])]
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-6] ^= 0x08
    path.write_bytes(data[:-1] if damage == "torn" else data)
    with FileJournal(path) as journal:
        again = ProductStore(journal)
        assert again.reserve_number() not in used


@pytest.mark.parametrize("at_byte", [20, -40])
def test_what_became_of_a_layer_is_known_though_its_own_records_are_damaged(tmp_path, at_byte):
    """Its note, at the beginning of the file, or its bytes."""
    path = tmp_path / "layers"
    with FileJournal(path) as journal:
        store = ProductStore(journal)
        store.add([valued(1, size_bytes=118)])
        store.mark_delivered([address(1)])
        before = store.account()
    data = bytearray(path.read_bytes())
    data[at_byte] ^= 0x08
    path.write_bytes(data)
    with FileJournal(path) as journal:
        again = ProductStore(journal)
        assert journal.damaged_bytes > 0
        assert again.delivered == {address(1)} and again.account() == before and again.has_seen(address(1))


def _compacted(journal):
    ProductStore(journal).compact()
    return ProductStore(journal)


def delivered_to(taken, journal=None):
    return ProductStore(journal or MemoryJournal(), on_delivered=lambda one, payload: taken.append((one, payload)))


def express(product, text):
    one = LayerAddress(scene=0x01020304, product=product, step=0)
    layer = Layer(address=one, rung=Rung.SUMMARY, size_bytes=40, value=1.0, half_life_s=60.0, captured_ms=1)
    return ValuedLayer(layer=layer, payload=text)


def test_blocks_and_summaries_are_handed_over_once_their_delivery_is_durable():
    taken = []
    journal = MemoryJournal()
    seen = []

    def take(one, payload):
        taken.append((one, payload))
        seen.append(ProductStore(journal).delivered)

    store = ProductStore(journal, on_delivered=take)
    summary, alerts, chip = (
        express(product, text) for product, text in ((SUMMARY_PRODUCT, b"sum"), (ALERTS_PRODUCT, b"al"), (FIRST_CHIP, b"ch"))
    )  # fmt: skip
    store.add([valued(0), valued(1), valued(2), summary, alerts, chip])
    store.mark_delivered([summary.layer.address, alerts.layer.address, chip.layer.address, address(1)])
    number = store.open_file([address(2), address(1)])
    store.close_file(number, delivered=True)
    store.mark_delivered([address(2)])
    given_up = store.open_file([address(0)])
    store.close_file(given_up, delivered=False)
    store.evict([address(0)])
    assert taken == [(summary.layer.address, b"sum"), (address(1), valued(1).payload), (address(2), valued(2).payload)]
    assert all(one in delivered for (one, _), delivered in zip(taken, seen, strict=True))
    store.compact()
    assert len(taken) == 3


def test_what_fails_in_handing_over_costs_no_mark_of_delivery_and_no_layer_after_it():
    taken, journal = [], MemoryJournal()

    def take(one, payload):
        if one == address(1):
            raise ZeroDivisionError("of a cache")
        taken.append(one)

    store = ProductStore(journal, on_delivered=take)
    store.add([valued(0), valued(1), valued(2)])
    assert store.mark_delivered([address(0), address(1), address(2)]) == (address(0), address(1), address(2))
    assert taken == [address(0), address(2)]
    assert "ZeroDivisionError: of a cache" in store.delivery_problem
    assert ProductStore(journal).delivered == store.delivered == {address(0), address(1), address(2)}
    assert store.account().balanced and store.backlog() == ()


def test_what_has_rotted_in_the_journal_is_delivered_and_not_handed_over(tmp_path):
    path, taken = tmp_path / "products.journal", []
    with FileJournal(path) as journal:
        store = delivered_to(taken, journal)
        store.add([valued(5), valued(6)])
        at = path.read_bytes().index(valued(5).payload)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\xfe")
        number = store.open_file([address(5), address(6)])
        assert store.close_file(number, delivered=True) == (address(5), address(6))
        assert taken == [(address(6), valued(6).payload)]
        assert str(address(5)) in store.delivery_problem and store.delivered == {address(5), address(6)}
