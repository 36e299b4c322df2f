"""Seeded missions: every promise kept under every kind of fault, one seed one history, and planted bugs are found."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from downlink import link_events
from downlink.frame_reader import FrameReader
from downlink.record import RecordKind, encode_record
from downlink.replay_window import ReplayWindow
from downlink.transfer_frame import decode_transfer_frame, frame_is_intact
from ground.store import LayerStore
from mission import cli
from mission.campaign import Campaign, run_campaign
from mission.errors import InvariantError, RunError
from mission.progress import ProgressBars
from mission.replay import replay
from mission.seeded_flight import FAULTS, SeededFlight
from mission.seeded_mission import harsh_mission, seeded_mission
from onboard.computer import OnboardComputer
from onboard.file_lane import FileLane

SEEDS = 80
BLOCKS = 8
HARSH_SEEDS = range(40, 50)
PLANTED_SEEDS = range(40)
"""Where the planted bugs below are looked for; most are found in the first few."""


def fly(seed):
    return SeededFlight(seeded_mission(seed)).fly()


@pytest.fixture(scope="module")
def faults_seen():
    return Counter()


@pytest.mark.parametrize("block", range(BLOCKS))
def test_nothing_is_lost_duplicated_or_wrong_under_faults(block, faults_seen):
    count = SEEDS // BLOCKS
    with ProgressBars(quiet=True) as bars:
        figures = run_campaign(Campaign(first=block * count, count=count), bars)
    assert not figures.failures, "\n".join(
        f"{one.reproduce}: {one.invariant}: {one.detail}" for one in figures.failures
    )
    assert figures.missions == count and figures.captured_bytes > 0 and figures.sent_bytes > 0
    faults_seen.update(figures.faults)
    faults_seen["missions"] += count


def test_nothing_is_lost_duplicated_or_wrong_in_harsh_missions(faults_seen):
    with ProgressBars(quiet=True) as bars:
        figures = run_campaign(Campaign(first=HARSH_SEEDS[0], count=len(HARSH_SEEDS), harsh_every=1), bars)
    assert not figures.failures, "\n".join(f"{one.reproduce}: {one.detail}" for one in figures.failures)
    assert figures.harsh_missions == figures.missions == len(HARSH_SEEDS)
    assert figures.faults["onboard reboots"] + figures.faults["ground reboots"] >= 10 * len(HARSH_SEEDS)
    faults_seen.update(figures.faults)


def test_every_kind_of_fault_did_happen(faults_seen):
    if faults_seen["missions"] < SEEDS:
        pytest.skip(f"only {faults_seen['missions']} of {SEEDS} missions were flown in this process")
    assert {fault: faults_seen[fault] for fault in FAULTS if faults_seen[fault] < 3} == {}


def test_one_seed_one_history_whatever_was_flown_before():
    forwards = [fly(seed).log_hash for seed in (5, 6, 7)]
    backwards = [fly(seed).log_hash for seed in (7, 6, 5)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == 3


def test_two_processes_find_what_one_finds():
    with ProgressBars(quiet=True) as bars:
        alone, together = (
            run_campaign(Campaign(first=300, count=12, harsh_every=4, jobs=jobs), bars) for jobs in (1, 2)
        )
    assert together.jobs == 2 and alone.jobs == 1
    measured = {"jobs", "wall_s", "missions_per_s", "real_time_factor", "contact_time_factor"}
    assert alone.model_dump(exclude=measured) == together.model_dump(exclude=measured)


def test_a_recorded_mission_replays(tmp_path):
    with ProgressBars(quiet=True) as bars:
        run_campaign(Campaign(first=3, count=1, record_in=tmp_path), bars)
    outcomes = [replay(tmp_path / "3" / f"{end}.log") for end in ("onboard", "ground")]
    assert all(outcome.agrees and outcome.events > 50 for outcome in outcomes)


@pytest.mark.parametrize("seed", [304, 675])
def test_harsh_missions_that_found_something_once(seed):
    """What rots on the ground comes again in the event that misses it; a rotted mark brings back more than fits on board."""
    flown = SeededFlight(harsh_mission(seed)).fly()
    assert flown.seed == seed and sum(flown.faults[f"bits flipped on {end}"] for end in ("board", "the ground")) > 0


def test_a_mission_is_planned_from_its_seed_alone():
    assert seeded_mission(11) == seeded_mission(11) != seeded_mission(12)


# ---- planted bugs: the campaign must find each of them


def first_failure(seeds):
    for seed in seeds:
        try:
            fly(seed)
        except InvariantError as error:
            return error
    return None


def test_finds_a_record_that_is_off_by_one(monkeypatch):
    def shortened(record):
        cut = record.kind is RecordKind.LAYER and len(record.payload) % 64 == 63
        return encode_record(replace(record, payload=record.payload[:-1]) if cut else record)

    monkeypatch.setattr("onboard.store.encode_record", shortened)
    monkeypatch.setattr("onboard.express_lane.encode_record", shortened)
    found = first_failure(PLANTED_SEEDS)
    assert found is not None and found.invariant == "what the ground holds is what was captured, byte by byte"


def test_finds_a_store_that_takes_sent_for_delivered(monkeypatch):
    put = FileLane._put

    def put_and_mark(self, number, layers, **how):
        put(self, number, layers, **how)
        self._store.mark_delivered(layer.address for layer in layers)

    monkeypatch.setattr(FileLane, "_put", put_and_mark)
    found = first_failure(PLANTED_SEEDS)
    assert found is not None and found.invariant == "acknowledged on board means held on the ground"


def test_finds_a_ground_that_reports_a_layer_twice(monkeypatch):
    def add_and_repeat(self, records):
        records = list(records)
        add(self, records)
        return tuple(dict.fromkeys(record.address for record in records if record.kind is RecordKind.LAYER))

    add = LayerStore.add
    monkeypatch.setattr(LayerStore, "add", add_and_repeat)
    found = first_failure(PLANTED_SEEDS)
    assert found is not None and found.invariant == "each layer is reported as arrived once"


def test_finds_a_reader_that_takes_the_frames_of_another_spacecraft(monkeypatch):
    feed = FrameReader.feed

    def credulous(self, frame):
        if len(frame) == self.frame_bytes and frame_is_intact(frame) and frame[0] >> 6 == 1:
            self.spacecraft_id = decode_transfer_frame(frame).spacecraft_id
        return feed(self, frame)

    monkeypatch.setattr(FrameReader, "feed", credulous)
    found = first_failure(PLANTED_SEEDS)
    assert found is not None and found.invariant in ("a stranger's frame changes nothing", "the cores never raise")


def test_finds_a_failed_file_that_is_forgotten(monkeypatch):
    """Layers of a file that the ground gave up stay marked as on their way."""
    settle = FileLane._settle

    def forgetful(self, events, news):
        settle(self, [e for e in events if getattr(e, "delivered", True) is not False], news)

    monkeypatch.setattr(FileLane, "_settle", forgetful)
    found = first_failure(range(40, 80))
    assert found is not None and found.invariant in ("everything owed arrives", "the cores never raise")


def test_finds_a_gate_that_forgets_at_a_reboot_what_it_has_accepted(monkeypatch):
    monkeypatch.setattr("onboard.command_gate.ReplayWindow", lambda floor: ReplayWindow(0))
    found = first_failure(range(15, 60))
    assert found is not None and found.invariant == "a stranger's frame changes nothing"


def test_finds_a_verifier_that_believes_anybody(monkeypatch):
    monkeypatch.setattr("downlink.aes_gmac.AesGmac.agrees", lambda *anything: True)
    found = first_failure(PLANTED_SEEDS)
    assert found is not None and found.invariant == "a stranger's frame changes nothing"


def test_finds_a_core_that_raises(monkeypatch):
    handle = OnboardComputer.handle

    def brittle(self, event, now_ms):
        if isinstance(event, link_events.FrameHeard) and len(event.frame) != self.profile.uplink_frame_bytes:
            raise IndexError("frame too short")
        return handle(self, event, now_ms)

    monkeypatch.setattr(OnboardComputer, "handle", brittle)
    found = first_failure(PLANTED_SEEDS)
    assert found is not None and found.invariant == "the cores never raise" and "IndexError" in found.detail


# ---- the command


def test_simulate_prints_figures_as_json(capsys):
    assert cli.main(["simulate", "--seeds", "2", "--first", "40", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["missions"] == 2 and figures["failed"] == 0 and figures["first_seed"] == 40
    assert figures["missions_per_s"] > 0
    assert figures["real_time_factor"] > 1000 and figures["contact_time_factor"] > 0
    assert set(figures["faults"]) == set(FAULTS)


def test_simulate_shows_a_failure_with_the_command_that_repeats_it(capsys, monkeypatch):
    monkeypatch.setattr(LayerStore, "add", lambda self, records: ())
    monkeypatch.setattr(LayerStore, "complete_file", lambda self, number, records: ())
    assert cli.main(["simulate", "--seeds", "1", "--first", "40", "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "seed 40" in out and "the ground lacks" in out and "tianshu simulate --first 40 --seeds 1" in out


def test_simulate_prints_nothing_when_all_is_well_and_quiet(capsys):
    assert cli.main(["simulate", "--seeds", "1", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--first", "-1"]])
def test_simulate_refuses_what_is_no_number_of_missions(wrong, capsys):
    assert cli.main(["simulate", *wrong]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_a_campaign_of_nothing_is_refused():
    with pytest.raises(RunError):
        Campaign(first=0, count=0)
