"""The contacts of a mission: from the orbit, from the scenario's list or repeating, with the link's faults for each direction.

One transmitter serves one station at a time: where two stations see the satellite at once, the one that saw it first keeps it
until its loss of signal and the other takes over then.

With a `[radio]` section rate and loss follow the elevation (`mission.radio_contacts`), otherwise they are those of the scenario.

A `capacity_raw_fraction` cuts every contact to the same share of what it carries, from AOS on. A contact that carries
twice as much before carries twice as much after; contacts are never lengthened.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from downlink.contact import Contact
from mission.channel import ChannelSettings, GilbertElliott
from mission.errors import ChannelError, ScenarioError, ScenarioProblem
from mission.orbit import one_way_delay_ms
from mission.radio_contacts import PassRates, pass_rates
from mission.scenario import Scenario
from mission.scenario_contacts import ContactSection
from mission.visibility import VisibilityWindow, visibility_windows


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedContact:
    """A contact and what its link does."""

    contact: Contact
    """Window, station, rates."""
    downlink: ChannelSettings
    """From the satellite to the ground."""
    uplink: ChannelSettings | None
    """From the ground to the satellite; None where the station only listens."""


def plan_contacts(scenario: Scenario, *, raw_bytes: int) -> tuple[PlannedContact, ...]:
    """All contacts in order of AOS. `raw_bytes` is the size of all captured pixels, which `capacity_raw_fraction` refers to.

    Raises ScenarioError where no contact is left.
    """
    settings = scenario.contacts
    natural = _natural_contacts(scenario)
    used = natural[: settings.max_contacts]
    if settings.capacity_raw_fraction is not None:
        used = cut_to_capacity(used, capacity_bytes=int(settings.capacity_raw_fraction * raw_bytes))
    if not used:
        remedy = (
            f"no contact of this mission can carry anything ({len(natural)} windows in {settings.horizon_h} h, "
            f"{raw_bytes} raw bytes); lengthen contacts.horizon_h, lower masks or min_duration_s, or raise capacity_raw_fraction"
        )
        problem = ScenarioProblem(key="contacts", value=settings.source, remedy=remedy)
        raise ScenarioError(scenario.mission.name, [problem])
    return tuple(
        replace(planned, contact=replace(planned.contact, contact_id=number)) for number, planned in enumerate(used)
    )


def _natural_contacts(scenario: Scenario) -> tuple[PlannedContact, ...]:
    match scenario.contacts.source:
        case "orbit":
            return contacts_from_orbit(scenario)
        case "list":
            return contacts_from_list(scenario)
        case "repeating":
            return repeating_contacts(scenario)


def contacts_from_orbit(scenario: Scenario) -> tuple[PlannedContact, ...]:
    """The windows over the scenario's stations up to its horizon, one station at a time, at natural length."""
    return contacts_in_orbit(scenario, start_ms=scenario.start_ms, end_ms=scenario.horizon_ms)


def contacts_in_orbit(scenario: Scenario, *, start_ms: int, end_ms: int) -> tuple[PlannedContact, ...]:
    """The windows over the scenario's stations between two Unix times, numbered from 0, cut where the span begins and ends."""
    satellite = scenario.orbit.satellite(scenario.start_ms)
    stations = [section.station() for section in scenario.orbit.stations]
    windows = visibility_windows(satellite, stations, start_ms=start_ms, end_ms=end_ms)
    served = one_at_a_time(windows, min_duration_ms=round(scenario.contacts.min_duration_s * 1000))
    loss = loss_model(scenario)
    planned = []
    for number, window in enumerate(served):
        light_ms = one_way_delay_ms(satellite, window.station, window.aos_ms)
        contact = Contact(
            contact_id=number,
            station=window.station.name,
            aos_ms=window.aos_ms,
            los_ms=window.los_ms,
            downlink_bps=scenario.contacts.downlink_bps,
            uplink_bps=scenario.contacts.uplink_bps,
            one_way_delay_ms=light_ms + scenario.contacts.ground_delay_ms,
            frame_loss=loss.mean_loss,
        )
        rates = None if scenario.radio is None else pass_rates(scenario, scenario.radio, satellite, window)
        planned.append(with_channels(contact, loss, scenario, rates=rates))
    return tuple(planned)


def contacts_from_list(scenario: Scenario) -> tuple[PlannedContact, ...]:
    """The `[[contact]]` entries in order of AOS."""
    planned = []
    for number, entry in enumerate(sorted(scenario.contact, key=lambda entry: entry.aos_s)):
        loss = loss_model(scenario, entry)
        aos_ms = scenario.start_ms + round(entry.aos_s * 1000)
        contact = Contact(
            contact_id=number,
            station=entry.station,
            aos_ms=aos_ms,
            los_ms=aos_ms + max(1, round(entry.duration_s * 1000)),
            downlink_bps=entry.downlink_bps,
            uplink_bps=entry.uplink_bps,
            one_way_delay_ms=entry.delay_ms,
            frame_loss=loss.mean_loss,
        )
        planned.append(with_channels(contact, loss, scenario))
    return tuple(planned)


REPEATING_NUMBERS = 1 << 32
"""Numbers of repeating contacts begin again after so many: as many as a link report can say (`downlink.command`)."""


