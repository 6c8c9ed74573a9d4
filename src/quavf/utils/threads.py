"""Read items ahead in a thread, or map a function over them in threads; their order is kept."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_threads() -> int:
    """OMP_NUM_THREADS, else one thread per core."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


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
    n_threads = n_threads or count_threads()
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


def read_ahead(items: Iterable[Item], ahead: int = 8) -> Generator[Item, None, None]:
    """Yield the items, read up to `ahead` of them in advance by a thread of their own.

    Errors of reading are raised here. The thread ends with the items, or when this is closed.
    """
    ready: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(ahead)
    closed = threading.Event()

    def read() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                ready.put((item,))
                if closed.is_set():
                    break
        except BaseException as error:  # raised by the reader of the items
            end = error
        if hasattr(items, "close"):
            items.close()
        ready.put(end)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    finally:
        closed.set()
        while thread.is_alive():  # it may wait for a place to put its last item
            try:
                ready.get(timeout=0.05)
            except queue.Empty:
                continue
        thread.join()
