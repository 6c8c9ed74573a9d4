"""Simulate clips in the Ego4D layout, with their ground truth, from a seed."""

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
from quavf.simulate.acoustics import Recording
from quavf.simulate.config import SimulateConfig
from quavf.simulate.contact_sheet import write_contact_sheet
from quavf.simulate.layout import Json, build_ego4d_video, build_test_segments
from quavf.simulate.media import read_bgr_frames, write_face_crop, write_video, write_wav
from quavf.simulate.picture import ClipRenderer
from quavf.simulate.truth import TruthTable, build_truth_table, draw_annotation
from quavf.simulate.world import ClipKey, ClipWorld, draw_world
from quavf.utils.files import explain_os_errors, read_json, replace_file, replace_folder, write_json
from quavf.utils.files import write_text as write_file
from quavf.utils.holding import hold_folder
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import Progress, show_progress

GENERATION = 1  # increase it when the same seed gives a different world
SETTINGS = "simulation.json"
LEFTOVERS = (".*.*.tmp", "*/.*.*.tmp", "test/final_test_data/.*.*.tmp")  # of a killed run


@dataclass(frozen=True)
class SimulationReport:
    """The result of `simulate_clips`."""

    out: Path
    made: int  # clips made by this call
    kept: int  # clips that existed
    clips: dict[str, int]  # by split
    positive_share: float  # of the partners' labelled speech time

    def __str__(self) -> str:
        splits = ", ".join(f"{n} {split}" for split, n in self.clips.items())
        share = f"{100 * self.positive_share:.0f} % of the labelled speech addresses the wearer"
        return f"{self.out}: {splits} clips ({self.made} new, {self.kept} kept); {share}"


def list_clip_keys(config: SimulateConfig) -> list[ClipKey]:
    """The keys of all clips of a simulation."""
    counts = config.count_clips()
    return [ClipKey(config.seed, split, i) for split, n in counts.items() for i in range(n)]


def simulate_clips(
    out: Path,
    config: SimulateConfig,
    engine: EngineConfig | None = None,
    *,
    progress: bool = False,
) -> SimulationReport:
    """Make the clips missing in `out`, and write the annotations of all clips.

    Writes below `out`: `clips/*.mp4`; `annotations/av_train.json`, `av_val.json` and
    `{train,val,test}.list`; `test/final_test_data/<segment>/` and `test/seg_info.json`;
    `answers/` of the test split; `truth/<clip>.parquet`; `contact_sheet.png`; `simulation.json`.
    An interrupted run resumes. Raises ConfigError if `out` was made with other settings (the number
    of clips may change), and while another process writes there.
    """
    with hold_folder(Path(out), *LEFTOVERS):
        return _simulate(Path(out), config, engine, progress)


def _simulate(
    out: Path, config: SimulateConfig, engine: EngineConfig | None, progress: bool
) -> SimulationReport:
    _check_settings(out, config)
    keys = list_clip_keys(config)
    missing = [key for key in keys if not _part_path(out, key).exists()]
    bar = show_progress("Simulating", len(missing)) if progress else nullcontext(Progress())
    with explain_os_errors(out), bar as shown:
        for _ in run_each(partial(write_clip, out, config), missing, engine):
            shown.advance()
    parts = [read_json(_part_path(out, key)) for key in keys]
    _write_summary_files(out, keys, parts)
    segments = [s for part in parts for s in part["segments"]]
    total = sum(end - start for start, end, _ in segments)
    positive = sum(end - start for start, end, label in segments if label)
    share = positive / total if total else float("nan")
    kept = len(keys) - len(missing)
    return SimulationReport(out, len(missing), kept, config.count_clips(), share)


def _part_path(out: Path, key: ClipKey) -> Path:
    """The last file written of a clip: it exists if and only if the clip is finished."""
    return out / "parts" / f"{key.name}.json"


def list_world_settings(config: SimulateConfig) -> Json:
    """The settings that a clip depends on besides its key: all but the number of clips."""
    settings = {"generation": GENERATION, **asdict(config)}
    for name in ("clips", "val_share", "test_share"):
        del settings[name]
    return settings


def _check_settings(out: Path, config: SimulateConfig) -> None:
    path = out / SETTINGS
    if path.exists():
        written = read_json(path)
        current = json.loads(json.dumps(list_world_settings(config)))
        changed = [name for name in current if written.get(name) != current[name]]
        if changed:
            raise ConfigError(
                f"{path}: made with a different {', '.join(changed)}; choose another "
                "folder, or delete this one to start over"
            )
    write_json(path, {"generation": GENERATION, **asdict(config)})


