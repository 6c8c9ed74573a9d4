from __future__ import annotations

from pathlib import Path

import pytest

from quavf.core.errors import StoreError
from quavf.store import ClipStore, StoreConfig
from quavf.store.scorers import choose_scorer


def holding(scorers: list[str], monkeypatch: pytest.MonkeyPatch) -> ClipStore:
    """A store that has quality from these scorers."""
    store = ClipStore(Path("S"), StoreConfig("ego4d", "fixed", "grown"))
    monkeypatch.setattr(store, "scorers", lambda: scorers)
    return store


@pytest.mark.parametrize(
    ("there", "asked", "trained", "expected"),
    [
        (["light"], "", "", "light"),
        (["light"], "light", "fan", "light"),
        (["fan", "light"], "fan", "light", "fan"),
        (["fan", "light"], "", "light", "light"),
        (["light"], "", "fan", "light"),
    ],
)
def test_choice_of_scorer(
    there: list[str], asked: str, trained: str, expected: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    store = holding(there, monkeypatch)
    assert choose_scorer(store, asked, trained) == expected
    told = "trained with quality from 'fan', predicting with 'light'" in caplog.text
    assert told == (not asked and trained not in ("", expected))


@pytest.mark.parametrize(
    ("there", "asked", "trained", "message"),
    [
        ([], "", "", "no quality yet; run `quavf quality S`"),
        ([], "", "light", "no quality yet"),
        ([], "fan", "", r"no quality from 'fan' for every clip \(there is: none\)"),
        (["light"], "fan", "light", r"from 'fan' .*there is: light.*--scorer fan"),
        (["fan", "light"], "", "", "has quality from fan, light; choose one with --quality"),
        (["fan", "light"], "", "imported", "has quality from fan, light; choose one"),
    ],
)
def test_no_choice_of_scorer(
    there: list[str], asked: str, trained: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = holding(there, monkeypatch)
    with pytest.raises(StoreError, match=message):
        choose_scorer(store, asked, trained)
