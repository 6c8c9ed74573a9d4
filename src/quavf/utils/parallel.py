"""Work that falls into clips, done here, in several processes, or on a Ray cluster.

Whoever does it, it is the same function on the same items: the results are the same, come to one
place, and so do warnings and progress. Items write to the disk by themselves, so all machines of a
cluster must see the same folders under the same paths.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from quavf.core.errors import ConfigError, EngineError
from quavf.utils.progress import silence

ENGINES = ("local", "ray")
RETRIES = 3  # of an item whose worker died, on another worker
THREADS = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")  # read when torch, OpenCV are imported
IN_ADVANCE = 2  # items a worker that are handed out ahead, so that none waits for the next

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item], Result]


@dataclass(frozen=True)
class EngineConfig:
    """Who works on the clips.

    Args:
        engine: local: this machine; ray: a cluster, needs quavf[ray].
        workers: Processes that work at once; default: 1, or one for each CPU of the cluster.
        address: The cluster's, HOST:PORT or auto; default: RAY_ADDRESS, or one is started here.
    """

    engine: str = "local"
    workers: int | None = None
    address: str = ""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(f"engine: {self.engine!r} is not one of {', '.join(ENGINES)}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers: {self.workers} is under 1")
        if self.address and self.engine != "ray":
            raise ConfigError("address: is for --engine ray; give both")


@dataclass(frozen=True)
class Done(Generic[Item, Result]):
    """What work returned for an item."""

    item: Item
    result: Result


def run_each(
    work: Work[Item, Result],
    items: Sequence[Item],
    engine: EngineConfig | None = None,
    *,
    gpu: bool = False,
) -> Iterator[Done[Item, Result]]:
    """Do `work` for every item; yields as they are done, in no certain order.

    With a single local worker that is here and now. Else `work` and items are pickled, and each
    worker unpickles `work` once and uses it for all its items: what it loads, it keeps. `gpu`: on a
    cluster that has any, each worker gets one for itself.

    Raises what `work` raises; EngineError when workers die, or there is no cluster.
    """
    engine = engine or EngineConfig()
    if engine.engine == "ray" and items:
        yield from _by_ray(work, items, engine, gpu)
    elif min(engine.workers or 1, len(items)) > 1:
        yield from _in_processes(work, items, engine.workers or 1)
    else:
        for item in items:
            yield Done(item, work(item))


# In a worker.


@dataclass(frozen=True)
class _Report:
    """What comes back from a worker: the result, and the messages that would be lost there."""

    result: Any
    messages: list[logging.LogRecord]


_unpickled: dict[str, Any] = {}  # the work that this process does, by its key: the latest only


def _do(key: str, work: bytes, folder: str, n_threads: int, item: Any) -> _Report:
    if key not in _unpickled:
        _settle(folder, n_threads)
        _unpickled.clear()
        _unpickled[key] = pickle.loads(work)  # our own, from `each`
    with _kept_messages() as messages:
        result = _unpickled[key](item)
    return _Report(result, messages)


def _settle(folder: str, n_threads: int) -> None:
    """Work as if in the folder where the command was typed, quietly, on a share of the cores."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise EngineError(
            f"{socket.gethostname()}: {folder}: {error.strerror}; all machines must see the same "
            "folders under the same paths"
        ) from None
    silence()
    for name in THREADS:
        os.environ[name] = str(n_threads)


@contextmanager
def _kept_messages() -> Iterator[list[logging.LogRecord]]:
    messages: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.msg, record.args, record.exc_info = record.getMessage(), None, None
            messages.append(record)

    keeper, package = Keeper(logging.WARNING), logging.getLogger("quavf")
    package.addHandler(keeper)
    try:
        yield messages
    finally:
        package.removeHandler(keeper)


# Here.


def _order(work: Any, n_threads: int) -> tuple[Any, ...]:
    """What a worker is sent beside the item: the arguments of `_do`."""
    return os.urandom(16).hex(), pickle.dumps(work), str(Path.cwd()), n_threads


