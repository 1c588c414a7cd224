"""Items made in background threads, ahead of their use."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Source = TypeVar("Source")
Made = TypeVar("Made")


def prefetch(
    make: Callable[[Source], Made], sources: Iterable[Source], ahead: int, threads: int = 1
) -> Generator[Made, None, None]:
    """`make(source)` for every source, in order, made by `threads` threads while the caller uses earlier items.

    Sources are taken in the caller's thread: none before the first item is asked for, and never more than `ahead`
    beyond the item that the caller gets. The threads belong to this iterator alone, so `make` may wait for jobs of
    other pools, or use a prefetcher itself. An error in `make` is raised in the place of its item. Closing the iterator
    drops the items that have not begun and waits for the others; no thread is left.
    """
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for source in sources:
            waiting.append(pool.submit(make, source))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def one_ahead(items: Iterable[Made]) -> Iterator[Made]:
    """The same items; each after the first is asked for before the one before it is given."""
    waiting: deque[Made] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
