"""Time every stage of raw video on a generated 1080p30 file with two faces, per second of video.

    python benchmarks/run_video.py --faces A.mp4 B.mp4 [--seconds 30] [--size published]
    python benchmarks/run_video.py --faces A.mp4 B.mp4 --minutes 60  # a complete run

`--faces` are two videos of one talking head each, which are pasted into a moving background.
Weights are random, which does not affect speed. Shows wall time, which depends on other load, and
CPU time, which hardly does. With `--minutes`, times `quavf run` in its own process, with its
default weights, on a long video, made by repeating the packets of a few seconds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

import quavf.faces.tracker as tracker
import quavf.video.prepare as stages
from quavf.core.records import Image
from quavf.core.windows import WindowConfig
from quavf.faces.search import FaceSearch
from quavf.inference.audio import AudioPredictor
from quavf.inference.clip import ClipData
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import run_branch
from quavf.inference.visual import VisualPredictor
from quavf.models.audio import AudioBranch
from quavf.models.config import AudioConfig, BranchSettings, VisualConfig
from quavf.models.visual import VisualBranch
from quavf.results.config import MomentsConfig
from quavf.results.video import VideoResult
from quavf.sources.media.file import VideoFile, open_video_file
from quavf.video.scoring import VideoScoring
from quavf.workflows.config import RunConfig
from quavf.workflows.quality import score_quality

FPS = 30
EXCLUDED = {"decode once", "annotated.mp4", "report"}  # stages left out of the sum
LOOP_S = 8  # period of long videos: a whole number of frames, and of packets of 1024 samples
RUN = """
import sys
from pathlib import Path
from quavf.cli import main
code = main(["run", *sys.argv[2:]])
status = Path("/proc/self/status").read_text()  # rusage would include the parent's memory
Path(sys.argv[1]).write_text(status.split("VmHWM:")[1].split()[0])
sys.exit(code)
"""
SIZES = {  # audio encoder, image network
    "small": ("tiny", "mobilenetv3_small_100"),
    "published": ("small", "resnet50"),
}


class Stopwatch:
    """Measures wall and CPU seconds by stage."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[stage] = self.wall.get(stage, 0.0) + time.perf_counter() - wall
        self.cpu[stage] = self.cpu.get(stage, 0.0) + time.process_time() - cpu

    def move(self, stage: str, out_of: str) -> None:
        """Subtract the time of a nested stage from the enclosing one."""
        for times in (self.wall, self.cpu):
            times[out_of] -= times[stage]


def generate_video(path: Path, seconds: float, heads: list[Path], height: int) -> None:
    """Generate a video of two moving heads on a panning background, with their sound."""
    size = (height * 16 // 9 // 2 * 2, height)
    pictures = [_read_pictures(head) for head in heads]
    noise = np.random.default_rng(0).integers(0, 255, (9, 16, 3), np.uint8)
    background = cv2.resize(noise, (size[0] + 200, height), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio = output.add_stream("aac", rate=16_000, layout="mono")
        for k in range(int(seconds * FPS)):
            shift = int(100 + 99 * np.sin(k / 40))
            picture = background[:, shift : shift + size[0]].copy()
            for which, own in enumerate(pictures):
                head = own[int(k * 25 / FPS) % len(own)]
                side = int(height * (0.33, 0.25)[which])
                x = int(size[0] * (0.15, 0.6)[which] + height / 12 * np.sin(k / (25 + 6 * which)))
                y = int(height * 0.3 + height / 20 * np.cos(k / 17))
                picture[y : y + side, x : x + side] = cv2.resize(
                    head, (side, side), interpolation=cv2.INTER_AREA
                )
            output.mux(
                video.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24"))
            )
        output.mux(video.encode())
        sound = np.concatenate([_read_sound(head) for head in heads])
        sound = np.resize(sound, int(seconds * 16_000)).astype(np.float32)
        add_sound(output, audio, sound)


def add_sound(output: Any, stream: Any, samples: np.ndarray) -> None:
    """Encode (N,) float32 samples at 16 kHz into a stream."""
    for first in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], "fltp", "mono")
        frame.sample_rate, frame.pts = 16_000, first
        frame.time_base = Fraction(1, 16_000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())


