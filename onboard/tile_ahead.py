"""Works ahead of its consumer: the next tiles are read, screened and packed in threads (edge) while this one is searched, and the
network is begun on the next before this one is done.

What runs in a thread should be GDAL, numpy or zstd work: these let the consumer's thread run meanwhile.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def tile_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int, threads: int = 1
) -> Generator[Result, None, None]:
    """`work(item)` for each of `items`, in their order, done in `threads` threads up to `ahead` items before they are asked for.

    Items are taken in the consumer's thread, when there is room for one more. An exception of `work` is raised in place of its
    result and ends the iteration. However it ends (close it with `contextlib.closing` where it may not come to its end), the
    threads are over with it: items in work are finished, those that wait are not begun. Raises ValueError for `ahead` or `threads` below 1.
    """
    if ahead < 1 or threads < 1:
        raise ValueError(f"cannot work {ahead} items ahead in {threads} threads; give 1 or more")
    return _results(work, items, ahead, threads)


def _results(
    work: Callable[[Item], Result], items: Iterable[Item], ahead: int, threads: int
) -> Generator[Result, None, None]:
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="tile-ahead") as thread:
        try:
            for item in items:
                waiting.append(thread.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def begun_ahead(
    begin: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Generator[tuple[Item, Result], None, None]:
    """Each of `items`, in order, with what `begin(item)` gave, called in the consumer's own thread up to `ahead` items before; 0: in its
    turn."""
    begun: deque[tuple[Item, Result]] = deque()
    for item in items:
        begun.append((item, begin(item)))
        if len(begun) > ahead:
            yield begun.popleft()
    yield from begun
