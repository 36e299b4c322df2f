"""Layers on their way down to a station that only listens: erasure-coded, protected by what they are worth (sans-I/O).

Nobody acknowledges during such a pass. What may have arrived counts for less afterwards, until the ground's receipts
come in a contact with an uplink.
"""

from collections.abc import Iterable, Mapping, Sequence

from downlink.contact import Contact
from downlink.erasure_object import ErasureOffer
from downlink.erasure_packet import OBJECT_NUMBERS
from downlink.erasure_sender import ErasureSender
from downlink.frame_assembler import FrameAssembler
from downlink.frame_loss import LossCount, expected_loss
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import Layer, LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.space_packet import PRIMARY_HEADER_BYTES
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES
from onboard.store import ProductStore

OBJECTS_PER_PASS = 1 << 16
"""Every pass numbers its objects from a multiple of this, so that no number comes back after a reboot."""


class ErasureLane:
    """Virtual channel 3 of the downlink."""

    def __init__(self, store: ProductStore, profile: LinkProfile, packets: PacketSender) -> None:
        self._store = store
        self._packets = packets
        self._payload_share = 1 - FRAME_OVERHEAD_BYTES / profile.frame_bytes
        self._frames = FrameAssembler(profile.spacecraft_id, VirtualChannel.ERASURE, frame_bytes=profile.frame_bytes)
        self._sender = ErasureSender(self._record, packet_bytes=profile.pdu_bytes)
        if store.erasure_state is not None:
            self._sender.restore(store.erasure_state)

    @property
    def pending_bytes(self) -> int:
        """Bytes of packets that no frame has carried yet."""
        return self._frames.pending_bytes

    def begin(self, contact: Contact, ranked: Sequence[tuple[float, Layer]], measured: LossCount) -> None:
        """A pass begins; `ranked` are the layers to choose from with their value per byte, best first."""
        self._sender.next_object = self._store.reserve_number() * OBJECTS_PER_PASS % OBJECT_NUMBERS
        capacity_bytes = contact.capacity_bytes * self._payload_share
        mean_loss = 1 - contact.expected_bytes / contact.capacity_bytes if contact.capacity_bytes else 0.0
        belief = measured.belief(expected_loss(mean_loss))
        self._sender.begin(_offers(ranked), belief, capacity_bytes=capacity_bytes)

    def offer(self, ranked: Sequence[tuple[float, Layer]]) -> None:
        """More layers for the pass under way."""
        self._sender.offer(_offers(ranked))

    def end(self) -> None:
        """The pass is over; what was sent is noted durably."""
        self._sender.end()
        self._store.save_erasure_state(self._sender.snapshot())

    def next_frame(self) -> bytes | None:
        """The next frame, None where nothing is left to gain."""
        while not self._frames.full_frame_ready:
            # Behind the tail of an idle packet any packet goes: it may cross into the next frame, lest none ever fits.
            began = self._frames.pending_bytes > 0
            room_bytes = self._frames.room_bytes - PRIMARY_HEADER_BYTES if began else self._sender.packet_bytes
            packet = self._sender.next_packet(room_bytes)
            if packet is None:
                break
            self._frames.push(self._packets.packet(Apid.ERASURE_DOWN, packet))
        return self._frames.next_frame(flush=True)

    def forget(self, addresses: Iterable[LayerAddress]) -> None:
        """These are acknowledged or given up."""
        self._sender.forget(addresses)

    @property
    def arrived(self) -> Mapping[LayerAddress, float]:
        """Layers of which anything was sent this way, with the chance that they are on the ground."""
        return self._sender.expected_delivered()

    def _record(self, address: LayerAddress) -> bytes:
        return encode_record(Record(kind=RecordKind.LAYER, address=address, payload=self._store.payload(address)))


def _offers(ranked: Sequence[tuple[float, Layer]]) -> list[ErasureOffer]:
    return [
        ErasureOffer(address=layer.address, size_bytes=layer.size_bytes, value=density * layer.size_bytes)
        for density, layer in ranked
    ]
