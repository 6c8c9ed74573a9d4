"""What labels of one's own bring: docs/experiments/labels.md.

    python benchmarks/labels.py --work DIR [--rooms kitchen desk] [--seeds 3] [--jobs 2]
    python benchmarks/labels.py --work DIR --real STORE SCORES

Simulates clips of each room, reads their cues, and lets `talk` score them; what is there is kept.
Then the cues branch is trained further on labelled minutes, the bundle's fusion is fitted to them,
and both are judged on the 16 clips of the room that nothing else is done with. `--real` is a store
of `quavf prepare own`, with the scores of `talk` for all faces: each third of its clips is judged
by what the others teach. Writes `labels.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from label_rooms import ROOMS, make_room
from quavf.core.records import TALKING, Array, Floats, Ints
from quavf.results.config import MomentsConfig
from quavf.results.moments import find_moments
from quavf.results.scores import Scores, read_config, read_scores, write_scores
from quavf.store import ClipStore

MINUTES = (1, 5, 10)
CLIP_MINUTES = 0.5
N_TEST = 16  # clips of each room
N_FOLDS = 3  # of real clips
RESAMPLES = 200
INPUTS = ("audio", "cues")  # the face branch counts little in `talk`, and takes the most time
THRESHOLDS = np.round(np.arange(0.2, 0.81, 0.05), 2).tolist()
MEASURED = ("map", "balanced_accuracy", "log_loss", "moments_f1")


@dataclass(frozen=True)
class Job:
    """One training and its fusion: the labelled clips, and those that judge it."""

    store: Path  # labelled as people label
    scores: Path  # of `talk`, all faces
    clips: tuple[str, ...]
    judged: tuple[str, ...]
    work: Path
    seed: int = 0
    rehearsal: float = 0.5


@dataclass(frozen=True)
class Rows:
    """The faces of some clips with a known label: (N,) each, scores and moments by system."""

    clip: Ints
    labels: Ints
    kind: Ints  # 2: to me, 1: to others, 0: silent
    scores: dict[str, Floats]
    moments: dict[str, Array]

    def take(self, rows: Array) -> Rows:
        """The rows of an index array or a mask."""
        scores = {name: values[rows] for name, values in self.scores.items()}
        moments = {name: values[rows] for name, values in self.moments.items()}
        return Rows(self.clip[rows], self.labels[rows], self.kind[rows], scores, moments)


class Table:
    """All faces of a store with the scores of `talk`, and what the store says of them."""

    def __init__(self, store: Path, scores: Path) -> None:
        from quavf.workflows.evaluate import measure_rows

        self.store, self.folder = ClipStore.open(store), scores
        self.scores = read_scores(scores).sorted()
        self.names = sorted({str(clip) for clip in self.scores.clip})
        self.clip = np.searchsorted(self.names, self.scores.clip.astype(str))
        given = {name: self.scores[name] for name in INPUTS}
        self.columns = given | measure_rows(self.scores, self.store)
        self.kind = np.concatenate([self._label(name) for name in self.names])

    def rows_of(self, clip: str) -> Ints:
        return np.flatnonzero(self.clip == self.names.index(clip))

    def _label(self, clip: str) -> Ints:
        """2: to me, 1: to others, 0: silent, -1: not known."""
        manifest, rows = self.store.manifest(clip), self.rows_of(clip)
        person, frame = self.scores.person[rows], self.scores.frame[rows]
        kind = np.full(len(rows), -1)
        for s in manifest.segments:
            kind[(person == s.person) & s.covers(frame)] = 2 * s.label
        for i in manifest.speaking or ():
            kind[(person == i.person) & i.covers(frame) & (kind == 0)] = 1
        for i in manifest.unlabelled.get(TALKING, ()):
            kind[(person == i.person) & i.covers(frame)] = -1
        return kind

    def judge(self, checkpoint: Path) -> Floats:
        """(N,) the scores of a cues branch."""
        from quavf.inference.clip import ClipData
        from quavf.inference.config import InferenceConfig
        from quavf.inference.loading import load_predictors

        config = InferenceConfig(threads=1)
        predictor: Any = load_predictors({"cues": checkpoint}, config, lambda *_: "")["cues"]
        clips = (ClipData(self.store, name, all_faces=True) for name in self.names)
        return np.concatenate([predictor.score_faces(clip)["cues"] for clip in clips])

    def write(self, columns: dict[str, Floats], clips: Sequence[str], folder: Path) -> Path:
        """Scores of some clips, as `quavf predict` writes them."""
        rows = np.concatenate([self.rows_of(clip) for clip in clips])
        scores = self.scores.take(rows)
        own = {name: columns[name][rows] for name in INPUTS}
        kept = Scores(scores.clip, scores.person, scores.frame, {**scores.columns, **own})
        write_scores(folder, kept, read_config(self.folder))
        return folder

    def find_moments(self, fused: Floats, config: MomentsConfig, clips: Sequence[str]) -> Array:
        """(N,) whether each row lies in a moment of its person."""
        inside = np.zeros(len(fused), bool)
        for clip in clips:
            fps = float(self.store.manifest(clip).clock.fps)
            own = self.rows_of(clip)
            for person in np.unique(self.scores.person[own]).tolist():
                rows = own[self.scores.person[own] == person]
                times = self.scores.frame[rows] / fps
                step_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.1
                for m in find_moments(person, times, fused[rows], step_s, config):
                    inside[rows] |= (times >= m.start_s) & (times < m.end_s)
        return inside


def train_further(job: Job) -> Path:
    """The cues branch of `talk`, trained further with the recipe `own`; its checkpoint."""
    import torch

    from quavf.training.config import TrainCuesConfig, TrainerConfig
    from quavf.workflows.train import train

    torch.set_num_threads(1)
    if not (job.work / "run" / "training.json").is_file():
        shutil.rmtree(job.work, ignore_errors=True)
        subset = copy_store(job.store, job.work / "store", job.clips)
        trainer = TrainerConfig(
            epochs=10,
            batch_size=4,
            lr=3e-4,
            schedule="cosine",
            class_weights=False,
            accelerator="cpu",
            devices="1",
            seed=job.seed,
            save_every=10_000,
        )
        usual: Any = {"start": "talk", "seconds": 14.0, "rehearsal": job.rehearsal}
        train("cues", subset, job.work / "run", TrainCuesConfig(**usual, trainer=trainer))
    return job.work / "run" / "last.safetensors"


def copy_store(store: Path, folder: Path, clips: Iterable[str]) -> Path:
    """A store of some clips of another, all for training; files are links."""
    (folder / "clips").mkdir(parents=True)
    shutil.copy(store / "store.json", folder)
    for clip in clips:
        (folder / "clips" / clip).symlink_to((store / "clips" / clip).resolve())
    return folder


def run_job(job: Job) -> Rows:
    """The rows of the judged clips, by `talk` as it is and by what the labels made of it."""
    from quavf.models.bundled import load_bundle

    table, talk = Table(job.store, job.scores), load_bundle("talk")
    scored = {"talk": table.columns}
    if job.clips:
        scored["own"] = {**table.columns, "cues": table.judge(train_further(job))}
    found: dict[str, Floats] = {}
    moments: dict[str, Array] = {}
    clips = [*job.clips, *job.judged]
    for name, columns in scored.items():
        found[f"{name}, cues"] = columns["cues"]
        key = f"{name}, fused as talk"
        found[key] = talk.fusion.fuse(columns)
        moments[key] = table.find_moments(found[key], talk.moments, clips)
        if job.clips:
            key = f"{name}, fused anew"
            fusion = fit_fusion(table, columns, job, job.work / name)
            found[key] = fusion.fuse(columns)
            moments[key] = table.find_moments(found[key], talk.moments, clips)
            best = choose_threshold(table, found[key], job, talk.moments)
            found[f"{key}, own threshold"] = found[key]
            moments[f"{key}, own threshold"] = table.find_moments(found[key], best, clips)
    rows = np.concatenate([table.rows_of(clip) for clip in job.judged])
    rows = rows[table.kind[rows] >= 0]
    labels = (table.kind == 2).astype(int)
    return Rows(table.clip, labels, table.kind, found, moments).take(rows)


def fit_fusion(table: Table, columns: dict[str, Floats], job: Job, folder: Path) -> Any:
    """The fusion that `quavf bundle --start talk` fits to the labelled clips."""
    from quavf.models.bundled import load_bundle
    from quavf.workflows.bundle import make_bundle

    scores = table.write(columns, job.clips, folder / "scores")
    made = make_bundle([scores], folder / "bundle", [job.store], start="talk")
    return load_bundle(made.folder).fusion


def choose_threshold(table: Table, fused: Floats, job: Job, usual: MomentsConfig) -> MomentsConfig:
    """Moments with the threshold that is best for the labelled clips."""
    rows = np.concatenate([table.rows_of(clip) for clip in job.clips])
    rows = rows[table.kind[rows] >= 0]
    labels = table.kind[rows] == 2

    def worth(threshold: float) -> float:
        config = replace(usual, threshold=threshold)
        return measure_f1(labels, table.find_moments(fused, config, job.clips)[rows])

    return replace(usual, threshold=max(THRESHOLDS, key=worth))


def measure_f1(labels: Array, found: Array) -> float:
    """Percent."""
    both = (labels == 1) & found
    return float(200 * both.sum() / max(1, found.sum() + (labels == 1).sum()))


def measure(rows: Rows, name: str) -> Floats:
    """(4,) see MEASURED; a row without a score counts as the mean label."""
    from quavf.evaluation.metrics import mean_average_precision

    yes, no = rows.labels == 1, rows.labels == 0
    if not yes.any() or not no.any():
        return np.full(len(MEASURED), np.nan)
    scores = np.clip(np.nan_to_num(rows.scores[name], nan=yes.mean()), 1e-6, 1 - 1e-6)
    balanced = ((scores[yes] >= 0.5).mean() + (scores[no] < 0.5).mean()) / 2
    loss = -np.log(np.where(yes, scores, 1 - scores)).mean()
    average = mean_average_precision(rows.labels, scores, ties="safe")
    found = rows.moments.get(name)
    f1 = np.nan if found is None else measure_f1(rows.labels, found)
    return np.array([100 * average, 100 * balanced, loss, f1])


def compare(runs: Sequence[Rows], name: str, base: str) -> dict[str, Any]:
    """Means over runs, each run's value, and the gain over `base`, by clips drawn again."""
    each = np.array([measure(run, name) for run in runs])
    clips = np.unique(runs[0].clip)
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(RESAMPLES if name != base and len(clips) > 1 else 0):
        drawn = rng.choice(clips, len(clips))
        run = runs[int(rng.integers(len(runs)))]  # the spread between runs counts, too
        part = run.take(np.concatenate([np.flatnonzero(run.clip == c) for c in drawn]))
        gains.append(measure(part, name) - measure(part, base))
    bounds = np.nanpercentile(gains, [2.5, 97.5], axis=0) if gains else np.full((2, 4), np.nan)
    return {
        measured: {
            "mean": round(float(each[:, k].mean()), 3),
            "runs": np.round(each[:, k], 3).tolist(),
            "gain_ci": np.round(bounds[:, k], 3).tolist(),
        }
        for k, measured in enumerate(MEASURED)
    }


