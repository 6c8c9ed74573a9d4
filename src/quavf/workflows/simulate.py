"""Simulate: from a seed to a folder of clips in the Ego4D layout, with the truth beside it."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quavf.core.clock import SAMPLE_RATE
from quavf.core.errors import ConfigError
from quavf.core.records import Image
from quavf.simulate.acoustics import Heard
from quavf.simulate.config import SimulateConfig
from quavf.simulate.contact_sheet import contact_sheet
from quavf.simulate.layout import Json, ego4d_clip, test_segments
from quavf.simulate.media import read_frames, write_face, write_sound, write_video
from quavf.simulate.picture import Painter
from quavf.simulate.truth import TruthTable, annotate, observe
from quavf.simulate.world import ClipKey, ClipWorld, imagine
from quavf.utils.files import read_json, replacing, replacing_folder, user_os_errors, write_json
from quavf.utils.files import write_text as write_file
from quavf.utils.parallel import EngineConfig, each
from quavf.utils.progress import Progress
from quavf.utils.progress import progress as progress_bar

GENERATION = 1  # goes up whenever the same seed makes another world
SETTINGS = "simulation.json"


@dataclass(frozen=True)
class SimulationReport:
    """What a call of `simulate_clips` did."""

    out: Path
    made: int  # clips made now
    kept: int  # clips that were there already
    clips: dict[str, int]  # by split
    positive_share: float  # of the partners' labelled speech, by time

    def __str__(self) -> str:
        splits = ", ".join(f"{n} {split}" for split, n in self.clips.items())
        share = f"{100 * self.positive_share:.0f} % of the labelled speech is for the wearer"
        return f"{self.out}: {splits} clips ({self.made} new, {self.kept} kept); {share}"


def clip_keys(config: SimulateConfig) -> list[ClipKey]:
    """Every clip of a simulation."""
    counts = config.counts()
    return [ClipKey(config.seed, split, i) for split, n in counts.items() for i in range(n)]


def simulate_clips(
    out: Path,
    config: SimulateConfig,
    engine: EngineConfig | None = None,
    *,
    progress: bool = False,
) -> SimulationReport:
    """Make the clips that `out` lacks, and gather the annotations.

    Written below `out`: `clips/*.mp4`; `annotations/av_train.json`, `av_val.json` and
    `{train,val,test}.list`; `test/final_test_data/<segment>/` and `test/seg_info.json`;
    `answers/` to the test; `truth/<clip>.parquet`; `contact_sheet.png`; `simulation.json`.
    An interrupted run goes on where it stopped. Raises ConfigError when `out` was made with
    other settings (more or fewer clips of the same world are welcome).
    """
    out = Path(out)
    _check_settings(out, config)
    keys = clip_keys(config)
    missing = [key for key in keys if not _part(out, key).exists()]
    bar = progress_bar("Simulating", len(missing)) if progress else nullcontext(Progress())
    with user_os_errors(out), bar as shown:
        for _ in each(partial(make_clip, out, config), missing, engine):
            shown.advance()
    parts = [read_json(_part(out, key)) for key in keys]
    _gather(out, keys, parts)
    spoken = [s for part in parts for s in part["segments"]]
    total = sum(end - start for start, end, _ in spoken)
    positive = sum(end - start for start, end, label in spoken if label)
    share = positive / total if total else float("nan")
    kept = len(keys) - len(missing)
    return SimulationReport(out, len(missing), kept, config.counts(), share)


def _part(out: Path, key: ClipKey) -> Path:
    """Written last of a clip's files: it is finished when this is there."""
    return out / "parts" / f"{key.name}.json"


def world_settings(config: SimulateConfig) -> Json:
    """What a clip depends on, beside its key: the settings but for how many clips there are."""
    settings = {"generation": GENERATION, **asdict(config)}
    for name in ("clips", "val_share", "test_share"):
        del settings[name]
    return settings


def _check_settings(out: Path, config: SimulateConfig) -> None:
    path = out / SETTINGS
    if path.exists():
        theirs = read_json(path)
        ours = json.loads(json.dumps(world_settings(config)))
        changed = [name for name in ours if theirs.get(name) != ours[name]]
        if changed:
            raise ConfigError(
                f"{path}: made with another {', '.join(changed)}; choose another folder, or "
                "delete this one to start anew"
            )
    write_json(path, {"generation": GENERATION, **asdict(config)})


