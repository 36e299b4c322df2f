"""Three bugs that lose data only when everything comes together, planted one by one: an ordinary campaign finds each of them within a
stated number of seeds, names the command that repeats it, and finds nothing on the same seeds without them."""

from dataclasses import replace
from weakref import WeakKeyDictionary

import pytest

from downlink.cfdp_source import CfdpSource
from downlink.journal import FileJournal
from mission import cli
from mission.campaign import Campaign, run_campaign
from mission.progress import ProgressBars
from mission.seeded_ends import SeededGround
from mission.seeded_flight import SeededFlight
from onboard.sending_order import SendingOrder


def plant_lost_sync(monkeypatch):
    """The ground acknowledges what it has written and not yet synchronised: the next append does that."""

    class LazyJournal(FileJournal):
        def append(self, records):
            sync, disk = self._file.sync, self._file
            sync()
            monkeypatch.setattr(disk, "sync", lambda: None)
            try:
                return super().append(records)
            finally:
                monkeypatch.setattr(disk, "sync", sync)

    journals = SeededGround._journals

    def lazy(self):
        return replace(journals(self), layers=LazyJournal(self.layers))

    monkeypatch.setattr(SeededGround, "_journals", lazy)


def plant_resume_off_by_one(monkeypatch):
    """Of a file that is taken up after a reboot, what the ground asks for is sent from one byte later on."""
    put, take = CfdpSource.put, CfdpSource._take_nak
    taken_up = WeakKeyDictionary()

    def noted(self, *, transaction_seq, sent_before, **options):
        if sent_before:
            taken_up.setdefault(self, set()).add(transaction_seq)
        put(self, transaction_seq=transaction_seq, sent_before=sent_before, **options)

    def late(self, transaction, nak):
        if transaction.transaction.transaction_seq in taken_up.get(self, ()):
            nak = replace(nak, requests=tuple((start + (start > 0), end) for start, end in nak.requests))
        take(self, transaction, nak)

    monkeypatch.setattr(CfdpSource, "put", noted)
    monkeypatch.setattr(CfdpSource, "_take_nak", late)


def plant_stale_schedule(monkeypatch):
    """After a reboot the computer goes on with the schedule that it made when the last contact began."""

    class StaleOrder(SendingOrder):
        scheduled = None

        def __init__(self, backlog, *arguments):
            known = StaleOrder.scheduled
            super().__init__([one for one in backlog if known is None or one.address in known], *arguments)

        def start_contact(self, contact):
            super().start_contact(contact)
            StaleOrder.scheduled = {layer.address for _, layer in self.ranked()}

    def forget_the_mission_before(self, *arguments, **options):
        StaleOrder.scheduled = None
        begin(self, *arguments, **options)

    begin = SeededFlight.__init__
    monkeypatch.setattr(SeededFlight, "__init__", forget_the_mission_before)
    monkeypatch.setattr("onboard.computer.SendingOrder", StaleOrder)


def first_failures(campaign):
    with ProgressBars(quiet=True) as bars:
        return run_campaign(campaign, bars).failures


SEEDS = Campaign(first=0, count=4)
"""Of ordinary missions: enough for each of the three."""
PLANTS = [
    (plant_lost_sync, {"the ground forgets nothing", "acknowledged on board means held on the ground"}),
    (plant_resume_off_by_one, {"everything owed arrives"}),
    (plant_stale_schedule, {"everything owed arrives"}),
]


@pytest.mark.parametrize(("plant", "broken"), PLANTS)
def test_a_planted_bug_is_found_within_four_seeds(monkeypatch, plant, broken):
    plant(monkeypatch)
    failures = first_failures(SEEDS)
    assert failures
    for failure in failures:
        assert failure.invariant in broken and failure.now_ms > 0
        assert failure.reproduce == f"tianshu simulate --first {failure.seed} --seeds 1"


def test_the_same_seeds_find_nothing_without_them():
    assert first_failures(SEEDS) == ()


def test_the_command_that_it_names_finds_it_again(monkeypatch, capsys):
    plant_lost_sync(monkeypatch)
    seed = first_failures(SEEDS)[0].seed
    assert cli.main(["simulate", "--first", str(seed), "--seeds", "1", "--quiet"]) == 1
    assert f"tianshu simulate --first {seed} --seeds 1" in capsys.readouterr().out
