"""Map a function over items in threads; results keep the order of the items."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    n_threads: int | None = None,
    *,
    ahead: int = 2,
) -> Iterator[Result]:
    """Yield `work(item)` for every item, computing up to `ahead` items per thread in advance.

    For thread-safe work that releases the GIL (decoding, resizing, JPEG). `items` are read in the
    calling thread. Default: one thread per core, or OMP_NUM_THREADS.
    """
    n_threads = n_threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > ahead * n_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
