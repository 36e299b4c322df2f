"""Says in the log when a frame port opens and when it closes, with the reason: a link that is down is normal, but not a secret."""

from mission.live.frame_port import FramePort
from mission.live.structured_log import StructuredLog


class LinkWatch:
    """Looks at a port now and then; each change that it sees is logged once."""

    def __init__(self, port: FramePort, log: StructuredLog) -> None:
        self._port = port
        self._log = log
        self._said: str | None = None

    def look(self) -> None:
        """To be called about once a second: a link that flaps faster is not logged faster."""
        problem = self._port.problem
        if problem == self._said:
            return
        self._said = problem
        if problem:
            self._log.info("link closed", reason=problem)
        else:
            self._log.info("link open", opened=self._port.counts.opened)
