"""Choose whose face quality of a store to use."""

from __future__ import annotations

import logging

from quavf.core.errors import StoreError
from quavf.store.clips import ClipStore

log = logging.getLogger(__name__)


def choose_scorer(store: ClipStore, asked: str, trained: str = "") -> str:
    """The scorer to use: the one asked for, the one trained with, or the only one.

    Raises StoreError if that leaves none or several.
    """
    found = store.scorers()
    if asked:
        if asked not in found:
            raise StoreError(
                f"{store.path}: no quality from {asked!r} for every clip (there is: "
                f"{', '.join(found) or 'none'}); run `quavf quality {store.path} --scorer "
                f"{asked}`"
            )
        return asked
    if not found:
        raise StoreError(
            f"{store.path}: the faces have no quality yet; run `quavf quality {store.path}`"
        )
    if trained in found:
        return trained
    if len(found) > 1:
        raise StoreError(
            f"{store.path}: has quality from {', '.join(found)}; choose one with --quality"
        )
    if trained:
        log.warning("trained with quality from %r, predicting with %r", trained, found[0])
    return found[0]
