"""What labels of one's own bring: docs/experiments/labels.md.

    python benchmarks/labels.py --out FOLDER [--room STORE] [--real STORE] [--jobs 4]

Trains the cues branch of `talk` further on labelled clips and judges it on others. `--room` is a
store of clips of one simulated room (`quavf prepare simulated`, then `quavf cues`), `--real` one of
`quavf prepare own`. The settings are chosen by training on one half of the training clips and
judging on the other; the last 16 clips of the room judge nothing else. Writes `labels.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.records import Floats, Ints
from quavf.store import ClipStore
from quavf.training.config import TrainCuesConfig, TrainerConfig

MINUTES = (1, 5, 10)
CLIP_MINUTES = 0.5
N_TEST = 16  # clips of the room
SEEDS = (0, 1)  # of the order, and of the clips that are taken
LRS, REHEARSALS, EPOCHS = (1e-4, 1e-3), (0.0, 0.5), (10,)
USUAL = {"lr": 3e-4, "rehearsal": 0.5, "epochs": 10}  # where no room chooses
RESAMPLES = 2000
Parts = list[tuple[Ints, Floats]]  # of each clip: labels and scores of its ticks


@dataclass(frozen=True)
class Job:
    """One training: its clips, settings, and the clips that judge it; no clip: talk as it is."""

    name: str
    store: Path
    clips: tuple[str, ...]
    judged: tuple[str, ...]
    lr: float = 1e-4
    rehearsal: float = 0.0
    epochs: int = 10
    seed: int = 0


def run_job(job: Job, work: Path) -> tuple[str, Parts]:
    """The scores of the judged clips, by a network that was trained as the job says."""
    import torch

    from quavf.models.bundled import weights_path
    from quavf.models.checkpoint import load_branch
    from quavf.workflows.train import train

    torch.set_num_threads(1)
    if not job.clips:
        return job.name, judge(load_branch(weights_path("talk", "cues")), job)
    folder = work / job.name
    subset = make_subset(job, folder / "store")
    trainer = TrainerConfig(
        epochs=job.epochs,
        batch_size=4,
        lr=job.lr,
        schedule="cosine",
        class_weights=False,
        accelerator="cpu",
        devices="1",
        seed=job.seed,
        save_every=10_000,
    )
    config = TrainCuesConfig(start="talk", seconds=14.0, rehearsal=job.rehearsal, trainer=trainer)
    train("cues", subset, folder / "run", config)
    return job.name, judge(load_branch(folder / "run" / "last.safetensors"), job)


def make_subset(job: Job, folder: Path) -> Path:
    """A store of some clips of another, all for training."""
    shutil.rmtree(folder.parent, ignore_errors=True)
    (folder / "clips").mkdir(parents=True)
    shutil.copy(job.store / "store.json", folder)
    for clip in job.clips:
        (folder / "clips" / clip).symlink_to((job.store / "clips" / clip).resolve())
    return folder


def judge(network: Any, job: Job) -> Parts:
    """Labels and scores of "talks to me" at each labelled tick of a face in view, by clip."""
    import torch

    from quavf.cues.features import OFFLINE, compute_features
    from quavf.training.cue_samples import TO_ME, read_labelled_cues
    from quavf.training.datasets import IGNORED

    network.eval()
    store, found = ClipStore.open(job.store), []
    for clip in job.judged:
        cues = read_labelled_cues(store, clip)
        features = compute_features(cues.grid, None)
        arrays = (features.face, features.sound, features.rule, features.seen)
        with torch.inference_mode():
            judged = network(*(torch.from_numpy(a)[None] for a in arrays), torch.tensor([OFFLINE]))
        scores = judged.people[0, ..., TO_ME].sigmoid().numpy().astype(float)  # (P, T)
        labels = cues.people[..., TO_ME]
        known = (labels != IGNORED) & features.seen & ~np.isnan(cues.grid.level_db)
        found.append((labels[known], scores[known]))
    return found


def measure(parts: Parts) -> Floats:
    """(3,) mAP %, balanced accuracy at 0.5 %, and mean log loss."""
    from quavf.evaluation.metrics import mean_average_precision

    labels = np.concatenate([a for a, _ in parts])
    scores = np.clip(np.concatenate([b for _, b in parts]), 1e-6, 1 - 1e-6)
    if len(np.unique(labels)) < 2:
        return np.full(3, np.nan)
    yes, no = labels == 1, labels == 0
    balanced = ((scores[yes] >= 0.5).mean() + (scores[no] < 0.5).mean()) / 2
    loss = -np.log(np.where(yes, scores, 1 - scores)).mean()
    average = mean_average_precision(labels, scores, ties="safe")
    return np.array([100 * average, 100 * balanced, loss])


def compare(before: Sequence[Parts], after: Sequence[Parts]) -> dict[str, Any]:
    """Means over repeats, and the gain with intervals by clips drawn again."""
    n = len(before[0])
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES if n > 1 else 0):
        rows = rng.integers(n, size=n)
        pairs = (
            measure([b[k] for k in rows]) - measure([a[k] for k in rows])
            for a, b in zip(before[:1], after[:1], strict=False)
        )
        draws.append(np.mean(list(pairs), axis=0))
    bounds = np.nanpercentile(draws, [2.5, 97.5], axis=0) if draws else np.full((2, 3), np.nan)
    first, then = (np.mean([measure(p) for p in parts], axis=0) for parts in (before, after))
    each = np.array([measure(p) for p in after])
    names = ("map", "balanced_accuracy", "log_loss")
    return {
        name: {
            "talk": round(float(first[k]), 3),
            "own": round(float(then[k]), 3),
            "own_runs": [round(float(v), 3) for v in each[:, k]],
            "gain_ci": [round(float(v), 3) for v in bounds[:, k]],
        }
        for k, name in enumerate(names)
    }


def list_settings() -> Iterator[dict[str, Any]]:
    for lr, rehearsal, epochs in product(LRS, REHEARSALS, EPOCHS):
        yield {"lr": lr, "rehearsal": rehearsal, "epochs": epochs}


def describe(settings: dict[str, Any]) -> str:
    return f"lr{settings['lr']:g}-re{settings['rehearsal']:g}-ep{settings['epochs']}"


class Runner:
    """Runs jobs in processes, and keeps their scores by name."""

    def __init__(self, work: Path, n_jobs: int) -> None:
        self.work, self.n_jobs = work, n_jobs

    def run(self, jobs: Sequence[Job]) -> dict[str, Parts]:
        with ProcessPoolExecutor(self.n_jobs) as pool:
            return dict(pool.map(run_job, jobs, [self.work] * len(jobs)))


def measure_room(store: Path, runner: Runner) -> dict[str, Any]:
    names = tuple(ClipStore.open(store).clips())
    train, test = names[:-N_TEST], names[-N_TEST:]
    halves = train[::2], train[1::2]
    chosen_by = [
        replace(Job(f"dev-{describe(s)}-{k}", store, halves[k], halves[1 - k]), **s)
        for s in list_settings()
        for k in (0, 1)
    ]
    chosen_by += [Job(f"dev-talk-{k}", store, (), halves[1 - k]) for k in (0, 1)]
    found = runner.run(chosen_by)
    loss = {
        describe(s): float(np.mean([measure(found[f"dev-{describe(s)}-{k}"])[2] for k in (0, 1)]))
        for s in list_settings()
    }
    sweep = {
        name: [
            np.round(
                np.mean([measure(found[f"dev-{name}-{k}"]) for k in (0, 1)], axis=0), 3
            ).tolist()
        ][0]
        for name in (*loss, "talk")
    }
    best = min(list_settings(), key=lambda s: loss[describe(s)])
    jobs = [Job("talk", store, (), test)]
    for minutes, seed in product(MINUTES, SEEDS):
        order = np.random.default_rng(seed).permutation(len(train))
        taken = tuple(train[k] for k in sorted(order[: round(minutes / CLIP_MINUTES)]))
        jobs.append(replace(Job(f"own-{minutes}-{seed}", store, taken, test, seed=seed), **best))
    done = runner.run(jobs)
    table = {
        str(minutes): compare(
            [done["talk"]] * len(SEEDS), [done[f"own-{minutes}-{seed}"] for seed in SEEDS]
        )
        for minutes in MINUTES
    }
    return {"settings": best, "sweep": sweep, "minutes": table, "test_clips": len(test)}


def measure_real(store: Path, runner: Runner, settings: dict[str, Any]) -> dict[str, Any]:
    """Each clip judged by a network that was trained on the others."""
    names = tuple(ClipStore.open(store).clips())
    jobs = [Job(f"real-talk-{clip}", store, (), (clip,)) for clip in names]
    alone = {**settings, "rehearsal": 0.5 if settings["rehearsal"] == 0 else 0.0}
    tries = {describe(s): s for s in (settings, alone)}
    for name, s in tries.items():
        for clip, seed in product(names, SEEDS if s == settings else SEEDS[:1]):
            others = tuple(other for other in names if other != clip)
            job = Job(f"real-{name}-{clip}-{seed}", store, others, (clip,), seed=seed)
            jobs.append(replace(job, **s))
    done = runner.run(jobs)
    talk = [part for clip in names for part in done[f"real-talk-{clip}"]]

    def pool(name: str, seed: int) -> Parts:
        return [part for clip in names for part in done[f"real-{name}-{clip}-{seed}"]]

    chosen = describe(settings)
    sweep = {name: np.round(measure(pool(name, 0)), 3).tolist() for name in tries}
    return {
        "clips": len(names),
        "settings": settings,
        "leave_one_out": compare([talk] * len(SEEDS), [pool(chosen, seed) for seed in SEEDS]),
        "sweep": sweep | {"talk": np.round(measure(talk), 3).tolist()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--room", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    runner = Runner(args.out / "work", args.jobs)
    found: dict[str, Any] = {}
    settings: dict[str, Any] = USUAL
    if args.room:
        found["room"] = measure_room(args.room, runner)
        settings = found["room"]["settings"]
        (args.out / "labels.json").write_text(json.dumps(found, indent=1))
    if args.real:
        found["real"] = measure_real(args.real, runner, settings)
    (args.out / "labels.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
