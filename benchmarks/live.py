"""Measure live sessions: compute and delay in real time, and a long session.

    python benchmarks/live.py pace --faces A.mp4 B.mp4          1, 2 and 4 faces at 1080p30
    python benchmarks/live.py soak --faces A.mp4 --minutes 30   memory, files, drifting clocks

`pace` plays generated videos as they come; `soak` goes as fast as it can. live_onsets.py measures
events against labels.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from quavf.core.records import Array, Floats, Image
from quavf.cues.grid import RATE
from quavf.live.config import LiveConfig
from quavf.live.feed import FileFeed
from quavf.live.judge import TickScores
from quavf.live.session import LiveSession
from quavf.sources.media.file import open_video_file
from quavf.workflows.config import RunConfig
from quavf.workflows.run import Pipeline

LOOK_AHEADS = (0.0, 0.3, 1.0)
SIZE, FPS, HEAD_FPS = (1920, 1080), 30, 25
SAMPLE_RATE = 16_000
PLACES = ((0.06, 0.2, 0.36), (0.55, 0.25, 0.32), (0.32, 0.05, 0.25), (0.8, 0.3, 0.25))
WINDOW_S = 0.1  # of compute


def read_head(path: Path) -> tuple[list[Image], Array]:
    """Pictures and sound of a talking head."""
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), 200)
        pictures = [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in frames]
    return pictures, np.concatenate(list(open_video_file(path).sound()))


def write_video(path: Path, heads: list[Path], n_faces: int, seconds: float) -> None:
    """A 1080p30 video of moving heads before a panning background, with the first one's sound."""
    read = [read_head(heads[k % len(heads)]) for k in range(min(n_faces, len(heads)))]
    noise = np.random.default_rng(0).integers(0, 255, (9, 16, 3), np.uint8)
    width, height = SIZE
    background = cv2.resize(noise, (width + 200, height), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for k in range(round(seconds * FPS)):
            shift = int(100 + 99 * np.sin(k / 40))
            picture = background[:, shift : shift + width].copy()
            for which, (left, top, share) in enumerate(PLACES[:n_faces]):
                pictures = read[which % len(read)][0]
                head = pictures[(k * HEAD_FPS // FPS + 37 * which) % len(pictures)]
                side = int(height * share)
                x = int(width * left + 30 * np.sin(k / (25 + 6 * which)))
                y = int(height * top + 20 * np.cos(k / 17))
                x, y = min(max(x, 0), width - side), min(max(y, 0), height - side)
                head = head if which < len(read) else head[:, ::-1]
                picture[y : y + side, x : x + side] = cv2.resize(
                    head, (side, side), interpolation=cv2.INTER_AREA
                )
            pixels = np.ascontiguousarray(picture, np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(video.encode())
        samples = np.resize(read[0][1], round(seconds * SAMPLE_RATE))
        for first in range(0, len(samples), 1024):
            piece = samples[None, first : first + 1024].astype(np.float32) / 32768
            sound = av.AudioFrame.from_ndarray(piece, "fltp", "mono")
            sound.sample_rate, sound.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            sound.pts = first
            output.mux(audio.encode(sound))
        output.mux(audio.encode())


@dataclass
class Probe:
    """Notes when scores come out, and how long the calls of a session take."""

    session: LiveSession
    by_cpu: bool = False  # count CPU time, as if nothing else ran: for busy machines
    _came_s: float = 0.0
    _began: float = 0.0
    _free_s: float = 0.0
    scored: dict[int, float] = field(default_factory=dict)  # clock at each judged tick
    arrived: dict[int, float] = field(default_factory=dict)  # clock at the first picture of a tick
    calls: list[tuple[float, float]] = field(default_factory=list)  # media time, seconds
    cpu: list[tuple[float, float]] = field(default_factory=list)  # media time, process' seconds

    def __post_init__(self) -> None:
        publish, video, audio = self.session._publish, self.session.video, self.session.audio
        arrive = self.session._queue.put

        def note_scores(tick: int, scores: list[TickScores]) -> None:
            publish(tick, scores)
            self.scored[tick] = self._now_s()

        def note_arrival(picture: Any, time_s: float) -> None:
            now_s = self._came_s if self.by_cpu else time.monotonic()
            self.arrived.setdefault(int(np.floor(time_s * RATE + 0.25)), now_s)
            arrive(picture, time_s)

        def timed_video(frame: Any, time_s: float) -> None:
            began = self.clock()
            self._begin(time_s, began)
            video(frame, time_s)
            self._end(time_s, self.clock() - began)
            self.cpu.append((time_s, time.process_time()))

        def timed_audio(samples: Array, time_s: float, rate: int) -> None:
            began = self.clock()
            self._begin(time_s + len(samples) / rate, began)
            audio(samples, time_s, rate)
            self._end(time_s, self.clock() - began)

        self.session._publish = note_scores  # type: ignore[method-assign]
        self.session._queue.put = note_arrival  # type: ignore[method-assign]
        self.session.video = timed_video  # type: ignore[method-assign]
        self.session.audio = timed_audio  # type: ignore[method-assign]

    def clock(self) -> float:
        """Seconds of this thread's CPU, or on the wall."""
        return time.thread_time() if self.by_cpu else time.perf_counter()

    def _begin(self, came_s: float, began: float) -> None:
        """A call begins when its input has come and the call before it is done."""
        self._came_s, self._began = came_s, began
        self._free_s = max(self._free_s, came_s)

    def _end(self, time_s: float, took_s: float) -> None:
        self._free_s += took_s
        self.calls.append((time_s, took_s))

    def _now_s(self) -> float:
        if self.by_cpu:
            return self._free_s + time.thread_time() - self._began
        return time.monotonic()

    def busy(self) -> Floats:
        """(N,) milliseconds in calls, by 100 ms of the input."""
        times, took = np.array(self.calls).T
        return np.asarray(np.bincount((times / WINDOW_S).astype(int), took) * 1000)

    def used(self) -> Floats:
        """(N,) milliseconds of all threads' CPU time, decoding included, by 100 ms of the input."""
        times, cpu = np.array(self.cpu).T
        edges = np.arange(0, times[-1], WINDOW_S)
        return np.asarray(np.diff(np.interp(edges, times, cpu)) * 1000)

    def delays(self, look_ahead: int) -> Floats:
        """(N,) milliseconds from the arrival of the picture that a score waits for."""
        found = [
            self.scored[tick] - self.arrived[tick + look_ahead]
            for tick in self.scored
            if tick + look_ahead in self.arrived
        ]
        return np.array(found) * 1000


def open_pipeline() -> Pipeline:
    return Pipeline(RunConfig(weights="talk", causal=True, device="cpu"))


def measure_pace(heads: list[Path], seconds: float, by_cpu: bool) -> None:
    """Print a table of compute and delay, in real time or by CPU time."""
    pipeline = open_pipeline()
    print("load", os.getloadavg(), "cores", os.cpu_count())
    print("| faces | look-ahead, s | looks | calls: median / p95 / p99, ms per 100 ms ", end="")
    print("| CPU of all threads, ms per 100 ms | score after arrival: median / p95, ms |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for n_faces in (2, 4, 1):
            path = Path(name) / f"{n_faces}.mp4"
            write_video(path, heads, n_faces, seconds)
            for look_ahead in (0.3, 0.0, 1.0):
                session = pipeline.live(config=LiveConfig(look_ahead, real_time=not by_cpu))
                probe = Probe(session, by_cpu)
                with session:
                    FileFeed(open_video_file(path)).run(session, at_own_pace=not by_cpu)
                    people, counts = len(session.people()), session.counts
                share = counts.looked_at / max(counts.looked_at + counts.dropped, 1)
                skip = round(2 / WINDOW_S)  # the first scan, which waits
                row = [
                    f"{n_faces} ({people} found)",
                    f"{look_ahead:g}",
                    f"{share:.1%}",
                    _quantiles(probe.busy()[skip:-10], 50, 95, 99),
                    _quantiles(probe.used()[skip:-10], 50, 95, 99),
                    _quantiles(probe.delays(round(look_ahead * RATE))[30:-30], 50, 95),
                ]
                print(f"| {' | '.join(row)} |", flush=True)


def _quantiles(values: Floats, *which: int) -> str:
    return " / ".join(f"{v:.0f}" for v in np.percentile(values, which))


def measure_soak(heads: list[Path], minutes: float, drift: float) -> None:
    """Play a head again and again, the sound's clock fast by `drift`; print memory and files."""
    pictures, sound = read_head(heads[0])
    loop_s = len(pictures) / HEAD_FPS
    sound = np.resize(sound, round(loop_s * SAMPLE_RATE))
    small = [np.asarray(cv2.resize(p, (320, 320)), np.uint8) for p in pictures]
    frame = np.full((360, 640, 3), 90, np.uint8)
    files = count_files()
    session = open_pipeline().live(config=LiveConfig(real_time=False))
    begun, block, heard, kinds = time.monotonic(), SAMPLE_RATE // 10, 0, dict[str, int]()
    first_mb = 0.0
    for k in range(round(minutes * 60 * HEAD_FPS)):
        time_s = k / HEAD_FPS
        while heard / SAMPLE_RATE <= time_s:
            at = heard % len(sound)
            piece = np.take(sound, range(at, at + block), mode="wrap")
            session.audio(piece, heard / SAMPLE_RATE * (1 + drift), SAMPLE_RATE)
            heard += block
        frame[20:340, 160:480] = small[k % len(small)]
        session.video(frame, time_s)
        for event in session.events():
            kinds[event.kind] = kinds.get(event.kind, 0) + 1
        if (k + 1) % (60 * HEAD_FPS) == 0:
            first_mb = first_mb or memory_mb()
            print(
                f"{(k + 1) / HEAD_FPS / 60:.0f} min: {memory_mb():.0f} MB "
                f"({memory_mb() - first_mb:+.1f}), {count_files()} files, {kinds}",
                flush=True,
            )
    session.close()
    print(f"{minutes:g} min in {(time.monotonic() - begun) / 60:.1f} min; {session.counts}")
    print(f"files open before {files}, after {count_files()}; memory {memory_mb():.0f} MB")


def memory_mb() -> float:
    """Resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def count_files() -> int:
    """Open files and sockets of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("pace", "soak"):
        command = commands.add_parser(name)
        command.add_argument("--faces", nargs="+", type=Path, required=True)
    commands.choices["pace"].add_argument("--seconds", type=float, default=30.0)
    text = "play as fast as possible and count CPU time, on a machine with other work"
    commands.choices["pace"].add_argument("--cpu", action="store_true", help=text)
    commands.choices["soak"].add_argument("--minutes", type=float, default=30.0)
    commands.choices["soak"].add_argument("--drift", type=float, default=200e-6)
    options = parser.parse_args()
    if options.command == "pace":
        measure_pace(options.faces, options.seconds, options.cpu)
    else:
        measure_soak(options.faces, options.minutes, options.drift)


if __name__ == "__main__":
    main()
