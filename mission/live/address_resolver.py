"""Names of hosts turned into addresses in a thread of their own, again and again: a name server may hang, and containers move."""

import socket
import threading
from typing import Final

from mission.udp_port import Address

AGAIN_S: Final = 30.0
"""A name that is known is asked for again after this."""
FIRST_RETRY_S: Final = 0.5
"""One that is not is asked for again after this, then after twice as long each time."""


class AddressResolver:
    """What addresses a host has now. An IPv4 address in digits needs no thread."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._addresses: tuple[Address, ...] = ()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            socket.inet_pton(socket.AF_INET, host)
            self._addresses = ((host, port),)
        except OSError:  # a name
            self._thread = threading.Thread(target=self._run, name=f"resolve {host}", daemon=True)
            self._thread.start()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """As last found, in the order of the system; empty before the name has been resolved."""
        return self._addresses

    @property
    def problem(self) -> str:
        """That no address is known (yet); empty where one is."""
        return "" if self._addresses else f"the name {self._host} does not resolve"

    def close(self) -> None:
        """Ends the thread; a question that is under way is not waited for."""
        self._ended.set()

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._ended.is_set():
            try:
                found = socket.getaddrinfo(self._host, self._port, socket.AF_INET, socket.SOCK_STREAM)
                self._addresses = tuple(dict.fromkeys((str(one[4][0]), self._port) for one in found))
                wait_s, retry_s = AGAIN_S, FIRST_RETRY_S
            except (OSError, UnicodeError):  # not now, or not a name at all; what was found before still stands
                wait_s, retry_s = retry_s, min(AGAIN_S, 2 * retry_s)
            self._ended.wait(wait_s)
