"""The clock of the services: with fake clocks that step, drift and are read at different moments."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mission.live.live_clock import DRIFT_MS, HOLD_MS, LiveClock

START_MS = 1_795_000_000_123
MS = 1_000_000


class FakeClocks:
    """A wall clock that may be set, and a monotonic one that may not."""

    def __init__(self) -> None:
        self.monotonic = 77 * MS
        self.wall = START_MS * MS + 456_789

    def pass_ms(self, ms: float) -> None:
        self.monotonic += round(ms * MS)
        self.wall += round(ms * MS)

    def set_wall(self, by_ms: int) -> None:
        self.wall += by_ms * MS

    def clock(self, skew_file: Path | None = None) -> LiveClock:
        return LiveClock(skew_file=skew_file, wall_ns=lambda: self.wall, monotonic_ns=lambda: self.monotonic)


def test_it_tells_unix_time_and_runs_with_the_monotonic_clock() -> None:
    fakes = FakeClocks()
    clock = fakes.clock()
    assert clock.now_ms() == START_MS
    fakes.pass_ms(1500)
    assert clock.now_ms() == START_MS + 1500
    fakes.set_wall(60_000)
    assert clock.now_ms() == START_MS + 1500  # nobody has looked yet
    assert clock.check() == 60_000
    assert clock.now_ms() == START_MS + 61_500
    assert clock.check() == 0


def test_a_small_step_back_is_waited_out() -> None:
    fakes = FakeClocks()
    clock = fakes.clock()
    fakes.pass_ms(5000)
    before = clock.now_ms()
    fakes.set_wall(-HOLD_MS)
    assert clock.check() == 0
    assert clock.now_ms() == before
    fakes.pass_ms(HOLD_MS - 1)
    assert clock.now_ms() == before and clock.check() == 0
    fakes.pass_ms(500)
    assert clock.now_ms() == before + 499
    assert fakes.wall // MS == clock.now_ms()


def test_a_large_step_back_is_told_once_and_taken() -> None:
    fakes = FakeClocks()
    clock = fakes.clock()
    before = clock.now_ms()
    fakes.set_wall(-HOLD_MS - 1)
    assert clock.check() == -HOLD_MS - 1
    assert clock.now_ms() == before - HOLD_MS - 1
    assert clock.check() == 0
    fakes.pass_ms(10)
    assert clock.now_ms() == before - HOLD_MS + 9


def test_small_steps_back_add_up() -> None:
    fakes = FakeClocks()
    clock = fakes.clock()
    before = clock.now_ms()
    for _ in range(2):
        fakes.set_wall(-900)
        assert clock.check() == 0 and clock.now_ms() == before
    fakes.set_wall(-900)
    assert clock.check() == -2700


def test_drift_is_followed_without_a_word() -> None:
    fakes = FakeClocks()
    clock = fakes.clock()
    for _ in range(20):
        fakes.set_wall(DRIFT_MS)
        assert clock.check() == 0
    assert clock.now_ms() == START_MS + 20 * DRIFT_MS


def test_the_skew_file_comes_changes_and_goes(tmp_path: Path) -> None:
    fakes, skew = FakeClocks(), tmp_path / "skew"
    clock = fakes.clock(skew)
    assert clock.check() == 0
    skew.write_text("7000\n")
    assert clock.check() == 7000 and clock.now_ms() == START_MS + 7000
    skew.write_text("half a num")
    assert clock.check() == 0 and clock.now_ms() == START_MS + 7000
    skew.write_text("-60000")
    assert clock.check() == -67_000 and clock.now_ms() == START_MS - 60_000
    skew.unlink()
    assert clock.check() == 60_000 and clock.now_ms() == START_MS
    skew.mkdir()
    assert clock.check() == 0


def test_a_skew_file_that_is_there_at_the_start_counts_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "skew").write_text("-5000")
    assert FakeClocks().clock(tmp_path / "skew").now_ms() == START_MS - 5000


def test_a_pause_between_two_readings_is_no_step() -> None:
    fakes = FakeClocks()
    pauses = [0, 800, 0, 0, 300, 0]

    def wall() -> int:
        fakes.pass_ms(pauses.pop() if pauses else 0)
        return fakes.wall

    clock = LiveClock(wall_ns=wall, monotonic_ns=lambda: fakes.monotonic)
    for _ in range(4):
        fakes.pass_ms(1000)
        assert clock.check() == 0
        assert abs(clock.now_ms() - fakes.wall // MS) <= 1


@given(steps=st.lists(st.tuples(st.integers(0, 5000), st.integers(-10_000, 10_000)), max_size=30))
def test_time_goes_back_only_when_it_says_so(steps: list[tuple[int, int]]) -> None:
    fakes = FakeClocks()
    clock = fakes.clock()
    latest = clock.now_ms()
    for wait_ms, set_ms in steps:
        fakes.pass_ms(wait_ms)
        fakes.set_wall(set_ms)
        step = clock.check()
        now = clock.now_ms()
        assert now >= latest if step >= 0 else step < -HOLD_MS
        behind = now - fakes.wall // MS
        assert -DRIFT_MS <= behind <= HOLD_MS
        latest = now
