"""Common parts of the predictors of all branches: from a clip to columns of scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from quavf.core.records import Array, Floats, Ints
from quavf.core.semantics import get_semantics
from quavf.core.windows import Span
from quavf.inference.clip import ClipData
from quavf.inference.config import InferenceConfig
from quavf.utils.progress import show_progress

Columns = dict[str, Floats]  # score columns by name, (N,) each, NaN where there is no score
Spans = Sequence[tuple[Span, Ints]]  # spans of one person, with the ascending ticks to score
Once = Callable[[str, Callable[[], Columns]], Columns]  # (name, make): kept from an earlier run


class Predictor(ABC):
    """Scores clips of a store, or a prepared video, with one branch.

    Subclasses set `name` to the branch's name and return a column of that name, with those that
    the branch's `BranchSpec` lists beside it.
    """

    name: ClassVar[str]
    action: ClassVar[str] = "Scoring"  # title of the progress bar
    model: Any

    def __init__(self, model: Any, config: InferenceConfig | None = None, scorer: str = "") -> None:
        """`model` is a branch's network, or what its `run_on` makes, whatever library runs it.

        `config.device` is one that exists; `scorer` is the scorer of face quality to read.
        """
        self.config = config or InferenceConfig(device="cpu")
        self.device = self.config.device
        self.model = model.run_on(self.device) if hasattr(model, "run_on") else model
        self.scorer = scorer
        self.semantics = get_semantics(self.model.settings.semantics)
        self.n_repaired = 0  # scores that were not finite, see `repair`
        self.n_unscored = 0  # crops without a quality: they count as 0

    @property
    def judges_silence(self) -> bool:
        """Whether the branch can tell something from silent sound."""
        return False

    @abstractmethod
    def score_faces(self, data: ClipData) -> Columns:
        """Columns (N,) for the N faces of a clip, NaN where there is no score.

        Faces inside the clip's spans must have one; those outside may, if the branch can judge
        them: what it says there is judged against labels of speaking and looking.
        """

    @abstractmethod
    def score_person(self, data: ClipData, spans: Spans) -> Columns:
        """Columns (S,) for all ticks of one person's spans, in order."""

    def score_video(
        self, data: ClipData, schedule: Mapping[int, Spans], once: Once, *, is_silent: bool = False
    ) -> dict[int, Columns]:
        """Columns (S,) at the scheduled ticks of each person of a prepared video.

        `once(name, make)` returns what `make` gives, or what an interrupted run kept of it.
        `is_silent`: the video has sound, with nothing to hear on it.
        """
        scores: dict[int, Columns] = {person: {} for person in schedule}
        counts = {person: sum(len(t) for _, t in spans) for person, spans in schedule.items()}
        n_ticks = {person: n for person, n in counts.items() if n}
        if not n_ticks:
            return scores
        with show_progress(self.action, len(n_ticks), unit="persons", inner="faces") as bar:
            for person, n in n_ticks.items():
                make = partial(self.score_person, data, schedule[person])
                scores[person] = once(f"{self.name}-{person}", make)
                bar.advance(1, n)
        return scores

    def score_labelled(self, data: ClipData) -> tuple[Ints, Ints, Floats]:
        """Person, frame and score (N,) of the rows that validation judges: the faces in spans."""
        rows = np.flatnonzero(data.scored_mask())
        scores = self.score_faces(data)[self.name]
        return data.faces.person[rows], data.faces.frame[rows], scores[rows]


def repair_part(scores: Floats, part: Array) -> int:
    """`repair` of the masked scores only, in place; how many."""
    own = scores[part]
    n_bad = repair(own)
    scores[part] = own
    return n_bad


def repair(scores: Floats) -> int:
    """Replace, in place, what is not finite by the score before it, else 0.5; how many."""
    bad = ~np.isfinite(scores)
    if bad.any():
        last_good = np.maximum.accumulate(np.where(bad, -1, np.arange(len(scores))))
        filled = np.where(last_good >= 0, scores[np.maximum(last_good, 0)], 0.5)
        scores[bad] = filled[bad]
    return int(bad.sum())
