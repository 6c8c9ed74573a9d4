"""Score real footage as it is, and with single cues removed.

    python benchmarks/real_footage.py VIDEO [VIDEO ...] [--audio small --visual small] [--out FILE]

Detects and tracks the faces of each video, then scores them unchanged, without sound, and with the
faces blurred beyond recognition, covered or upside down. The videos should show people speaking
into the camera: a model that transfers gives high scores, and lower ones when its cues are removed.
Prints the mean scores over all faces.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from quavf.core.records import Image
from quavf.faces.crop import decode_jpeg, encode_jpeg
from quavf.inference.config import PredictConfig
from quavf.results.scores import Scores, read_scores
from quavf.store import ClipStore, CropReader
from quavf.utils.files import write_json
from quavf.workflows.config import RunConfig
from quavf.workflows.predict import predict
from quavf.workflows.quality import score_quality
from quavf.workflows.run import STORE, Pipeline

Change = Callable[[Image], Image]


def blur_face(crop: Image) -> Image:
    """Blur a crop until eyes and mouth are indistinguishable."""
    small = cv2.resize(crop, (8, 8), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, crop.shape[1::-1]), np.uint8)


def cover_face(crop: Image) -> Image:
    """Cover the centre of a crop, where the face is, with grey."""
    out = crop.copy()
    out[50:174, 50:174] = 128
    return out


def flip_face(crop: Image) -> Image:
    """Turn a crop upside down."""
    return np.ascontiguousarray(crop[::-1])


VARIANTS: dict[str, tuple[bool, Change | None]] = {  # keep the sound, change of the faces
    "as it is": (True, None),
    "sound silenced": (False, None),
    "faces blurred": (True, blur_face),
    "faces covered": (True, cover_face),
    "faces upside down": (True, flip_face),
}


def write_variant(source: ClipStore, out: Path, *, sound: bool, change: Change | None) -> None:
    """Copy a store with its sound silenced or its faces changed. Quality scores are kept."""
    target = ClipStore.create(out, source.config)
    for clip in source.clips():
        manifest, faces = source.manifest(clip), source.faces(clip)
        reader = CropReader(source, clip, faces)
        with target.write_clip(clip) as writer:
            for row in range(len(faces)):
                data = reader.read(row)
                if change is not None:
                    picture = decode_jpeg(data)
                    assert picture is not None
                    data = encode_jpeg(change(picture)[..., ::-1])
                key = int(faces.person[row]), int(faces.frame[row])
                writer.add_crop(*key, float(faces.time_s[row]), faces.geometry(row), data)
            if manifest.n_samples is not None:
                samples = source.sound(clip, 0, manifest.n_samples) * 32768
                writer.add_sound((samples * sound).astype(np.int16))
            writer.finish(manifest)
        for scorer in source.scorers():
            target.write_quality(clip, scorer, source.quality(clip, scorer), {})


def score_variants(
    video: Path, audio: str, visual: str, scratch: Path
) -> dict[str, dict[str, float]]:
    """Mean scores over all faces of one video, by variant."""
    config = RunConfig(audio=audio, visual=visual, annotated=False, report=False, keep_store=True)
    Pipeline(config).run(video, scratch / "run")
    source = ClipStore.open(scratch / "run" / STORE)
    score_quality(source.path)
    found = {}
    for name, (sound, change) in VARIANTS.items():
        folder = scratch / name.replace(" ", "_")
        write_variant(source, folder, sound=sound, change=change)
        predict(folder, folder / "scores", audio, visual, PredictConfig(quality="light"))
        found[name] = compute_means(read_scores(folder / "scores"))
    return found


def compute_means(scores: Scores) -> dict[str, float]:
    """Means of all columns, ignoring missing values."""
    columns = ("audio", "visual", "quality", "fused")
    return {name: float(np.nanmean(getattr(scores, name))) for name in columns}


def main() -> None:
    """Print a table for each video."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--audio", default="small", help="checkpoint, or small")
    parser.add_argument("--visual", default="small", help="checkpoint, or small")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON of all figures")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for video in options.videos:
        with tempfile.TemporaryDirectory() as scratch:
            results[video.name] = score_variants(
                video, options.audio, options.visual, Path(scratch)
            )
        print(f"\n{video.name}\n\n| | audio | visual | fused |\n|---|---|---|---|")
        for name, row in results[video.name].items():
            print(f"| {name} | {row['audio']:.2f} | {row['visual']:.2f} | {row['fused']:.2f} |")
    if options.out:
        write_json(options.out, results)


if __name__ == "__main__":
    main()