def repeating_contact(scenario: Scenario, number: int) -> PlannedContact:
    """The repeating contact that begins in the period of this number, counted from the Unix epoch; 0 is the first one.

    Raises ScenarioError where the scenario has no repeating contacts.
    """
    settings = scenario.contacts
    if settings.period_s is None or settings.duration_s is None:
        problem = ScenarioProblem(key="contacts.source", value=settings.source, remedy="set it to repeating")
        raise ScenarioError(scenario.mission.name, [problem])
    loss = loss_model(scenario)
    aos_ms = number * round(settings.period_s * 1000) + round(settings.offset_s * 1000)
    contact = Contact(
        contact_id=number % REPEATING_NUMBERS,
        station=settings.station,
        aos_ms=aos_ms,
        los_ms=aos_ms + round(settings.duration_s * 1000),
        downlink_bps=settings.downlink_bps,
        uplink_bps=settings.uplink_bps,
        one_way_delay_ms=settings.delay_ms,
        frame_loss=loss.mean_loss,
    )
    return with_channels(contact, loss, scenario)


def repeating_contacts(scenario: Scenario) -> tuple[PlannedContact, ...]:
    """The repeating contacts with AOS from the mission's start up to its horizon, at most `max_contacts`."""
    settings = scenario.contacts
    period_ms, offset_ms = round((settings.period_s or 1) * 1000), round(settings.offset_s * 1000)
    first = -(-(scenario.start_ms - offset_ms) // period_ms)
    behind = -(-(scenario.horizon_ms - offset_ms) // period_ms)
    if settings.max_contacts is not None:
        behind = min(behind, first + settings.max_contacts)
    return tuple(repeating_contact(scenario, number) for number in range(first, behind))


def loss_model(scenario: Scenario, entry: ContactSection | None = None) -> GilbertElliott:
    """Downlink losses of a contact: its own mean and bursts where it has them, the channel's elsewhere."""
    channel = scenario.channel
    own_loss = entry.frame_loss if entry else None
    own_burst = entry.burst if entry else None
    burst = own_burst or channel.burst
    mean = own_loss if own_loss is not None or own_burst else channel.frame_loss
    if burst is None:
        return GilbertElliott.independent(mean or 0.0)
    try:
        return burst.model(mean)
    except ChannelError as error:
        key = "contact" if entry else "channel"
        problem = ScenarioProblem(key=f"{key}.frame_loss", value=mean, remedy=str(error))
        raise ScenarioError(scenario.mission.name, [problem]) from error


def with_channels(
    contact: Contact, loss: GilbertElliott, scenario: Scenario, *, rates: PassRates | None = None
) -> PlannedContact:
    """The contact with both directions of its link; `rates` say what the radio does on the downlink."""
    channel = scenario.channel
    downlink = ChannelSettings(
        rate_bps=contact.downlink_bps,
        delay_ms=contact.one_way_delay_ms,
        loss=loss,
        bit_error_rate=channel.bit_error_rate,
        duplicate=channel.duplicate,
        reorder=channel.reorder,
        reorder_window_ms=channel.reorder_window_ms,
    )
    uplink = None
    if contact.uplink_bps > 0:
        uplink_loss = GilbertElliott.independent(channel.uplink_loss)
        uplink = replace(downlink, rate_bps=contact.uplink_bps, loss=uplink_loss)
    if rates is not None:
        contact = rates.on(contact, other_loss=loss.mean_loss)
        downlink = rates.through(replace(downlink, rate_bps=contact.downlink_bps))
    return PlannedContact(contact=contact, downlink=downlink, uplink=uplink)


def one_at_a_time(windows: Sequence[VisibilityWindow], *, min_duration_ms: int) -> tuple[VisibilityWindow, ...]:
    """Windows in order of AOS made disjoint: each begins when the one before has ended; what is then too short is left out."""
    served: list[VisibilityWindow] = []
    for window in windows:
        aos_ms = max(window.aos_ms, served[-1].los_ms if served else window.aos_ms)
        if window.los_ms - aos_ms >= max(1, min_duration_ms):
            served.append(replace(window, aos_ms=aos_ms))
    return tuple(served)


def cut_to_capacity(planned: Sequence[PlannedContact], *, capacity_bytes: int) -> tuple[PlannedContact, ...]:
    """The contacts, each cut to the same share of its bytes so that together they carry at most `capacity_bytes`."""
    natural = [_bits_ms(one.contact, one.contact.duration_ms) for one in planned]
    wanted = capacity_bytes * 8000
    if sum(natural) <= wanted:
        return tuple(planned)
    cut = []
    for one, bits_ms in zip(planned, natural, strict=True):
        duration_ms = _longest_ms(one.contact, bits_ms * wanted // sum(natural))
        if duration_ms >= 1:
            cut.append(replace(one, contact=replace(one.contact, los_ms=one.contact.aos_ms + duration_ms)))
    return tuple(cut)


def _bits_ms(contact: Contact, duration_ms: int) -> int:
    """Bits that a contact carries in its first milliseconds, times 1000."""
    if not contact.rates:
        return contact.downlink_bps * duration_ms
    if duration_ms < 1:
        return 0
    started = replace(contact, los_ms=contact.aos_ms + duration_ms)
    return sum(step.downlink_bps * length_ms for step, length_ms in started.spans())


def _longest_ms(contact: Contact, bits_ms: int) -> int:
    """The longest time from AOS on in which a contact carries no more than that."""
    durations = range(1, contact.duration_ms + 1)
    return bisect_right(durations, bits_ms, key=lambda duration_ms: _bits_ms(contact, duration_ms))


def capture_times_ms(scenario: Scenario, planned: Sequence[PlannedContact], *, count: int) -> tuple[int, ...]:
    """When each of `count` scenes is captured, Unix ms: evenly, beginning some time before the first contact."""
    lead_s = scenario.sensor.capture_before_first_contact_s
    first_ms = scenario.start_ms
    if lead_s is not None and planned:
        first_ms = max(first_ms, planned[0].contact.aos_ms - round(lead_s * 1000))
    interval_ms = round(scenario.sensor.capture_interval_s * 1000)
    return tuple(first_ms + number * interval_ms for number in range(count))
