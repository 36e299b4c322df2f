"""The event log and its replay: the same core decides the same; whatever was changed is told with its place; no key is written."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from downlink.command import DropScene, ReportLink, RequestLayers
from downlink.contact import Contact, RateStep
from downlink.errors import JournalError
from downlink.frame_security import SecurityAssociation
from downlink.journal import FileJournal, MemoryJournal
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import LinkProfile
from downlink.products import Layer, LayerAddress, Rung
from downlink.requests import LayerRequest
from ground.link_events import LayersArrived, OrderGiven
from ground.station import GroundStation
from mission import cli, event_log
from mission.errors import ReplayError
from mission.event_codec import decode, encode
from mission.event_log import FILE_HEADER, NOTE_ROOM_BYTES, RESERVE_BYTES, EventRecorder, read_log
from mission.incarnation import Incarnation
from mission.link_ends import EndJournals, LinkKeys, onboard_computer
from mission.replay import replay
from mission.seeded_flight import SeededFlight
from mission.seeded_mission import harsh_mission
from onboard.computer import OnboardComputer
from onboard.link_events import LayersCaptured
from onboard.valuation import ValuedLayer

HARSH_SEED = 2
KEYS = LinkKeys(reboot_lockout_ms=200)
PROFILE = LinkProfile(frame_bytes=223)
CONTACT = Contact(
    contact_id=3,
    station="Svalbard",
    aos_ms=1000,
    los_ms=9000,
    downlink_bps=8000,
    uplink_bps=2000,
    one_way_delay_ms=7,
    frame_loss=0.125,
    rates=(RateStep(from_ms=500, downlink_bps=4000, frame_loss=0.25),),
)


def layer(number, size=40):
    return ValuedLayer(
        layer=Layer(
            address=LayerAddress(scene=0x12345678, product=1, step=number),
            rung=Rung.REFINEMENT,
            size_bytes=18 + size,
            value=3.5,
            half_life_s=60.0,
            captured_ms=10,
        ),
        payload=bytes(range(size)),
    )


@pytest.fixture(scope="module")
def harsh_logs(tmp_path_factory):
    """Both logs of a harsh mission with all its reboots and losses of power."""
    folder = tmp_path_factory.mktemp("harsh")
    SeededFlight(harsh_mission(HARSH_SEED), record_in=folder).fly()
    return folder


@pytest.fixture
def onboard_log(harsh_logs, tmp_path):
    copy = tmp_path / "onboard.log"
    copy.write_bytes((harsh_logs / "onboard.log").read_bytes())
    return copy


def test_asking_for_the_coding_price_changes_no_decision(harsh_logs, tmp_path, monkeypatch):
    handle, prices = OnboardComputer.handle, []

    def asking(computer, event, now_ms):
        prices.append(computer.coding_price(now_ms))
        actions = handle(computer, event, now_ms)
        prices.append(computer.coding_price(now_ms + 12_345))
        computer.standing_requests(now_ms + 12_345)
        return actions

    monkeypatch.setattr(OnboardComputer, "handle", asking)
    SeededFlight(harsh_mission(HARSH_SEED), record_in=tmp_path).fly()
    assert max(prices) > 0
    assert (tmp_path / "onboard.log").read_bytes() == (harsh_logs / "onboard.log").read_bytes()


# ---- canonical bytes


@pytest.mark.parametrize(
    "value",
    [
        ContactStarted(contact=CONTACT),
        ContactEnded(),
        TransmitterReady(),
        FrameHeard(frame=b"\x12\x34\x56\x78"),
        LayersCaptured(layers=(layer(1), layer(2))),
        OrderGiven(order=DropScene(scene=0x12345678)),
        OrderGiven(order=ReportLink(contact_id=1, frames_heard=2, frames_lost=3, bursts=2)),
        OrderGiven(
            order=RequestLayers(
                request=LayerRequest(
                    scene=1, first_product=2, last_product=3, last_step=4, factor=1.0 / 3 + 1, until_ms=1 << 62
                )
            )
        ),
        TransmitFrame(frame=b"\x9a\xbc", robust=True),
        WakeAt(at_ms=None),
        WakeAt(at_ms=1 << 47),
        LayersArrived(addresses=(LayerAddress(scene=1, product=2, step=3),)),
    ],
)
def test_events_and_actions_come_back_equal(value):
    assert decode(encode(value)) == value


def test_a_list_and_a_tuple_of_layers_have_the_same_bytes():
    assert encode(LayersCaptured(layers=[layer(1)])) == encode(LayersCaptured(layers=(layer(1),)))


def test_golden_bytes():
    assert encode((0x1234, b"\x56\x78", "x", None, True, -1)).hex() == (
        "6c00000006" + "69021234" + "6200000002" + "5678" + "7300000001" + "78" + "30" + "54" + "6901ff"
    )


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.binary(), st.text(), st.floats()),
        lambda inner: st.lists(inner, max_size=4).map(tuple),
        max_leaves=10,
    )
)
def test_plain_values_come_back_with_the_same_bytes(value):
    assert encode(decode(encode(value))) == encode(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        decode(data)
    except ReplayError:
        return


def test_what_is_no_event_is_refused():
    with pytest.raises(ReplayError, match="PosixPath"):
        encode((1, Path("x")))


# ---- a harsh mission


@pytest.mark.parametrize("end", ["onboard", "ground"])
def test_a_harsh_mission_replays_through_all_its_reboots_to_the_same_decisions(harsh_logs, end):
    outcome = replay(harsh_logs / f"{end}.log")
    assert outcome.agrees and outcome.hash_recorded == outcome.hash_replayed
    assert outcome.end == end and outcome.incarnations >= 4 and outcome.events > 100 and outcome.broken_off > 0
    assert outcome.torn_bytes == 0 and outcome.damaged_at_byte is None and outcome.note == ""


def test_recording_changes_nothing(harsh_logs):
    recorded = SeededFlight(harsh_mission(HARSH_SEED), record_in=harsh_logs / "again").fly()
    assert recorded.log_hash == SeededFlight(harsh_mission(HARSH_SEED)).fly().log_hash
    for end in ("onboard.log", "ground.log"):
        assert (harsh_logs / end).read_bytes() == (harsh_logs / "again" / end).read_bytes()


def test_another_decision_is_told_with_its_time_and_event(harsh_logs, monkeypatch):
    handle = OnboardComputer.handle

    def lazy(self, event, now_ms):
        actions = handle(self, event, now_ms)
        return [] if isinstance(event, TransmitterReady) and now_ms > 10_000 else actions

    monkeypatch.setattr(OnboardComputer, "handle", lazy)
    outcome = replay(harsh_logs / "onboard.log")
    first = outcome.divergence
    assert not outcome.agrees and outcome.hash_recorded != outcome.hash_replayed
    assert first.now_ms > 10_000 and first.event == "TransmitterReady()" and first.replayed.endswith("nothing")


def test_a_core_that_raises_in_replay_is_told_with_its_place(harsh_logs, monkeypatch):
    def broken(self, event, now_ms):
        raise IndexError("out of range")

    monkeypatch.setattr(GroundStation, "handle", broken)
    with pytest.raises(ReplayError, match=r"event 1 at .* IndexError: out of range"):
        replay(harsh_logs / "ground.log")


# ---- damage


def test_a_flipped_byte_is_told_with_its_place(onboard_log):
    entries = read_log(onboard_log).entries
    victim = entries[len(entries) // 2]
    data = bytearray(onboard_log.read_bytes())
    data[victim.at_byte + 9] ^= 0x10
    onboard_log.write_bytes(data)
    outcome = replay(onboard_log)
    assert not outcome.agrees and outcome.damaged_at_byte == victim.at_byte and outcome.divergence is None
    assert 0 < outcome.events < sum(entry.kind == "E" for entry in entries)


def rewritten(path, change):
    """The log as somebody would write it who makes every check agree."""
    data, former = event_log.FILE_HEADER, 0
    for entry in read_log(path).entries:
        body = zstandard.ZstdCompressor(level=1).compress(entry.body) if entry.kind == "B" else entry.body
        record, former = event_log.framed(entry.kind.encode(), change(entry, body), former)
        data += record
    path.write_bytes(data)


def offers(path):
    """Offers of the transmitter that were answered with a frame."""
    entries = read_log(path).entries
    return [
        entry
        for entry, answer in pairwise(entries)
        if entry.kind == "E"
        and isinstance(entry.value[1], TransmitterReady)
        and answer.kind == "A"
        and len(answer.body) > 100
    ]


def ended(entry):
    """The same moment, and another event."""
    return encode((entry.value[0], ContactEnded()))


def test_a_changed_event_breaks_the_chain_of_checks(onboard_log):
    victim = offers(onboard_log)[4]
    entries = read_log(onboard_log).entries
    number = entries.index(victim)
    data = onboard_log.read_bytes()
    former = int.from_bytes(data[entries[number - 1].at_byte + 7 :][:4], "big")
    changed, _ = event_log.framed(b"E", ended(victim), former)
    onboard_log.write_bytes(data[: victim.at_byte] + changed + data[entries[number + 1].at_byte :])
    outcome = replay(onboard_log)
    assert not outcome.agrees and outcome.damaged_at_byte == victim.at_byte + len(changed)


def test_a_changed_event_under_checks_that_agree_leads_to_another_decision(onboard_log):
    victim = offers(onboard_log)[4]
    rewritten(onboard_log, lambda entry, body: body)
    assert replay(onboard_log).agrees
    rewritten(onboard_log, lambda entry, body: ended(entry) if entry == victim else body)
    outcome = replay(onboard_log)
    first = outcome.divergence
    assert not outcome.agrees and outcome.damaged_at_byte is None
    assert (first.now_ms, first.at_byte, first.event) == (victim.value[0], victim.at_byte, "ContactEnded()")
    assert first.recorded != first.replayed


def test_a_damaged_length_is_no_torn_tail(onboard_log):
    victim = read_log(onboard_log).entries[3]
    data = bytearray(onboard_log.read_bytes())
    data[victim.at_byte + 1] ^= 0x40
    onboard_log.write_bytes(data)
    outcome = replay(onboard_log)
    assert outcome.damaged_at_byte == victim.at_byte and outcome.torn_bytes == 0


def test_a_torn_tail_is_passed_over_and_cut_off_by_the_next_recorder(onboard_log):
    data = onboard_log.read_bytes()
    events = replay(onboard_log).events
    for cut in (1, 5, 7):
        onboard_log.write_bytes(data[:-cut])
        outcome = replay(onboard_log)
        assert outcome.agrees and outcome.torn_bytes > 0 and outcome.events >= events - 3
    EventRecorder(onboard_log).close()
    assert replay(onboard_log).torn_bytes == 0 and replay(onboard_log).agrees


@pytest.mark.parametrize("content", [b"", b"II*\x00 a picture", event_log.FILE_HEADER[:-1] + b"\xff"])
def test_what_is_no_log_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "other.log"
    path.write_bytes(content)
    with pytest.raises(ReplayError, match=r"no event log|another version"):
        replay(path)
    if content:
        recorder = EventRecorder(path)
        recorder.event(ContactEnded(), 5)
        assert recorder.stopped and path.read_bytes() == content


# ---- the recorder and its core


def start(recorder, journals, keys=KEYS, **more):
    incarnation = Incarnation(end="onboard", profile=PROFILE, capacity_bytes=10_000, **more)
    return onboard_computer(
        PROFILE, capacity_bytes=10_000, journals=recorder.begin(incarnation, journals, keys), keys=keys
    )


def tell(recorder, computer, event, now_ms):
    recorder.event(event, now_ms)
    actions = computer.handle(event, now_ms)
    recorder.actions(actions)
    return actions


def test_a_full_log_stops_with_a_note_and_never_disturbs_its_core(tmp_path):
    recorder = EventRecorder(tmp_path / "o.log", capacity_bytes=2000)
    computer = start(recorder, EndJournals(), key_seed=0)
    for number in range(200):
        tell(recorder, computer, LayersCaptured(layers=[layer(number)]), number)
    assert "full" in recorder.stopped and (tmp_path / "o.log").stat().st_size <= 2000
    outcome = replay(tmp_path / "o.log")
    assert outcome.agrees and 1 < outcome.events < 30 and "full" in outcome.note


def test_journals_that_do_not_fit_are_not_read(tmp_path):
    journals = EndJournals()
    onboard_computer(PROFILE, capacity_bytes=10_000, journals=journals).handle(LayersCaptured(layers=[layer(1)]), 1)
    size_bytes = journals.layers.size_bytes + journals.commands.size_bytes
    recorder = EventRecorder(tmp_path / "o.log", capacity_bytes=60)
    start(recorder, journals)
    assert f"no room for journals of {size_bytes} bytes to begin from" in recorder.stopped
    assert f"has {len(FILE_HEADER)} of at most 60" in recorder.stopped and "full" not in recorder.stopped
    assert replay(tmp_path / "o.log").note == recorder.stopped


def test_a_log_leaves_the_disk_a_reserve(tmp_path):
    """Others fill the disk, the journals among them: the log ends before the reserve is touched, with its reason, and stays ended."""
    room = {"bytes": RESERVE_BYTES + 20_000}
    recorder = EventRecorder(tmp_path / "o.log", free_bytes=lambda folder: room["bytes"] if folder == tmp_path else 0)
    computer = start(recorder, EndJournals(), key_seed=0)
    for number in range(10):
        tell(recorder, computer, LayersCaptured(layers=[layer(number)]), number)
    assert recorder.stopped == ""
    room["bytes"] = RESERVE_BYTES + NOTE_ROOM_BYTES
    size_bytes = recorder.size_bytes
    tell(recorder, computer, LayersCaptured(layers=[layer(10)]), 10)
    room["bytes"] = 1 << 40
    tell(recorder, computer, LayersCaptured(layers=[layer(11)]), 11)
    assert f"{RESERVE_BYTES + NOTE_ROOM_BYTES} bytes are free" in recorder.stopped and "disk" in recorder.stopped
    assert recorder.size_bytes - size_bytes < NOTE_ROOM_BYTES
    outcome = replay(tmp_path / "o.log")
    assert outcome.agrees and outcome.events == 10 and outcome.note == recorder.stopped


def test_a_disk_that_does_not_say_what_is_free_ends_the_log(tmp_path):
    def unknown(folder):
        raise OSError(5, "Input/output error")

    recorder = EventRecorder(tmp_path / "o.log", free_bytes=unknown)
    start(recorder, EndJournals())
    assert "Input/output error" in recorder.stopped


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    recorder = EventRecorder(tmp_path / "file" / "o.log")
    tell(recorder, start(recorder, EndJournals()), ContactEnded(), 1)
    assert "cannot open" in recorder.stopped


def test_the_next_process_continues_the_log(tmp_path):
    """Over journals on the disk, as a service does."""
    for number in range(3):
        recorder = EventRecorder(tmp_path / "o.log")
        with FileJournal(tmp_path / "layers") as layers, FileJournal(tmp_path / "commands") as commands:
            computer = start(recorder, EndJournals(layers=layers, commands=commands), key_seed=0)
            tell(recorder, computer, LayersCaptured(layers=[layer(number)]), 1000 * number)
            tell(recorder, computer, ContactStarted(contact=CONTACT), 1000 * number + 1)
            tell(recorder, computer, TransmitterReady(), 1000 * number + 2)
    outcome = replay(tmp_path / "o.log")
    assert outcome.agrees and outcome.incarnations == 3 and outcome.events == 9


def test_what_a_full_disk_made_the_core_do_is_replayed(tmp_path):
    class FullNowAndThen(MemoryJournal):
        full = False

        def append(self, records):
            records = tuple(records)
            if self.full:
                raise JournalError("no room")
            return super().append(records)

    layers = FullNowAndThen()
    recorder = EventRecorder(tmp_path / "o.log")
    computer = start(recorder, EndJournals(layers=layers), key_seed=0)
    for number in range(6):
        layers.full = number in (2, 3)
        event = LayersCaptured(layers=[layer(number)])
        if layers.full:
            recorder.event(event, number)
            with pytest.raises(JournalError):
                computer.handle(event, number)
        else:
            tell(recorder, computer, event, number)
    tell(recorder, computer, ContactStarted(contact=CONTACT), 10)
    for now_ms in range(11, 20):
        tell(recorder, computer, TransmitterReady(), now_ms)
    outcome = replay(tmp_path / "o.log")
    assert outcome.agrees and outcome.broken_off == 2 and outcome.events == 16


# ---- keys


def test_keys_are_not_in_the_log_and_must_be_at_hand(tmp_path):
    secret = SecurityAssociation(spi=7, key=bytes(range(100, 132)))
    other = SecurityAssociation(spi=7, key=bytes(range(32)))
    recorder = EventRecorder(tmp_path / "o.log")
    computer = start(recorder, EndJournals(), LinkKeys(associations=(secret,)))
    tell(recorder, computer, ContactStarted(contact=CONTACT), 1000)
    tell(recorder, computer, TransmitterReady(), 1001)
    data = b"".join(entry.body for entry in read_log(tmp_path / "o.log").entries)
    assert secret.key not in data and secret.key.hex().encode() not in data and secret.key[:9] not in data
    assert replay(tmp_path / "o.log", (other, secret)).agrees
    for at_hand in ((), (other,)):
        with pytest.raises(ReplayError, match=r"keys \[7\].*--keys FILE"):
            replay(tmp_path / "o.log", at_hand)


# ---- the command


def test_replay_tells_what_it_found(harsh_logs, capsys):
    assert cli.main(["replay", str(harsh_logs / "onboard.log"), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["hash_recorded"] == outcome["hash_replayed"] and outcome["divergence"] is None
    assert cli.main(["replay", str(harsh_logs / "onboard.log")]) == 0
    assert "decides the same" in capsys.readouterr().out


def test_replay_fails_where_decisions_differ_and_refuses_what_is_no_log(onboard_log, capsys):
    data = bytearray(onboard_log.read_bytes())
    data[len(data) // 2] ^= 1
    onboard_log.write_bytes(data)
    assert cli.main(["replay", str(onboard_log)]) == 1
    assert "DAMAGED at byte" in capsys.readouterr().out
    assert cli.main(["replay", str(onboard_log.parent)]) == 2
    assert "cannot be read" in capsys.readouterr().err
