"""What the peers do wrong, each pinned down by one lost PDU, and that our entities live with it.

A test fails when a peer has been corrected: then its fault goes from here, and from what the documents say of it.
"""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from cfdppy.exceptions import NoRemoteEntityConfigFound
from cfdppy.handler.dest import _AckedModeParams
from spacepackets.cfdp.pdu import AckPdu, EofPdu, FileDataPdu, FinishedPdu, NakPdu, PduFactory

from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_events import FileCompleted
from downlink.cfdp_source import CfdpSource
from mission.channel import ChannelSettings
from tests.interop.udp_transfer import AIR, DESTINATION, GROUND, RATE_BPS, SOURCE, TRANSACTION, link_between, peer_of

CONTENT = random.Random(18).randbytes(6_001)
CLEAN = ChannelSettings(rate_bps=2 * RATE_BPS, delay_ms=2)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Peers keep their files in the working directory, so that names are short."""
    monkeypatch.chdir(tmp_path)


class Withholding(CfdpSource):
    """Our source behind a link that loses just the PDUs that a test names, by their number among all that it sends."""

    lost: frozenset[int] = frozenset()
    made = 0

    def next_pdu(self, now_ms, room_bytes=None):
        while (pdu := super().next_pdu(now_ms, room_bytes)) is not None:
            self.made += 1
            if self.made - 1 not in self.lost:
                return pdu
        return None


def source_that_loses(*lost: int, transaction_seq: int = TRANSACTION) -> Withholding:
    """0 is the Metadata PDU, 1 to 13 are file data, 14 is the EndOfFile."""
    source = Withholding(AIR, GROUND, SOURCE)
    source.lost = frozenset(lost)
    source.put(
        transaction_seq=transaction_seq, source_name="leaving.bin", destination_name="arrived.bin", file_bytes=CONTENT
    )
    return source


METADATA, END = 0, 14


def test_cfdp_py_says_nothing_more_of_a_file_whose_metadata_came_late():
    """Once the Metadata PDU has come a second time it takes all the data, and neither asks nor ends. Our next EndOfFile wakes it."""
    peer = peer_of("cfdp-py", GROUND, AIR)
    source = source_that_loses(METADATA)
    with link_between(peer, channel=CLEAN, seed=0, source=source) as link:
        assert link.run(lambda: not source.open_transactions)
    (finished,) = link.events
    assert finished.delivered
    assert Path("arrived.bin").read_bytes() == CONTENT
    assert finished.statistics.eofs >= 2  # nothing was lost but the Metadata PDU
    assert finished.statistics.retransmitted_bytes >= len(
        CONTENT
    )  # and the file went twice: it keeps nothing without Metadata
    kinds = [type(PduFactory.from_raw(pdu)) for pdu in peer.sent]
    assert kinds == [AckPdu, NakPdu, AckPdu, FinishedPdu]


def test_cfdp_py_asks_for_everything_with_every_segment_while_it_has_no_metadata():
    """In its immediate mode each segment before the Metadata PDU brings a NAK for the whole file so far."""
    peer = peer_of("cfdp-py", GROUND, AIR, immediate_nak=True)
    source = source_that_loses(METADATA)
    with link_between(peer, channel=ChannelSettings(rate_bps=200_000, delay_ms=100), seed=0, source=source) as link:
        assert link.run(lambda: source.statistics(TRANSACTION).naks_received >= 3)
    naks = [pdu for pdu in map(PduFactory.from_raw, peer.sent) if isinstance(pdu, NakPdu)]
    assert [nak.segment_requests for nak in naks[:3]] == [[(0, 0), (0, 498 * count)] for count in (1, 2, 3)]


def test_cfdp_py_does_not_acknowledge_finished_again():
    """Its acknowledgement is lost. Ours says Finished until its limit; what has arrived stays arrived."""
    Path("leaving.bin").write_bytes(CONTENT)
    peer = peer_of("cfdp-py", AIR, GROUND)
    peer.withhold = lambda pdu: isinstance(PduFactory.from_raw(pdu), AckPdu)
    destination = CfdpDestination(GROUND, {AIR}, DESTINATION)
    with link_between(peer, channel=CLEAN, seed=0, destination=destination) as link:
        peer.put("leaving.bin", "arrived.bin", acknowledged=True)
        assert link.run(lambda: len(peer.complaints) >= DESTINATION.finished_limit - 1)
    (completed,) = link.of(FileCompleted)
    assert completed.data == CONTENT
    assert {type(complaint) for complaint in peer.complaints} == {NoRemoteEntityConfigFound}
    assert len(peer.finished) == 1


def test_cfdp_py_does_not_acknowledge_the_end_of_file_again_once_it_has_the_file():
    """Its acknowledgement is lost, and its first Finished PDUs: our repeated EndOfFile stays unanswered, until a Finished comes.

    Its own source takes no Finished before that acknowledgement, so that two of them repeat themselves for ever.
    """
    peer = peer_of("cfdp-py", GROUND, AIR)
    made = []

    def is_withheld(pdu):
        made.append(type(PduFactory.from_raw(pdu)))
        return made[-1] is AckPdu or made.count(FinishedPdu) <= 3

    peer.withhold = is_withheld
    source = source_that_loses()
    with link_between(peer, channel=CLEAN, seed=0, source=source) as link:
        assert link.run(lambda: not source.open_transactions)
    (finished,) = link.events
    assert finished.delivered
    assert finished.statistics.eofs >= 2
    assert made[:5] == [AckPdu, FinishedPdu, FinishedPdu, FinishedPdu, FinishedPdu]
    assert made.count(AckPdu) == 1


def test_cfdp_py_receivers_share_one_list_of_lost_segments():
    """Two transactions of one process ask for each other's gaps: the list is the default of a dataclass, made once."""
    assert _AckedModeParams().lost_seg_tracker is _AckedModeParams().lost_seg_tracker


