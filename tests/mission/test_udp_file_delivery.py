"""Files over UDP: two entities of ours exchange files on loopback, paced, both ways at once; what is not for them is ignored."""

import random
import socket
import threading
import time

import pytest

from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_events import FileCompleted, TransactionFinished
from downlink.cfdp_source import CfdpSource
from mission.errors import RelayError
from mission.udp_file_delivery import UdpFileDelivery

LOOPBACK = ("127.0.0.1", 0)
PATIENCE_S = 10


def entity(local, remote, **options):
    """An entity that sends and receives, and the events it gave."""
    events = []
    delivery = UdpFileDelivery(
        listen=LOOPBACK,
        source=CfdpSource(local, remote),
        destination=CfdpDestination(local, {remote}),
        on_event=events.append,
        **options,
    )
    return delivery, events


def put(delivery, content):
    delivery.source.put(transaction_seq=7, source_name="a", destination_name="b", file_bytes=content)


def both_run(first, second, until, timeout_s=PATIENCE_S):
    """Both at once, each in a thread of its own."""
    thread = threading.Thread(target=second.run, kwargs={"until": until, "timeout_s": timeout_s})
    thread.start()
    done = first.run(until=until, timeout_s=timeout_s)
    thread.join(2 * timeout_s)
    return done


def test_files_cross_in_both_directions_at_once():
    contents = [random.Random(seed).randbytes(30_000) for seed in (1, 2)]
    left, heard_left = entity(1, 2, peer=None)  # learns its peer
    right, heard_right = entity(2, 1, peer=left.address)
    with left, right:
        put(left, contents[0])
        put(right, contents[1])
        idle = lambda: not left.source.open_transactions and not right.source.open_transactions  # noqa: E731
        assert both_run(left, right, idle)
        assert left.peer == right.address
    for events, content in ((heard_left, contents[1]), (heard_right, contents[0])):
        (completed,) = [event for event in events if isinstance(event, FileCompleted)]
        (finished,) = [event for event in events if isinstance(event, TransactionFinished)]
        assert completed.data == content
        assert finished.delivered
    assert left.sent_bytes > 30_000 and left.largest_pdu_bytes == 1024


def test_the_pace_is_kept():
    """30 kB at 1 Mbit/s take a quarter of a second."""
    left, _ = entity(1, 2, peer=None, rate_bps=1_000_000)
    right, heard = entity(2, 1, peer=left.address)
    with left, right:
        left.peer = right.address
        put(left, bytes(30_000))
        began = time.monotonic()
        assert both_run(left, right, lambda: not left.source.open_transactions)
        assert 0.22 < time.monotonic() - began < PATIENCE_S
    assert [event.file_size_bytes for event in heard if isinstance(event, FileCompleted)] == [30_000]


def test_the_last_acknowledgement_leaves_before_a_sender_stops():
    """Who waits for it would repeat Finished into the dark: it hears at once that all is over."""
    left, _ = entity(1, 2, peer=None)
    right, heard = entity(2, 1, peer=left.address)
    with left, right:
        left.peer = right.address
        put(left, bytes(3_000))
        nothing_owed = lambda: bool(heard) and right.destination.next_wakeup_ms(0) is None  # noqa: E731
        thread = threading.Thread(target=right.run, kwargs={"until": nothing_owed, "timeout_s": PATIENCE_S})
        thread.start()
        assert left.run(until=lambda: not left.source.open_transactions, timeout_s=PATIENCE_S)
        assert not left.source.owes_answers
        thread.join(PATIENCE_S / 2)
        assert not thread.is_alive()
    assert [event.file_size_bytes for event in heard if isinstance(event, FileCompleted)] == [3_000]


def test_what_is_no_pdu_or_for_nobody_here_is_ignored():
    with UdpFileDelivery(listen=LOOPBACK, peer=None, source=CfdpSource(1, 2)) as delivery:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for datagram in (b"", b"\x00 towards a receiver", b"\xff\xff\xff"):
                stranger.sendto(datagram, delivery.address)
        assert delivery.run(until=lambda: delivery.ignored_datagrams == 2, timeout_s=PATIENCE_S)
        assert not delivery.run(
            until=lambda: False, timeout_s=0.01
        )  # the third is refused by the source, and nothing breaks


def test_a_port_in_use_is_refused():
    with (
        UdpFileDelivery(listen=LOOPBACK, peer=None) as first,
        pytest.raises(RelayError, match=f"file delivery cannot listen at 127.0.0.1:{first.address[1]}"),
    ):
        UdpFileDelivery(listen=first.address, peer=None)
