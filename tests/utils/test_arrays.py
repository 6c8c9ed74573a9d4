"""Files of arrays: there and back, and one kind of error for any damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quavf.utils.arrays import load_arrays, save_arrays


def test_there_and_back(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.npz", x=np.arange(5), y=np.array(True))
    found = load_arrays(tmp_path / "a.npz")
    assert found["x"].tolist() == [0, 1, 2, 3, 4]
    assert bool(found["y"])
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_damage_has_one_kind_of_error(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(ValueError, match="No such file"):
        load_arrays(path)
    save_arrays(path, x=np.arange(500), y=np.zeros((3, 4)))
    whole, n_refused = path.read_bytes(), 0
    variants = [whole[:n] for n in range(0, len(whole), 13)]
    for at in range(0, len(whole), 3):
        variants.append(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    for data in variants:
        path.write_bytes(data)
        try:
            load_arrays(path)
        except ValueError:
            n_refused += 1
    assert n_refused > len(variants) / 2
