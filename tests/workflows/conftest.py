"""A store, models and scores that the tests of several commands read and leave as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from quavf.workflows.predict import predict
from tests.helpers.published import tiny_audio, tiny_visual, write_published
from tests.helpers.scored_stores import CONFIG, make_store


@pytest.fixture(scope="package")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("pipe") / "store", ("train", "val", "val")).path


@pytest.fixture(scope="package")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without labels, one person in a clip."""
    return make_store(tmp_path_factory.mktemp("chal") / "store", ("test",) * 2, False).path


@pytest.fixture(scope="package")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("audio") / "audio.ckpt", tiny_audio())


@pytest.fixture(scope="package")
def visual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("visual") / "visual.ckpt", tiny_visual())


@pytest.fixture(scope="package")
def scores(
    store: Path, audio: Path, visual: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("scores") / "scores"
    predict(store, out, audio, visual, CONFIG)
    return out
