"""Class 1 with cfdp-py and LibreCube over UDP, both directions: nothing is repeated, so what is lost stays lost.

The relay's seed says beforehand which PDUs come through. The receiver must hold just the bytes of those and report what became
of the file; a whole file is a whole file on both sides.
"""

import random
from pathlib import Path

import pytest
from cfdppy.exceptions import PduIgnoredForDest
from spacepackets.cfdp import ConditionCode
from spacepackets.cfdp.pdu import EofPdu, FileDataPdu, MetadataPdu, PduFactory

from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_events import FileCompleted, TransactionFailed, TransactionFinished
from downlink.cfdp_source import CfdpSource
from tests.interop.udp_transfer import (
    AIR,
    DESTINATION,
    GROUND,
    SOURCE,
    TRANSACTION,
    channel_with,
    link_between,
    peer_of,
    survivors,
)

PEERS = ("cfdp-py", "librecube")
CONTENT = random.Random(17).randbytes(10_006)
SETTLED_S = 0.6
"""After the last PDU: enough for cfdp-py to have checked three times."""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Peers keep their files in the working directory, so that names are short."""
    monkeypatch.chdir(tmp_path)


class Remains:
    """What is left of a class 1 transfer, parsed by an independent library."""

    def __init__(self, pdus: list[bytes]):
        parsed = [PduFactory.from_raw(pdu) for pdu in pdus]
        self.metadata = any(isinstance(pdu, MetadataPdu) for pdu in parsed)
        self.end = any(isinstance(pdu, EofPdu) for pdu in parsed)
        self.pieces = [(pdu.offset, bytes(pdu.file_data)) for pdu in parsed if isinstance(pdu, FileDataPdu)]
        self.whole = self.metadata and self.end and sum(len(data) for _, data in self.pieces) == len(CONTENT)

    @property
    def image(self) -> bytes:
        """A file with zeros where nothing came."""
        image = bytearray(max((offset + len(data) for offset, data in self.pieces), default=0))
        for offset, data in self.pieces:
            image[offset : offset + len(data)] = data
        return bytes(image)

    @property
    def segments(self) -> tuple[tuple[int, bytes], ...]:
        """The pieces, joined where they touch."""
        joined: list[tuple[int, bytes]] = []
        for offset, data in self.pieces:
            if joined and joined[-1][0] + len(joined[-1][1]) == offset:
                joined[-1] = (joined[-1][0], joined[-1][1] + data)
            else:
                joined.append((offset, data))
        return tuple(joined)


def source_with_file():
    source = CfdpSource(AIR, GROUND, SOURCE)
    source.put(
        transaction_seq=TRANSACTION,
        source_name="leaving.bin",
        destination_name="arrived.bin",
        file_bytes=CONTENT,
        acknowledged=False,
    )
    return source


def pdus_of(source):
    pdus = []
    while (pdu := source.next_pdu(0)) is not None:
        pdus.append(pdu)
    return pdus


def seed_with(loss, is_wanted):
    """The first seed under which our transfer comes through as wanted."""
    pdus = pdus_of(source_with_file())
    return next(seed for seed in range(1000) if is_wanted(Remains(survivors(pdus, channel_with(loss), seed))))


CASES = [
    pytest.param(0.0, lambda left: left.whole, id="loss0"),
    pytest.param(0.02, lambda left: not left.whole and left.metadata and left.end, id="loss2-a-gap"),
    pytest.param(0.02, lambda left: left.whole, id="loss2-by-luck-whole"),
    pytest.param(0.1, lambda left: not left.whole and left.metadata and left.end, id="loss10-gaps"),
    pytest.param(0.3, lambda left: left.metadata and left.end, id="loss30-gaps"),
    pytest.param(0.3, lambda left: not left.metadata and left.end, id="loss30-no-metadata"),
    pytest.param(0.3, lambda left: left.metadata and not left.end, id="loss30-no-end"),
]


@pytest.mark.parametrize(("loss", "is_wanted"), CASES)
@pytest.mark.parametrize("kind", PEERS)
def test_from_ours(kind, loss, is_wanted):
    seed = seed_with(loss, is_wanted)
    left = Remains(survivors(pdus_of(source_with_file()), channel_with(loss), seed))
    peer = peer_of(kind, GROUND, AIR)
    source = source_with_file()
    with link_between(peer, channel=channel_with(loss), seed=seed, source=source) as link:
        assert link.run(lambda: not source.open_transactions)
        link.run(lambda: bool(peer.finished), timeout_s=SETTLED_S)
        ended = list(peer.finished)
    (finished,) = link.events
    assert isinstance(finished, TransactionFinished)
    assert finished.delivered is None  # nobody reports
    arrived = Path("arrived.bin")
    expected_image = left.image if left.metadata and (left.end or kind == "cfdp-py") else None
    assert (arrived.read_bytes() if arrived.exists() else None) == expected_image
    assert ended == expected_end(kind, left)
    if not left.metadata and kind == "cfdp-py":
        assert len(peer.complaints) == len(left.pieces) + left.end
        assert all(isinstance(complaint, PduIgnoredForDest) for complaint in peer.complaints)
    else:
        assert peer.complaints == []


def expected_end(kind, left):
    """What the peer says of the file.

    At fault: LibreCube calls a file with gaps complete (it notices the checksum, and goes on all the same), and one without
    Metadata it ends without an error.
    """
    if not left.end:
        return []  # no inactivity timer in cfdp-py; LibreCube's is long here
    if not left.metadata:
        return [] if kind == "cfdp-py" else [(ConditionCode.NO_ERROR, False)]
    if left.whole or kind == "librecube":
        return [(ConditionCode.NO_ERROR, True)]
    return [(ConditionCode.CHECK_LIMIT_REACHED, False)]


@pytest.mark.parametrize(("loss", "is_wanted"), CASES)
@pytest.mark.parametrize("kind", PEERS)
def test_to_ours(kind, loss, is_wanted):
    """The peers send as many PDUs of this file as we do, so the same seeds do."""
    seed = seed_with(loss, is_wanted)
    Path("leaving.bin").write_bytes(CONTENT)
    peer = peer_of(kind, AIR, GROUND)
    destination = CfdpDestination(GROUND, {AIR}, DESTINATION)
    with link_between(peer, channel=channel_with(loss), seed=seed, destination=destination) as link:
        peer.put("leaving.bin", "arrived.bin", acknowledged=False)
        assert link.run(lambda: bool(link.of(FileCompleted) or link.of(TransactionFailed)))
    left = Remains(survivors(peer.sent, channel_with(loss), seed))
    assert is_wanted(left)
    if left.whole:
        (completed,) = link.of(FileCompleted)
        assert (completed.data, completed.destination_name) == (CONTENT, "arrived.bin")
    else:
        (failed,) = link.of(TransactionFailed)
        expected = ConditionCode.CHECK_LIMIT_REACHED if left.end else ConditionCode.INACTIVITY_DETECTED
        assert int(failed.condition) == expected
        assert failed.segments == left.segments
        assert failed.destination_name == ("arrived.bin" if left.metadata else None)
    assert destination.open_transactions == ()
    assert not peer.complaints
    # Neither knows. LibreCube never sets its delivery code, so that it calls every file it has sent incomplete.
    assert peer.finished == [(ConditionCode.NO_ERROR, kind == "cfdp-py")]
