"""Tables of features: what comes back, what is told, and several writers."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from quavf.core.errors import QuavfError, StoreError
from quavf.training.cache.table import (
    FeatureTable,
    arrays_hash,
    feature_folder,
    feature_type,
    weights_hash,
)

SPECS = (
    ((3, 5), torch.bfloat16),
    ((3,), torch.bool),
    ((), torch.float64),
    ((7,), torch.int64),
)
N_ROWS = 40


def row(number: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    return [
        torch.randn(3, 5, generator=generator).to(torch.bfloat16),
        torch.rand(3, generator=generator) > 0.5,
        torch.rand((), generator=generator, dtype=torch.float64),
        torch.randint(-100, 100, (7,), generator=generator),
    ]


def table(folder: Path) -> FeatureTable:
    return FeatureTable(folder / "deep" / "table", N_ROWS, SPECS)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    written = table(tmp_path)
    assert not written.stored_mask().any()
    for number in (3, 0, 39):
        written.write(number, row(number))
    read = table(tmp_path)
    assert np.flatnonzero(read.stored_mask()).tolist() == [0, 3, 39]
    assert read.stored_mask(np.array([3, 4])).tolist() == [True, False]
    for number in (3, 0, 39):
        for a, b in zip(read.read(number), row(number), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)
    features, *_ = read.read_all([39, 0])
    assert torch.equal(features, torch.stack([row(39)[0], row(0)[0]]))


def test_a_row_that_is_there_stays(tmp_path: Path) -> None:
    """Another device may give other last bits; a reader must not see one half of each."""
    table(tmp_path).write(5, row(5))
    table(tmp_path).write(5, row(6))
    assert torch.equal(table(tmp_path).read(5)[0], row(5)[0])


def test_what_was_interrupted_is_not_there(tmp_path: Path) -> None:
    """Killed between the row and its sum: as if it had not begun."""
    written = table(tmp_path)
    written.write(1, row(1))
    data = bytearray(written.path.read_bytes())
    data[4:8] = bytes(4)  # the sum of row 1
    written.path.write_bytes(data)
    again = table(tmp_path)
    assert not again.stored_mask().any()
    with pytest.raises(StoreError, match=r"table: row 1 is missing; delete this file"):
        again.read(1)
    again.write(1, row(1))
    assert torch.equal(again.read(1)[0], row(1)[0])


def test_damage_is_told(tmp_path: Path) -> None:
    written = table(tmp_path)
    for number in range(N_ROWS):
        written.write(number, row(number))
    whole = written.path.read_bytes()
    changed = bytearray(whole)
    changed[-1 - written.row_bytes] ^= 1
    written.path.write_bytes(changed)
    with pytest.raises(StoreError, match=r"table: row 38 is damaged; delete this file and repeat"):
        table(tmp_path).read(38)
    assert torch.equal(table(tmp_path).read(39)[0], row(39)[0])
    written.path.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=rf"has {len(whole) - 1} bytes, expected {len(whole)}"):
        table(tmp_path).read(0)
    with pytest.raises(StoreError, match="delete this file"):
        table(tmp_path).write(0, row(0))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file")
    with pytest.raises(QuavfError, match="cannot write"):
        table(tmp_path).write(0, row(0))


def write_all(folder: Path, seed: int) -> None:
    """Every row in an order of its own, with a content that tells the writer."""
    own = table(folder)
    for number in np.random.default_rng(seed).permutation(N_ROWS).tolist():
        own.write(number, row(1000 * seed + number))


def test_several_writers_leave_whole_rows(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_all, args=(tmp_path, seed)) for seed in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = table(tmp_path)
    assert found.stored_mask().all()
    for number in range(N_ROWS):
        own = found.read(number)
        written = [row(1000 * seed + number) for seed in range(4)]
        same = [all(map(torch.equal, own, other)) for other in written]
        assert sum(same) == 1, number


def test_hashes_tell_every_byte_apart() -> None:
    weights = {"a": torch.zeros(3), "b": torch.tensor(1)}
    changed = {"a": torch.tensor([0.0, 0.0, 1e-30]), "b": torch.tensor(1)}
    other = {"a": torch.zeros(3, 1), "b": torch.tensor(1)}
    found = {weights_hash(state) for state in (weights, changed, other, {"a": torch.zeros(3)})}
    assert len(found) == 4
    a = np.arange(6)
    assert len({arrays_hash(a), arrays_hash(a.reshape(2, 3)), arrays_hash(a[:5], a[5:])}) == 3


def test_folders_tell_what_they_are_of(tmp_path: Path) -> None:
    first = feature_folder(tmp_path, "audio-val", {"seed": 1})
    assert first != feature_folder(tmp_path, "audio-val", {"seed": 2})
    assert first == feature_folder(tmp_path, "audio-val", {"seed": 1})
    assert '"seed": 1' in (first / "about.json").read_text()


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
        ("64-true", torch.float64),
    ],
)
def test_features_have_the_precision_of_the_run(precision: str, kind: torch.dtype) -> None:
    assert feature_type(precision) == kind
