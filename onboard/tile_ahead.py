"""Works ahead of its consumer in one thread (edge): the next tiles are read, screened and packed while this one is searched.

What runs in the thread should be GDAL, numpy or zstd work: these let the consumer's thread run meanwhile.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def tile_ahead(work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int) -> Generator[Result, None, None]:
    """`work(item)` for each of `items`, in their order, done in one thread up to `ahead` items before they are asked for.

    Items are taken in the consumer's thread, when there is room for one more. An exception of `work` is raised in place of its
    result and ends the iteration. However it ends (close it with `contextlib.closing` where it may not come to its end), the
    thread is over with it: the item in work is finished, those that wait are not begun. Raises ValueError for `ahead` below 1.
    """
    if ahead < 1:
        raise ValueError(f"cannot work {ahead} items ahead; give 1 or more")
    return _results(work, items, ahead)


def _results(work: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Generator[Result, None, None]:
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tile-ahead") as thread:
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
