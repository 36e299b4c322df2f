"""A frame port over a serial device: 8 data bits, no parity, 1 stop bit, raw.

Each byte takes ten bits on the wire, and each frame has a marker of four bytes: at 921600 baud frames of 1115 bytes pass at 734 kbit/s. A
contact whose rate is higher loses what the device does not take.
"""

import fcntl
import os
import selectors
import termios
from collections.abc import Mapping
from typing import Final

from mission.errors import PortError
from mission.live.frame_port import PortCounts, PortSettings
from mission.live.stream_frame_port import Retry, StreamFramePort

DEFAULT_BAUD: Final = 115_200
_BAUDS: Final = {
    int(name[1:]): getattr(termios, name) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}


def serial_frame_port(
    settings: PortSettings, path: str, options: Mapping[str, str], *, randomize: bool = True
) -> StreamFramePort:
    """A port on a device. Raises PortError for a baud rate or a flow control that there is not."""
    baud, flow = options.get("baud", str(DEFAULT_BAUD)), options.get("flow", "none")
    if not path.startswith("/"):
        raise PortError(f"{settings.address!r} names no device; write serial:///dev/ttyUSB0?baud={DEFAULT_BAUD}")
    if not baud.isdigit() or _BAUDS.get(int(baud), 0) == 0:
        rates = ", ".join(str(rate) for rate in sorted(_BAUDS) if rate >= 9600)
        raise PortError(f"baud={baud} in {settings.address!r}: no such rate; this system has {rates}")
    if flow not in ("none", "rtscts"):
        raise PortError(f"flow={flow} in {settings.address!r}: write none or rtscts")
    device = SerialDevice(settings, path, baud=int(baud), handshake=flow == "rtscts")
    return StreamFramePort(settings, device, randomize=randomize)


class SerialDevice:
    """A serial device, opened when it is there."""

    def __init__(self, settings: PortSettings, path: str, *, baud: int, handshake: bool) -> None:
        self._path = path
        self._speed = _BAUDS[baud]
        self._handshake = handshake
        self._retry = Retry(settings)
        self.problem = f"{path} has not been opened yet"
        """Why it is not open, as last tried."""

    def begin(self, selector: selectors.BaseSelector, counts: PortCounts) -> None:
        """A device that is absent cannot wake anybody."""

    def poll(self, *, connected: bool) -> int | None:
        """The device, where it can be opened."""
        if connected or not self._retry.is_due:
            return None
        device = self._open()
        if device is None:
            self._retry.failed()
        else:
            self._retry.succeeded()
        return device

    def broke(self) -> None:
        """Unplugged: tries again, not at once."""
        self.problem = f"{self._path} has hung up"
        self._retry.failed()

    def close(self) -> None:
        """Nothing is held between streams."""

    def _open(self) -> int | None:
        try:
            device = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:  # absent, or not ours
            self.problem = f"{self._path} cannot be opened: {error.strerror}"
            return None
        try:
            fcntl.flock(device, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._configure(device)
        except BlockingIOError:
            self.problem = f"another program holds {self._path}"
        except (OSError, termios.error) as error:
            self.problem = f"{self._path} is no serial device: {error.args[-1]}"
        else:
            return device
        os.close(device)
        return None

    def _configure(self, device: int) -> None:
        """Raw: every byte passes as it is, whatever it means to a terminal."""
        special = termios.tcgetattr(device)[6]
        special[termios.VMIN], special[termios.VTIME] = 1, 0
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        if self._handshake:
            control |= termios.CRTSCTS
        termios.tcsetattr(device, termios.TCSANOW, [0, 0, control, 0, self._speed, self._speed, special])
        termios.tcflush(device, termios.TCIOFLUSH)
