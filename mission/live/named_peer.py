"""A peer of the channel at a host whose name is looked up again and again, in a thread."""

from mission.live.address_resolver import AddressResolver
from mission.udp_port import Address, split_address


class NamedPeer:
    """For `mission.datagram_relay`. Nobody else is heard; while the name is unknown, nobody is."""

    def __init__(self, text: str) -> None:
        """Raises RelayError where `text` is not HOST:PORT."""
        self._resolver = AddressResolver(*split_address(text))

    @property
    def address(self) -> Address | None:
        """Where datagrams for it go."""
        return next(iter(self._resolver.addresses), None)

    def hears(self, sender: Address, now_ms: int) -> bool:
        """Whether a datagram from there is the peer's."""
        return sender in self._resolver.addresses

    def close(self) -> None:
        """Ends the looking up."""
        self._resolver.close()
