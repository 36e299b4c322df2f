"""The fuzz targets notice what they are there for: an error that is not documented, a wrong answer, memory that grows."""

import pytest

from downlink.cfdp_closed_transactions import ClosedTransactions
from downlink.space_packet import SpacePacket
from downlink.transfer_frame import decode_transfer_frame
from tests.fuzz import cfdp_targets, link_format_targets
from tests.fuzz.contract import ContractBroken
from tests.fuzz.footprint import footprint_bytes
from tests.fuzz.tape import Tape
from tests.fuzz.targets import TARGETS


def test_an_undocumented_error_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(frame: bytes) -> object:
        return frame[2000] and decode_transfer_frame(frame)

    monkeypatch.setattr(link_format_targets, "decode_transfer_frame", careless)
    with pytest.raises(IndexError):
        TARGETS["transfer_frame"].run(b"\x40" * 30)


def test_a_wrong_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    packet = SpacePacket(apid=0x101, sequence_count=5, data=b"\x01\x02")
    monkeypatch.setattr(link_format_targets, "decode_space_packet", lambda data: packet)
    TARGETS["space_packet"].run(packet.encode())
    with pytest.raises(ContractBroken, match="changes on the way"):
        TARGETS["space_packet"].run(packet.encode()[:-1] + b"\x03")


def test_memory_that_grows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetless(dict[object, None]):
        def pop(self, *keys: object) -> None:
            return None

    def start(self: ClosedTransactions, **limits: int) -> None:
        original(self, **limits)
        self._due = Forgetless()

    original = ClosedTransactions.__init__
    flood = cfdp_targets.TARGETS["cfdp_flood"].seeds()[1]
    cfdp_targets.cfdp_flood(flood)
    monkeypatch.setattr(ClosedTransactions, "__init__", start)
    with pytest.raises(ContractBroken, match="CfdpDestination holds"):
        cfdp_targets.cfdp_flood(flood)


def test_the_footprint_counts_what_hangs_on_a_machine_once_and_nothing_shared() -> None:
    block = bytes(10_000)
    assert 10_000 < footprint_bytes([block, block, [block]]) < 11_000
    assert footprint_bytes([block], without=(block,)) < 1000
    assert footprint_bytes([Tape, print, pytest]) < 1000


def test_a_tape_reads_zeros_past_its_end() -> None:
    tape = Tape(b"\x02\xaa\xbb\xff\x00\x03xyz\x01")
    assert (tape.chunk(), tape.chunk(), bool(tape)) == (b"\xaa\xbb", b"xyz", True)
    assert (tape.number(2), bool(tape), tape.byte(), tape.chunk(), tape.rest()) == (0x0100, False, 0, b"", b"")
