"""Fuzz targets of what is kept: the journal's file, and the stores that start from a journal."""

import json
import tempfile
from pathlib import Path

from downlink.errors import DownlinkError
from downlink.journal import FileJournal, MemoryJournal
from downlink.layer_digest import layer_digest
from downlink.products import LayerAddress
from downlink.record import HEADER, Record, RecordKind, encode_record, scan_records
from ground.command_desk import CommandDesk
from ground.errors import CommandDeskError
from ground.scene_layers import SceneLayers
from ground.store import LayerStore
from mission.errors import KeyFileError
from mission.key_file import read_key_file
from onboard.command_gate import CommandGate
from onboard.errors import StoreError
from onboard.store import ProductStore
from tests.fuzz.contract import Target, require, value_or_refusal, with_crc32
from tests.fuzz.tape import Tape
from tests.fuzz.uplink_targets import KEYS, PROFILE

ADDRESS = LayerAddress(scene=0x01020304, product=5, step=6)


def file_journal(data: bytes) -> None:
    """Whatever the file holds, the journal opens, keeps every whole record, and what is appended is there after the next start."""
    tape = Tape(data)
    content = b"".join(_record_from(tape) for _ in range(tape.below(8))) + tape.rest()
    known = scan_records(content, final=True).records
    fresh = Record(kind=RecordKind.LAYER, address=ADDRESS, payload=b"\x11\x22\x33")
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        path = Path(folder) / "journal"
        path.write_bytes(content)
        with FileJournal(path) as journal:
            require(tuple(journal.records()) == known, "opening a journal loses or invents records")
            (position,) = journal.append([fresh])
            require(journal.read(position) == fresh, "a record is not read back")
        with FileJournal(path) as journal:
            require(tuple(journal.records()) == (*known, fresh), "a second start loses or invents records")
            positions = journal.replace(known)
            require(tuple(journal.read(at) for at in positions) == known, "a rewritten journal lost records")


def _fast_folder() -> str | None:
    shared_memory = Path("/dev/shm")
    return str(shared_memory) if shared_memory.is_dir() else None


def _record_from(tape: Tape) -> bytes:
    body = tape.chunk(64)
    head = HEADER.pack(b"\xeb\x71", 1 + tape.below(6), tape.take(7).ljust(7, b"\1"), len(body) + (tape.byte() == 0xFF))
    return with_crc32(head + body) if tape.below(8) else head + body


def key_file(data: bytes) -> None:
    """Keys or KeyFileError, which shows nothing of a key."""
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        path = Path(folder) / "keys"
        path.write_bytes(data)
        path.chmod(0o600)
        try:
            keys = read_key_file(path)
        except KeyFileError as error:
            words = [word for word in data.decode("utf-8", "replace").split() if len(word) > 16]
            require(not any(word[:12] in str(error) for word in words), "the error shows a part of a key")
            return
    require(
        len({key.spi for key in keys}) == len(keys) == len({key.key for key in keys}), "a key or an index comes twice"
    )


def journal_notes(data: bytes) -> None:
    """Each store starts from any sound records, or says with its own error that a note cannot be read."""
    tape, records = Tape(data), []
    while tape and len(records) < 64:
        kind = tape.pick(tuple(RecordKind))
        address = LayerAddress(scene=tape.below(3), product=tape.pick((0, 5, 0x8001, 0xFFFF)), step=tape.below(3))
        records.append(Record(kind=kind, address=address, payload=tape.chunk(300)))
    journal = MemoryJournal()
    journal.append(records)
    store = value_or_refusal(StoreError, ProductStore, journal)
    if store is not None:
        require(store.account().balanced, "the account does not balance")
        again = ProductStore(journal)
        require(again.backlog() == store.backlog(), "a second start finds another backlog")
    ground = LayerStore(journal)
    layers = {record.address for record in records if record.kind is RecordKind.LAYER}
    require(ground.addresses == layers, "the ground's store loses or invents layers")
    require(ground.digest == layer_digest(layers), "the digest is not that of the layers held")
    require(ground.held_bytes == sum(18 + ground.payload_bytes(one) for one in layers), "the bytes held do not add up")
    for scene in ground.scenes:
        held = SceneLayers.of(ground, scene)
        value_or_refusal(DownlinkError, held.alerts)
        value_or_refusal(DownlinkError, held.summary)
    value_or_refusal(StoreError, CommandGate, PROFILE, KEYS, journal)
    value_or_refusal(CommandDeskError, CommandDesk, KEYS, journal)


def _file_seeds() -> list[bytes]:
    sound = encode_record(Record(kind=RecordKind.LAYER, address=ADDRESS, payload=b"\x07\x08\x09"))
    first, torn = (
        b"\x05hello\x00\x00\x00\x00\x01\x02\x03\x04\x00\x01",
        b"\x03abc\x03\x00\x00\x00\x01\x02\x03\x04\x00\x00",
    )
    return [
        b"\x00" + sound * 2,
        b"\x00" + sound + sound[:9],
        b"\x00" + sound[:-1] + b"\xff" + sound,
        b"\x02" + first + torn,
        b"\x01" + first + sound,
    ]


def _note_seeds() -> list[bytes]:
    note = {"rung": 4, "size_bytes": 40, "value": 2.5, "half_life_s": 60.0, "captured_ms": 7, "deadline_ms": None}

    def entry(kind: RecordKind, payload: bytes) -> bytes:
        length = bytes([len(payload)]) if len(payload) < 255 else b"\xff" + len(payload).to_bytes(2, "big")
        return bytes([kind - 1, 1, 1, 0]) + length + payload

    texts = [
        {"key": 7, "ceiling": 450000}, {"closed": 5}, {"last": 1770000000123},
        {"command": "01030000000000050000000000000000cafe"}, {"command": "zz"}, {"key": "x"},
    ]  # fmt: skip
    valued = entry(RecordKind.NOTE, json.dumps(note).encode()) + entry(RecordKind.LAYER, b"\x01\x02\x03")
    file = entry(RecordKind.FILE, LayerAddress(scene=1, product=5, step=0).pack())
    return [
        valued + file + entry(RecordKind.DELIVERED, b""), valued + entry(RecordKind.EVICTED, b"\0\0\0\0\0\0\0\x09") + valued,
        entry(RecordKind.NOTE, json.dumps(note | {"size_bytes": 0}).encode()), entry(RecordKind.FILE, b"\x01\x02\x03"),
        *(entry(RecordKind.NOTE, json.dumps(text).encode()) for text in texts),
    ]  # fmt: skip


def _key_seeds() -> list[bytes]:
    one, two = b"8 " + bytes(range(32)).hex().encode(), b"65535 " + bytes(range(100, 132)).hex().encode()
    return [
        one + b"  # made today\n" + two.replace(b"65535", b"7"),
        one + b"\n" + two,
        one[:-1],
        b"# nothing\n",
        one * 2,
    ]


TARGETS = {
    "key_file": Target(run=key_file, seeds=_key_seeds, longest=512),
    "file_journal": Target(run=file_journal, seeds=_file_seeds, longest=1024),
    "journal_notes": Target(run=journal_notes, seeds=_note_seeds, longest=2048),
}
