"""A third branch, `toy`, for tests that adding one takes no more than its specification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from quavf.core.branches import BRANCHES, BranchSpec, register_branch
from quavf.core.records import Floats


def trust_half(quality: Floats) -> Floats:
    return np.full(len(quality), 0.5)


TOY = BranchSpec(
    name="toy",
    title="Toy",
    summary="what a toy says",
    colour="#009E73",
    model_config="tests.helpers.toy_model:ToyConfig",
    network="tests.helpers.toy_model:ToyBranch",
    predictor="tests.helpers.toy_model:ToyPredictor",
    training="tests.helpers.toy_model:ToyTraining",
    train_config="tests.helpers.toy_model:TrainToyConfig",
    weight=trust_half,
    columns=("toy_noise",),
)


@contextmanager
def toy_branch(**changes: Any) -> Iterator[BranchSpec]:
    """The toy branch, with changes to its specification, registered while the block runs."""
    spec = replace(TOY, **changes)
    register_branch(spec)
    try:
        yield spec
    finally:
        BRANCHES.unregister(spec.name)
