"""Timers that stand still between passes."""

from hypothesis import given
from hypothesis import strategies as st

from downlink.link_timers import LinkTimers

HOUR_MS = 3_600_000


def test_a_gap_between_passes_costs_no_time():
    timers = LinkTimers()
    timers.start("eof", 1_000, 500)
    timers.suspend(1_200)
    timers.suspend(1_300)
    assert timers.pop_due(HOUR_MS) is None
    assert timers.next_due_ms() is None
    timers.resume(HOUR_MS)
    assert timers.next_due_ms() == HOUR_MS + 300
    assert timers.pop_due(HOUR_MS + 299) is None
    assert timers.pop_due(HOUR_MS + 300) == "eof"
    assert timers.next_due_ms() is None


def test_a_timer_set_during_a_gap_starts_with_the_pass():
    timers = LinkTimers()
    timers.suspend(0)
    timers.start("nak", 500, 100)
    timers.resume(HOUR_MS)
    assert timers.remaining_ms(HOUR_MS + 30) == [("nak", 70)]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["start", "cancel", "pop"]), st.integers(0, 50))))
def test_behaves_like_a_table_of_deadlines(steps):
    timers, model, now_ms = LinkTimers(), {}, 0
    for key, action, amount in steps:
        now_ms += amount // 3
        if action == "start":
            timers.start(key, now_ms, amount)
            model[key] = now_ms + amount
        elif action == "cancel":
            timers.cancel(key)
            model.pop(key, None)
        else:
            due = timers.pop_due(now_ms)
            earliest = min(model.values(), default=now_ms + 1)
            assert (due is None) == (earliest > now_ms)
            if due is not None:
                assert model.pop(due) == earliest
        assert timers.next_due_ms() == min(model.values(), default=None)


def test_restarting_a_timer_often_keeps_memory_bounded():
    timers = LinkTimers()
    for now_ms in range(5_000):
        timers.start("nak", now_ms, 10)
    assert len(timers._heap) < 200
    assert timers.pop_due(5_008) is None
    assert timers.pop_due(5_009) == "nak"
