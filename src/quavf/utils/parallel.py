"""Run a function over clips: in-process, in worker processes, or on a Ray cluster.

Results, warnings and progress are the same in all three cases and arrive in the calling process.
Each item writes its own files, so all machines of a cluster must see the same folders under the
same paths.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.connection import wait as wait_for_process
from pathlib import Path
from typing import Any, Generic, TypeVar

from quavf.core.errors import ConfigError, EngineError
from quavf.utils.progress import silence

ENGINES = ("local", "ray")
RETRIES = 3  # of an item whose worker died
THREADS = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")  # read when torch, OpenCV are imported
IN_ADVANCE = 2  # items per worker that are submitted ahead, so that no worker waits

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item], Result]


@dataclass(frozen=True)
class EngineConfig:
    """Where the clips are processed.

    Args:
        engine: Engine: local, this machine, or ray, a cluster; ray needs quavf[ray].
        workers: Processes that run at once; default: 1, or one for each CPU of the cluster.
        address: Address of the cluster, HOST:PORT or auto; default: RAY_ADDRESS, or start one here.
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
            raise ConfigError("address: needs --engine ray; give both")


@dataclass(frozen=True)
class Done(Generic[Item, Result]):
    """An item and the result of its work."""

    item: Item
    result: Result


def run_each(
    work: Work[Item, Result],
    items: Sequence[Item],
    engine: EngineConfig | None = None,
    *,
    gpu: bool = False,
) -> Iterator[Done[Item, Result]]:
    """Call `work` with every item and yield the results as they finish, in any order.

    A single local worker runs in this process. Otherwise `work` and the items are pickled; each
    worker unpickles `work` once and keeps what it loads for all its items. With `gpu`, each worker
    of a cluster that has GPUs gets one for itself.

    Raises what `work` raises; EngineError when workers die or no cluster answers.
    """
    engine = engine or EngineConfig()
    if engine.engine == "ray" and items:
        yield from _run_on_ray(work, items, engine, gpu)
    elif min(engine.workers or 1, len(items)) > 1:
        yield from _run_in_processes(work, items, engine.workers or 1)
    else:
        for item in items:
            yield Done(item, work(item))


# Runs in a worker


@dataclass(frozen=True)
class _Report:
    """A worker's result, and its log messages, which would otherwise be lost."""

    result: Any
    messages: list[logging.LogRecord]


_loaded: dict[str, Any] = {}  # the latest work of this process, by its key


def _run_item(key: str, work: bytes, folder: str, n_threads: int, item: Any) -> _Report:
    if key not in _loaded:
        _set_up_worker(folder, n_threads)
        _loaded.clear()
        _loaded[key] = pickle.loads(work)  # pickled by `run_each`
    with _collect_messages() as messages, _interruptible():
        result = _loaded[key](item)
    return _Report(result, messages)


def _set_up_worker(folder: str, n_threads: int) -> None:
    """Use the command's working folder, show no progress, and use a share of the cores."""
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


def _follow_parent() -> None:
    """End with the command: quietly on Ctrl-C or SIGTERM, and at once when its process is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait_for_process([sentinel])
    os._exit(1)


_is_working = False


def _interrupt(number: int, frame: Any) -> None:
    """Let an item clean up; without one, there is nothing to clean."""
    if _is_working:
        raise KeyboardInterrupt
    os._exit(128 + number)


@contextmanager
def _interruptible() -> Iterator[None]:
    """In a worker: an interrupted item removes what it has half-written, then the worker ends."""
    global _is_working
    _is_working = True
    try:
        yield
    except KeyboardInterrupt:
        if multiprocessing.parent_process() is None:
            raise
        os._exit(128 + signal.SIGINT)
    finally:
        _is_working = False


@contextmanager
def _collect_messages() -> Iterator[list[logging.LogRecord]]:
    messages: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.msg, record.args, record.exc_info = record.getMessage(), None, None
            messages.append(record)

    collector, package = Collector(logging.WARNING), logging.getLogger("quavf")
    package.addHandler(collector)
    try:
        yield messages
    finally:
        package.removeHandler(collector)


# Runs in the calling process


def _item_arguments(work: Any, n_threads: int) -> tuple[Any, ...]:
    """The arguments of `_run_item` before the item."""
    return os.urandom(16).hex(), pickle.dumps(work), str(Path.cwd()), n_threads


def _submit_ahead(
    items: Sequence[Any],
    n_ahead: int,
    submit: Callable[[Any], Any],
    wait_for_any: Callable[[list[Any]], Iterable[Any]],
    cancel: Callable[[Any], object] = lambda ticket: None,
) -> Iterator[tuple[Any, Any]]:
    """Yield each item with its finished ticket; at most `n_ahead` are submitted at a time."""
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


def _pass_on(report: _Report) -> Any:
    """Log a worker's messages in this process and return its result."""
    for record in report.messages:
        logging.getLogger(record.name).handle(record)
    return report.result


def _run_in_processes(work: Any, items: Sequence[Any], n_workers: int) -> Iterator[Done[Any, Any]]:
    n_workers = min(n_workers, len(items))
    do = partial(_run_item, *_item_arguments(work, max(1, (os.cpu_count() or 1) // n_workers)))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, context, _follow_parent)
    try:
        for item, future in _submit_ahead(
            items, n_workers * IN_ADVANCE, partial(pool.submit, do), _wait_for_first
        ):
            yield Done(item, _pass_on(future.result()))
    except BrokenProcessPool:
        raise EngineError(
            "a worker process died, possibly out of memory; repeat the command with fewer "
            "--workers to continue"
        ) from None
    except (KeyboardInterrupt, GeneratorExit):
        for process in list(pool._processes.values()):
            process.terminate()  # a signal to this process alone does not reach them
        raise
    finally:
        # The pool must cancel what is left: its thread prints a traceback if its processes end
        # while it holds a future that was cancelled elsewhere.
        pool.shutdown(cancel_futures=True)


def _wait_for_first(futures: list[Future[_Report]]) -> Iterable[Future[_Report]]:
    return wait(futures, return_when=FIRST_COMPLETED).done


def _run_on_ray(
    work: Any, items: Sequence[Any], engine: EngineConfig, gpu: bool
) -> Iterator[Done[Any, Any]]:
    with connect_ray(engine) as (ray, resources):
        n_workers = engine.workers or max(1, int(resources.get("CPU", 1)))
        n_gpus = int(gpu and resources.get("GPU", 0) > 0)
        # By default, a task with a GPU starts a new process, and loads the model, for each item.
        do = ray.remote(num_cpus=1, num_gpus=n_gpus, max_retries=RETRIES, max_calls=0)(_run_item)
        arguments = [ray.put(value) for value in _item_arguments(work, 1)]
        ahead = n_workers if engine.workers else n_workers * IN_ADVANCE
        for item, reference in _submit_ahead(
            items,
            ahead,
            partial(do.remote, *arguments),
            lambda references: ray.wait(references)[0],
            partial(ray.cancel, force=True),
        ):
            yield Done(item, _pass_on(_fetch(ray, reference, item)))


def _fetch(ray: Any, reference: Any, item: Any) -> _Report:
    try:
        report: _Report = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        what = str(error).strip().splitlines()[0]
        raise EngineError(
            f"{item!s:.100}: its worker died {RETRIES + 1} times ({what:.300}); repeat "
            "the command to continue"
        ) from None
    return report


@contextmanager
def connect_ray(engine: EngineConfig) -> Iterator[tuple[Any, dict[str, float]]]:
    """Connect to Ray; yields it and the cluster's resources. `run_each` reuses the connection."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # sends no usage statistics
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
