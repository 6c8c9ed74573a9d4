"""Score every face of a store with any of the branches, and fuse the scores."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quavf.core.branches import FUSED, branch_names
from quavf.core.errors import StoreError
from quavf.inference.config import PredictConfig
from quavf.models.bundle import Bundle
from quavf.models.bundled import choose_bundle
from quavf.results.fusion import PUBLISHED, Fusion, FusionCounts, count_branches
from quavf.results.scores import Scores, concatenate, read_scores, write_scores
from quavf.results.turns import fuse_turns
from quavf.store import ClipStore
from quavf.store.scorers import choose_scorer
from quavf.utils.files import config_hash, read_json, write_json
from quavf.utils.holding import hold_folder
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import show_progress

if TYPE_CHECKING:
    from quavf.inference.clip import ClipData
    from quavf.inference.predictor import Predictor

log = logging.getLogger(__name__)

PARTS = ".parts"  # folder in --out with the finished clips of an unfinished run


@dataclass(frozen=True)
class PredictSummary:
    """The content of a scores folder, counted."""

    scores: Path
    clips: int
    rows: int
    branches: FusionCounts
    repaired: int  # scores that were not finite and took their neighbour's
    crops_without_quality: int


def predict(
    store: Path | str,
    out: Path | str,
    audio: Path | str | None = None,
    visual: Path | str | None = None,
    config: PredictConfig | None = None,
    engine: EngineConfig | None = None,
    weights: Path | str | None = None,
    **checkpoints: Path | str | None,
) -> PredictSummary:
    """Score every face of a store with one branch or more, and fuse the scores.

    `weights` is the name of weights that come with the package, such as `small`, or a bundle's
    folder. `audio`, `visual` and the names of further branches take checkpoints (see
    `load_branch`), exported models (see `export`) or such names; they replace the branches of
    `weights`, or are used alone where that is not given. An empty text leaves a branch out. An
    interrupted run goes on where it was. Writes a scores folder (see `Scores`). Raises ConfigError
    without any branch, and while another process writes to `out`.
    """
    bundle = choose_bundle(weights, {"audio": audio, "visual": visual, **checkpoints}, "predict")
    run = _Prediction(ClipStore.open(Path(store)), Path(out), bundle, config or PredictConfig())
    with hold_folder(Path(out)):
        return run.execute(engine)


@dataclass(frozen=True)
class _Part:
    """One clip of an unfinished run, and the folder of its scores until all clips are done."""

    clip: str
    folder: Path

    @property
    def counts_file(self) -> Path:
        """Written last."""
        return self.folder / "counts.json"

    def __str__(self) -> str:
        return f"clip {self.clip}"


@dataclass
class _Prediction:
    store: ClipStore
    out: Path
    bundle: Bundle
    config: PredictConfig

    def __reduce__(self) -> tuple[type[_Prediction], tuple[Any, ...]]:
        """Leave the networks out: each process loads its own."""
        return _Prediction, (self.store, self.out, self.bundle, self.config)

    def execute(self, engine: EngineConfig | None) -> PredictSummary:
        resolved = self._resolve()
        clips = self.store.clips(self.config.split or None)
        if not clips:
            raise StoreError(
                f"{self.store.path}: no clip of split {self.config.split or 'any'!r} in this store"
            )
        parts = [_Part(clip, self._part_folder(clip, resolved)) for clip in clips]
        missing = [part for part in parts if not part.counts_file.is_file()]
        with show_progress("Predicting", len(clips), inner="faces") as bar:
            bar.advance(len(parts) - len(missing))
            for done in run_each(self, missing, engine, gpu=self.config.device != "cpu"):
                bar.advance(1, done.result)
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(read_json(part.counts_file))
        scores = concatenate([read_scores(part.folder) for part in parts])
        write_scores(self.out, scores, resolved)
        shutil.rmtree(self.out / PARTS, ignore_errors=True)
        summary = PredictSummary(
            scores=self.out,
            clips=len(clips),
            rows=len(scores),
            branches=count_branches(scores),
            repaired=counts["repaired"],
            crops_without_quality=counts["unscored"],
        )
        if summary.repaired:
            log.warning("%d scores were not finite and took their neighbour's", summary.repaired)
        if summary.crops_without_quality:
            log.warning("%d crops have no quality: counted as 0", summary.crops_without_quality)
        return summary

    @cached_property
    def _predictors(self) -> dict[str, Predictor]:
        from quavf.inference.loading import load_predictors
        from quavf.models.description import PublishedOptions

        config = self.config
        published = PublishedOptions(config.encoder_heads, config.n_heads, config.backbone)
        return load_predictors(
            self.bundle.branches,
            config,
            lambda spec, settings: choose_scorer(self.store, config.quality, settings.quality),
            published,
        )

    def _resolve(self) -> dict[str, Any]:
        """The settings and files that the scores depend on, kept with them."""
        described = {
            name: {
                "checkpoint": str(self.bundle.branches[name]),
                "sha256": _sha256(self.bundle.branches[name]),
                "model": asdict(predictor.model.config),
                "settings": asdict(predictor.model.settings),
            }
            for name, predictor in self._predictors.items()
        }
        scorers = [p.scorer for p in self._predictors.values() if p.scorer]
        return {
            "command": "predict",
            "store": str(self.store.path),
            "store_config": asdict(self.store.config),
            "quality": scorers[0] if scorers else None,
            "options": asdict(self.config),
            "fusion": self.bundle.fusion.to_json(),
            "turns": self.bundle.turns.to_json() if self.bundle.turns else None,
            "moments": asdict(self.bundle.moments),
            **{name: described.get(name) for name in branch_names()},
        }

    def _part_folder(self, clip: str, resolved: dict[str, Any]) -> Path:
        """The folder of a clip's scores until all are done; another for other settings."""
        content = [resolved, self.store.fingerprint(clip), self.store.has_cues(clip)]
        if resolved["quality"]:
            quality = self.store.quality(clip, resolved["quality"])
            content.append(hashlib.sha256(quality.tobytes()).hexdigest())
        return self.out / PARTS / config_hash(content) / clip

    def __call__(self, part: _Part) -> int:
        """Write the scores of a clip; return their number."""
        from quavf.inference.clip import ClipData

        predictors = self._predictors.values()
        before = _count_faults(predictors)
        data = ClipData(self.store, part.clip, self.config.all_faces)
        turns = self.bundle.turns if self.config.whole_turns else None
        scores = score_clip(data, self._predictors, self.bundle.fusion, turns)
        repaired, unscored = np.subtract(_count_faults(predictors), before).tolist()
        write_scores(part.folder, scores, {})
        counts = {"rows": len(scores), "repaired": repaired, "unscored": unscored}
        write_json(part.counts_file, counts)
        return len(scores)


