"""What a CFDP destination remembers of transactions that are over, so that late PDUs are answered and no file comes twice."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from downlink.cfdp_events import TransactionId
from downlink.cfdp_header import ConditionCode, Direction, FileStatus, PduHeader, decode_header
from downlink.cfdp_pdu import EndOfFile, FileData, Finished, Metadata, Pdu
from downlink.link_timers import LinkTimers

_MAX_BACKOFF_DOUBLINGS = 3


@dataclass(slots=True, kw_only=True)
class ClosedTransaction:
    """One transaction that is over."""

    header: PduHeader
    """what all its PDUs share"""
    condition: ConditionCode
    """NO_ERROR, or why it failed"""
    complete: bool
    """whether the file arrived"""
    awaiting_ack: bool
    """whether its Finished PDU is unanswered"""
    silent_timeouts: int = 0
    """Finished PDUs in a row without an answer"""
    file_size_bytes: int = 0
    """length of the file, where it arrived"""
    checksum: int = 0
    """its checksum, as its source gave it, where it arrived"""

    @classmethod
    def delivered(cls, header: PduHeader, file_size_bytes: int, checksum: int) -> "ClosedTransaction":
        """One whose file arrived."""
        return cls(
            header=header,
            condition=ConditionCode.NO_ERROR,
            complete=True,
            awaiting_ack=False,
            file_size_bytes=file_size_bytes,
            checksum=checksum,
        )

    @classmethod
    def given_up(cls, header: PduHeader, condition: ConditionCode) -> "ClosedTransaction":
        """One whose file did not."""
        return cls(header=header, condition=condition, complete=False, awaiting_ack=False)

    @property
    def transaction(self) -> TransactionId:
        """Its name among all entities."""
        return TransactionId(self.header.source_entity_id, self.header.transaction_seq)

    def denies(self, pdu: Pdu) -> bool:
        """Whether a PDU of this transaction's number is not of this file: its source has forgotten the number and uses it again."""
        match pdu:
            case Metadata() if self.complete:
                return pdu.file_size_bytes not in (0, self.file_size_bytes)
            case FileData() if self.complete:
                return pdu.offset + len(pdu.data) > self.file_size_bytes
            case EndOfFile() if self.complete and not pdu.condition:
                return (pdu.file_size_bytes, pdu.checksum) != (self.file_size_bytes, self.checksum)
        return False

    def finished(self) -> Finished:
        """Its Finished PDU."""
        blameless = self.condition in (ConditionCode.NO_ERROR, ConditionCode.UNSUPPORTED_CHECKSUM_TYPE)
        return Finished(
            header=self.header,
            condition=self.condition,
            complete=self.complete,
            file_status=FileStatus.RETAINED if self.complete else FileStatus.DISCARDED,
            fault_entity_id=None if blameless else self.header.destination_entity_id,
        )

    def record(self) -> list[Any]:
        """The state, ready for JSON, in the order of `from_record`."""
        header = self.header.encode(Direction.TOWARDS_RECEIVER, 0, file_data=False).hex()
        what = [self.condition, self.complete, self.awaiting_ack, self.silent_timeouts]
        return [header, *what, self.file_size_bytes, self.checksum]

    @classmethod
    def from_record(cls, record: list[Any]) -> "ClosedTransaction":
        """The state that `record` was made of."""
        return cls(
            header=decode_header(bytes.fromhex(record[0])).header,
            condition=ConditionCode(record[1]),
            complete=record[2],
            awaiting_ack=record[3],
            silent_timeouts=record[4],
            file_size_bytes=int(record[5]),
            checksum=int(record[6]),
        )


