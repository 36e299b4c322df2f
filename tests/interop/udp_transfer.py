"""One file between an entity of ours and one of somebody else, over UDP on loopback, through the relay of the emulated channel."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from downlink.cfdp_checksum import ChecksumType
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import DestinationEvent, SourceEvent
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings
from mission.channel import Channel, ChannelSettings, GilbertElliott
from mission.channel_relay import ChannelRelay
from mission.streams import Streams
from mission.udp_file_delivery import UdpFileDelivery
from tests.interop.cfdp_py_peer import CfdpPyPeer
from tests.interop.librecube_peer import LibreCubePeer

LOOPBACK = ("127.0.0.1", 0)
AIR, GROUND = 0x0203, 0x0405
"""Entities; the one in the air sends files to the one on the ground."""
TRANSACTION = 0x11
"""One octet: LibreCube answers in no more."""
PATIENCE_S = 20
RATE_BPS = 10_000_000
SOURCE = SourceSettings(
    max_pdu_bytes=512,
    ack_timeout_ms=100,
    max_ack_timeout_ms=200,
    checksum_type=ChecksumType.MODULAR,
    transaction_seq_bytes=2,
)
DESTINATION = DestinationSettings(
    immediate_nak=False,
    reordering_delay_ms=5,
    nak_timeout_ms=60,
    finished_timeout_ms=50,
    finished_limit=4,
    check_timeout_ms=40,
    inactivity_timeout_ms=250,
    max_pdu_bytes=512,
)
NASA_CF_SOURCE = replace(SourceSettings.nasa_cf(), ack_timeout_ms=100, max_ack_timeout_ms=200)
NASA_CF_DESTINATION = replace(
    DestinationSettings.nasa_cf(),
    nak_timeout_ms=60,
    finished_timeout_ms=50,
    finished_limit=4,
    inactivity_timeout_ms=None,
)
Peer = CfdpPyPeer | LibreCubePeer


@dataclass
class Link:
    """Both ends and the relay between them while a test runs."""

    delivery: UdpFileDelivery
    peer: Peer
    relay: ChannelRelay
    events: list[SourceEvent | DestinationEvent] = field(default_factory=list)

    def run(self, until: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
        """Has our end go on until something is so; whether it became so in time."""
        return self.delivery.run(until=until, timeout_s=timeout_s)

    def of(self, kind: type) -> list:
        """Our events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


def peer_of(kind: str, local_id: int, remote_id: int, **options) -> Peer:
    """cfdp-py or LibreCube."""
    if kind == "cfdp-py":
        return CfdpPyPeer(local_id, remote_id, **{"checksum": ChecksumType.MODULAR} | options)
    return LibreCubePeer(local_id, remote_id, **options)


def channel_with(loss: float) -> ChannelSettings:
    """A short link that loses PDUs independently."""
    return ChannelSettings(rate_bps=2 * RATE_BPS, delay_ms=2, loss=GilbertElliott.independent(loss))


@contextmanager
def link_between(
    peer: Peer,
    *,
    channel: ChannelSettings,
    seed: int,
    source: CfdpSource | None = None,
    destination: CfdpDestination | None = None,
    up: ChannelSettings | None = None,
) -> Iterator[Link]:
    """Our source in the air and the peer on the ground, or the peer in the air and our destination on the ground."""
    events: list[SourceEvent | DestinationEvent] = []
    with UdpFileDelivery(
        listen=LOOPBACK, peer=None, source=source, destination=destination, rate_bps=RATE_BPS, on_event=events.append
    ) as delivery:
        air, ground = (delivery, peer) if source is not None else (peer, delivery)
        with ChannelRelay(
            channel,
            up or channel,
            seed=seed,
            air=LOOPBACK,
            ground=LOOPBACK,
            air_peer=air.address,
            ground_peer=ground.address,
            from_first_datagram=True,
        ) as relay:
            mine, its = relay.air_address, relay.ground_address
            delivery.peer, peer.relay = (mine, its) if source is not None else (its, mine)
            thread = threading.Thread(target=relay.run, args=(3 * PATIENCE_S,))
            thread.start()
            try:
                with peer:
                    yield Link(delivery=delivery, peer=peer, relay=relay, events=events)
            finally:
                relay.stop()
                thread.join(PATIENCE_S)


def survivors(sent: list[bytes], channel: ChannelSettings, seed: int) -> list[bytes]:
    """Which datagrams of the downlink come through, by a channel of the same seed."""
    twin = Channel(channel, Streams(seed).generator("relay/down"))
    return [pdu for pdu in sent if twin.transmit(pdu, 0)]