def _fed(
    items: Sequence[Any],
    n_ahead: int,
    submit: Callable[[Any], Any],
    wait_for_any: Callable[[list[Any]], Iterable[Any]],
    cancel: Callable[[Any], object],
) -> Iterator[tuple[Any, Any]]:
    """Each item with its finished ticket; `n_ahead` are submitted at any time, the rest later."""
    pending: dict[Any, Any] = {}
    rest = iter(items)
    try:
        while True:
            for item in islice(rest, n_ahead - len(pending)):
                pending[submit(item)] = item
            if not pending:
                return
            for ticket in wait_for_any(list(pending)):
                yield pending.pop(ticket), ticket
    finally:
        for ticket in pending:
            cancel(ticket)


def _told(report: _Report) -> Any:
    """The result; its messages go where those of this process go."""
    for record in report.messages:
        logging.getLogger(record.name).handle(record)
    return report.result


def _in_processes(work: Any, items: Sequence[Any], n_workers: int) -> Iterator[Done[Any, Any]]:
    n_workers = min(n_workers, len(items))
    do = partial(_do, *_order(work, max(1, (os.cpu_count() or 1) // n_workers)))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, _leave_when_interrupted) as pool:
        submit = partial(pool.submit, do)
        try:
            for item, future in _fed(
                items, n_workers * IN_ADVANCE, submit, _first_done, Future.cancel
            ):
                yield Done(item, _told(future.result()))
        except BrokenProcessPool:
            raise EngineError(
                "a worker process died, perhaps for want of memory; the same command goes on from "
                "here, with fewer --workers"
            ) from None


def _first_done(futures: list[Future[_Report]]) -> Iterable[Future[_Report]]:
    return wait(futures, return_when=FIRST_COMPLETED).done


def _leave_when_interrupted() -> None:
    """Ctrl-C reaches all processes: workers go without a word, the command tells."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))


def _by_ray(
    work: Any, items: Sequence[Any], engine: EngineConfig, gpu: bool
) -> Iterator[Done[Any, Any]]:
    with connect_ray(engine) as (ray, resources):
        n_workers = engine.workers or max(1, int(resources.get("CPU", 1)))
        n_gpus = int(gpu and resources.get("GPU", 0) > 0)
        # A task with a GPU would start a new process for each item, and load all anew.
        do = ray.remote(num_cpus=1, num_gpus=n_gpus, max_retries=RETRIES, max_calls=0)(_do)
        arguments = [ray.put(value) for value in _order(work, 1)]
        ahead = n_workers if engine.workers else n_workers * IN_ADVANCE
        for item, reference in _fed(
            items,
            ahead,
            partial(do.remote, *arguments),
            lambda references: ray.wait(references)[0],
            partial(ray.cancel, force=True),
        ):
            yield Done(item, _told(_fetched(ray, reference, item)))


def _fetched(ray: Any, reference: Any, item: Any) -> _Report:
    try:
        report: _Report = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        what = str(error).strip().splitlines()[0]
        raise EngineError(
            f"{item!s:.100}: its worker died {RETRIES + 1} times ({what:.300}); the same command "
            "goes on from here"
        ) from None
    return report


@contextmanager
def connect_ray(engine: EngineConfig) -> Iterator[tuple[Any, dict[str, float]]]:
    """Ray, and what its cluster has; `each` inside the block uses the same connection."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it reports to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            f"engine: ray cannot be imported ({error}); pip install 'quavf[ray]'"
        ) from None
    address = engine.address or os.environ.get("RAY_ADDRESS") or "local"
    here: dict[str, Any] = {}
    if address == "local":
        here = {"num_cpus": engine.workers, "include_dashboard": False}
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise EngineError(f"address: {address}: no Ray cluster answers ({error})") from None
    try:
        yield ray, ray.cluster_resources()  # type: ignore[no-untyped-call]
    finally:
        if ours:
            ray.shutdown()
