"""Summaries and alerts on their way down: each in one space packet, repeated until the ground's receipt comes (sans-I/O).

The wait between repeats doubles within a contact, so that records whose receipts do not come leave room for files.
"""

import math
from collections.abc import Iterable

from downlink.frame_assembler import FrameAssembler
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import Layer, LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.scheduler import rank
from onboard.store import ProductStore


class ExpressLane:
    """Virtual channel 0 of the downlink."""

    def __init__(self, store: ProductStore, profile: LinkProfile, packets: PacketSender) -> None:
        self._store = store
        self._repeat_ms = max(1, profile.express_repeat_ms)
        self._packets = packets
        self._frames = FrameAssembler(profile.spacecraft_id, VirtualChannel.EXPRESS, frame_bytes=profile.frame_bytes)
        self._waiting = {layer.address: layer for layer in store.backlog() if layer.address.is_express}
        # In this contact: when to send a record again, and the wait that ends then.
        self._due_ms: dict[LayerAddress, int] = {}
        self._wait_ms: dict[LayerAddress, int] = {}

    def start_contact(self) -> None:
        """Everything is due at once, and waits start small again."""
        self._due_ms.clear()
        self._wait_ms.clear()

    def add(self, layers: Iterable[Layer]) -> None:
        """Send these express layers until `forget`."""
        self._waiting.update((layer.address, layer) for layer in layers)

    def forget(self, addresses: Iterable[LayerAddress]) -> None:
        """These are delivered or given up."""
        for address in addresses:
            self._waiting.pop(address, None)
            self._due_ms.pop(address, None)
            self._wait_ms.pop(address, None)

    def push_housekeeping(self, report: bytes) -> None:
        """Send housekeeping in the next frame; it is not repeated."""
        self._frames.push(self._packets.packet(Apid.HOUSEKEEPING, report))

    def next_frame(self, now_ms: int) -> tuple[bytes | None, list[Layer]]:
        """The next frame, None when nothing is due, and the layers that it was made for, best first."""
        pushed = self._push_due(now_ms)
        return self._frames.next_frame(flush=True), pushed

    def best_due_density(self, now_ms: int) -> float | None:
        """The highest value per byte of what is due now or waits for a frame already, None where nothing is."""
        if self._frames.pending_bytes:
            return math.inf
        due = (layer for address, layer in self._waiting.items() if now_ms >= self._due_ms.get(address, now_ms))
        return max((layer.value_at(now_ms) / layer.size_bytes for layer in due), default=None)

    def next_due_ms(self) -> int | None:
        """When a record is due again, None where none waits for its receipt."""
        return min(self._due_ms.values(), default=None)

    @property
    def pending_bytes(self) -> int:
        """Bytes of packets that no frame has carried yet."""
        return self._frames.pending_bytes

    def _push_due(self, now_ms: int) -> list[Layer]:
        """Records that have not been sent in this contact, or whose receipt is overdue; a frame's worth."""
        pushed: list[Layer] = []
        due = (layer for address, layer in self._waiting.items() if now_ms >= self._due_ms.get(address, now_ms))
        for layer in rank(due, now_ms):
            if self._frames.full_frame_ready:
                break
            address = layer.address
            wait_ms = 2 * self._wait_ms[address] if address in self._wait_ms else self._repeat_ms
            self._wait_ms[address] = wait_ms
            self._due_ms[address] = now_ms + wait_ms
            record = Record(kind=RecordKind.LAYER, address=address, payload=self._store.payload(address))
            self._frames.push(self._packets.packet(Apid.EXPRESS, encode_record(record)))
            pushed.append(layer)
        return pushed
