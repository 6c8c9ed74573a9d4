"""Predict: from a store to scores."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quavf.core.errors import ConfigError, StoreError
from quavf.inference.config import PredictConfig
from quavf.models.bundled import weights_path
from quavf.results.fusion import FusionCounts, count_branches, fuse_columns
from quavf.results.scores import Scores, concatenate, read_scores, write_scores
from quavf.store import ClipStore
from quavf.utils.files import config_hash, read_json, write_json
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import show_progress

if TYPE_CHECKING:
    from quavf.inference.predict import AudioPredictor, ClipData, VisualPredictor

log = logging.getLogger(__name__)

PARTS = ".parts"  # finished clips of a run that is under way, in its --out


@dataclass(frozen=True)
class PredictSummary:
    """What a scores folder holds, counted."""

    scores: Path
    clips: int
    rows: int
    branches: FusionCounts
    repaired: int  # scores that were not a number and took their neighbour's
    crops_without_quality: int


def predict(
    store: Path | str,
    out: Path | str,
    audio: Path | str | None = None,
    visual: Path | str | None = None,
    config: PredictConfig | None = None,
    engine: EngineConfig | None = None,
) -> PredictSummary:
    """Score every face of a store with one branch or both, and fuse them.

    `audio` and `visual` are checkpoints (see `load_branch`), exported models (see `export`) or
    names of weights that come with the package, such as `small`; either may be left out.
    Interrupted runs go on where they were. Writes a scores folder (see `Scores`).
    """
    config = config or PredictConfig()
    if audio is None and visual is None:
        raise ConfigError("predict: give --audio, --visual, or both")
    clips = ClipStore.open(Path(store))
    audio = None if audio is None else weights_path(audio, "audio")
    visual = None if visual is None else weights_path(visual, "visual")
    return _PredictRun(clips, Path(out), audio, visual, config).go(engine)


@dataclass(frozen=True)
class _Part:
    """One clip of a run that is under way, and where its scores lie until all are there."""

    clip: str
    folder: Path

    @property
    def counts_file(self) -> Path:
        """Written last."""
        return self.folder / "counts.json"

    def __str__(self) -> str:
        return f"clip {self.clip}"


@dataclass
class _PredictRun:
    store: ClipStore
    out: Path
    audio: Path | None
    visual: Path | None
    config: PredictConfig

    def __reduce__(self) -> tuple[type[_PredictRun], tuple[Any, ...]]:
        """Without the networks: each process loads its own."""
        return _PredictRun, (self.store, self.out, self.audio, self.visual, self.config)

    def go(self, engine: EngineConfig | None) -> PredictSummary:
        resolved = self._resolved(*self._predictors)
        clips = self.store.clips(self.config.split or None)
        if not clips:
            raise StoreError(
                f"{self.store.path}: no clip of split {self.config.split or 'any'!r} in this store"
            )
        counts: Counter[str] = Counter()
        parts = [_Part(clip, self._part(clip, resolved)) for clip in clips]
        missing = [part for part in parts if not part.counts_file.is_file()]
        with show_progress("Predicting", len(clips), inner="faces") as bar:
            bar.advance(len(parts) - len(missing))
            for done in run_each(self, missing, engine, gpu=self.config.device != "cpu"):
                bar.advance(1, done.result)
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
            log.warning("%d scores were not a number and took their neighbour's", summary.repaired)
        if summary.crops_without_quality:
            log.warning("%d crops have no quality: counted as 0", summary.crops_without_quality)
        return summary

    @cached_property
    def _predictors(self) -> tuple[AudioPredictor | None, VisualPredictor | None]:
        from quavf.inference.loading import load_audio, load_visual, resolve_device
        from quavf.inference.predict import AudioPredictor, VisualPredictor

        config = self.config
        audio = visual = None
        if self.audio is not None:
            own = resolve_device(config, self.audio)
            heard = load_audio(self.audio, own, config.encoder_heads, config.n_heads)
            audio = AudioPredictor(heard, own.device, config.audio_batch_size)
        if self.visual is not None:
            own = resolve_device(config, self.visual)
            seen = load_visual(self.visual, own, config.n_heads, config.backbone)
            scorer = self.store.choose_scorer(config.quality, seen.settings.quality)
            visual = VisualPredictor(seen, scorer, own.device, config.batch_size)
        return audio, visual

    def _resolved(
        self, audio: AudioPredictor | None, visual: VisualPredictor | None
    ) -> dict[str, Any]:
        described = {
            name: None
            if predictor is None
            else {
                "checkpoint": str(path),
                "sha256": path and _sha256(path),
                "model": asdict(predictor.branch.config),
                "settings": asdict(predictor.branch.settings),
            }
            for name, path, predictor in (
                ("audio", self.audio, audio),
                ("visual", self.visual, visual),
            )
        }
        return {
            "command": "predict",
            "store": str(self.store.path),
            "store_config": asdict(self.store.config),
            "quality": visual.scorer if visual else None,
            "options": asdict(self.config),
            **described,
        }

    def _part(self, clip: str, resolved: dict[str, Any]) -> Path:
        """Where a clip's scores lie until all are there: elsewhere for anything that differs."""
        content = [resolved, self.store.manifest(clip).fingerprint]
        if resolved["quality"]:
            quality = self.store.quality(clip, resolved["quality"])
            content.append(hashlib.sha256(quality.tobytes()).hexdigest())
        return self.out / PARTS / config_hash(content) / clip

    def __call__(self, part: _Part) -> int:
        """Write a clip's scores; how many there are."""
        from quavf.inference.predict import ClipData

        audio, visual = self._predictors
        data = ClipData(self.store, part.clip)
        before = [p.n_repaired for p in (audio, visual) if p], visual.n_unscored if visual else 0
        scores = _score_clip(data, audio, visual)
        after = [p.n_repaired for p in (audio, visual) if p], visual.n_unscored if visual else 0
        write_scores(part.folder, scores, {})
        write_json(
            part.counts_file,
            {
                "rows": len(scores),
                "repaired": sum(after[0]) - sum(before[0]),
                "unscored": after[1] - before[1],
            },
        )
        return len(scores)


def _score_clip(
    data: ClipData, audio: AudioPredictor | None, visual: VisualPredictor | None
) -> Scores:
    missing = np.full(len(data.faces), np.nan)
    heard = audio.faces(data) if audio else missing
    seen, quality = visual.faces(data) if visual else (missing, missing)
    columns = {"audio": heard, "visual": seen, "quality": quality}
    columns["fused"] = fuse_columns(columns)
    rows = np.flatnonzero(data.scored())
    clips = np.full(len(rows), data.clip, object)
    faces = data.faces
    own = {name: values[rows] for name, values in columns.items()}
    return Scores(clips, faces.person[rows], faces.frame[rows], own)


def _sha256(path: Path) -> str:
    """Of all that the checkpoint consists of."""
    from quavf.inference.loading import model_files

    digest = hashlib.sha256()
    for file in model_files(path):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
