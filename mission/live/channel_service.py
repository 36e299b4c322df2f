"""`tianshu channel --scenario`: the emulated link between two programs, with the contacts of a scenario by the wall clock.

Rate, delay and losses of every contact are the scenario's; the sender keeps to the rate, so the channel's queue stays short.
Without contact nothing comes through. Peers may be absent, start again, and move to other addresses.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from mission.contacts import PlannedContact
from mission.datagram_relay import END_OF_TIME_MS, DatagramRelay, FirstSender, Peer, RelayCounts, RelaySide, relay_sides
from mission.errors import ServiceError
from mission.live.contact_channel import ContactChannel
from mission.live.contact_windows import ContactWindows
from mission.live.live_clock import LiveClock
from mission.live.named_peer import NamedPeer
from mission.live.service import Service, open_service
from mission.live.service_settings import OptionSource, scenario_of
from mission.live.service_status import ServiceStatus
from mission.live.weather import Weather, WeatherFile, told_weather
from mission.scenario import Scenario
from mission.scenario_section import NonNegativeInt, PositiveFloat, PositiveInt
from mission.udp_port import Address, parsed_address

LOOPBACK: Final = "127.0.0.1:0"
SILENCE_MS: Final = 10_000
"""A peer that was found by its sending, and has been silent for so long, may be replaced by another that sends."""
STEADY_S: Final = 0.25
"""Contacts, clock and weather are looked at this often."""
STATUS_S: Final = 1.0
"""The status is shown this often."""
STRANGERS_LOG_MS: Final = 60_000
"""Strangers are logged so often at most."""
COUNTED: Final = {
    "sent": "Datagrams that were transmitted.",
    "lost": "Transmitted datagrams that never arrive.",
    "corrupted": "Datagrams that arrive with flipped bits.",
    "unsent": "Datagrams without contact, dropped.",
    "queue_dropped": "Datagrams that would have waited too long, dropped.",
    "strangers": "Datagrams from others than the peer, ignored.",
    "delivered": "Datagrams handed to the peer.",
    "delivered_bytes": "Bytes handed to the peer.",
    "undeliverable": "Datagrams for a peer that nobody knows or reaches.",
}
"""Counts that are metrics, and what they say."""


class ChannelStatus(ServiceStatus):
    """What the channel tells of itself."""

    contact: dict[str, Any] | None
    """id, station, aos_ms, los_ms of the contact that goes on."""
    next_contact: dict[str, Any] | None
    """Of the next one."""
    air: str
    """HOST:PORT where the air side sends to."""
    ground: str
    """HOST:PORT where the ground side sends to."""
    air_peer: str | None
    """Where datagrams for the air side go; absent while nobody knows."""
    ground_peer: str | None
    """Where datagrams for the ground side go."""
    weather: Weather
    """What goes before the scenario."""
    relayed: dict[str, Any]
    """Counts of both directions (`RelayCounts.to_json`)."""


class ChannelService:
    """The channel as a service."""

    def __init__(
        self,
        service: Service,
        relay: DatagramRelay,
        *,
        channels: tuple[ContactChannel, ContactChannel],
        windows: ContactWindows,
        clock: LiveClock,
        weather: Weather,
        weather_file: WeatherFile | None = None,
    ) -> None:
        """`weather` is that of the options; `channels` are those of the relay, down and up."""
        self.service = service
        self.relay = relay
        self._channels = channels
        self._windows = windows
        self.clock = clock
        self._told_weather = weather
        self._weather = weather
        self._weather_file = weather_file
        self._weather_problem = ""
        self._began_s = service.loop.time()
        self._contact: PlannedContact | None = None
        self._before_contact = self.counts()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = END_OF_TIME_MS
        self._strangers = 0
        self._strangers_told_ms = 0
        self._add_metrics()
        for side in (relay.air, relay.ground):
            service.on_readable(side.port.fileno(), partial(self._read, side))
        service.every(STEADY_S, self._look)
        service.every(STATUS_S, self._show)
        service.on_stop(relay.close)

    def counts(self) -> RelayCounts:
        """What was relayed so far."""
        return self.relay.counts(seconds=self.service.loop.time() - self._began_s)

    # ---- datagrams

    def _read(self, side: RelaySide) -> None:
        now_ms = self.clock.now_ms()
        self.relay.read(side, now_ms)
        self._release(now_ms)

    def _release(self, now_ms: int) -> None:
        """Hands over what is due and sets the timer for the rest."""
        self.relay.release_due(now_ms)
        due_ms = self.relay.next_due_ms
        if due_ms is None or due_ms >= self._timer_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ms = due_ms
        self._timer = self.service.after((due_ms - now_ms) / 1000, self._due)

    def _due(self) -> None:
        self._timer, self._timer_ms = None, END_OF_TIME_MS
        self._release(self.clock.now_ms())

    # ---- steadily

    def _look(self) -> None:
        self._follow_clock()
        now_ms = self.clock.now_ms()
        self._follow_weather()
        self._follow_contact(now_ms)
        self._tell_strangers(now_ms)

    def _show(self) -> None:
        now_ms = self.clock.now_ms()
        following = self._windows.next_after(now_ms)
        status = ChannelStatus(
            at_ms=now_ms,
            contact=_contact_json(self._contact),
            next_contact=_contact_json(following),
            air=_text(self.relay.air.address) or "",
            ground=_text(self.relay.ground.address) or "",
            air_peer=_text(self.relay.air.peer.address),
            ground_peer=_text(self.relay.ground.peer.address),
            weather=self._weather,
            relayed=self.counts().to_json(),
        )
        self.service.show(status, healthy=not self._weather_problem, reason=self._weather_problem)

    def _follow_clock(self) -> None:
        step_ms = self.clock.check()
        if step_ms == 0:
            return
        self.service.log.warning("clock stepped", step_ms=step_ms)
        if step_ms < 0:  # what is inside would wait for the old time
            for channel in self._channels:
                channel.restart()
            self.relay.release_due(END_OF_TIME_MS)

    def _follow_weather(self) -> None:
        if self._weather_file is None:
            return
        try:
            found = self._weather_file.read()
        except ServiceError as error:
            self._weather_problem = str(error)
            return
        if found is None:
            return
        self._weather_problem = ""
        weather = found.before(self._told_weather)
        if weather != self._weather:
            self._weather = weather
            self.service.log.info("weather changed", **weather.model_dump(exclude_none=True))
            for channel in self._channels:
                channel.change_weather(weather)

    def _follow_contact(self, now_ms: int) -> None:
        planned, former = self._windows.at(now_ms), self._contact
        if planned is not None and former is not None and planned.contact.aos_ms == former.contact.aos_ms:
            return
        if former is not None:
            self._tell_end(former)
        self._contact = planned
        if planned is not None:
            self._before_contact = self.counts()
            contact = planned.contact
            self.service.log.info(
                "contact started",
                **_contact_json(planned) or {},
                downlink_bps=contact.downlink_bps,
                uplink_bps=contact.uplink_bps,
                delay_ms=contact.one_way_delay_ms,
            )

    def _tell_end(self, planned: PlannedContact) -> None:
        before, now = self._before_contact, self.counts()
        told: dict[str, int] = {}
        for name, then, since in (("down", before.down, now.down), ("up", before.up, now.up)):
            told[f"{name}_sent"] = since.channel.sent - then.channel.sent
            told[f"{name}_lost"] = since.channel.lost - then.channel.lost
            told[f"{name}_delivered"] = since.delivered - then.delivered
        self.service.log.info("contact ended", **_contact_json(planned) or {}, **told)

    def _tell_strangers(self, now_ms: int) -> None:
        counts = self.counts()
        strangers = counts.down.strangers + counts.up.strangers
        if strangers == self._strangers or now_ms - self._strangers_told_ms < STRANGERS_LOG_MS:
            return
        self.service.log.warning(
            "strangers ignored",
            datagrams=strangers - self._strangers,
            air=_text(self.relay.air.stranger),
            ground=_text(self.relay.ground.stranger),
        )
        self._strangers, self._strangers_told_ms = strangers, now_ms

    def _add_metrics(self) -> None:
        """Counters of both directions, read when they are asked for."""
        metrics = self.service.metrics
        metrics.gauge("in_flight_datagrams", "Datagrams inside.", lambda: self.counts().in_flight)
        metrics.gauge("in_contact", "1 during a contact.", lambda: float(self._contact is not None))
        for direction in ("down", "up"):
            for name, help in COUNTED.items():
                unit = "" if name.endswith("_bytes") else "_datagrams"
                metrics.counted(f"{direction}_{name}{unit}", help, self._count_reader(direction, name))

    def _count_reader(self, direction: str, name: str) -> Callable[[], float]:
        return lambda: float(self.counts().to_json()[direction][name])


def run_channel(options: argparse.Namespace) -> int:
    """Runs the channel of a scenario until it is told to stop, or its time is over. Raises MissionError."""
    scenario = scenario_of(options)
    source = OptionSource(options, scenario.services.channel)
    duration_s = source.of("duration", PositiveFloat)
    channel = open_channel(source, scenario)
    if duration_s is not None:
        channel.service.after(duration_s, channel.service.stop)
    exit_code = channel.service.run()
    if getattr(options, "json", False):
        json.dump(channel.counts().to_json(), sys.stdout)
        sys.stdout.write("\n")
    return exit_code


def open_channel(source: OptionSource, scenario: Scenario) -> ChannelService:
    """The channel of a scenario, its ports bound, not yet running. Raises MissionError."""
    weather, weather_file = told_weather(source), source.of("weather", Path)
    windows, clock = ContactWindows(scenario), LiveClock()
    windows.check(clock.now_ms())
    seed = source.of("seed", NonNegativeInt, scenario.mission.seed)
    down = ContactChannel("down", windows, seed=seed, weather=weather)
    up = ContactChannel("up", windows, seed=seed, weather=weather)
    queue_ms = source.of("queue", PositiveInt, 1000)
    air, ground = relay_sides(
        parsed_address(source.of("air", str, LOOPBACK)),
        parsed_address(source.of("ground", str, LOOPBACK)),
        air_peer=_peer(source.of("air_peer")),
        ground_peer=_peer(source.of("ground_peer")),
    )
    relay = DatagramRelay(air, ground, down=down, up=up, queue_ms=queue_ms)
    try:
        service = open_service(source)
    except ServiceError:
        relay.close()
        raise
    service.log.info(
        "relaying", air=_text(air.address), ground=_text(ground.address), **weather.model_dump(exclude_none=True)
    )
    return ChannelService(
        service,
        relay,
        channels=(down, up),
        windows=windows,
        clock=clock,
        weather=weather,
        weather_file=None if weather_file is None else WeatherFile(weather_file),
    )


def _peer(text: str | None) -> Peer:
    return FirstSender(silence_ms=SILENCE_MS) if text is None else NamedPeer(text)


def _contact_json(planned: PlannedContact | None) -> dict[str, Any] | None:
    if planned is None:
        return None
    contact = planned.contact
    return {
        "id": contact.contact_id,
        "station": contact.station,
        "aos_ms": contact.aos_ms,
        "los_ms": contact.los_ms,
    }


def _text(address: Address | None) -> str | None:
    return None if address is None else f"{address[0]}:{address[1]}"