def _read_pictures(path: Path) -> list[Image]:
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in islice(frames, 200)]


def _read_sound(path: Path) -> Image:
    pieces = list(open_video_file(path).sound())
    assert pieces, f"{path}: no sound"
    return np.asarray(np.concatenate(pieces) / 32768)


def repeat_video(source: Path, path: Path, minutes: float) -> None:
    """Repeat `source`, of length `LOOP_S`, by copying packets with later timestamps."""
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        streams = container.streams.video[0], container.streams.audio[0]
        copies = {s.index: output.add_stream_from_template(s) for s in streams}
        packets = list(container.demux(streams))
        packets = [p for p in packets if p.stream.type == "video" or _is_inside(p)]
        times = [(p.pts, p.dts) for p in packets if p.pts is not None and p.dts is not None]
        packets = packets[: len(times)]  # drops the flush packets
        for k in range(round(minutes * 60 / LOOP_S)):
            for packet, (pts, dts) in zip(packets, times, strict=True):
                stream = container.streams[packet.stream_index]
                later = round(k * LOOP_S / (packet.time_base or Fraction(1)))
                again = av.Packet(bytes(packet))
                again.pts, again.dts, again.time_base = pts + later, dts + later, packet.time_base
                again.is_keyframe, again.stream = packet.is_keyframe, copies[stream.index]
                output.mux(again)


def _is_inside(packet: av.Packet[Any]) -> bool:
    """Whether a packet is not encoder padding at the start or end."""
    return 0 <= (packet.pts or 0) * (packet.time_base or 1) < LOOP_S


def measure_run(path: Path, folder: Path, annotated: bool = True) -> tuple[float, float]:
    """Run `quavf run` with its default weights: peak memory in MB, seconds."""
    command = [sys.executable, "-c", RUN, str(folder / "peak"), str(path)]
    options = ["--out", str(folder / "out"), "--annotated", str(annotated).lower()]
    start = time.perf_counter()
    subprocess.run([*command, *options], check=True)
    return int((folder / "peak").read_text()) / 1024, time.perf_counter() - start


def build_branches(size: str) -> tuple[AudioBranch, VisualBranch]:
    """Build both branches with random weights."""
    encoder, backbone = SIZES[size]
    torch.manual_seed(0)
    settings = BranchSettings("fixed")
    hearing = AudioBranch(AudioConfig(encoder, "random"), settings)
    return hearing, VisualBranch(VisualConfig(backbone, "random"), settings)


def measure_stages(
    path: Path, folder: Path, size: str, config: InferenceConfig | None = None
) -> tuple[Stopwatch, float, str]:
    """Run every stage; return times, length of the video, and a summary of what was found."""
    watch = Stopwatch()
    file = open_video_file(path)
    with watch.time_stage("decode once"):
        n = sum(1 for _ in file.pictures())
    hearing, seeing = build_branches(size)
    with _time_parts(watch):
        with watch.time_stage("prepare"):
            prepared = stages.prepare_video(path, folder / "store", windows=WindowConfig())
        for stage in ("decode (find)", "decode (cut)", "detect", "track", "sound"):
            watch.move(stage, "prepare")
        watch.wall["cut"], watch.cpu["cut"] = watch.wall.pop("prepare"), watch.cpu.pop("prepare")
    with watch.time_stage("quality"):
        score_quality(prepared.store.path)
    how = config or InferenceConfig(device="cpu")
    models: list[Any] = [run_branch(b.eval(), how) for b in (hearing, seeing)]
    options = RunConfig()
    batches = InferenceConfig(
        device=how.device,
        batch_size=options.batch_size,
        audio_batch_size=options.audio_batch_size,
    )
    audio = AudioPredictor(models[0], batches)
    visual = VisualPredictor(models[1], batches, "light")
    data = ClipData(prepared.store, prepared.clip)
    schedules = prepared.schedules.values()
    ticks = np.unique(np.concatenate([schedule.scored.ticks for schedule in schedules]))
    with watch.time_stage("audio"):
        audio.score_ticks(data, ticks)
    with watch.time_stage("visual"):
        for schedule in schedules:
            visual.score_person(data, schedule.spans)
    with watch.time_stage("result"):
        scoring = VideoScoring(prepared, {}, "light", folder / "parts")
        result = scoring.score(MomentsConfig(), {})
        result.write(folder / "out")
    from quavf.report.annotate import write_annotated_video
    from quavf.report.video import write_report

    with watch.time_stage("annotated.mp4"):
        write_annotated_video(result, folder / "out" / "annotated.mp4")
    with watch.time_stage("report"):
        write_report(result, folder / "out")
    found = f"{len(prepared.persons)} persons, {len(data.faces)} crops, {n} pictures"
    return watch, result.duration_s, found


