"""When the worker is told anew what is worth coding: after something has changed, at a bounded rate, and now and then.

The price depends on the backlog, the coming contacts, the requests of the ground, and on time. Asking the computer changes nothing in it.
"""

import time
from collections.abc import Callable, Hashable
from typing import Final

from mission.live.worker_messages import CodingTerms

SHORTEST_S: Final = 1.0
"""From one question to the next."""
LONGEST_S: Final = 20.0
"""Values fall with time: then the price is asked though nothing has happened."""
WORK_SHARE: Final = 0.02
"""Of the main process's time that may go into the question."""


class TermsWatch:
    """The last terms, and when the next are due."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._known: Hashable = None
        self._asked_s: float | None = None
        self._rest_s = SHORTEST_S

    def due(self, known: Hashable) -> bool:
        """Whether to ask: `known` differs whenever something has happened that the price depends on."""
        if self._asked_s is None:
            return True
        passed_s = self._clock_s() - self._asked_s
        return passed_s >= (self._rest_s if known != self._known else max(LONGEST_S, self._rest_s))

    def ask(self, known: Hashable, question: Callable[[], CodingTerms]) -> CodingTerms:
        """Ask now; a question that takes long is asked less often."""
        began_s = self._clock_s()
        terms = question()
        self._known, self._asked_s = known, self._clock_s()
        self._rest_s = max(SHORTEST_S, (self._asked_s - began_s) / WORK_SHARE)
        return terms
