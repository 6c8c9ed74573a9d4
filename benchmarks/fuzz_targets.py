"""What `fuzz.py` feeds: for each kind of input, a whole one, and the work that reads it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from quavf.cli import main
from quavf.core.errors import QuavfError
from quavf.evaluation.protocols import evaluate_scores
from quavf.models.checkpoint import load_branch, save_branch
from quavf.results.scores import Scores, read_scores, write_scores
from quavf.store import ClipStore, CropReader
from quavf.workflows.evaluate import read_labels
from quavf.workflows.fuse import fuse
from quavf.workflows.import_scores import import_scores
from quavf.workflows.prepare import PrepareSummary, prepare_challenge, prepare_ego4d
from quavf.workflows.quality import import_quality, score_quality
from tests.helpers import annotations as ego4d_labels
from tests.helpers.media_files import tone, write_video, write_wav
from tests.helpers.published import published_state, tiny_audio, tiny_visual, write_published
from tests.helpers.scored_stores import make_store

N_FRAMES = 24
LAZY = (  # imported once, not in the process of each input
    "av",
    "jsonargparse",
    "quavf.cli.parsing",
    "quavf.cli.training",
    "quavf.faces.quality.light",
    "quavf.sources.challenge",
    "quavf.sources.ego4d",
    "quavf.training.config",
    "rich.console",
    "rich.logging",
)
for name in LAZY:
    importlib.import_module(name)


@dataclass(frozen=True)
class Target:
    """One kind of input."""

    name: str
    share: int  # of all inputs
    make: Callable[[Path], None]  # the whole input into a folder
    work: Callable[[Path], str]  # reads it; returns what was made of it
    suffixes: tuple[str, ...]  # of the files that are mutated
    is_exact: bool = False  # what is made of a mutated input must be what is made of the whole one

    def is_mutated(self, path: Path) -> bool:
        return path.is_file() and path.suffix in self.suffixes


def _make_ego4d(folder: Path) -> None:
    people = [
        ego4d_labels.person(1, ego4d_labels.still(0, N_FRAMES)),
        ego4d_labels.person(2, ego4d_labels.still(0, N_FRAMES, x=80)),
    ]
    talking = [ego4d_labels.segment(1, 0, 20, target="0"), ego4d_labels.segment(2, 3, 20)]
    clips = [ego4d_labels.clip(uid, people, talking) for uid in ("one", "two", "three")]
    ego4d_labels.write_annotations(folder / "annotations", clips[:2], clips[2:])
    (folder / "clips").mkdir()
    sound = tone(N_FRAMES / 30, 48_000)[None]
    for uid, suffix in (("one", ".mp4"), ("two", ".mkv"), ("three", ".ts")):
        path = write_video(folder / f"{uid}{suffix}", N_FRAMES, sound=sound)
        path.rename(folder / "clips" / f"{uid}.mp4")  # what is inside tells the kind


def _prepare_ego4d(folder: Path) -> str:
    store = folder / "store"
    return _describe(prepare_ego4d(folder / "annotations", folder / "clips", store))


def _describe(summary: PrepareSummary) -> str:
    """Counts, notes and failures; an unexpected failure of one clip is as bad as a traceback."""
    for clip, reason in summary.failed.items():
        if "unexpected" in reason:
            raise RuntimeError(f"{clip}: {reason}")
    read_store(summary.store)
    return f"{summary.clips} clips, {summary.crops} crops, {summary.notes} {summary.failed}"


def _make_challenge(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / "test" / name / "face").mkdir(parents=True)
        for frame in (3, 4, 18):
            picture = np.full((224, 224, 3), 90 + frame, np.uint8)
            cv2.imwrite(str(folder / "test" / name / "face" / f"{frame}.jpg"), picture)
        write_wav(folder / "test" / name / "audio" / "aud.wav", tone(1.0, 16_000)[None])


def _prepare_challenge(folder: Path) -> str:
    return _describe(prepare_challenge(folder / "test", folder / "store"))


def _make_qualities(folder: Path) -> None:
    make_store(folder / "store", ("train", "val"))
    people = {"1": {"0": 0.5, "15": 0.25}, "2": {"3": 1.0, "30": 0.0}}
    (folder / "quality.json").write_text(json.dumps({"clip0": people, "clip1": people}))


def _import_quality(folder: Path) -> str:
    summary = import_quality(folder / "store", folder / "quality.json")
    return f"{summary.quantiles} {summary.notes}"


def _make_scores(folder: Path) -> None:
    store = make_store(folder / "store", ("train", "val"))
    make_store(folder / "challenge", ("test",), labelled=False)
    predictions = {"clip0": {str(frame): 0.5 for frame in (0, 15, 3, 30)}}
    (folder / "aPred.json").write_text(json.dumps(_as_published(predictions)))
    for name in ("a", "v"):
        columns = {"audio" if name == "a" else "visual": np.linspace(0, 1, 8)}
        faces = [store.faces(clip) for clip in store.clips()]
        person, frame = (
            np.concatenate([getattr(f, key) for f in faces]) for key in ("person", "frame")
        )
        clips = np.repeat(np.array(store.clips(), object), [len(f) for f in faces])
        write_scores(folder / name, Scores(clips, person, frame, columns), {"command": "predict"})


def _as_published(predictions: dict[str, dict[str, float]]) -> dict[str, Any]:
    rows = [
        {"video_id": clip, "frame_id": int(frame), "label": 1, "score": score}
        for clip, own in predictions.items()
        for frame, score in own.items()
    ]
    return {"version": "1.0", "challenge": "ego4d_talking_to_me", "results": rows}


def _read_scores(folder: Path) -> str:
    fuse(folder / "a", folder / "v", folder / "fused")
    evaluation = evaluate_scores(read_scores(folder / "fused"), read_labels(folder / "store"))
    import_scores(folder / "aPred.json", folder / "challenge", folder / "imported", "audio")
    return json.dumps(evaluation.counts)


OPTIONS = {
    "audio": {"encoder": "16x1x2", "encoder_weights": "random", "dim": 16, "n_heads": 2},
    "augment": {"noise": 0.5, "noise_snr_db": [3.0, 20.0]},
    "trainer": {"epochs": 2, "batch_size": 4, "lr": 0.001, "accelerator": "cpu"},
    "context": "clip",
}


def _make_recipe(folder: Path) -> None:
    (folder / "options.yaml").write_text(yaml.safe_dump(OPTIONS))
    (folder / "flow.yaml").write_text(json.dumps(OPTIONS))


def _read_recipes(folder: Path) -> str:
    """Parse each file as `quavf train` does, which then finds no store."""
    for path in sorted(folder.glob("*.yaml")):
        words = [f"--config={path}", f"--store={folder}/none", f"--out={folder}/out"]
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = main(["train", "audio", *words])
        line = said.getvalue().strip()
        if code != 2 or "\n" in line:
            raise RuntimeError(f"exit code {code}: {line}")
        if "no store here" not in line:
            raise QuavfError(line)
    return "read"


def _make_checkpoints(folder: Path) -> None:
    audio, visual = tiny_audio(), tiny_visual()
    save_branch(folder / "own.safetensors", audio)
    write_published(folder / "published.ckpt", visual, metric=np.float64(0.5))
    save_file({k: v.contiguous() for k, v in published_state(visual).items()}, folder / "plain.st")
    torch.save(
        {"model": published_state(audio)},
        folder / "old.pt",
        _use_new_zipfile_serialization=False,
    )


def _load_checkpoints(folder: Path) -> str:
    load_branch(folder / "own.safetensors")
    load_branch(folder / "published.ckpt", n_heads=2, backbone="test_vit")
    load_branch(folder / "plain.st", n_heads=2, backbone="test_vit")
    load_branch(folder / "old.pt", n_heads=2, encoder_heads=2)
    return "loaded"


def _make_store(folder: Path) -> None:
    make_store(folder / "store", ("train", "val"))


def read_store(path: Path) -> str:
    """A digest of all that a store holds, read as the commands read it."""
    store, digest = ClipStore.open(path), hashlib.sha256()
    for clip in store.clips():
        manifest, faces = store.manifest(clip), store.faces(clip)
        reader = CropReader(store, clip, faces)
        for row in range(len(faces)):
            digest.update(reader.read(row))
        for column in (faces.person, faces.frame, faces.time_s, faces.box, faces.region):
            digest.update(np.ascontiguousarray(column).tobytes())
        if manifest.n_samples is not None:
            digest.update(store.sound(clip, 0, manifest.n_samples).tobytes())
        digest.update(repr((manifest.split, manifest.segments, manifest.clock)).encode())
    return digest.hexdigest()


def _read_store(folder: Path) -> str:
    digest = read_store(folder / "store")
    score_quality(folder / "store")
    store = ClipStore.open(folder / "store")
    scores = [store.quality(clip, "light") for clip in store.clips()]
    return f"{len(store.clips())} {digest} {np.concatenate(scores).round(6).tolist()}"


TARGETS = {
    target.name: target
    for target in (
        Target("annotations", 10, _make_ego4d, _prepare_ego4d, (".json",)),
        Target("media", 8, _make_ego4d, _prepare_ego4d, (".mp4",)),
        Target("challenge folders", 7, _make_challenge, _prepare_challenge, (".jpg", ".wav")),
        Target("qualities", 6, _make_qualities, _import_quality, ("quality.json", ".json")),
        Target("scores", 6, _make_scores, _read_scores, (".parquet", ".json")),
        Target("recipes", 4, _make_recipe, _read_recipes, (".yaml",)),
        Target(
            "checkpoints",
            5,
            _make_checkpoints,
            _load_checkpoints,
            (".safetensors", ".ckpt", ".st", ".pt"),
        ),
        Target(
            "stores",
            4,
            _make_store,
            _read_store,
            (".json", ".parquet", ".tar", ".wav"),
            is_exact=True,
        ),
    )
}
