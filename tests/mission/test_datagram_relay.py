"""The relay without a clock: who is heard, what is dropped, and peers that come, go and move."""

import socket

import pytest

from mission import datagram_relay
from mission.channel import Channel, ChannelSettings
from mission.datagram_relay import END_OF_TIME_MS, READS_PER_TURN, DatagramRelay, FirstSender, relay_sides
from mission.errors import RelayError
from mission.streams import Streams

LOOPBACK = ("127.0.0.1", 0)
FAST = ChannelSettings(rate_bps=1_000_000_000, delay_ms=10)


def port():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(LOOPBACK)
    one.settimeout(5)
    return one


@pytest.fixture
def ports():
    made = []

    def make():
        made.append(port())
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def relays():
    made = []

    def make(air_peer=None, ground_peer=None, down=FAST, queue_ms=1000):
        air, ground = relay_sides(
            LOOPBACK, LOOPBACK, air_peer=air_peer or FirstSender(), ground_peer=ground_peer or FirstSender()
        )
        streams = Streams(3)
        channels = (Channel(down, streams.generator("down")), Channel(FAST, streams.generator("up")))
        made.append(DatagramRelay(air, ground, down=channels[0], up=channels[1], queue_ms=queue_ms))
        return made[-1]

    yield make
    for one in made:
        one.close()


def down(relay):
    return relay.counts(seconds=0.0).down


def test_datagrams_come_out_when_they_are_due_and_not_before(relays, ports):
    sender, listener = ports(), ports()
    relay = relays(ground_peer=FirstSender(listener.getsockname()))
    sender.sendto(b"\x12\x34", relay.air.address)
    relay.read(relay.air, 1000)
    assert relay.next_due_ms == 1011
    relay.release_due(1010)
    assert relay.counts(seconds=0.0).in_flight == 1 and down(relay).delivered == 0
    relay.release_due(1011)
    assert listener.recv(100) == b"\x12\x34"
    assert relay.next_due_ms is None and down(relay).delivered_bytes == 2


def test_a_turn_reads_so_many_and_leaves_the_rest(relays, ports):
    sender = ports()
    relay = relays()
    for number in range(READS_PER_TURN + 3):
        sender.sendto(bytes([number]), relay.air.address)
    relay.read(relay.air, 0)
    assert down(relay).channel.sent == READS_PER_TURN
    relay.read(relay.air, 0)
    assert down(relay).channel.sent == READS_PER_TURN + 3


def test_a_full_memory_drops(relays, ports, monkeypatch):
    monkeypatch.setattr(datagram_relay, "MAX_HELD_BYTES", 2500)
    sender = ports()
    relay = relays()
    for _ in range(5):
        sender.sendto(bytes(range(250)) * 4, relay.air.address)
    relay.read(relay.air, 0)
    assert (down(relay).channel.sent, down(relay).queue_dropped) == (3, 2)
    relay.release_due(END_OF_TIME_MS)
    sender.sendto(b"\x12", relay.air.address)
    relay.read(relay.air, 0)
    assert down(relay).channel.sent == 4


def test_the_largest_datagram_passes_and_one_the_network_refuses_is_counted(relays, ports):
    sender, listener = ports(), ports()
    relay = relays(ground_peer=FirstSender(listener.getsockname()))
    largest = bytes(range(256)) * 255 + bytes(range(227))
    sender.sendto(largest, relay.air.address)
    relay.read(relay.air, 0)
    relay.release_due(END_OF_TIME_MS)
    assert len(largest) == 65_507 and listener.recv(70_000) == largest
    relay.ground.peer.address = ("255.255.255.255", 9)  # broadcasting is forbidden to a plain socket
    sender.sendto(b"\x12", relay.air.address)
    relay.read(relay.air, 0)
    relay.release_due(END_OF_TIME_MS)
    assert (down(relay).delivered, down(relay).undeliverable) == (1, 1)


def test_an_absent_peer_costs_its_datagrams_and_nothing_else(relays, ports):
    sender, gone = ports(), port()
    address = gone.getsockname()
    gone.close()
    relay = relays(ground_peer=FirstSender(address))
    for number in range(20):
        sender.sendto(bytes([number]), relay.air.address)
        relay.read(relay.air, number)
        relay.release_due(END_OF_TIME_MS)
        relay.read(relay.ground, number)  # where the refusals of the network would come back
    assert down(relay).channel.sent == 20
    back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    back.bind(address)
    back.settimeout(5)
    sender.sendto(b"\x12", relay.air.address)
    relay.read(relay.air, 100)
    relay.release_due(END_OF_TIME_MS)
    assert back.recv(10) == b"\x12"
    back.close()


def test_a_peer_that_was_found_may_move_after_a_silence_and_strangers_may_not_take_its_place(relays, ports):
    first, second = ports(), ports()
    relay = relays(air_peer=FirstSender(silence_ms=10_000))

    def heard(sender, now_ms):
        before = down(relay).channel.sent
        sender.sendto(b"\x12", relay.air.address)
        relay.read(relay.air, now_ms)
        return down(relay).channel.sent > before

    assert heard(first, 1_000_000)
    assert not heard(second, 1_005_000)
    assert relay.air.stranger == second.getsockname() and relay.air.peer.address == first.getsockname()
    assert heard(first, 1_009_000)
    assert not heard(second, 1_018_999)
    assert heard(second, 1_019_000)
    assert not heard(first, 1_019_001)
    assert down(relay).strangers == 3


def test_a_peer_that_was_given_stays():
    peer = FirstSender(("10.0.0.1", 7), silence_ms=10)
    assert not peer.hears(("10.0.0.2", 7), 1_000_000)
    assert peer.hears(("10.0.0.1", 7), 1_000_000)


def test_a_second_port_that_cannot_be_had_gives_the_first_back(ports):
    taken = ports().getsockname()
    free = port()
    address = free.getsockname()
    free.close()
    with pytest.raises(RelayError, match="ground side cannot listen"):
        relay_sides(address, taken, air_peer=FirstSender(), ground_peer=FirstSender())
    again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    again.bind(address)
    again.close()
