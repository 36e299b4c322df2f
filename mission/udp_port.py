"""UDP ports and addresses, for everything that talks datagrams."""

import socket

from mission.errors import RelayError

Address = tuple[str, int]
"""Host and port."""

MAX_DATAGRAM_BYTES = 65_535
_BUFFER_BYTES = 4 << 20
"""Asked of the system, which may give less."""


def bound_port(address: Address, *, name: str) -> socket.socket:
    """A UDP socket at an address, port 0 for any free one, that never blocks. Raises RelayError where it cannot be had."""
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        port.bind(address)
        port.setblocking(False)
    except OSError as error:
        port.close()
        raise RelayError(
            f"the {name} cannot listen at {address[0]}:{address[1]} ({error.strerror or error}); "
            "choose another address, or port 0 for any free port"
        ) from error
    return port


def split_address(text: str) -> Address:
    """`host:port` as it was written. Raises RelayError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise RelayError(f"{text!r} is not an address; give HOST:PORT, such as 127.0.0.1:5001")
    return host, int(port)


def parsed_address(text: str) -> Address:
    """`host:port` as an address. Raises RelayError. Host names are resolved."""
    host, port = split_address(text)
    try:
        return socket.gethostbyname(host), port
    except OSError as error:
        raise RelayError(f"host {host!r} of {text!r} is unknown ({error})") from error


def address_of(port: socket.socket) -> Address:
    """Where a port listens."""
    host, number = port.getsockname()[:2]
    return str(host), int(number)
