"""One direction of the emulated link in real time: a channel of its own for every contact, nothing in between."""

from dataclasses import replace
from typing import Final, Literal, Protocol

from mission.channel import Arrival, Channel, ChannelCounts, ChannelSettings
from mission.contacts import PlannedContact
from mission.live.weather import Weather
from mission.streams import Streams

EARLY_MS: Final = 50
"""A frame may come so long before AOS: the clock of the sender may be ahead a little."""
LATE_MS: Final = 250
"""A frame may go on so long after LOS: senders that were held up make up for at most 200 ms, and keep to LOS themselves."""


class Windows(Protocol):
    """When there is contact (`mission.live.contact_windows`)."""

    def at(self, now_ms: int) -> PlannedContact | None:
        """The contact that goes on."""


class ContactChannel:
    """A medium for `DatagramRelay`. Time is Unix ms. What is sent without contact is counted as unsent."""

    def __init__(self, direction: Literal["down", "up"], windows: Windows, *, seed: int, weather: Weather) -> None:
        """Each contact has a random stream of its own: what chance does in it does not depend on when this program started."""
        self.counts = ChannelCounts()
        self._direction: Literal["down", "up"] = direction
        self._windows = windows
        self._streams = Streams(seed)
        self._weather = weather
        self._aos_ms: int | None = None
        """Which contact the channel belongs to."""
        self._span_ms = (0, 0)
        """From (included) and until (excluded) when it is used."""
        self._channel: Channel | None = None

    @property
    def busy_until_ms(self) -> int:
        """When the transmitter falls idle."""
        return 0 if self._channel is None else self._channel.busy_until_ms

    def transmit(self, frame: bytes, now_ms: int) -> list[Arrival]:
        """What comes out, and when."""
        first_ms, end_ms = self._span_ms
        if not first_ms <= now_ms < end_ms:
            self._follow(now_ms)
        if self._channel is None:
            self.counts.unsent += 1
            return []
        return self._channel.transmit(frame, now_ms)

    def change_weather(self, weather: Weather) -> None:
        """From the next frame on."""
        self._weather = weather
        self.restart()

    def restart(self) -> None:
        """Forgets how long the transmitter is busy: the clock has gone back, or everything else is new."""
        self._aos_ms, self._span_ms, self._channel = None, (0, 0), None

    def _follow(self, now_ms: int) -> None:
        """Takes the channel of the contact that goes on, has just ended, or is about to begin."""
        times_ms = (now_ms, now_ms - LATE_MS, now_ms + EARLY_MS)
        planned = next((found for time_ms in times_ms if (found := self._windows.at(time_ms)) is not None), None)
        if planned is None:
            self.restart()
            return
        contact = planned.contact
        self._span_ms = (contact.aos_ms if now_ms >= contact.aos_ms else now_ms, contact.los_ms)
        if contact.aos_ms == self._aos_ms:
            return
        self._aos_ms = contact.aos_ms
        settings = planned.downlink if self._direction == "down" else planned.uplink
        self._channel = None if settings is None else self._new_channel(settings, contact.aos_ms, contact.los_ms)

    def _new_channel(self, settings: ChannelSettings, aos_ms: int, los_ms: int) -> Channel:
        settings = replace(self._weather.over(settings), windows=((aos_ms - EARLY_MS, los_ms + LATE_MS),))
        channel = Channel(settings, self._streams.generator(f"channel/{self._direction}/{aos_ms}"))
        channel.counts = self.counts
        return channel
