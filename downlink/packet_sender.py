"""Payloads to space packets, each application process with its own count (133.0-B-2, 4.1.3.4.3)."""

from downlink.link_profile import Apid
from downlink.space_packet import PacketStream, PacketType

UPLINK: frozenset[Apid] = frozenset((Apid.EXPRESS_RECEIPT, Apid.FILES_UP, Apid.COMMAND))


class PacketSender:
    """Numbers the packets of one end."""

    def __init__(self) -> None:
        self._streams = {
            apid: PacketStream(apid, PacketType.TELECOMMAND if apid in UPLINK else PacketType.TELEMETRY)
            for apid in Apid
        }

    def packet(self, apid: Apid, data: bytes) -> bytes:
        """The next packet of `apid`, encoded. Raises SpacePacketError when the data do not fit one packet."""
        return self._streams[apid].packet(data)
