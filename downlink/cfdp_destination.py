"""The receiving side of CFDP (727.0-B-5, class 2 and class 1): many file transactions from known entities.

    first PDU of any kind -> receiving --all bytes, names, EndOfFile--> checksum agrees --> FileCompleted
                              |     ^                                                          |
                              NAK   segments                                      Finished until acknowledged

A transaction that is over is remembered: its late PDUs are answered, and its file is never handed over twice. Only where length or
checksum say that a source which lost its memory uses the number for another file, that one is received. Every count and every buffer
has a limit, and what goes beyond it is refused with an event: it was not acknowledged, so its source sends it again. Between
`suspend` and `resume` time stands still.
"""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from enum import StrEnum

from downlink.cfdp_checksum import ChecksumType
from downlink.cfdp_closed_transactions import ClosedTransaction, ClosedTransactions, header_of
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_destination_transaction import DestinationSettings, DestinationTransaction
from downlink.cfdp_events import (
    DestinationEvent,
    DestinationStatistics,
    MetadataReceived,
    PartialFile,
    PduRefused,
    SegmentReceived,
    TransactionId,
)
from downlink.cfdp_file_data import identity_bytes
from downlink.cfdp_header import ConditionCode, Direction, PduHeader, TransactionStatus
from downlink.cfdp_pdu import Ack, DirectiveCode, EndOfFile, FileData, KeepAlive, Metadata, Pdu, Prompt
from downlink.cfdp_snapshot import pack_snapshot, reading_snapshot, unpack_snapshot
from downlink.errors import CfdpPduError, CfdpTransactionError
from downlink.file_ports import FileSink
from downlink.link_timers import LinkTimers
from downlink.segment_buffer import SegmentBuffer, SinkBuffer

OpenSink = Callable[[TransactionId], FileSink | None]

_SNAPSHOT_KIND = b"CFDS"
_MAX_WAITING_ACKS = 1024


class _Timer(StrEnum):
    GAP = "gap"
    NAK = "nak"
    CHECK = "check"
    INACTIVITY = "inactivity"


