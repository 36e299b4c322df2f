"""The ground station: frames in, layers into the store, receipts and NAKs out (sans-I/O).

`handle(event, now_ms) -> actions`. A layer is acknowledged only once it is durable: express records by receipt, files
by CFDP's Finished, which is sent after the file's records have been stored. Records are taken from a file as its
beginning grows, not when it ends, so that a pass that breaks off costs no layer that came down whole.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_events import (
    DestinationEvent,
    FileCompleted,
    PduRefused,
    SegmentReceived,
    TransactionFailed,
    TransactionId,
)
from downlink.command import MAX_LINK_COUNT, ReportLink
from downlink.contact import Contact
from downlink.erasure_receiver import ErasureReceiver
from downlink.errors import HousekeepingError
from downlink.express import ADDRESSES_PER_RECEIPT, encode_receipts
from downlink.frame_assembler import FrameAssembler
from downlink.frame_loss import LossCount
from downlink.frame_reader import FrameReader, FrameVerdict
from downlink.frame_security import SECURITY_BYTES, FrameProtector
from downlink.housekeeping import Housekeeping
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import LayerAddress
from downlink.record import HEADER, OVERHEAD_BYTES, Record, bytes_after_header, scan_records
from downlink.transfer_frame import FRAME_COUNT_MODULUS
from ground.command_desk import CommandDesk
from ground.errors import UnkeptFileError
from ground.link_events import Action, Event, LayersArrived, OrderGiven
from ground.store import CompletedFile, LayerStore

LINK_REPORT_MS: Final = 5000
"""How often in a contact the satellite is told how many frames are lost."""


class GroundStation:
    """The ground's end of the link to one satellite."""

    def __init__(
        self,
        store: LayerStore,
        desk: CommandDesk,
        protector: FrameProtector,
        profile: LinkProfile,
        *,
        snapshot: bytes | None = None,
        now_ms: int = 0,
    ) -> None:
        """`snapshot` is one that a station of the same store took before it ended, however old: files go on where they were.

        Raises CfdpSnapshotError on a damaged snapshot: start without it, and open files begin again.
        """
        self.store = store
        self.desk = desk
        self.profile = profile
        self.verdicts: dict[FrameVerdict, int] = dict.fromkeys(FrameVerdict, 0)
        """Frames heard, by what became of them."""
        self.refused_packets = 0
        """Packets of strangers, and packets that say nothing this station knows."""
        self.frames_lost = 0
        """Frames that the counts of the virtual channels have shown missing; late ones among them may have come after all."""
        self.housekeeping: tuple[Housekeeping, int] | None = None
        """The newest that the satellite has said of itself, and when it was heard."""
        self._destination = (
            CfdpDestination(profile.ground_entity, (profile.onboard_entity,), profile.destination_settings)
            if snapshot is None
            else CfdpDestination.restore(snapshot, now_ms=now_ms, settings=profile.destination_settings)
        )
        for file in store.completed_files:
            self._destination.remember_completed(
                TransactionId(profile.onboard_entity, file.number),
                file_size_bytes=file.file_size_bytes,
                checksum=file.checksum,
            )
        self._reader = FrameReader(profile.spacecraft_id, frame_bytes=profile.frame_bytes)
        self._packets = PacketSender()
        self._protector = protector
        self._uplink = FrameAssembler(
            profile.spacecraft_id, VirtualChannel.COMMANDS, frame_bytes=profile.uplink_frame_bytes - SECURITY_BYTES
        )
        self._erasure = ErasureReceiver()
        self._receipts: dict[LayerAddress, None] = {}
        # Layers that came without an answer, and in how many contacts with an uplink they have been acknowledged.
        self._unanswered: dict[LayerAddress, int] = {}
        # Those to be acknowledged in this contact: so many that everything else goes before them.
        self._late_receipts: dict[LayerAddress, None] = {}
        self._loss = LossCount()
        self._contact_id = 0
        self._link_report_due_ms = 0
        # Of files under way: bytes whose records are in the store, and where the next record ends.
        self._beginnings: dict[TransactionId, tuple[int, int]] = {}
        self._unkept_file: int | None = None
        self._in_contact = self._has_uplink = False
        self._had_contact = False

    def handle(self, event: Event, now_ms: int) -> list[Action]:
        """React to one event. Raises JournalError where the store cannot keep what was heard; where that was a whole file, it raises
        UnkeptFileError from then on instead of saying anything.
        """
        match event:
            case ContactStarted():
                self._start_contact(event.contact, now_ms)
                return []
            case ContactEnded():
                return self._end_contact(now_ms)
            case OrderGiven():
                self.desk.issue(event.order, now_ms)
                return []
            case FrameHeard():
                return self._hear(event.frame, now_ms)
            case TransmitterReady():
                return self._next_frame(now_ms) if self._in_contact else [WakeAt(at_ms=None)]

    def snapshot(self, now_ms: int) -> bytes:
        """The files under way, for a station that starts again. Raises UnkeptFileError, as `handle`."""
        self._check_kept()
        return self._destination.snapshot(now_ms)

    @property
    def open_files(self) -> int:
        """Files under way."""
        return len(self._destination.open_transactions)

    @property
    def unanswered_files(self) -> int:
        """Files that are whole here, while the satellite has not acknowledged that it knows."""
        return len(self._destination.unanswered_transactions)

    @property
    def held_bytes(self) -> int:
        """Memory taken by files under way, roughly."""
        return self._destination.held_bytes + self._erasure.held_bytes

    def _start_contact(self, contact: Contact, now_ms: int) -> None:
        self._in_contact = True
        self._has_uplink = contact.uplink_bps > 0
        if not self._had_contact:
            # Ahead of all counts of a station before this one: no frame of this one may continue a packet that it began.
            self._uplink.next_frame_count = now_ms % FRAME_COUNT_MODULUS
            self._had_contact = True
        self._contact_id, self._loss = contact.contact_id, LossCount()
        self._link_report_due_ms = now_ms + LINK_REPORT_MS
        self.desk.start_contact()
        self._destination.resume(now_ms)
        if self._has_uplink:
            self._late_receipts.update(dict.fromkeys(self._unanswered))
            # A receipt may be lost: the second contact says it again.
            self._unanswered = {address: 1 for address, told in self._unanswered.items() if not told}

    def _end_contact(self, now_ms: int) -> list[Action]:
        self._in_contact = False
        self._destination.suspend(now_ms)
        arrived = [*self._take_erasure(self._erasure.whole_records()), *self._take_behind_gaps()]
        return [LayersArrived(addresses=tuple(arrived))] if arrived else []

    def _take_behind_gaps(self) -> tuple[LayerAddress, ...]:
        """Records that are whole behind the gaps of files under way: the gaps may never be filled."""
        files = (self._destination.partial(transaction) for transaction in self._destination.open_transactions)
        return self.store.add(record for file in files for _, data in file.segments for record in _layers(data))

    def _hear(self, frame: bytes, now_ms: int) -> list[Action]:
        reading = self._reader.feed(frame)
        self.verdicts[reading.verdict] += 1
        self.frames_lost += reading.frames_lost
        if reading.verdict in (FrameVerdict.IN_ORDER, FrameVerdict.AFTER_GAP):
            self._loss = self._loss.after(reading.frames_lost)
        arrived: list[LayerAddress] = []
        for packet in reading.packets:
            if packet.apid == Apid.EXPRESS:
                arrived.extend(self._take_express(packet.data))
            elif packet.apid == Apid.FILES_DOWN:
                for event in self._destination.receive(packet.data, now_ms):
                    arrived.extend(self._take_file_event(event))
            elif packet.apid == Apid.ERASURE_DOWN:
                arrived.extend(self._take_erasure(self._erasure.receive(packet.data).records))
            elif packet.apid == Apid.COMMAND_REPORT:
                self.desk.take_report(packet.data)
            elif packet.apid == Apid.HOUSEKEEPING:
                self._take_housekeeping(packet.data, now_ms)
            elif not packet.is_idle:
                self.refused_packets += 1
        return [LayersArrived(addresses=tuple(arrived))] if arrived else []

    def _take_housekeeping(self, data: bytes, now_ms: int) -> None:
        try:
            heard = Housekeeping.decode(data, self.desk.associations)
        except HousekeepingError:
            self.refused_packets += 1
            return
        if self.housekeeping is None or heard.is_newer_than(self.housekeeping[0]):
            self.housekeeping = heard, now_ms

    def _take_express(self, data: bytes) -> tuple[LayerAddress, ...]:
        records = [record for record in scan_records(data).records if record.address.is_express]
        fresh = self.store.add(records)
        held = [record.address for record in records if self.store.holds(record.address)]
        if not held:
            self.refused_packets += 1
        self._receipts.update(dict.fromkeys(held))
        return fresh

    def _take_erasure(self, records: Sequence[Record]) -> tuple[LayerAddress, ...]:
        """Layers out of erasure-coded objects: kept, and acknowledged in the next contacts with an uplink."""
        fresh = self.store.add(records)
        held = [record.address for record in records if self.store.holds(record.address)]
        self._unanswered.update(dict.fromkeys(held, 0))
        if self._in_contact and self._has_uplink:
            self._receipts.update(dict.fromkeys(held))
        return fresh

    def _take_file_event(self, event: DestinationEvent) -> tuple[LayerAddress, ...]:
        match event:
            case FileCompleted():
                self._beginnings.pop(event.transaction, None)
                number = event.transaction.transaction_seq
                self._unkept_file = number
                file = CompletedFile(number=number, file_size_bytes=event.file_size_bytes, checksum=event.checksum)
                fresh = self.store.complete_file(file, _layers(event.data))
                self._unkept_file = None
                return fresh
            case TransactionFailed():
                self._beginnings.pop(event.transaction, None)
                return self.store.add(record for _, data in event.segments for record in _layers(data))
            case SegmentReceived():
                return self._take_beginning(event.transaction)
            case PduRefused():
                self.refused_packets += 1
        return ()

    def _take_beginning(self, transaction: TransactionId) -> tuple[LayerAddress, ...]:
        """Records that are whole in the gapless beginning of a file still under way."""
        end = self._destination.prefix_end(transaction)
        taken, wanted = self._beginnings.get(transaction, (0, OVERHEAD_BYTES))
        if end is None or end < wanted:
            return ()
        data = self._destination.prefix(transaction, taken)
        scan = scan_records(data)
        rest = data[scan.consumed :]
        taken += scan.consumed
        self._beginnings[transaction] = taken, taken + max(OVERHEAD_BYTES, HEADER.size + bytes_after_header(rest))
        return self.store.add(scan.records)

    def _check_kept(self) -> None:
        if self._unkept_file is not None:
            raise UnkeptFileError(
                f"file {self._unkept_file} came down whole, but the store could not keep it; make room on its disk, and start "
                "the station again from its journals and its last snapshot",
                transaction_seq=self._unkept_file,
            )

    def _next_frame(self, now_ms: int) -> list[Action]:
        self._check_kept()
        if now_ms >= self._link_report_due_ms:
            self._link_report_due_ms = now_ms + LINK_REPORT_MS
            self.desk.report_link(
                ReportLink(
                    contact_id=self._contact_id,
                    # Forged frame counts may tell of any number of frames lost.
                    frames_heard=min(self._loss.heard, MAX_LINK_COUNT),
                    frames_lost=min(self._loss.lost, MAX_LINK_COUNT),
                    bursts=min(self._loss.bursts, MAX_LINK_COUNT),
                )
            )
        while not self._uplink.full_frame_ready and self._push_packets(now_ms):
            pass
        actions: list[Action] = []
        arrived = [a for event in self._destination.take_events() for a in self._take_file_event(event)]
        if arrived:
            actions.append(LayersArrived(addresses=tuple(arrived)))
        frame = self._uplink.next_frame(flush=True)
        if frame is not None:
            self.desk.allow_frame_number(self._protector.spi, self._protector.number_at(now_ms))
            return [*actions, TransmitFrame(frame=self._protector.protect(frame, now_ms))]
        times = (self._destination.next_wakeup_ms(now_ms), self.desk.next_due_ms(), self._link_report_due_ms)
        return [*actions, WakeAt(at_ms=min((time_ms for time_ms in times if time_ms is not None), default=None))]

    def _push_packets(self, now_ms: int) -> bool:
        """The next thing to say: receipts, commands, file delivery, receipts of earlier contacts; False where there is nothing."""
        if self._receipts:
            for payload in encode_receipts(tuple(self._receipts)):
                self._uplink.push(self._packets.packet(Apid.EXPRESS_RECEIPT, payload))
            self._receipts.clear()
        elif (command := self.desk.next_payload(now_ms)) is not None:
            self._uplink.push(self._packets.packet(Apid.COMMAND, command))
        elif (pdu := self._destination.next_pdu(now_ms)) is not None:
            self._uplink.push(self._packets.packet(Apid.FILES_UP, pdu))
        elif late := tuple(islice(self._late_receipts, ADDRESSES_PER_RECEIPT)):
            self._receipts.update(dict.fromkeys(late))
            for address in late:
                del self._late_receipts[address]
        else:
            return False
        return True


def _layers(data: bytes) -> tuple[Record, ...]:
    return scan_records(data).records
