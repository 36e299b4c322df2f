"""Frame ports: whole transfer frames out and in, over whatever carries them. The address says what that is.

| address | carried by |
|---|---|
| `udp://0.0.0.0:7001?peer=channel:7000` | one datagram a frame; only the peer is heard, without `peer` whoever sends first |
| `tcp://modem:4001` | a connection to there, made again when it breaks |
| `tcp-listen://0.0.0.0:4001?peer=modem` | one connection from there; without `peer` from the first that comes |
| `serial:///dev/ttyUSB0?baud=921600` | a serial device, 8N1, opened again when it comes back |

Streams (TCP and serial) take `randomizer=off` where the modem does that part itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import SplitResult, parse_qsl, urlsplit

from mission.errors import PortError

FRAMES_PER_RECEIVE: Final = 256
"""A port stops at about so many frames at once; it stays readable where there are more."""


@dataclass(slots=True, kw_only=True)
class PortCounts:
    """What went through a port."""

    sent: int = 0
    """Frames that left."""
    received: int = 0
    """Frames that came in."""
    refused: int = 0
    """Frames that could not leave: no peer, no connection, no device, or their buffer was full."""
    strangers: int = 0
    """Datagrams and connections of others than the peer, ignored."""
    skipped_bytes: int = 0
    """Bytes that came in and belong to no frame of the right length."""
    opened: int = 0
    """Times that the connection was made or the device opened; 1 for datagrams."""


class FramePort(Protocol):
    """Whole transfer frames in and out. Never blocks; what the world does to it is counted, never raised."""

    @property
    def counts(self) -> PortCounts:
        """What went through so far."""

    @property
    def problem(self) -> str:
        """Why frames cannot leave at present: no device, no connection, no address; empty where the port is open."""

    def send(self, frame: bytes) -> bool:
        """Lets a frame leave. False: it could not and is lost, as on any network. Raises PortError for a frame of the wrong length."""

    def receive(self) -> list[bytes]:
        """The frames that wait, about `FRAMES_PER_RECEIVE` at most. To be called once a second at least: this is when ports open again."""

    def fileno(self) -> int:
        """Readable when there is something to do for `receive`. The same for the whole life of the port."""

    def close(self) -> None:
        """Gives everything back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSettings:
    """What every kind of port is told."""

    address: str
    """As it was given, for messages."""
    frame_bytes_in: int
    """Length of the frames that come in."""
    frame_bytes_out: int
    """Length of the frames that go out."""
    monotonic_s: Callable[[], float] = time.monotonic
    """When to try again what could not be opened."""

    def check_out(self, frame: bytes) -> None:
        """Raises PortError where a frame does not have the length of all others."""
        if len(frame) != self.frame_bytes_out:
            raise PortError(
                f"a frame of {len(frame)} bytes was given to {self.address}, which carries frames of "
                f"{self.frame_bytes_out}; open the port for the frames of this end"
            )


def open_frame_port(address: str, *, frame_bytes_in: int, frame_bytes_out: int) -> FramePort:
    """The port at an address. Raises PortError where the address makes no sense or a local port cannot be had.

    A peer, connection or device that is not there (yet) is no error: the port waits for it.
    """
    # Here, so that a program loads only the kind of port that it uses.
    from mission.live.serial_frame_port import serial_frame_port
    from mission.live.tcp_frame_port import tcp_client_port, tcp_listening_port
    from mission.live.udp_frame_port import UdpFramePort

    settings = PortSettings(address=address, frame_bytes_in=frame_bytes_in, frame_bytes_out=frame_bytes_out)
    parts = urlsplit(address)
    match parts.scheme:
        case "udp":
            options = _options(parts, "peer")
            peer = _host_port(address, options["peer"]) if "peer" in options else None
            return UdpFramePort(settings, _host_port(address, parts.netloc), peer)
        case "tcp":
            options = _options(parts, "randomizer")
            return tcp_client_port(settings, _host_port(address, parts.netloc), randomize=_randomize(address, options))
        case "tcp-listen":
            options = _options(parts, "peer", "randomizer")
            return tcp_listening_port(
                settings,
                _host_port(address, parts.netloc),
                peer_host=options.get("peer"),
                randomize=_randomize(address, options),
            )
        case "serial":
            options = _options(parts, "baud", "randomizer", "flow")
            return serial_frame_port(settings, _device(parts), options, randomize=_randomize(address, options))
    raise PortError(
        f"{address!r} is no address of a frame port; begin it with udp://, tcp://, tcp-listen:// or serial://"
    )


def _options(parts: SplitResult, *known: str) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - set(known))
    if unknown or parts.fragment or (parts.path not in ("", "/") and parts.scheme != "serial"):
        raise PortError(
            f"{parts.geturl()!r} says {', '.join(unknown) or parts.path or parts.fragment}, which {parts.scheme}:// does not know; "
            f"it knows {', '.join(known)}"
        )
    return options


def _host_port(address: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise PortError(f"{text!r} in {address!r} is no host and port; write HOST:PORT, such as 127.0.0.1:7001")
    return host, int(port)


def _device(parts: SplitResult) -> str:
    """The path of a serial device; what stands behind two slashes alone would be a host."""
    if parts.netloc:
        meant = parts.netloc if parts.netloc == "dev" else f"dev/{parts.netloc}"
        raise PortError(
            f"{parts.geturl()!r} names no device: {parts.netloc!r} stands where a host would; write three slashes, "
            f"serial:///{meant}{parts.path}"
        )
    return parts.path


def _randomize(address: str, options: dict[str, str]) -> bool:
    said = options.get("randomizer", "on")
    if said not in ("on", "off"):
        raise PortError(f"randomizer={said} in {address!r}: write on or off")
    return said == "on"
