"""Clips made in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import cv2

from quavf.simulate.world import ClipKey


def in_processes(
    job: Callable[[ClipKey], None], keys: Sequence[ClipKey], workers: int
) -> Iterator[ClipKey]:
    """Do `job`, which has to be picklable, for every key; yields them as they are done, in order.

    A single worker is this process.
    """
    if workers < 2 or len(keys) < 2:
        for key in keys:
            job(key)
            yield key
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        for key, _ in zip(keys, pool.map(job, keys), strict=True):
            yield key


def _one_thread() -> None:
    cv2.setNumThreads(1)