def tabulate(runs: Sequence[Rows]) -> dict[str, Any]:
    """All systems of some runs, each compared with `talk` of its kind."""
    names = list(runs[0].scores)
    bases = {n: "talk, cues" if n.endswith("cues") else "talk, fused as talk" for n in names}
    means = {
        kind: {n: average(runs, n, k) for n in names}
        for k, kind in enumerate(("silent", "to others", "to me"))
    }
    return {name: compare(runs, name, bases[name]) for name in names} | {"means": means}


def average(runs: Sequence[Rows], name: str, kind: int) -> float:
    """The mean score of a kind of rows."""
    return round(float(np.mean([np.nanmean(r.scores[name][r.kind == kind]) for r in runs])), 3)


def measure_room(name: str, work: Path, n_seeds: int, pool: ProcessPoolExecutor) -> Any:
    """The table of one room, by labelled minutes."""
    store, scores = make_room(name, work)
    clips = ClipStore.open(store).clips()
    train, test = clips[:-N_TEST], tuple(clips[-N_TEST:])
    jobs: dict[int, list[Job]] = {0: [Job(store, scores, (), test, work)]}
    for minutes in MINUTES:
        for seed in range(n_seeds):
            order = np.random.default_rng(seed).permutation(len(train))
            taken = tuple(sorted(train[k] for k in order[: round(minutes / CLIP_MINUTES)]))
            folder = work / "runs" / f"{name}-{minutes}-{seed}"
            jobs.setdefault(minutes, []).append(Job(store, scores, taken, test, folder, seed))
    done = pool.map(run_job, [job for own in jobs.values() for job in own])
    return {minutes: tabulate([next(done) for _ in own]) for minutes, own in jobs.items()}