class ClosedTransactions:
    """The last `capacity` transactions that are over, and the Finished PDUs that tell their sources so.

    A Finished PDU is repeated until it is acknowledged, `finished_limit` times at most: after that its source, if it still cares,
    repeats its EndOfFile, and that is answered with another Finished.
    """

    def __init__(self, *, capacity: int, finished_timeout_ms: int, finished_limit: int) -> None:
        self._capacity = capacity
        self._finished_timeout_ms = finished_timeout_ms
        self._finished_limit = finished_limit
        self._closed: OrderedDict[TransactionId, ClosedTransaction] = OrderedDict()
        # In the order in which they are sent. Never more than are remembered, though nobody may ask for them in a whole pass.
        self._due: dict[TransactionId, None] = {}
        self.timers: LinkTimers[TransactionId] = LinkTimers()

    def __contains__(self, transaction: TransactionId) -> bool:
        return transaction in self._closed

    def __bool__(self) -> bool:
        return bool(self._due)

    @property
    def unanswered(self) -> tuple[TransactionId, ...]:
        """Transactions whose Finished PDU is not acknowledged yet."""
        return tuple(transaction for transaction, closed in self._closed.items() if closed.awaiting_ack)

    def add(self, closed: ClosedTransaction, *, send_finished: bool) -> None:
        """Remembers a transaction, and forgets the oldest one beyond the capacity."""
        self._closed[closed.transaction] = closed
        self._closed.move_to_end(closed.transaction)
        if send_finished:
            self._send(closed)
        while len(self._closed) > self._capacity:
            self._forget(next(iter(self._closed)))

    def forget_if_denied(self, transaction: TransactionId, pdu: Pdu) -> bool:
        """Whether a PDU shows that the number of a transaction has come back with another file; the former is forgotten then.

        Whoever sends it has lost what it knew of its numbers. Answered as the file before it would lose the new one.
        """
        if not self._closed[transaction].denies(pdu):
            return False
        self._forget(transaction)
        return True

    def end_of_file_repeated(self, header: PduHeader) -> None:
        """The source does not know yet that the transaction is over."""
        closed = self._closed[TransactionId(header.source_entity_id, header.transaction_seq)]
        closed.header, closed.silent_timeouts = header, 0
        if not header.unacknowledged:
            self._send(closed)

    def acknowledged(self, transaction: TransactionId) -> None:
        """The source knows."""
        self._closed[transaction].awaiting_ack = False
        self.timers.cancel(transaction)

    def resume(self, now_ms: int) -> None:
        """Timers go on, and every Finished PDU has its full number of tries again."""
        self.timers.resume(now_ms)
        self.timers.shorten(now_ms, self._finished_timeout_ms)
        for closed in self._closed.values():
            closed.silent_timeouts = 0

    def next_finished(self, now_ms: int) -> Finished | None:
        """The next Finished PDU to send, None when none is due."""
        while (overdue := self.timers.pop_due(now_ms)) is not None:
            self._time_out(self._closed[overdue])
        while self._due:
            transaction = next(iter(self._due))
            del self._due[transaction]
            closed = self._closed[transaction]
            if not (closed.awaiting_ack or closed.header.unacknowledged):
                continue
            if closed.awaiting_ack:
                doublings = min(closed.silent_timeouts, _MAX_BACKOFF_DOUBLINGS)
                self.timers.start(closed.transaction, now_ms, self._finished_timeout_ms << doublings)
            return closed.finished()
        return None

    def record(self, now_ms: int) -> dict[str, Any]:
        """The state, ready for JSON."""
        return {
            "closed": [closed.record() for closed in self._closed.values()],
            "due": list(self._due),
            "timers": [(*transaction, left) for transaction, left in self.timers.remaining_ms(now_ms)],
        }

    def take_record(self, record: dict[str, Any], now_ms: int) -> None:
        """Takes over the state that `record` was made of."""
        for entry in record["closed"]:
            self.add(ClosedTransaction.from_record(entry), send_finished=False)
        due = (TransactionId(*entry) for entry in record["due"])
        self._due.update((transaction, None) for transaction in due if transaction in self._closed)
        for source_entity_id, transaction_seq, left_ms in record["timers"]:
            transaction = TransactionId(source_entity_id, transaction_seq)
            if transaction in self._closed:
                self.timers.start(transaction, now_ms, left_ms)

    def _forget(self, transaction: TransactionId) -> None:
        del self._closed[transaction]
        self.timers.cancel(transaction)
        self._due.pop(transaction, None)

    def _time_out(self, closed: ClosedTransaction) -> None:
        closed.silent_timeouts += 1
        if closed.silent_timeouts < self._finished_limit:
            self._send(closed)
        else:
            closed.awaiting_ack = False

    def _send(self, closed: ClosedTransaction) -> None:
        closed.awaiting_ack = not closed.header.unacknowledged
        self._due.setdefault(closed.transaction)


def header_of(transaction: TransactionId, destination_entity_id: int) -> PduHeader:
    """A header for a transaction that is known by name alone: an answer takes the lengths of its fields from the PDU that it answers."""
    return PduHeader(
        source_entity_id=transaction.source_entity_id,
        destination_entity_id=destination_entity_id,
        transaction_seq=transaction.transaction_seq,
        entity_id_bytes=8,
        transaction_seq_bytes=8,
    )