def score_clip(
    data: ClipData,
    predictors: Mapping[str, Predictor],
    fusion: Fusion = PUBLISHED,
    turns: Fusion | None = None,
) -> Scores:
    """The scores of all faces inside a clip's spans, and of others that a branch scores, fused.

    `turns` fuses labelled segments, each as a whole; default: their rows are fused like others.
    """
    from quavf.inference.measures import measure_faces

    columns = {}
    for predictor in predictors.values():
        columns.update(predictor.score_faces(data))
    faces = data.faces
    measures = measure_faces(data.store, data.clip, faces.person, faces.time_s)
    seen = {**columns, **measures}
    fused = fusion.fuse(seen)
    columns[FUSED] = fuse_turns(seen, data.turns, turns, fused) if turns else fused
    rows = np.flatnonzero(data.scored_mask() | ~np.isnan([*columns.values()]).all(axis=0))
    clips = np.full(len(rows), data.clip, object)
    values = {name: column[rows] for name, column in columns.items()}
    return Scores(clips, data.faces.person[rows], data.faces.frame[rows], values)


def _count_faults(predictors: Any) -> tuple[int, int]:
    """Repaired scores, and crops without a quality, so far."""
    return sum(p.n_repaired for p in predictors), sum(p.n_unscored for p in predictors)


def _sha256(path: Path) -> str:
    """The hash of all files that a checkpoint consists of."""
    from quavf.inference.loading import model_files

    digest = hashlib.sha256()
    for file in model_files(path):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
