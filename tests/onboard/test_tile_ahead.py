"""Working ahead: in order, bounded, errors at their place, and no thread left behind."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.tile_ahead import begun_ahead, tile_ahead


def threads() -> int:
    return sum(thread.name.startswith("tile-ahead") for thread in threading.enumerate())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(), max_size=30), st.integers(1, 8))
def test_it_is_a_map_in_order(items: list[int], ahead: int) -> None:
    assert list(tile_ahead(lambda item: item * 3 + 1, items, ahead=ahead)) == [item * 3 + 1 for item in items]
    assert threads() == 0


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_it_works_ahead_and_not_further(ahead: int) -> None:
    taken: list[int] = []
    started = [threading.Event() for _ in range(20)]

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    def work(item: int) -> int:
        started[item].set()
        return item

    with closing(tile_ahead(work, items(), ahead=ahead)) as results:
        for consumed in range(1, 15):
            next(results)
            assert started[consumed - 1 + ahead].wait(10)  # without anybody asking for it
            assert len(taken) == consumed + ahead
            assert not started[consumed + ahead].is_set()


def test_work_runs_in_another_thread_and_items_are_taken_in_the_consumers() -> None:
    takers: set[int] = set()

    def items() -> Iterator[int]:
        for item in range(5):
            takers.add(threading.get_ident())
            yield item

    workers = set(tile_ahead(lambda _: threading.get_ident(), items(), ahead=2))
    assert takers == {threading.get_ident()}
    assert len(workers) == 1
    assert workers != takers


@pytest.mark.parametrize("failing", [0, 3, 9])
def test_an_error_comes_in_place_of_its_result(failing: int) -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == failing:
            raise KeyError(f"tile {item}")
        return item

    results = tile_ahead(work, range(10), ahead=3)
    assert [next(results) for _ in range(failing)] == list(range(failing))
    with pytest.raises(KeyError, match=f"tile {failing}"):
        next(results)
    assert threads() == 0
    assert len(begun) <= failing + 4
    assert list(results) == []


def test_an_error_among_the_items_is_raised_too() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more tiles")

    with pytest.raises(OSError, match="no more tiles"):
        list(tile_ahead(str, items(), ahead=2))
    assert threads() == 0


def test_it_can_be_left_early() -> None:
    begun: list[int] = []
    with closing(tile_ahead(begun.append, iter(range(1000)), ahead=4)) as results:
        next(results)
        assert threads() == 1
    assert threads() == 0
    assert len(begun) <= 5


def test_nothing_ahead_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="0 items ahead"):
        tile_ahead(str, [1], ahead=0)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(), max_size=20), st.integers(1, 6), st.integers(2, 4))
def test_several_threads_keep_the_order(items: list[int], ahead: int, count: int) -> None:
    assert list(tile_ahead(lambda item: item * 3 + 1, items, ahead=ahead, threads=count)) == [i * 3 + 1 for i in items]
    assert threads() == 0


def test_two_threads_work_at_once() -> None:
    both = threading.Barrier(2, timeout=10)
    assert len(list(tile_ahead(lambda _: both.wait(), range(4), ahead=3, threads=2))) == 4


def test_no_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="in 0 threads"):
        tile_ahead(str, [1], ahead=1, threads=0)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_work_is_begun_so_far_ahead_in_the_consumers_thread(ahead: int) -> None:
    begun: list[tuple[int, int]] = []

    def begin(item: int) -> int:
        begun.append((item, threading.get_ident()))
        return item * 7

    pairs = begun_ahead(begin, range(6), ahead=ahead)
    for consumed in range(1, 7):
        assert next(pairs) == (consumed - 1, (consumed - 1) * 7)
        assert len(begun) == min(6, consumed + ahead)
    assert list(pairs) == []
    assert begun == [(item, threading.get_ident()) for item in range(6)]