def make_clip(out: Path, config: SimulateConfig, key: ClipKey) -> None:
    """Write everything about one clip; what marks it finished comes last."""
    world = imagine(config, key)
    painter, heard = Painter(world), world.listen()
    table = observe(world, painter, heard)
    annotation = annotate(world, table)
    media = out / "clips" / f"{key.name}.mp4"
    frames = (painter.render(frame) for frame in range(world.n_frames))
    quality = (world.config.picture.crf, world.config.sound.aac_kbps)
    with replacing(media) as temporary:
        write_video(temporary, frames, heard.sound, world.fps, quality)
    segments = test_segments(world, annotation) if key.split == "test" else []
    if segments:
        _write_challenge(out, world, media, heard, segments)
    with replacing(out / "truth" / f"{key.name}.parquet") as temporary:
        write_truth(temporary, table)
    part: Json = {
        "video": ego4d_clip(world, annotation),
        "segments": [(s, e, label) for p, s, e, label in annotation.segments if p != 0],
        "test": [_answer(segment) for segment in segments],
        "thumbnails": _thumbnails(table),
    }
    write_json(_part(out, key), part)


def write_truth(path: Path, table: TruthTable) -> None:
    """The truth as Parquet: numbers as 32-bit."""
    columns = {}
    for name, column in table.columns.items():
        kind = {"f": pa.float32(), "i": pa.int32(), "b": pa.bool_()}[column.dtype.kind]
        columns[name] = pa.array(column).cast(kind)
    pq.write_table(pa.table(columns), str(path), compression="zstd")


def _thumbnails(table: TruthTable) -> list[tuple[int, int, list[float]]]:
    """The best views of the clip's people, for the contact sheet: frame, person, box."""
    out = []
    for person in sorted(set(table.columns["person"].tolist())):
        rows = table.person(person)
        height = rows["y2"] - rows["y1"]
        merit = rows["visible"] * height * (1 + rows["speaking"])
        best = int(merit.argmax())
        box = [float(rows[name][best]) for name in ("x1", "y1", "x2", "y2")]
        out.append((int(rows["frame"][best]), int(person), box))
    return out


def _answer(segment: Json) -> Json:
    return {k: v for k, v in segment.items() if k != "faces"} | {"frames": list(segment["faces"])}


def _write_challenge(
    out: Path, world: ClipWorld, media: Path, heard: Heard, segments: list[Json]
) -> None:
    """The test folders of one clip: faces cut from the compressed video, and their sound."""
    wanted: dict[int, list[tuple[Path, Any]]] = {}
    folder = out / "test" / "final_test_data"
    for segment in segments:
        with replacing_folder(folder / segment["segment"]) as temporary:
            (temporary / "face").mkdir()
            (temporary / "audio").mkdir()
            start, end = segment["start_frame"], segment["end_frame"]
            cut = [int(f / world.fps * SAMPLE_RATE) for f in (start, end)]
            write_sound(temporary / "audio" / "aud.wav", heard.sound[cut[0] : cut[1]])
        for frame, box in segment["faces"].items():
            name = folder / segment["segment"] / "face" / f"{frame - start}.jpg"
            wanted.setdefault(frame, []).append((name, box))
    for number, picture in enumerate(read_frames(media)):
        _write_faces(picture, wanted.get(number, []))


def _write_faces(picture: Image, faces: list[tuple[Path, Any]]) -> None:
    for path, box in faces:
        write_face(path, picture, box)


def _gather(out: Path, keys: list[ClipKey], parts: list[Json]) -> None:
    """Annotation files, split lists, the test's index and answers, and the contact sheet."""
    head = {"version": "1.0", "description": "simulated by quavf", "date": "2000-01-01"}
    for split in ("train", "val", "test"):
        mine = [part for key, part in zip(keys, parts, strict=True) if key.split == split]
        folder = out / ("answers" if split == "test" else "annotations")
        videos = {**head, "videos": [part["video"] for part in mine]}
        write_file(folder / f"av_{split}.json", json.dumps(videos, separators=(",", ":")))
        names = "".join(f"{key.name}\n" for key in keys if key.split == split)
        write_file(out / "annotations" / f"{split}.list", names)
    test = [segment for part in parts for segment in part["test"]]
    write_json(out / "answers" / "test_labels.json", test)
    write_json(out / "test" / "seg_info.json", {s["segment"]: _seg_info(s) for s in test})
    _drop_strangers(out / "test" / "final_test_data", {s["segment"] for s in test})
    contact_sheet(out / "contact_sheet.png", out / "clips", keys, parts)


def _seg_info(segment: Json) -> Json:
    frames = [f - segment["start_frame"] for f in segment["frames"]]
    length = segment["end_frame"] - segment["start_frame"]
    return {"frame_list": frames, "frame_num": max(length + 1, frames[-1] + 1)}


def _drop_strangers(folder: Path, names: set[str]) -> None:
    """Remove test folders of clips that are no longer asked for."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in names:
                shutil.rmtree(path)
