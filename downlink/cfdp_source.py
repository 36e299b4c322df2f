"""The sending side of CFDP (727.0-B-5, class 2 and class 1): many file transactions towards one destination.

The radio pulls: it asks `next_pdu` whenever there is room. What it gets, in this order: acknowledgements of Finished, EndOfFile PDUs
due again, then the file of the highest priority, whether with segments asked for again or with new ones; of equal files the repeats
first, then the file put first. A file put later may so interrupt one that is half sent, and a repeat never holds up a better file.

A transaction:

    put -> Metadata, FileData ... -> EndOfFile --Ack--> waiting for Finished --Finished--> over
                                        |   ^                    |   ^
                                        +---+ no Ack in time     +---+ nothing in time: EndOfFile again

NAKs are served at any time. No number of time-outs ends a transaction unless `ack_limit` says so, and time stands still between
`suspend` and `resume`.

A source restored from a snapshot does not know what it sent after the snapshot was taken. The EndOfFile of such a file goes first: the
destination answers with what it lacks, or that it has all, and nothing that it has is sent again.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from downlink.byte_ranges import ByteRanges
from downlink.cfdp_checksum import stored_checksum
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_events import PduRefused, SourceEvent, SourceStatistics, TransactionFinished, TransactionId
from downlink.cfdp_header import ConditionCode, Direction, FileStatus, PduHeader, TransactionStatus
from downlink.cfdp_pdu import (
    Ack,
    DirectiveCode,
    EndOfFile,
    Finished,
    Nak,
    Pdu,
)
from downlink.cfdp_snapshot import pack_snapshot, reading_snapshot, unpack_snapshot
from downlink.cfdp_source_queue import SourceQueue
from downlink.cfdp_source_transaction import NO_FILE, SourceSettings, SourceTransaction
from downlink.errors import CfdpPduError, CfdpTransactionError
from downlink.file_ports import FileInMemory, ReadableFile
from downlink.link_timers import LinkTimers

_SNAPSHOT_KIND = b"CFSR"
_MAX_WAITING_RESPONSES = 1024
_MAX_REQUESTED_RANGES = 1 << 17
"""Ranges of one file that wait to be sent again."""
_SHORTEST_CUT_BYTES = 64
"""A segment is cut to the room left in a frame only where so many file bytes fit: below, the header is not worth it."""


class CfdpSource:
    """Sends files to one remote entity, many transactions at once."""

    def __init__(self, local_entity_id: int, remote_entity_id: int, settings: SourceSettings | None = None) -> None:
        self.local_entity_id = local_entity_id
        self.remote_entity_id = remote_entity_id
        self.settings = settings or SourceSettings()
        self._transactions: dict[int, SourceTransaction] = {}
        self._timers: LinkTimers[int] = LinkTimers()
        # An acknowledgement pushed out here is asked for again by the destination.
        self._responses: deque[bytes] = deque(maxlen=_MAX_WAITING_RESPONSES)
        self._eofs_due: deque[int] = deque()
        self._queue = SourceQueue(self._transactions)
        self._puts = 0
        self._events: list[SourceEvent] = []

    # ---- what the user asks for

    def put(
        self,
        *,
        transaction_seq: int,
        source_name: str,
        destination_name: str,
        file_bytes: bytes | ReadableFile,
        priority: int = 0,
        acknowledged: bool = True,
        sent_before: bool = False,
    ) -> TransactionId:
        """Queues a file. `transaction_seq` must be new; a higher `priority` is served first.

        `sent_before`: the same file was put under the same number before a reboot, and nobody knows how much of it was sent. Its
        EndOfFile then goes first, and only what the destination asks for follows.

        Raises CfdpTransactionError when the number is in use or the file cannot be read, CfdpPduError when a field does not fit its PDU.
        """
        if transaction_seq in self._transactions:
            raise CfdpTransactionError(f"transaction {transaction_seq} is still open; give every file a new number")
        file = FileInMemory(file_bytes) if isinstance(file_bytes, bytes) else file_bytes
        header = PduHeader(
            source_entity_id=self.local_entity_id,
            destination_entity_id=self.remote_entity_id,
            transaction_seq=transaction_seq,
            entity_id_bytes=self.settings.entity_id_bytes,
            transaction_seq_bytes=self.settings.transaction_seq_bytes,
            unacknowledged=not acknowledged,
            with_crc=self.settings.with_crc,
            large_file=file.size_bytes > 0xFFFFFFFF,
        )
        metadata = self.settings.metadata(header, file.size_bytes, source_name, destination_name)
        checksum = stored_checksum(metadata.checksum_type, file, file.size_bytes)
        if checksum is None:
            raise CfdpTransactionError(
                f"file of transaction {transaction_seq} is shorter than its {file.size_bytes} bytes"
            )
        transaction = SourceTransaction(
            metadata=metadata,
            metadata_pdu=metadata.encode(),
            file=file,
            eof_checksum=checksum,
            eof_size_bytes=file.size_bytes,
            priority=priority,
            put_order=self._puts,
            end_first=sent_before and acknowledged,
        )
        self._puts += 1
        self._transactions[transaction_seq] = transaction
        self._queue.add_unsent(transaction)
        return transaction.transaction

    def cancel(self, transaction_seq: int) -> None:
        """Gives a transaction up. It is over when the destination has been told, and a TransactionFinished event says so."""
        transaction = self._transactions.get(transaction_seq)
        if transaction is None:
            raise CfdpTransactionError(f"transaction {transaction_seq} is not open, so there is nothing to cancel")
        self._cancel(transaction, ConditionCode.CANCEL_REQUEST_RECEIVED)

    def suspend(self, now_ms: int) -> None:
        """Loss of signal: nothing is sent and time stands still."""
        self._timers.suspend(now_ms)

    def resume(self, now_ms: int) -> None:
        """Acquisition of signal: timers go on, but waits that had grown, and the counts towards `ack_limit`, start small again."""
        self._timers.resume(now_ms)
        self._timers.shorten(now_ms, self.settings.ack_timeout_ms)
        for transaction in self._transactions.values():
            transaction.silent_timeouts = 0

    # ---- the link

    def next_pdu(self, now_ms: int, room_bytes: int | None = None) -> bytes | None:
        """The next PDU to send, None when nothing is due now.

        `room_bytes` is what a PDU finds left in the transfer frame that is being filled, and in those behind it that it may
        cross. File data are cut so that they end with a frame, as far as that is worth a header: a lost frame then costs
        one PDU, not two. Other PDUs do not look at it.
        """
        if self._timers.suspended:
            return None
        while (overdue := self._timers.pop_due(now_ms)) is not None:
            self._time_out(self._transactions[overdue])
        if self._responses:
            return self._responses.popleft()
        if self._eofs_due and (eof := self._next_eof_again(now_ms)) is not None:
            return eof
        while (transaction := self._queue.front()) is not None:
            if (pdu := self._next_of(transaction, now_ms, room_bytes)) is not None:
                return pdu
        return None

    def next_wakeup_ms(self, now_ms: int) -> int | None:
        """When to ask `next_pdu` again if it gave None: `now_ms` when something waits, None when only a PDU or a put can help."""
        if self._timers.suspended:
            return None
        if self._responses or self._eofs_due or self._queue:
            return now_ms
        due = self._timers.next_due_ms()
        return None if due is None else max(due, now_ms)

    def receive(self, pdu: bytes, now_ms: int) -> list[SourceEvent]:
        """Takes a PDU from the destination. Returns what there is to tell, whatever the bytes were."""
        try:
            self._take(decode_pdu(pdu), now_ms)
        except CfdpPduError as error:
            self._events.append(PduRefused(reason=str(error)))
        return self.take_events()

    def take_events(self) -> list[SourceEvent]:
        """What there is to tell since the last call. `receive` returns the same; after `next_pdu` ask here."""
        events, self._events = self._events, []
        return events

    # ---- what can be seen

    @property
    def open_transactions(self) -> tuple[TransactionId, ...]:
        """Transactions that are not over, in the order they were put."""
        return tuple(transaction.transaction for transaction in self._transactions.values())

    @property
    def owes_answers(self) -> bool:
        """Acknowledgements of Finished wait to be sent; without them the destination repeats itself."""
        return bool(self._responses)

    @property
    def unsent_bytes(self) -> int:
        """File bytes that have never been sent."""
        return sum(each.unsent_bytes for each in self._queue.unsent)

    def sent_until(self, transaction_seq: int) -> int:
        """All file bytes before it have been sent and were not asked for again. Raises CfdpTransactionError when it is not open."""
        if transaction_seq not in self._transactions:
            raise CfdpTransactionError(
                f"transaction {transaction_seq} is not open; what became of it its last event says"
            )
        transaction = self._transactions[transaction_seq]
        asked_again = transaction.requested.ranges()
        return min(transaction.next_offset, asked_again[0][0] if asked_again else transaction.next_offset)

    @property
    def unsent_priority(self) -> int | None:
        """The highest priority among files with bytes that have never been sent, None where there are none."""
        return self._queue.unsent_priority

    @property
    def asked_again_bytes(self) -> int:
        """File bytes that the destination has asked for again and that have not left yet."""
        return sum(transaction.requested.total_bytes for transaction in self._transactions.values())

    def statistics(self, transaction_seq: int) -> SourceStatistics:
        """What an open transaction has cost so far. Raises CfdpTransactionError when it is not open."""
        if transaction_seq not in self._transactions:
            raise CfdpTransactionError(
                f"transaction {transaction_seq} is not open; its last event carries its statistics"
            )
        return replace(self._transactions[transaction_seq].statistics)

    # ---- across a reboot

    def snapshot(self, now_ms: int) -> bytes:
        """The state without the file bytes. One taken before a reboot is good after it, even if PDUs were exchanged in between."""
        record = {
            "local_entity_id": self.local_entity_id,
            "remote_entity_id": self.remote_entity_id,
            "suspended": self._timers.suspended,
            "puts": self._puts,
            "timers": self._timers.remaining_ms(now_ms),
            "responses": [pdu.hex() for pdu in self._responses],
            "eofs_due": list(self._eofs_due),
            "unsent": [each.header.transaction_seq for each in self._queue.unsent],
            "transactions": [transaction.record() for transaction in self._transactions.values()],
        }
        return pack_snapshot(_SNAPSHOT_KIND, record)

    @classmethod
    @reading_snapshot()
    def restore(
        cls,
        snapshot: bytes,
        *,
        now_ms: int,
        file_bytes_of: Callable[[TransactionId, str], bytes | ReadableFile | None],
        settings: SourceSettings | None = None,
        up_to_date: bool = False,
    ) -> "CfdpSource":
        """The source that `snapshot` was taken of. `file_bytes_of(transaction, source_name)` gives the files back.

        `up_to_date`: nothing was sent or received after the snapshot was taken, so everything goes on as if nothing had happened.
        A file that is gone or changed is given up with FILESTORE_REJECTION. Raises CfdpSnapshotError on a damaged snapshot.
        """
        record, _ = unpack_snapshot(_SNAPSHOT_KIND, snapshot)
        source = cls(record["local_entity_id"], record["remote_entity_id"], settings)
        source._puts = record["puts"]
        source._responses.extend(bytes.fromhex(pdu) for pdu in record["responses"])
        source._eofs_due.extend(record["eofs_due"])
        unsent = set(record["unsent"])
        for entry in record["transactions"]:
            transaction = SourceTransaction.from_record(entry)
            seq = transaction.header.transaction_seq
            source._transactions[seq] = transaction
            if not up_to_date:
                transaction.end_first = not (transaction.eof_sent or transaction.header.unacknowledged)
            source._queue.add_repeats(transaction)
            if seq in unsent:
                source._queue.add_unsent(transaction)
        for key, remaining_ms in record["timers"]:
            source._timers.start(key, now_ms, remaining_ms)
        for transaction in list(source._transactions.values()):
            source._give_file_back(transaction, file_bytes_of)
        if record["suspended"]:
            source.suspend(now_ms)
        return source

    def _give_file_back(
        self,
        transaction: SourceTransaction,
        file_bytes_of: Callable[[TransactionId, str], bytes | ReadableFile | None],
    ) -> None:
        if transaction.cancelled:
            return
        found = file_bytes_of(transaction.transaction, transaction.metadata.source_name)
        file = FileInMemory(found) if isinstance(found, bytes) else found
        size_bytes, checksum_type = transaction.eof_size_bytes, transaction.metadata.checksum_type
        if (
            file is not None
            and file.size_bytes == size_bytes
            and stored_checksum(checksum_type, file, size_bytes) == transaction.eof_checksum
        ):
            transaction.file = file
        else:
            self._cancel(transaction, ConditionCode.FILESTORE_REJECTION)

    # ---- PDUs that come in

    def _take(self, pdu: Pdu, now_ms: int) -> None:
        identity = TransactionId(pdu.header.source_entity_id, pdu.header.transaction_seq)
        if pdu.direction is not Direction.TOWARDS_SENDER:
            self._refuse(f"{type(pdu).__name__} PDU is for a destination", identity)
            return
        if (pdu.header.source_entity_id, pdu.header.destination_entity_id) != (
            self.local_entity_id,
            self.remote_entity_id,
        ):
            entities = f"{pdu.header.source_entity_id} to {pdu.header.destination_entity_id}"
            self._refuse(f"PDU of entities {entities} is not of this source", identity)
            return
        transaction = self._transactions.get(pdu.header.transaction_seq)
        if isinstance(pdu, Finished) and not pdu.header.unacknowledged:
            status = TransactionStatus.UNDEFINED if transaction is None else TransactionStatus.ACTIVE
            self._acknowledge(pdu, status)
        if transaction is None:
            if isinstance(pdu, Nak) and not pdu.header.unacknowledged:
                self._disown(pdu)
            return
        transaction.silent_timeouts = 0
        if isinstance(pdu, Finished):
            self._finish(transaction, pdu.condition, pdu.complete and not pdu.condition, pdu.file_status)
        elif isinstance(pdu, Nak):
            self._take_nak(transaction, pdu)
        if transaction.eof_sent and self._timers.running(pdu.header.transaction_seq):
            self._timers.start(pdu.header.transaction_seq, now_ms, self.settings.ack_timeout_ms)

    def _take_nak(self, transaction: SourceTransaction, nak: Nak) -> None:
        transaction.statistics.naks_received += 1
        if transaction.cancelled or transaction.header.unacknowledged:
            return
        for start, end in nak.requests:
            if len(transaction.requested) >= _MAX_REQUESTED_RANGES:
                break  # What is left out is asked for again.
            if start == end == 0:
                transaction.metadata_requested = transaction.metadata_sent
            # What has never been sent is not lost: it comes as new data, unless the EndOfFile has gone already.
            sent_until = transaction.eof_size_bytes if transaction.eof_sent else transaction.next_offset
            transaction.requested.add(start, min(end, sent_until))
        self._queue.add_repeats(transaction)

    def _acknowledge(self, finished: Finished, status: TransactionStatus) -> None:
        acknowledgement = Ack(
            header=finished.header, acknowledged=DirectiveCode.FINISHED, condition=finished.condition, status=status
        )
        self._responses.append(acknowledgement.encode())

    def _disown(self, nak: Nak) -> None:
        """The destination waits for a file of before a reboot, or one that it has forgotten it has: nobody will complete it."""
        given_up = EndOfFile(
            header=nak.header,
            condition=ConditionCode.CANCEL_REQUEST_RECEIVED,
            checksum=0,
            file_size_bytes=0,
            fault_entity_id=self.local_entity_id,
        )
        self._responses.append(given_up.encode())

    def _refuse(self, reason: str, transaction: TransactionId) -> None:
        self._events.append(PduRefused(reason=reason, transaction=transaction))

    # ---- PDUs that go out

    def _next_eof_again(self, now_ms: int) -> bytes | None:
        while self._eofs_due:
            transaction = self._transactions.get(self._eofs_due.popleft())
            if transaction is not None:
                return self._send_eof(transaction, now_ms)
        return None

    def _next_of(self, transaction: SourceTransaction, now_ms: int, room_bytes: int | None) -> bytes | None:
        """The next PDU of the transaction at the front of the queue; None, and it is at the front no more, when it has none."""
        if transaction.has_repeats:
            return self._next_repeat(transaction, room_bytes)
        if transaction.end_first:
            self._queue.drop_unsent()
            transaction.end_first, transaction.metadata_sent = False, True
            return self._send_eof(transaction, now_ms)
        if not transaction.metadata_sent:
            transaction.metadata_sent = True
            return transaction.count(transaction.metadata_pdu)
        start = transaction.next_offset
        if start == transaction.eof_size_bytes:
            self._queue.drop_unsent()
            return self._send_eof(transaction, now_ms)
        end = min(start + self._segment_bytes(transaction, room_bytes), transaction.eof_size_bytes)
        segment = self._read(transaction, start, end)
        if segment is None:
            return None
        transaction.next_offset = end
        transaction.statistics.new_bytes += end - start
        return transaction.count(transaction.file_data.encode(start, segment))

    def _next_repeat(self, transaction: SourceTransaction, room_bytes: int | None) -> bytes | None:
        if transaction.metadata_requested:
            transaction.metadata_requested = False
            return transaction.count(transaction.metadata_pdu)
        start, end = transaction.requested.take_first(self._segment_bytes(transaction, room_bytes))
        segment = self._read(transaction, start, end)
        if segment is None:
            return None
        never_sent = max(0, end - max(start, transaction.next_offset))
        transaction.next_offset = max(end, transaction.next_offset)
        transaction.statistics.new_bytes += never_sent
        transaction.statistics.retransmitted_bytes += end - start - never_sent
        return transaction.count(transaction.file_data.encode(start, segment))

    def _read(self, transaction: SourceTransaction, start: int, end: int) -> bytes | None:
        """Bytes of the file; None, and the transaction is given up, where they are gone."""
        segment = transaction.file.read(start, end)
        if len(segment) == end - start:
            return segment
        self._cancel(transaction, ConditionCode.FILESTORE_REJECTION)
        return None

    def _send_eof(self, transaction: SourceTransaction, now_ms: int) -> bytes:
        transaction.eof_sent = True
        transaction.statistics.eofs += 1
        pdu = EndOfFile(
            header=transaction.header,
            condition=transaction.condition,
            checksum=transaction.eof_checksum,
            file_size_bytes=transaction.eof_size_bytes,
            fault_entity_id=self.local_entity_id if transaction.cancelled else None,
        )
        encoded = transaction.count(pdu.encode())
        if transaction.header.unacknowledged and (transaction.cancelled or not transaction.metadata.closure_requested):
            delivered = False if transaction.cancelled else None
            self._finish(transaction, transaction.condition, delivered, FileStatus.UNREPORTED)
        else:
            wait_ms = self.settings.eof_wait_ms(transaction.silent_timeouts, transaction.header.unacknowledged)
            self._timers.start(transaction.header.transaction_seq, now_ms, wait_ms)
        return encoded

    def _segment_bytes(self, transaction: SourceTransaction, room_bytes: int | None) -> int:
        overhead = transaction.file_data.overhead_bytes
        largest = self.settings.max_pdu_bytes - overhead
        if room_bytes is None:
            return largest
        fitting = room_bytes - overhead
        shortest = min(_SHORTEST_CUT_BYTES, largest)
        if fitting >= shortest:
            return min(fitting, largest)
        # Two segments share what is left of this frame and the whole of the next.
        next_frame = (self.settings.frame_pdu_bytes or self.settings.max_pdu_bytes) - overhead
        return max(shortest, (next_frame + fitting) // 2)

    # ---- how transactions end

    def _time_out(self, transaction: SourceTransaction) -> None:
        if transaction.header.unacknowledged:
            self._finish(transaction, ConditionCode.CHECK_LIMIT_REACHED, None, FileStatus.UNREPORTED)
            return
        transaction.silent_timeouts += 1
        limit = self.settings.ack_limit
        if limit is None or transaction.silent_timeouts < limit:
            self._eofs_due.append(transaction.header.transaction_seq)
        elif transaction.cancelled:
            self._finish(transaction, transaction.condition, False, FileStatus.UNREPORTED)
        else:
            self._cancel(transaction, ConditionCode.POSITIVE_ACK_LIMIT_REACHED)

    def _cancel(self, transaction: SourceTransaction, condition: ConditionCode) -> None:
        if transaction.cancelled:
            return
        transaction.condition = condition
        transaction.silent_timeouts = 0
        if not transaction.metadata_sent:
            self._finish(transaction, condition, False, FileStatus.UNREPORTED)
            return
        transaction.eof_size_bytes = transaction.next_offset
        sent_checksum = stored_checksum(transaction.metadata.checksum_type, transaction.file, transaction.next_offset)
        transaction.eof_checksum = sent_checksum or 0  # A file that is gone has none.
        transaction.file = NO_FILE
        transaction.requested = ByteRanges()
        transaction.metadata_requested = False
        self._timers.cancel(transaction.header.transaction_seq)
        self._eofs_due.append(transaction.header.transaction_seq)

    def _finish(
        self, transaction: SourceTransaction, condition: ConditionCode, delivered: bool | None, file_status: FileStatus
    ) -> None:
        del self._transactions[transaction.header.transaction_seq]
        self._timers.cancel(transaction.header.transaction_seq)
        self._events.append(
            TransactionFinished(
                transaction=transaction.transaction,
                delivered=delivered,
                condition=condition,
                file_status=file_status,
                statistics=transaction.statistics,
            )
        )