def write_clip(out: Path, config: SimulateConfig, key: ClipKey) -> None:
    """Write all files of one clip; the one that marks it finished comes last."""
    world = draw_world(config, key)
    renderer, recording = ClipRenderer(world), world.record_sound()
    table = build_truth_table(world, renderer, recording)
    annotation = draw_annotation(world, table)
    media = out / "clips" / f"{key.name}.mp4"
    frames = (renderer.render(frame) for frame in range(world.n_frames))
    quality = (world.config.picture.crf, world.config.sound.aac_kbps)
    with replace_file(media) as temporary:
        write_video(temporary, frames, recording.sound, world.fps, quality)
    segments = build_test_segments(world, annotation) if key.split == "test" else []
    if segments:
        _write_test_folders(out, world, media, recording, segments)
    with replace_file(out / "truth" / f"{key.name}.parquet") as temporary:
        write_truth_table(temporary, table)
    part: Json = {
        "video": build_ego4d_video(world, annotation),
        "segments": [(s, e, label) for p, s, e, label in annotation.segments if p != 0],
        "test": [_format_answer(segment) for segment in segments],
        "thumbnails": _choose_thumbnails(table),
    }
    write_json(_part_path(out, key), part)


def write_truth_table(path: Path, table: TruthTable) -> None:
    """Write a truth table as Parquet, with 32-bit numbers."""
    columns = {}
    for name, column in table.columns.items():
        kind = {"f": pa.float32(), "i": pa.int32(), "b": pa.bool_()}[column.dtype.kind]
        columns[name] = pa.array(column).cast(kind)
    pq.write_table(pa.table(columns), str(path), compression="zstd")


def _choose_thumbnails(table: TruthTable) -> list[tuple[int, int, list[float]]]:
    """Choose each person's clearest frame for the contact sheet: frame, person, box."""
    out = []
    for person in sorted(set(table.columns["person"].tolist())):
        rows = table.select_person(person)
        height = rows["y2"] - rows["y1"]
        merit = rows["visible"] * height * (1 + rows["speaking"])
        best = int(merit.argmax())
        box = [float(rows[name][best]) for name in ("x1", "y1", "x2", "y2")]
        out.append((int(rows["frame"][best]), int(person), box))
    return out


def _format_answer(segment: Json) -> Json:
    return {k: v for k, v in segment.items() if k != "faces"} | {"frames": list(segment["faces"])}


def _write_test_folders(
    out: Path, world: ClipWorld, media: Path, recording: Recording, segments: list[Json]
) -> None:
    """Write the test folders of one clip: faces from the compressed video, and sound."""
    faces_by_frame: dict[int, list[tuple[Path, Any]]] = {}
    folder = out / "test" / "final_test_data"
    for segment in segments:
        with replace_folder(folder / segment["segment"]) as temporary:
            (temporary / "face").mkdir()
            (temporary / "audio").mkdir()
            start, end = segment["start_frame"], segment["end_frame"]
            span = [int(f / world.fps * SAMPLE_RATE) for f in (start, end)]
            write_wav(temporary / "audio" / "aud.wav", recording.sound[span[0] : span[1]])
        for frame, box in segment["faces"].items():
            name = folder / segment["segment"] / "face" / f"{frame - start}.jpg"
            faces_by_frame.setdefault(frame, []).append((name, box))
    for number, picture in enumerate(read_bgr_frames(media)):
        _write_faces(picture, faces_by_frame.get(number, []))


def _write_faces(picture: Image, faces: list[tuple[Path, Any]]) -> None:
    for path, box in faces:
        write_face_crop(path, picture, box)


def _write_summary_files(out: Path, keys: list[ClipKey], parts: list[Json]) -> None:
    """Write annotations, split lists, the test index and answers, and the contact sheet."""
    head = {"version": "1.0", "description": "simulated by quavf", "date": "2000-01-01"}
    for split in ("train", "val", "test"):
        own = [part for key, part in zip(keys, parts, strict=True) if key.split == split]
        folder = out / ("answers" if split == "test" else "annotations")
        videos = {**head, "videos": [part["video"] for part in own]}
        write_file(folder / f"av_{split}.json", json.dumps(videos, separators=(",", ":")))
        names = "".join(f"{key.name}\n" for key in keys if key.split == split)
        write_file(out / "annotations" / f"{split}.list", names)
    test = [segment for part in parts for segment in part["test"]]
    write_json(out / "answers" / "test_labels.json", test)
    write_json(out / "test" / "seg_info.json", {s["segment"]: _format_seg_info(s) for s in test})
    _remove_stale_segments(out / "test" / "final_test_data", {s["segment"] for s in test})
    write_contact_sheet(out / "contact_sheet.png", out / "clips", keys, parts)


def _format_seg_info(segment: Json) -> Json:
    frames = [f - segment["start_frame"] for f in segment["frames"]]
    length = segment["end_frame"] - segment["start_frame"]
    return {"frame_list": frames, "frame_num": max(length + 1, frames[-1] + 1)}


def _remove_stale_segments(folder: Path, names: set[str]) -> None:
    """Remove test folders of clips that are not part of the simulation."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in names:
                shutil.rmtree(path)