@contextmanager
def _time_parts(watch: Stopwatch) -> Iterator[None]:
    """Time the parts of `prepare_video` separately."""
    step, track, sound, pictures = (
        FaceSearch.step, tracker.track_persons, VideoFile.sound, VideoFile.pictures,
    )  # fmt: skip
    passes = iter(("decode (find)", "decode (cut)"))

    def timed(stage: str, call: object) -> object:
        def run(*args: object) -> object:
            with watch.time_stage(stage):
                return call(*args)  # type: ignore[operator]

        return run

    def one_by_one(stage: str, own: Iterator[object]) -> Iterator[object]:
        while True:
            with watch.time_stage(stage):
                found = next(own, None)
            if found is None:
                return
            yield found

    replaced = {
        (FaceSearch, "step"): timed("detect", step),
        (stages, "track_persons"): timed("track", track),
        (VideoFile, "sound"): lambda file: one_by_one("sound", sound(file)),
        (VideoFile, "pictures"): lambda file: one_by_one(next(passes), pictures(file)),
    }
    for (owner, name), new in replaced.items():
        setattr(owner, name, new)
    try:
        yield
    finally:
        for (owner, name), old in zip(replaced, (step, track, sound, pictures), strict=True):
            setattr(owner, name, old)


def measure_long_run(options: argparse.Namespace) -> None:
    """Print the peak memory and time of `quavf run` on a long video."""
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "long.mp4"
        generate_video(folder / "loop.mp4", LOOP_S, options.faces, options.height)
        start = time.perf_counter()
        repeat_video(folder / "loop.mp4", path, options.minutes)
        made_s, n_bytes = time.perf_counter() - start, path.stat().st_size
        peak_mb, run_s = measure_run(path, folder)
        crops = sum(len(rows) for rows in VideoResult.read(folder / "out").scores.values())
    seconds = options.minutes * 60
    print(f"{options.height}p{FPS}, {options.minutes:g} min, {n_bytes / 1e6:.0f} MB")
    print(f"repeated in {made_s:.1f} s; {crops} scores")
    print(f"quavf run: {run_s:.0f} s ({run_s / seconds:.2f} s/s), peak memory {peak_mb:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument(
        "--faces", nargs=2, type=Path, required=True, help="videos of two talking heads"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the video, s (30)")
    parser.add_argument(
        "--height", type=int, default=1080, help="height of the video, pixels (1080)"
    )
    parser.add_argument(
        "--size", choices=sorted(SIZES), default="small", help="size of the branches"
    )
    parser.add_argument(
        "--minutes", type=float, help="time `quavf run` on a video of this length instead"
    )
    options = parser.parse_args()
    if options.minutes:
        measure_long_run(options)
        return
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "generated.mp4"
        generate_video(path, options.seconds, options.faces, options.height)
        watch, duration_s, found = measure_stages(path, Path(name), options.size)
    print(f"{options.height}p{FPS}, {duration_s:.0f} s, {options.size}: {found}")
    print(f"{'stage':16}{'wall s/s':>10}{'CPU s/s':>10}")
    for stage in watch.wall:
        print(
            f"{stage:16}{watch.wall[stage] / duration_s:10.3f}{watch.cpu[stage] / duration_s:10.3f}"
        )
    for title, without in (
        ("without video", EXCLUDED),
        ("all", {"decode once"}),
    ):
        sums = [
            sum(t for s, t in times.items() if s not in without) / duration_s
            for times in (watch.wall, watch.cpu)
        ]
        print(f"{title:16}{sums[0]:10.3f}{sums[1]:10.3f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
