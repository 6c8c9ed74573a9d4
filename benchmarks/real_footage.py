"""What the branches make of real faces, and of the same footage with a cue taken away.

    python benchmarks/real_footage.py VIDEO [VIDEO ...] [--audio small --visual small] [--out FILE]

Finds and follows the faces of each video, then scores them as they are; with the sound silenced;
with the faces blurred beyond recognition; covered; and upside down. The videos should show people
who speak into the camera: a model that carries over gives them high scores, and lower ones when
what it goes by is gone. Prints means over all faces.
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


def blurred(crop: Image) -> Image:
    """A face of which eyes and mouth can't be told apart."""
    small = cv2.resize(crop, (8, 8), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, crop.shape[1::-1]), np.uint8)


def covered(crop: Image) -> Image:
    """The middle of the crop, where the face is, in one grey."""
    out = crop.copy()
    out[50:174, 50:174] = 128
    return out


def upside_down(crop: Image) -> Image:
    """A face as no camera wearer sees it."""
    return np.ascontiguousarray(crop[::-1])


VARIANTS: dict[str, tuple[bool, Change | None]] = {  # sound kept, change of the faces
    "as it is": (True, None),
    "sound silenced": (False, None),
    "faces blurred": (True, blurred),
    "faces covered": (True, covered),
    "faces upside down": (True, upside_down),
}


def write_variant(source: ClipStore, out: Path, *, sound: bool, change: Change | None) -> None:
    """The same store with its sound silenced or its faces changed; quality stays as it was."""
    target = ClipStore.create(out, source.config)
    for clip in source.clips():
        manifest, faces = source.manifest(clip), source.faces(clip)
        reader = CropReader(source, clip, faces)
        with target.writing(clip) as writer:
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


def judged(video: Path, audio: str, visual: str, scratch: Path) -> dict[str, dict[str, float]]:
    """Mean scores of all faces of one video, by variant."""
    config = RunConfig(audio=audio, visual=visual, annotated=False, report=False, keep_store=True)
    Pipeline(config).run(video, scratch / "run")
    source = ClipStore.open(scratch / "run" / STORE)
    score_quality(source.path)
    found = {}
    for name, (sound, change) in VARIANTS.items():
        folder = scratch / name.replace(" ", "_")
        write_variant(source, folder, sound=sound, change=change)
        predict(folder, folder / "scores", audio, visual, PredictConfig(quality="light"))
        found[name] = means(read_scores(folder / "scores"))
    return found


def means(scores: Scores) -> dict[str, float]:
    """Of every column, missing values left out."""
    columns = ("audio", "visual", "quality", "fused")
    return {name: float(np.nanmean(getattr(scores, name))) for name in columns}


def main() -> None:
    """A table for each video."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--audio", default="small", help="checkpoint, or small")
    parser.add_argument("--visual", default="small", help="checkpoint, or small")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON of all figures")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for video in options.videos:
        with tempfile.TemporaryDirectory() as scratch:
            results[video.name] = judged(video, options.audio, options.visual, Path(scratch))
        print(f"\n{video.name}\n\n| | audio | visual | fused |\n|---|---|---|---|")
        for name, row in results[video.name].items():
            print(f"| {name} | {row['audio']:.2f} | {row['visual']:.2f} | {row['fused']:.2f} |")
    if options.out:
        write_json(options.out, results)


if __name__ == "__main__":
    main()