def test_librecube_dies_where_the_end_of_file_comes_first():
    """All before the EndOfFile is lost. The repeated Metadata PDU calls a method that it does not have: its thread ends."""
    peer = peer_of("librecube", GROUND, AIR)
    source = source_that_loses(*range(METADATA, END))
    with link_between(peer, channel=CLEAN, seed=0, source=source) as link:
        assert link.run(lambda: bool(peer.complaints))
        assert not link.run(lambda: not source.open_transactions, timeout_s=0.3)
    (complaint,) = peer.complaints
    assert isinstance(complaint, AttributeError) and "open_temp_file" in str(complaint)
    assert not Path("arrived.bin").exists()


def test_librecube_loses_a_file_whose_metadata_is_overtaken():
    """The Metadata PDU comes behind a segment: names are never taken from it, and yet the file is reported as delivered."""
    peer = peer_of("librecube", GROUND, AIR)
    source = source_that_loses()
    first = [source.next_pdu(0), source.next_pdu(0)]
    with link_between(peer, channel=CLEAN, seed=0, source=source) as link:
        for pdu in reversed(first):
            link.delivery._port.sendto(pdu, link.delivery.peer)
        assert link.run(lambda: not source.open_transactions)
    (finished,) = link.events
    assert finished.delivered
    assert not Path("arrived.bin").exists()


def test_librecube_answers_in_one_octet_whatever_the_number():
    """Transaction 0x0111 is answered as 0x11: it holds the file, and we never hear of it."""
    peer = peer_of("librecube", GROUND, AIR)
    source = source_that_loses(transaction_seq=0x0111)
    with link_between(peer, channel=CLEAN, seed=0, source=source) as link:
        assert not link.run(lambda: not source.open_transactions, timeout_s=0.3)
    assert Path("arrived.bin").read_bytes() == CONTENT
    answers = [PduFactory.from_raw(pdu) for pdu in peer.sent]
    assert {(answer.transaction_seq_num.value, answer.transaction_seq_num.byte_len) for answer in answers} == {
        (0x11, 1)
    }


def test_librecube_repeats_a_gap_in_one_pdu_however_long():
    """Its segments are 490 bytes; three lost in a row come back as one of 1470."""
    Path("leaving.bin").write_bytes(CONTENT)
    peer = peer_of("librecube", AIR, GROUND)
    offsets = [490 * number for number in (4, 5, 6)]
    peer.withhold = lambda pdu: _offset(pdu) in offsets and len(pdu) < 600 and not peer_is_repeating(peer)
    destination = CfdpDestination(GROUND, {AIR}, DESTINATION)
    with link_between(peer, channel=CLEAN, seed=0, destination=destination) as link:
        peer.put("leaving.bin", "arrived.bin", acknowledged=True)
        assert link.run(lambda: bool(link.of(FileCompleted)))
    (completed,) = link.of(FileCompleted)
    assert completed.data == CONTENT
    data = [pdu for pdu in map(PduFactory.from_raw, peer.sent) if isinstance(pdu, FileDataPdu)]
    assert [(pdu.offset, len(pdu.file_data)) for pdu in data if len(pdu.file_data) > 490] == [(1960, 1470)]


def test_librecube_takes_no_pdu_with_a_crc():
    """The thread that hears ends at the first one."""
    peer = peer_of("librecube", GROUND, AIR)
    source = CfdpSource(AIR, GROUND, replace(SOURCE, with_crc=True))
    source.put(transaction_seq=TRANSACTION, source_name="a", destination_name="b", file_bytes=CONTENT)
    with link_between(peer, channel=CLEAN, seed=0, source=source) as link:
        assert link.run(lambda: bool(peer.complaints))
    assert "CRC are not yet supported" in str(peer.complaints[0])


def _offset(pdu: bytes) -> int | None:
    parsed = PduFactory.from_raw(pdu)
    return parsed.offset if isinstance(parsed, FileDataPdu) else None


def peer_is_repeating(peer) -> bool:
    """Whether it has sent its EndOfFile."""
    return any(isinstance(PduFactory.from_raw(pdu), EofPdu) for pdu in peer.sent)
