"""A direction that follows the contacts: each has its own channel, and there is nothing between them."""

from dataclasses import replace

from downlink.contact import Contact
from mission.channel import Channel, ChannelRate, ChannelSettings, GilbertElliott
from mission.contacts import PlannedContact
from mission.live.contact_channel import EARLY_MS, LATE_MS, ContactChannel
from mission.live.weather import Weather
from mission.streams import Streams

START_MS = 1_772_360_000_000
RATE_BPS = 800_000
FRAME = bytes(range(100))  # 1 ms at this rate
DOWN = ChannelSettings(rate_bps=RATE_BPS, delay_ms=25)


def planned(aos_s, los_s, down=DOWN, up=None):
    contact = Contact(
        contact_id=aos_s,
        station="Svalbard",
        aos_ms=START_MS + aos_s * 1000,
        los_ms=START_MS + los_s * 1000,
        downlink_bps=down.rate_bps,
        uplink_bps=0 if up is None else up.rate_bps,
        one_way_delay_ms=down.delay_ms,
        frame_loss=down.loss.mean_loss,
    )
    return PlannedContact(contact=contact, downlink=down, uplink=up)


class Windows:
    def __init__(self, *contacts):
        self.contacts = contacts

    def at(self, now_ms):
        return next((one for one in self.contacts if one.contact.aos_ms <= now_ms < one.contact.los_ms), None)


def channel(*contacts, direction="down", weather=None, seed=5):
    return ContactChannel(direction, Windows(*contacts), seed=seed, weather=weather or Weather())


def arrivals_ms(one, now_ms):
    return [arrival.at_ms - START_MS for arrival in one.transmit(FRAME, START_MS + now_ms)]


def test_a_frame_takes_its_time_at_the_rate_and_the_delay_of_the_contact():
    slow = replace(DOWN, rate_bps=RATE_BPS // 4, delay_ms=300)
    one = channel(planned(0, 10), planned(20, 30, slow))
    assert arrivals_ms(one, 5_000) == [5_026]
    assert arrivals_ms(one, 5_000) == [5_027]  # behind the one before
    assert one.busy_until_ms == START_MS + 5_002
    assert arrivals_ms(one, 21_000) == [21_304]
    assert one.counts.sent == 3 and one.counts.unsent == 0


def test_nothing_leaves_without_contact_but_a_little_before_and_after_it():
    one = channel(planned(10, 20))
    assert arrivals_ms(one, 0) == []
    assert arrivals_ms(one, 10_000 - EARLY_MS - 1) == []
    assert arrivals_ms(one, 10_000 - EARLY_MS) == [10_000 - EARLY_MS + 26]
    assert arrivals_ms(one, 20_000 + LATE_MS - 1) == [20_000 + LATE_MS + 25]
    assert arrivals_ms(one, 20_000 + LATE_MS) == []
    assert arrivals_ms(one, 25_000) == []
    assert (one.counts.sent, one.counts.unsent) == (2, 4)


def test_where_one_contact_follows_at_once_the_new_one_counts():
    fast = replace(DOWN, delay_ms=1)
    one = channel(planned(0, 10), planned(10, 20, fast))
    assert arrivals_ms(one, 9_990) == [9_990 + 26]
    assert arrivals_ms(one, 10_000) == [10_002]


def test_what_was_queued_in_a_contact_does_not_wait_in_the_next():
    one = channel(planned(0, 10), planned(11, 20))
    for _ in range(400):
        one.transmit(FRAME, START_MS + 9_900)
    assert one.busy_until_ms == START_MS + 10_000 + LATE_MS  # what does not fit in before is not sent
    assert one.counts.unsent == 50
    assert arrivals_ms(one, 11_000) == [11_026]


def test_a_station_that_only_listens_hears_and_sends_nothing_up():
    up = channel(planned(0, 10), planned(20, 30, up=DOWN), direction="up")
    assert arrivals_ms(up, 5_000) == []
    assert arrivals_ms(up, 25_000) == [25_026]
    assert (up.counts.unsent, up.counts.sent) == (1, 1)


def test_chance_in_a_contact_depends_on_the_seed_and_the_contact_alone():
    lossy = replace(DOWN, loss=GilbertElliott.independent(0.4))
    contacts = (planned(0, 10, lossy), planned(20, 30, lossy))

    def fates(one, start_ms):
        return [bool(one.transmit(FRAME, START_MS + start_ms + number)) for number in range(64)]

    whole = channel(*contacts)
    first, second = fates(whole, 1_000), fates(whole, 21_000)
    assert first != second and 20 < sum(first) < 58
    assert fates(channel(*contacts), 22_000) == second  # started late
    assert fates(channel(*contacts, seed=6), 21_000) != second
    settings = replace(lossy, windows=((START_MS - EARLY_MS, START_MS + 10_000 + LATE_MS),))
    oracle = Channel(settings, Streams(5).generator(f"channel/down/{START_MS}"))
    assert fates(oracle, 1_000) == first


def test_rates_along_the_pass_are_kept():
    step = ChannelRate(
        from_ms=START_MS + 4_000, rate_bps=RATE_BPS // 10, frame_loss=0.0, robust_rate_bps=1, robust_frame_loss=0.0
    )
    one = channel(planned(0, 10, replace(DOWN, rates=(step,))))
    assert arrivals_ms(one, 3_000) == [3_026]
    assert arrivals_ms(one, 5_000) == [5_035]


def test_weather_may_change_in_the_middle_of_a_contact():
    one = channel(planned(0, 10), weather=Weather(delay=100))
    assert arrivals_ms(one, 1_000) == [1_101]
    one.change_weather(Weather(blackout=True))
    assert arrivals_ms(one, 2_000) == []
    one.change_weather(Weather())
    assert arrivals_ms(one, 3_000) == [3_026]
    assert (one.counts.sent, one.counts.lost, one.counts.blacked_out) == (3, 1, 1)


def test_a_clock_that_goes_back_finds_a_transmitter_that_is_free():
    one = channel(planned(0, 10))
    for _ in range(50):
        one.transmit(FRAME, START_MS + 9_000)
    one.restart()
    assert arrivals_ms(one, 2_000) == [2_026]


def test_a_sender_that_keeps_to_the_rate_loses_nothing_though_it_is_held_up_now_and_then():
    """One frame a millisecond for all of a contact; three times the sender sleeps 200 ms and then makes up for it."""
    one = channel(planned(0, 10))
    held_up_ms = (1_000, 6_000, 9_799)
    longest_wait_ms = 0
    for number in range(10_000):
        now_ms = next((stall + 200 for stall in held_up_ms if stall <= number < stall + 200), number)
        longest_wait_ms = max(longest_wait_ms, one.busy_until_ms - START_MS - now_ms)
        one.transmit(FRAME, START_MS + now_ms)
    assert (one.counts.sent, one.counts.unsent) == (10_000, 0)
    assert longest_wait_ms <= 200
