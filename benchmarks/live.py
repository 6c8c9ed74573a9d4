"""Measure live sessions: compute and delay in real time, accuracy, onsets, and a long session.

    python benchmarks/live.py pace --faces A.mp4 B.mp4          1, 2 and 4 faces at 1080p30
    python benchmarks/live.py labels --clips FOLDER --out OUT   real clips with hand labels
    python benchmarks/live.py simulated                         simulated cues with known truth
    python benchmarks/live.py soak --faces A.mp4 --minutes 30   memory, files, drifting clocks

`pace` plays generated videos as they come; the other two go as fast as they can, which changes no
score. FOLDER holds clips and a `labels.json` with people, boxes and segments.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from quavf.core.records import Array, Floats, Image
from quavf.cues.grid import RATE, CueGrid, X, Y
from quavf.cues.grid import SIZE as FACE_SIZE
from quavf.live.config import LiveConfig
from quavf.live.events import LiveEvent
from quavf.live.feed import FileFeed
from quavf.live.judge import TickScores
from quavf.live.people import SeenFace
from quavf.live.session import LiveSession
from quavf.simulate.cue_noise import observe
from quavf.simulate.cue_scenes import CueScene, draw_scene_truth
from quavf.sources.media.file import open_video_file
from quavf.workflows.config import RunConfig
from quavf.workflows.run import Pipeline

LOOK_AHEADS = (0.0, 0.3, 1.0)
SIZE, FPS, HEAD_FPS = (1920, 1080), 30, 25
SAMPLE_RATE = 16_000
PLACES = ((0.06, 0.2, 0.36), (0.55, 0.25, 0.32), (0.32, 0.05, 0.25), (0.8, 0.3, 0.25))
WINDOW_S = 0.1  # of compute
REORDER_S = 2 / FPS  # that a picture waits for the next one, at most; in the delays of `labels`


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


def measure_labels(folder: Path, out: Path) -> None:
    """Run every clip and print the onsets' delays; `out` gets a folder a clip, as `quavf run`."""
    clips = json.loads((folder / "labels.json").read_text())["clips"]
    pipeline = open_pipeline()
    for look_ahead in LOOK_AHEADS:
        delays: list[float] = []
        missed = 0
        for clip in clips:
            config = LiveConfig(look_ahead, real_time=False, record=True)
            feed = FileFeed(open_video_file(folder / clip["file"]))
            with pipeline.live(config=config) as session:
                feed.run(session)
                session.close()
                events = session.events()
            result = session.result(feed.media, pipeline.models())
            target = out / f"{look_ahead:g}" / clip["file"].rsplit(".", 1)[0]
            result.write(target)
            starts = [e for e in events if e.kind == "addressed"]
            begun = {e.person: e.since_s for e in starts}
            print(f"  {clip['file']} {look_ahead:g}: addressed {begun}")
            for onset, end in find_onsets(clip):
                known = [
                    e.time_s + look_ahead + REORDER_S - onset
                    for e in starts
                    if onset - 0.5 <= (e.since_s or 0.0) and e.time_s < end
                ]
                delays += [min(known)] if known else []
                missed += not known
        print(f"look-ahead {look_ahead:g}: {describe_delays(delays, missed)}", flush=True)


def find_onsets(clip: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """Start and end of each stretch of speech to the camera, silence before it."""
    for person in clip["people"]:
        before: dict[str, Any] | None = None
        for segment in person["segments"]:
            talks = segment["speaking"] is True and segment["to_camera"] is True
            was = before is not None and before["speaking"] is not False
            if talks and not was:
                yield segment["start_s"], segment["end_s"]
            before = segment


def measure_simulated(n_scenes: int, seconds: float) -> None:
    """Print the onsets' delays in simulated cues of conversations with known truth."""
    pipeline = open_pipeline()
    for look_ahead in LOOK_AHEADS:
        delays: list[float] = []
        missed = 0
        for seed in range(n_scenes):
            rng = np.random.default_rng(seed)
            scene = draw_scene_truth(rng, seconds, 0.0)
            starts = judge_scene(pipeline.live(look_ahead), observe(scene, rng))
            for person, onset, end in scene_onsets(scene):
                known = [e.time_s for e in starts if e.person == person + 1]
                known = [t for t in known if onset <= t < end]
                delays += [known[0] + look_ahead + REORDER_S - onset] if known else []
                missed += not known
        print(f"look-ahead {look_ahead:g}: {describe_delays(delays, missed)}", flush=True)


def judge_scene(session: LiveSession, grid: CueGrid) -> list[LiveEvent]:
    """The `addressed` events that a session makes of a grid of cues."""
    events: list[LiveEvent] = []
    session.close()
    judge, states = session._judge, session._states
    for tick in range(grid.n_ticks):
        faces = []
        for k in np.flatnonzero(grid.is_seen[:, tick]).tolist():
            row = grid.faces[k, tick]
            middle, side = row[[X, Y]] * SIZE, row[FACE_SIZE]
            box = np.concatenate([middle - side / 2, middle + side / 2])
            faces.append(SeenFace(k + 1, tick, tick / RATE, tick, box, row))
        scores = judge.take(tick, faces, (grid.voice[tick], grid.level_db[tick]))
        if tick >= judge.look_ahead:
            events += states.take(tick - judge.look_ahead, scores)
    return [event for event in events if event.kind == "addressed"]


def scene_onsets(scene: CueScene) -> Iterator[tuple[int, float, float]]:
    """Person, start and end of each stretch of speech to the wearer that lasts 1 s, in view."""
    for k in range(scene.n_people):
        talks = (scene.to_me[k] == 1) & scene.speaking[k] & ~np.isnan(scene.size[k])
        edges = np.flatnonzero(np.diff(talks.astype(int), prepend=0, append=0))
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            quiet = not talks[max(start - RATE, 0) : start].any()
            if stop - start >= RATE and quiet and start >= RATE:
                yield k, start / RATE, stop / RATE


def describe_delays(delays: list[float], missed: int) -> str:
    """One line on delays in seconds."""
    if not delays:
        return f"no onset found, {missed} missed"
    median, late = np.percentile(delays, [50, 90])
    return f"{len(delays)} onsets, median {median:.2f} s, 90 % in {late:.2f} s, {missed} missed"


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
    labels = commands.add_parser("labels")
    labels.add_argument("--clips", type=Path, required=True)
    labels.add_argument("--out", type=Path, required=True)
    simulated = commands.add_parser("simulated")
    simulated.add_argument("--scenes", type=int, default=40)
    simulated.add_argument("--seconds", type=float, default=40.0)
    options = parser.parse_args()
    if options.command == "pace":
        measure_pace(options.faces, options.seconds, options.cpu)
    elif options.command == "simulated":
        measure_simulated(options.scenes, options.seconds)
    elif options.command == "labels":
        measure_labels(options.clips, options.out)
    else:
        measure_soak(options.faces, options.minutes, options.drift)


if __name__ == "__main__":
    main()