class CfdpDestination:
    """Receives files from the entities named in `source_entity_ids`, many transactions at once."""

    def __init__(
        self,
        local_entity_id: int,
        source_entity_ids: Collection[int],
        settings: DestinationSettings | None = None,
        *,
        open_sink: OpenSink | None = None,
    ) -> None:
        """`open_sink(transaction)` gives a place for the bytes of a file, before its first; None: this file stays in memory. It is
        asked again, for another place, where a source uses the number of a file that has arrived for another one."""
        self.local_entity_id = local_entity_id
        self.source_entity_ids = frozenset(source_entity_ids)
        self.settings = settings or DestinationSettings()
        self.refused_pdus = 0
        self._open_sink = open_sink
        self._open: dict[TransactionId, DestinationTransaction] = {}
        self._open_by_header: dict[bytes, DestinationTransaction] = {}
        self._closed = ClosedTransactions(
            capacity=self.settings.remembered_transactions,
            finished_timeout_ms=self.settings.finished_timeout_ms,
            finished_limit=self.settings.finished_limit,
        )
        self._held_bytes = 0
        self._timers: LinkTimers[tuple[TransactionId, _Timer]] = LinkTimers()
        # An acknowledgement pushed out here is asked for again by the source.
        self._acks: deque[bytes] = deque(maxlen=_MAX_WAITING_ACKS)
        self._keep_alives: deque[bytes] = deque(maxlen=_MAX_WAITING_ACKS)
        # Open transactions alone, in the order in which they are served.
        self._naks_due: dict[TransactionId, None] = {}
        self._events: list[DestinationEvent] = []

    # ---- what the user asks for

    def cancel(self, transaction: TransactionId) -> None:
        """Gives a transaction up and tells its source. A TransactionFailed event hands over what arrived."""
        self._fail(self._opened(transaction), ConditionCode.CANCEL_REQUEST_RECEIVED)

    def partial(self, transaction: TransactionId) -> PartialFile:
        """What has arrived of an open transaction. Raises CfdpTransactionError when it is not open."""
        state = self._opened(transaction)
        return PartialFile(
            source_name=None if state.metadata is None else state.metadata.source_name,
            destination_name=None if state.metadata is None else state.metadata.destination_name,
            file_size_bytes=state.size_limit_bytes,
            prefix=state.buffer.prefix(),
            segments=tuple(state.buffer.pieces_after_prefix()),
        )

    def prefix(self, transaction: TransactionId, start: int = 0) -> bytes:
        """The bytes of an open transaction from `start` up to the first gap: what has become readable since `start`."""
        return self._opened(transaction).buffer.prefix(start)

    def prefix_end(self, transaction: TransactionId) -> int | None:
        """Where the first gap of an open transaction begins; None when it is not open. Costs nothing, unlike `prefix`."""
        state = self._open.get(transaction)
        return None if state is None else state.buffer.ranges.prefix_end

    def remember_completed(self, transaction: TransactionId, *, file_size_bytes: int, checksum: int) -> None:
        """Notes that a file is already in the user's store, after a restart from an older snapshot or from none.

        Length and checksum are those of its FileCompleted event. Its transaction is closed without an event, and its late PDUs are
        answered as those of any delivered file.
        """
        if transaction in self._closed:
            return
        header = header_of(transaction, self.local_entity_id)
        self._close(ClosedTransaction.delivered(header, file_size_bytes, checksum), send_finished=False)

    def suspend(self, now_ms: int) -> None:
        """Loss of signal: nothing is sent and time stands still."""
        self._timers.suspend(now_ms)
        self._closed.timers.suspend(now_ms)

    def resume(self, now_ms: int) -> None:
        """Acquisition of signal: timers go on, and the counts towards `finished_limit` start again."""
        self._timers.resume(now_ms)
        self._closed.resume(now_ms)

    # ---- the link

    def next_pdu(self, now_ms: int) -> bytes | None:
        """The next PDU to send, None when nothing is due now: acknowledgements, then Finished, then NAKs."""
        if self._timers.suspended:
            return None
        while (overdue := self._timers.pop_due(now_ms)) is not None:
            self._time_out(*overdue, now_ms)
        if self._acks:
            return self._acks.popleft()
        if self._keep_alives:
            return self._keep_alives.popleft()
        finished = self._closed.next_finished(now_ms)
        return self._next_nak(now_ms) if finished is None else finished.encode()

    def next_wakeup_ms(self, now_ms: int) -> int | None:
        """When to ask `next_pdu` again if it gave None: `now_ms` when something waits, None when only a PDU can help."""
        if self._timers.suspended:
            return None
        if self._acks or self._keep_alives or self._closed or self._naks_due:
            return now_ms
        due = [timers.next_due_ms() for timers in (self._timers, self._closed.timers)]
        return min((max(due_ms, now_ms) for due_ms in due if due_ms is not None), default=None)

    def receive(self, pdu: bytes, now_ms: int) -> list[DestinationEvent]:
        """Takes a PDU from a source. Returns what there is to tell, whatever the bytes were."""
        # Nearly all PDUs are FileData of an open transaction: those are known by the bytes of their header.
        state = self._open_by_header.get(identity_bytes(pdu))
        segment = None if state is None else state.file_data.split(pdu)
        if state is not None and segment is not None:
            state.heard = True
            self._take_file_data(state, *segment, now_ms)
            if state.eof is not None and state.complete:
                self._complete(state)
            return self.take_events()
        try:
            self._take(decode_pdu(pdu), now_ms)
        except CfdpPduError as error:
            self._refuse(str(error), None)
        return self.take_events()

    def take_events(self) -> list[DestinationEvent]:
        """What there is to tell since the last call. `receive` returns the same; after `next_pdu` ask here."""
        events, self._events = self._events, []
        return events

    # ---- what can be seen

    @property
    def open_transactions(self) -> tuple[TransactionId, ...]:
        """Transactions that are being received, oldest first."""
        return tuple(self._open)

    @property
    def unanswered_transactions(self) -> tuple[TransactionId, ...]:
        """Transactions that are over here, and whose source has not acknowledged the Finished PDU yet."""
        return self._closed.unanswered

    @property
    def held_bytes(self) -> int:
        """Memory taken by unfinished files, roughly."""
        return self._held_bytes

    def statistics(self, transaction: TransactionId) -> DestinationStatistics:
        """What an open transaction has cost so far. Raises CfdpTransactionError when it is not open."""
        return replace(self._opened(transaction).statistics)

    # ---- across a reboot

    def snapshot(self, now_ms: int, *, with_data: bool = True) -> bytes:
        """The state, with the bytes of unfinished files unless the user stores them apart (`with_data=False`)."""
        in_memory = (state.buffer for state in self._open.values() if isinstance(state.buffer, SegmentBuffer))
        segments = [piece for buffer in in_memory for _, piece in buffer.segments()] if with_data else []
        record = {
            "local_entity_id": self.local_entity_id,
            "source_entity_ids": sorted(self.source_entity_ids),
            "suspended": self._timers.suspended,
            "with_data": with_data,
            "timers": [(*transaction, kind, left) for (transaction, kind), left in self._timers.remaining_ms(now_ms)],
            "acks": [pdu.hex() for pdu in self._acks],
            "keep_alives": [pdu.hex() for pdu in self._keep_alives],
            "naks_due": list(self._naks_due),
            "open": [(state.buffer.holds_bytes, state.record()) for state in self._open.values()],
            "closed": self._closed.record(now_ms),
        }
        return pack_snapshot(_SNAPSHOT_KIND, record, b"".join(segments))

    @classmethod
    @reading_snapshot()
    def restore(
        cls,
        snapshot: bytes,
        *,
        now_ms: int,
        read_range: Callable[[TransactionId, int, int], bytes] | None = None,
        settings: DestinationSettings | None = None,
        open_sink: OpenSink | None = None,
    ) -> "CfdpDestination":
        """The destination that `snapshot` was taken of.

        `read_range(transaction, start, end)` gives stored bytes back where the snapshot was taken without data. `open_sink` opens the
        sinks again; what was written to one before the snapshot must still be there, what was written later comes again. Raises
        CfdpSnapshotError on a damaged snapshot.
        """
        record, blob = unpack_snapshot(_SNAPSHOT_KIND, snapshot)
        destination = cls(record["local_entity_id"], record["source_entity_ids"], settings, open_sink=open_sink)
        position = 0
        for in_memory, entry in record["open"]:
            state = DestinationTransaction.from_record(entry)
            destination._enter(state)
            if isinstance(state.buffer, SinkBuffer):
                state.buffer.take_back(() if in_memory else entry[3])
            for start, end in entry[3] if in_memory else ():
                if record["with_data"]:
                    state.buffer.add(start, blob[position : position + end - start])
                    position += end - start
                elif read_range is not None:
                    state.buffer.add(start, read_range(state.transaction, start, end))
            destination._held_bytes += state.buffer.held_bytes
        for source, seq, kind, remaining_ms in record["timers"]:
            destination._timers.start((TransactionId(source, seq), _Timer(kind)), now_ms, remaining_ms)
        destination._acks.extend(bytes.fromhex(pdu) for pdu in record["acks"])
        destination._keep_alives.extend(bytes.fromhex(pdu) for pdu in record["keep_alives"])
        naks_due = map(TransactionId._make, record["naks_due"])
        destination._naks_due = {each: None for each in naks_due if each in destination._open}
        destination._closed.take_record(record["closed"], now_ms)
        if record["suspended"]:
            destination.suspend(now_ms)
        return destination

    # ---- PDUs that come in

    def _take(self, pdu: Pdu, now_ms: int) -> None:
        header = pdu.header
        transaction = TransactionId(header.source_entity_id, header.transaction_seq)
        if pdu.direction is not Direction.TOWARDS_RECEIVER:
            self._refuse(f"{type(pdu).__name__} PDU is for a source", transaction)
        elif header.destination_entity_id != self.local_entity_id:
            self._refuse(f"PDU is for entity {header.destination_entity_id}, not {self.local_entity_id}", transaction)
        elif header.source_entity_id not in self.source_entity_ids:
            self._refuse(f"entity {header.source_entity_id} is a stranger", transaction)
        elif transaction in self._closed and not self._closed.forget_if_denied(transaction, pdu):
            self._take_late(transaction, pdu)
        elif isinstance(pdu, EndOfFile) and pdu.condition and transaction not in self._open:
            # Given up before anything arrived: there is nothing to open, only to answer.
            self._acknowledge(pdu, TransactionStatus.UNRECOGNIZED)
            self._close(ClosedTransaction.given_up(header, pdu.condition), send_finished=not header.unacknowledged)
        elif isinstance(pdu, (Metadata, FileData, EndOfFile)) or transaction in self._open:
            state = self._open.get(transaction) or self._begin(header, now_ms)
            if state is not None:
                self._take_open(state, pdu, now_ms)

    def _begin(self, header: PduHeader, now_ms: int) -> DestinationTransaction | None:
        state = DestinationTransaction(header=header)
        if len(self._open) >= self.settings.max_open_transactions:
            self._refuse(f"{len(self._open)} transactions are open already", state.transaction)
            return None
        self._enter(state)
        if self.settings.inactivity_timeout_ms is not None:
            self._timers.start((state.transaction, _Timer.INACTIVITY), now_ms, self.settings.inactivity_timeout_ms)
        return state

    def _enter(self, state: DestinationTransaction) -> None:
        sink = None if self._open_sink is None else self._open_sink(state.transaction)
        if sink is not None:
            state.buffer = SinkBuffer(sink)
        self._open[state.transaction] = state
        self._open_by_header[state.file_data.identity_bytes] = state

    def _take_open(self, state: DestinationTransaction, pdu: Pdu, now_ms: int) -> None:
        if pdu.header is not state.header and pdu.header != state.header:
            self._refuse("header differs from that of the transaction's first PDU", state.transaction)
            return
        state.heard = True
        if isinstance(pdu, FileData):
            self._take_file_data(state, pdu.offset, pdu.data, now_ms)
        elif isinstance(pdu, Metadata):
            self._take_metadata(state, pdu)
        elif isinstance(pdu, EndOfFile):
            self._take_end_of_file(state, pdu, now_ms)
        elif isinstance(pdu, Prompt) and not state.header.unacknowledged:
            self._take_prompt(state, pdu)
        if state.transaction in self._open and state.complete:
            self._complete(state)

    def _take_late(self, transaction: TransactionId, pdu: Pdu) -> None:
        if isinstance(pdu, EndOfFile):
            self._acknowledge(pdu, TransactionStatus.TERMINATED)
            self._closed.end_of_file_repeated(pdu.header)
        elif isinstance(pdu, Ack):
            self._closed.acknowledged(transaction)

    def _take_metadata(self, state: DestinationTransaction, pdu: Metadata) -> None:
        if state.metadata is not None:
            return
        # Options are of no use here, and would be held for as long as the transaction is open.
        state.metadata = replace(pdu, options=())
        if pdu.file_size_bytes > self.settings.max_file_bytes or not state.sizes_agree:
            self._fail(state, ConditionCode.FILE_SIZE_ERROR)
        elif pdu.checksum_type not in list(ChecksumType):
            self._fail(state, ConditionCode.UNSUPPORTED_CHECKSUM_TYPE)
        else:
            self._events.append(
                MetadataReceived(
                    transaction=state.transaction,
                    source_name=pdu.source_name,
                    destination_name=pdu.destination_name,
                    file_size_bytes=pdu.file_size_bytes,
                )
            )

    def _take_file_data(self, state: DestinationTransaction, offset: int, data: bytes, now_ms: int) -> None:
        buffer, end = state.buffer, offset + len(data)
        furthest = buffer.ranges.end
        reason = state.refusal(offset, end, self._held_bytes, self.settings)
        if reason is not None:
            self._refuse(reason, state.transaction)
            return
        held_before, fresh_bytes = buffer.held_bytes, 0
        for start, piece in buffer.add(offset, data):
            fresh_bytes += len(piece)
            self._events.append(SegmentReceived(state.transaction, start, piece))
        self._held_bytes += buffer.held_bytes - held_before
        state.statistics.new_bytes += fresh_bytes
        state.statistics.duplicate_bytes += len(data) - fresh_bytes
        if fresh_bytes and offset < state.asked_until:
            state.repeats_until = end
        new_gap = offset > furthest and end > state.asked_until
        if self.settings.immediate_nak and (new_gap or state.names_wanted):
            self._notice_gap(state, end, now_ms)

    def _take_end_of_file(self, state: DestinationTransaction, pdu: EndOfFile, now_ms: int) -> None:
        self._acknowledge(pdu, TransactionStatus.ACTIVE)
        if pdu.condition:
            self._fail(state, pdu.condition)
            return
        if state.eof is not None:
            return
        state.eof = pdu
        if pdu.file_size_bytes > self.settings.max_file_bytes or not state.sizes_agree:
            self._fail(state, ConditionCode.FILE_SIZE_ERROR)
        elif state.header.unacknowledged:
            self._timers.start((state.transaction, _Timer.CHECK), now_ms, self.settings.check_timeout_ms)
        elif state.lacks_something:
            self._notice_gap(state, pdu.file_size_bytes, now_ms)

    def _take_prompt(self, state: DestinationTransaction, pdu: Prompt) -> None:
        if pdu.keep_alive:
            self._keep_alives.append(KeepAlive(header=state.header, progress=state.buffer.ranges.end).encode())
        else:
            state.answer_prompt = True
            self._begin_naks(state, 0, state.known_end)

    def _notice_gap(self, state: DestinationTransaction, gap_until: int, now_ms: int) -> None:
        if state.header.unacknowledged:
            return
        state.gap_until = max(state.gap_until, gap_until)
        if not self._timers.running((state.transaction, _Timer.GAP)):
            self._start_gap_timer(state, now_ms)

    def _start_gap_timer(self, state: DestinationTransaction, now_ms: int) -> None:
        state.gap_due_until = state.gap_until
        self._timers.start((state.transaction, _Timer.GAP), now_ms, self.settings.reordering_delay_ms)

    def _acknowledge(self, pdu: EndOfFile, status: TransactionStatus) -> None:
        if not pdu.header.unacknowledged:
            ack = Ack(header=pdu.header, acknowledged=DirectiveCode.EOF, condition=pdu.condition, status=status)
            self._acks.append(ack.encode())

    def _refuse(self, reason: str, transaction: TransactionId | None) -> None:
        self.refused_pdus += 1
        self._events.append(PduRefused(reason=reason, transaction=transaction))

    # ---- PDUs that go out, and time

    def _time_out(self, transaction: TransactionId, timer: _Timer, now_ms: int) -> None:
        state = self._open[transaction]
        if timer is _Timer.GAP:
            if state.gap_due_until > state.asked_until or state.names_wanted:
                self._begin_naks(state, state.asked_until, state.gap_due_until)
            if state.gap_until > state.gap_due_until:
                self._start_gap_timer(state, now_ms)
        elif timer is _Timer.NAK:
            self._begin_naks(state, 0, state.retry_end())
        elif timer is _Timer.CHECK:
            state.checks += 1
            if state.checks >= self.settings.check_limit:
                self._fail(state, ConditionCode.CHECK_LIMIT_REACHED)
            else:
                self._timers.start((transaction, _Timer.CHECK), now_ms, self.settings.check_timeout_ms)
        elif self.settings.inactivity_timeout_ms is not None:
            self._notice_silence(state, now_ms, self.settings.inactivity_timeout_ms)

    def _notice_silence(self, state: DestinationTransaction, now_ms: int, timeout_ms: int) -> None:
        """A source that has rebooted may know nothing of the file and keep silent for ever: ask it once before giving up."""
        if state.asked_for_life and not state.heard:
            self._fail(state, ConditionCode.INACTIVITY_DETECTED)
            return
        state.asked_for_life = not state.heard
        if state.asked_for_life and not state.header.unacknowledged:
            state.answer_prompt = True
            self._begin_naks(state, 0, state.known_end)
        state.heard = False
        self._timers.start((state.transaction, _Timer.INACTIVITY), now_ms, timeout_ms)

    def _begin_naks(self, state: DestinationTransaction, start: int, end: int) -> None:
        state.begin_naks(start, end, self.settings.max_naks_per_round)
        self._naks_due.setdefault(state.transaction)

    def _next_nak(self, now_ms: int) -> bytes | None:
        while self._naks_due:
            state = self._open[next(iter(self._naks_due))]
            nak = state.next_nak(self.settings.max_pdu_bytes)
            if state.nak_position is None:
                del self._naks_due[state.transaction]
                if state.lacks_something:
                    self._start_nak_timer(state, now_ms)
            if nak is not None:
                return nak.encode()
        return None

    def _start_nak_timer(self, state: DestinationTransaction, now_ms: int) -> None:
        timer = (state.transaction, _Timer.NAK)
        if not self._timers.running(timer):
            # Gaps asked for while the timer runs wait for its next turn, so that none is asked for twice within one time-out.
            state.retry_until = state.asked_until
            self._timers.start(timer, now_ms, self.settings.nak_timeout_ms)

    # ---- how transactions end

    def _complete(self, state: DestinationTransaction) -> None:
        metadata, eof = state.metadata, state.eof
        if metadata is None or eof is None:
            return
        checksum_type = metadata.checksum_type
        if checksum_type != ChecksumType.NULL and state.buffer.checksum(checksum_type) != eof.checksum:
            self._fail(state, ConditionCode.FILE_CHECKSUM_FAILURE)
            return
        wants_finished = metadata.closure_requested or not state.header.unacknowledged
        closed = ClosedTransaction.delivered(state.header, eof.file_size_bytes, eof.checksum)
        self._close(closed, send_finished=wants_finished)
        self._events.append(state.completed(metadata, eof))

    def _fail(self, state: DestinationTransaction, condition: ConditionCode) -> None:
        closure = state.metadata is not None and state.metadata.closure_requested
        wants_finished = closure or not state.header.unacknowledged
        self._close(ClosedTransaction.given_up(state.header, condition), send_finished=wants_finished)
        self._events.append(state.failed(condition))

    def _close(self, closed: ClosedTransaction, *, send_finished: bool) -> None:
        state = self._open.pop(closed.transaction, None)
        if state is not None:
            self._held_bytes -= state.buffer.held_bytes
            del self._open_by_header[state.file_data.identity_bytes]
        self._naks_due.pop(closed.transaction, None)
        for timer in _Timer:
            self._timers.cancel((closed.transaction, timer))
        self._closed.add(closed, send_finished=send_finished)

    def _opened(self, transaction: TransactionId) -> DestinationTransaction:
        if transaction not in self._open:
            raise CfdpTransactionError(f"transaction {transaction} is not open; its last event carried what there was")
        return self._open[transaction]
