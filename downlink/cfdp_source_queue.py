"""Which of a source's transactions is served next: the highest priority first, whether with repeats or with new bytes."""

import heapq
from collections.abc import Mapping

from downlink.cfdp_source_transaction import SourceTransaction

Turn = tuple[int, int, int]
"""Sort key of a waiting transaction: minus its priority, number of files put before it, its number."""


class SourceQueue:
    """Transactions with something to send, in the order in which they are served.

    Of equal priority, what is asked for again goes before what has never been sent, and what was put first before what was put
    later. Transactions that end, or have nothing more to send, are passed over when their turn comes.
    """

    def __init__(self, transactions: Mapping[int, SourceTransaction]) -> None:
        self._transactions = transactions
        self._repeats: list[Turn] = []
        self._unsent: list[Turn] = []
        self._repeating: set[int] = set()

    def add_unsent(self, transaction: SourceTransaction) -> None:
        """Queues a transaction whose file, or the end of it, has never been sent. It must not be queued so already."""
        heapq.heappush(self._unsent, _turn(transaction))

    def add_repeats(self, transaction: SourceTransaction) -> None:
        """Queues a transaction for what is asked for again, if it is not queued for that already."""
        seq = transaction.header.transaction_seq
        if transaction.has_repeats and seq not in self._repeating:
            self._repeating.add(seq)
            heapq.heappush(self._repeats, _turn(transaction))

    def front(self) -> SourceTransaction | None:
        """The transaction to serve now: with its repeats if it `has_repeats`, otherwise with new bytes. None when none waits."""
        repeating, unsent = self._first_repeating(), self._first_unsent()
        if repeating is None or unsent is None:
            return repeating or unsent
        return repeating if self._repeats[0][0] <= self._unsent[0][0] else unsent

    def drop_unsent(self) -> None:
        """Takes away the transaction whose new bytes are next: it has none left."""
        heapq.heappop(self._unsent)

    def __bool__(self) -> bool:
        return self._first_repeating() is not None or self._first_unsent() is not None

    @property
    def unsent(self) -> list[SourceTransaction]:
        """Transactions that have never been sent to their end, in order."""
        waiting = (self._transactions.get(seq) for _, _, seq in sorted(self._unsent))
        return [each for each in waiting if each is not None and not each.cancelled]

    @property
    def unsent_priority(self) -> int | None:
        """The highest priority among files with bytes that have never been sent, None where there are none."""
        first = self._first_unsent()
        if first is None or first.unsent_bytes:
            return None if first is None else first.priority
        return max((each.priority for each in self.unsent if each.unsent_bytes), default=None)

    def _first_repeating(self) -> SourceTransaction | None:
        while self._repeats:
            _, put_order, seq = self._repeats[0]
            transaction = self._transactions.get(seq)
            if transaction is not None and transaction.has_repeats and transaction.put_order == put_order:
                return transaction
            heapq.heappop(self._repeats)
            self._repeating.discard(seq)
        return None

    def _first_unsent(self) -> SourceTransaction | None:
        while self._unsent:
            _, put_order, seq = self._unsent[0]
            transaction = self._transactions.get(seq)
            if transaction is not None and not transaction.cancelled and transaction.put_order == put_order:
                return transaction
            heapq.heappop(self._unsent)
        return None


def _turn(transaction: SourceTransaction) -> Turn:
    return -transaction.priority, transaction.put_order, transaction.header.transaction_seq
