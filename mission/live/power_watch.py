"""What the power system says, read in a thread of its own: a sensor's bus that hangs must not stop the radio (edge: threads, files).

A driver on a stuck I2C bus answers after seconds, or never. Whoever asks here gets the last answer at once.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from onboard.eps_reading import EpsReading
from onboard.errors import EnergyError

READ_EVERY_S: Final = 1.0
SILENCE_LIMIT_S: Final = 5.0
"""A reading that takes longer says nothing any more."""


class PowerWatch:
    """The last reading of the power system."""

    def __init__(
        self,
        read: Callable[[], EpsReading],
        *,
        every_s: float = READ_EVERY_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` may raise EnergyError, and may take as long as it likes; it is called in another thread from `start` on."""
        self._read = read
        self._every_s = every_s
        self._clock_s = clock_s
        self._asked_s: float | None = None
        self._last = EpsReading(), ""
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin to read. The thread ends with the process, or after `close`."""
        threading.Thread(target=self._run, name="power readings", daemon=True).start()

    def now(self) -> tuple[EpsReading, str]:
        """The last reading, and why there is none; at once."""
        asked_s = self._asked_s
        silent_s = 0.0 if asked_s is None else self._clock_s() - asked_s
        if silent_s > SILENCE_LIMIT_S:
            return (
                EpsReading(),
                f"the power readings have not answered for {silent_s:.0f} s; check the sensors' bus and driver",
            )
        return self._last

    def close(self) -> None:
        """Read no more; a reading that is under way is not waited for."""
        self._ended.set()

    def look(self) -> None:
        """One reading."""
        self._asked_s = self._clock_s()
        try:
            self._last = self._read(), ""
        except EnergyError as error:
            self._last = EpsReading(), str(error)
        self._asked_s = None

    def _run(self) -> None:
        while not self._ended.is_set():
            self.look()
            self._ended.wait(self._every_s)