def measure_real(store: Path, scores: Path, work: Path, pool: ProcessPoolExecutor) -> Any:
    """The table of real clips: each third is judged by what the others teach."""
    clips = ClipStore.open(store).clips()
    jobs = []
    for fold in range(N_FOLDS):
        judged = tuple(clips[fold::N_FOLDS])
        others = tuple(clip for clip in clips if clip not in judged)
        jobs.append(Job(store, scores, others, judged, work / "runs" / f"real-{fold}"))
    return tabulate([join(list(pool.map(run_job, jobs)))])


def join(parts: Sequence[Rows]) -> Rows:
    """The rows of several clips."""
    names = [name for name in parts[0].scores if all(name in p.scores for p in parts)]
    return Rows(
        np.concatenate([p.clip for p in parts]),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.kind for p in parts]),
        {n: np.concatenate([p.scores[n] for p in parts]) for n in names},
        {n: np.concatenate([p.moments[n] for p in parts]) for n in names if n in parts[0].moments},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS), choices=list(ROOMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--real", type=Path, nargs=2, metavar=("STORE", "SCORES"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(args.jobs) as pool:
        if args.real:
            store, scores = args.real
            found["real"] = measure_real(store, scores, args.work, pool)
        else:
            for name in args.rooms:
                found[name] = measure_room(name, args.work, args.seeds, pool)
                print(json.dumps({name: found[name]}, indent=1))
    (args.work / "labels.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
