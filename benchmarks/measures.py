"""The measurements of `bench.py`: each function returns the values of its rounds, and a note."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

import cached_epochs
import encode_once
import growth as growing
import run_video
import runtimes
from quavf.core.errors import ConfigError
from quavf.core.records import Floats, Image, Ints
from quavf.inference.audio import AudioPredictor
from quavf.inference.clip import ClipData
from quavf.inference.config import InferenceConfig
from quavf.inference.loading import run_branch
from quavf.inference.visual import VisualPredictor
from quavf.simulate.config import SimulateConfig
from quavf.sources.media.container import open_container
from quavf.store import ClipStore
from quavf.utils.openvino import openvino
from quavf.utils.parallel import EngineConfig, connect_ray
from quavf.workflows.prepare import prepare_ego4d
from quavf.workflows.prepare_simulated import prepare_simulated
from quavf.workflows.quality import score_quality

FAST = InferenceConfig(runtime="openvino", precision="bf16", device="cpu")
VIDEO_S = 20.0  # length of generated videos
N_FRAMES = 240  # crops of the comparison with window-by-window encoding

Measured = tuple[list[float], str]


class UnavailableError(Exception):
    """A row cannot be measured here; the message says what is missing."""


@dataclass
class Setup:
    """The working folder, the number of rounds, and data shared by the measurements."""

    folder: Path
    rounds: int
    faces: list[Path] | None = None

    @cached_property
    def store(self) -> ClipStore:
        """A store of one simulated clip of 30 s, with faces every 0.2 s."""
        path = self.folder / "simulated"
        world = SimulateConfig(seed=1, clips=1, val_share=1.0, test_share=0.0)
        prepare_simulated(path, world, every=6)
        score_quality(path)
        return ClipStore.open(path)

    @cached_property
    def clip(self) -> ClipData:
        return ClipData(self.store, self.store.clips()[0])

    @cached_property
    def dataset_1080p(self) -> tuple[Path, int]:
        """A data set of one clip with three faces, and its number of frames."""
        root = self.folder / "1080p"
        (root / "clips").mkdir(parents=True)
        (root / "annotations").mkdir()
        n_frames = write_1080p(root / "clips" / "clip.mp4")
        faces = [(200, 300, 260), (800, 250, 220), (1400, 400, 300)]
        clip = growing.build_annotation("clip", n_frames, faces)
        growing.write_annotations(root / "annotations", [clip])
        return root, n_frames

    @cached_property
    def video_of_faces(self) -> Path:
        """A 1080p30 video of two talking heads. Raises UnavailableError without `--faces`."""
        path = self.folder / "faces.mp4"
        run_video.generate_video(path, VIDEO_S, self.heads, 1080)
        return path

    @property
    def heads(self) -> list[Path]:
        if not self.faces:
            raise UnavailableError("needs footage of two talking heads; give --faces A.mp4 B.mp4")
        return self.faces

    @cached_property
    def gflop(self) -> dict[str, float]:
        """GFLOP of ResNet-50 on one crop, Whisper small on one window, and a matrix product."""
        found = runtimes.count_gflop()
        return {**found, "resnet50": found["resnet50"] / runtimes.CROPS}

    def ceiling(self, precision: str) -> float:
        """GFLOP/s of the fastest large matrix product, measured at each call."""
        works = [work for name, work in self._products.items() if name.endswith(precision)]
        return max(self.gflop["product"] / time_call(work) for work in works)

    @cached_property
    def _products(self) -> dict[str, Callable[[], Any]]:
        made = runtimes.build_products()
        for work in made.values():
            work()
        return made


def time_call(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_visual_vs_windowed(setup: Setup, how: InferenceConfig | None = None) -> Measured:
    """Speed-up of prediction by encoding each crop once."""
    branch = runtimes.build_visual()
    model: Any = run_branch(branch, how) if how else None
    list(encode_once.compare(branch, model, encode_once.BATCH, 1))  # warm up
    rounds = list(encode_once.compare(branch, model, N_FRAMES, setup.rounds))
    worst = max(found.difference for found in rounds)
    return [found.ratio for found in rounds], f"largest difference of a logit {worst:.1e}"


def measure_visual_fast_vs_windowed(setup: Setup) -> Measured:
    return measure_visual_vs_windowed(setup, _require_runtime(FAST))


class _Counting(VisualPredictor):
    """A predictor that counts the crops it encodes."""

    n_encoded = 0

    def _encode(self, data: ClipData, batches: Sequence[Ints]) -> Iterator[Floats]:
        self.n_encoded += sum(len(batch) for batch in batches) + 1
        return super()._encode(data, batches)


def measure_encode_share(setup: Setup, precision: str) -> Measured:
    """Share of the ceiling reached by the faster runtime, for `predict` without reading tables."""
    shares: dict[str, list[float]] = {}
    for name in ("torch", "openvino"):
        how = InferenceConfig(runtime=name, precision=precision, device="cpu")
        model: Any = run_branch(runtimes.build_visual(), _require_runtime(how))
        predictor = _Counting(model, scorer="light")
        predictor.score_faces(setup.clip)
        shares[name] = []
        for _ in range(setup.rounds):
            predictor.n_encoded = 0
            taken = time_call(partial(predictor.score_faces, setup.clip))
            rate = predictor.n_encoded * setup.gflop["resnet50"] / taken
            shares[name].append(rate / setup.ceiling(precision))
    best = max(shares, key=lambda name: np.median(shares[name]))
    other = min(shares, key=lambda name: np.median(shares[name]))
    return shares[best], f"by {best}; {other} {np.median(shares[other]):.2f}"


def measure_whisper_share(setup: Setup) -> Measured:
    model: Any = run_branch(runtimes.build_audio(), _require_runtime(FAST))
    predictor = AudioPredictor(model, InferenceConfig(device="cpu", audio_batch_size=1))
    ticks = np.arange(900)
    work = partial(predictor.score_ticks, setup.clip, ticks)
    work()
    shares, taken = [], []
    for _ in range(setup.rounds):
        taken.append(min(time_call(work), time_call(work)))
        shares.append(setup.gflop["whisper"] / taken[-1] / setup.ceiling("bf16"))
    return shares, f"{np.median(taken):.2f} s per window of 30 s"


def measure_prepare_over_decode(setup: Setup) -> Measured:
    """Frame rate of `prepare` relative to decoding the same file."""
    root, n_frames = setup.dataset_1080p
    path = root / "clips" / "clip.mp4"
    rates, speeds = [], []
    for k in range(setup.rounds):
        decoding = time_call(partial(decode_video, path))
        preparing = time_call(
            partial(prepare_ego4d, root / "annotations", root / "clips", root / f"store{k}")
        )
        rates.append(decoding / preparing)
        speeds.append((n_frames / preparing, n_frames / decoding))
    prepared, decoded = np.median(speeds, axis=0)
    return rates, f"{prepared:.0f} and {decoded:.0f} frames per second"


def decode_video(path: Path) -> None:
    with open_container(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass


def write_1080p(path: Path) -> int:
    """Write a panning, noisy video of `VIDEO_S` at 8 Mbit/s with sound; return its frame count."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (27, 50, 3), np.uint8)
    scene = cv2.resize(noise, (2200, 1080), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 6, (1080, 4000, 1)).astype(np.int16)
    n_frames = int(VIDEO_S * 30)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 1920, 1080, "yuv420p"
        video.bit_rate = 8_000_000
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        for k in range(n_frames):
            shift = int(140 + 139 * np.sin(k / 30))
            noisy = scene[:, shift : shift + 1920] + grain[:, (k * 331) % 2000 :][:, :1920]
            picture: Image = np.asarray(noisy.clip(0, 255), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        samples = rng.normal(0, 0.1, int(VIDEO_S * 16_000)).astype(np.float32)
        run_video.add_sound(container, sound, samples)
    return n_frames


def measure_run(setup: Setup, size: str) -> Measured:
    """Seconds per second of video for all stages, without annotated video and report."""
    path = setup.video_of_faces
    how = FAST if size == "published" else InferenceConfig(device="cpu")
    sums, stages = [], {}
    for _ in range(setup.rounds):
        with tempfile.TemporaryDirectory(dir=setup.folder) as folder:
            watch, duration_s, _ = run_video.measure_stages(
                path, Path(folder), size, _require_runtime(how)
            )
        stages = {k: s / duration_s for k, s in watch.wall.items() if k not in run_video.EXCLUDED}
        sums.append(sum(stages.values()))
    parts = sorted(stages.items(), key=lambda pair: -pair[1])[:4]
    return sums, "most of it " + ", ".join(f"{name} {s:.2f}" for name, s in parts)


def measure_command(setup: Setup) -> Measured:
    """Seconds per second of video for the whole command, start included."""
    return [_run_command(setup, annotated=False) for _ in range(setup.rounds)], ""


def measure_annotated(setup: Setup) -> Measured:
    """Seconds per second of video that the annotated video adds to the command."""
    pairs = [
        (_run_command(setup, annotated=True), _run_command(setup, annotated=False))
        for _ in range(setup.rounds)
    ]
    return [whole - part for whole, part in pairs], ""


def _run_command(setup: Setup, annotated: bool) -> float:
    """Seconds of `quavf run` per second of video."""
    path = setup.video_of_faces
    with tempfile.TemporaryDirectory(dir=setup.folder) as folder:
        _, taken_s = run_video.measure_run(path, Path(folder), annotated)
    return taken_s / VIDEO_S


def measure_ray_2_workers(setup: Setup) -> Measured:
    """Speed-up of two workers over one, on a warm cluster."""
    world = SimulateConfig(seed=2, clips=8, seconds=10.0, val_share=1.0, test_share=0.0)
    warm = SimulateConfig(seed=3, clips=4, seconds=4.0, val_share=1.0, test_share=0.0)
    ratios = []
    with connect_ray(EngineConfig("ray", workers=2)):
        _simulate(setup, warm, 2, "warm")
        for k in range(setup.rounds):
            one = time_call(partial(_simulate, setup, world, 1, f"one{k}"))
            two = time_call(partial(_simulate, setup, world, 2, f"two{k}"))
            ratios.append(one / two)
    return ratios, ""


def _simulate(setup: Setup, world: SimulateConfig, workers: int, name: str) -> None:
    engine = EngineConfig("ray", workers=workers)
    prepare_simulated(setup.folder / "ray" / name, world, engine=engine)


def measure_growth(setup: Setup) -> Measured:
    few, many = growing.measure().values()
    costs = [sum(found["s_a_clip"].values()) for found in (few, many)]
    memory = f"peak memory {few['peak_mb']:.0f} and {many['peak_mb']:.0f} MB"
    return [costs[1] / costs[0]], (
        f"{costs[0] * 1000:.0f} ms per clip at 10, {costs[1] * 1000:.0f} at 1,000 (start-up "
        f"included); {memory}"
    )


def measure_cached_epoch(setup: Setup) -> Measured:
    """Speed-up of an epoch by cached features, for the branch that gains less."""
    folder = setup.folder / "cached"
    store = cached_epochs.make_store(folder / "store")
    ratios, notes = {}, []
    for name in cached_epochs.CONFIGS:
        found = list(cached_epochs.compare(name, store, folder / "features", setup.rounds))
        ratios[name] = [epoch.ratio for epoch in found]
        alone = np.median([epoch.training_ratio for epoch in found])
        notes.append(f"{name} {np.median(ratios[name]):.3g}, without validation {alone:.3g}")
    return min(ratios.values(), key=np.median), "; ".join(notes)


def measure_hour(setup: Setup) -> Measured:
    loop, path = setup.folder / "loop.mp4", setup.folder / "hour.mp4"
    run_video.generate_video(loop, run_video.LOOP_S, setup.heads, 1080)
    run_video.repeat_video(loop, path, 60)
    peak_mb, taken = run_video.measure_run(path, setup.folder)
    return [peak_mb / 1024], f"{taken / 3600:.2f} s per second, report and annotated video included"


def _require_runtime(how: InferenceConfig) -> InferenceConfig:
    """Return `how`. Raises UnavailableError if this machine or installation cannot run it."""
    try:
        if how.runtime == "openvino":
            openvino()
        if how.precision == "bf16":
            how.require_torch_bf16()
    except ConfigError as error:
        raise UnavailableError(str(error)) from None
    return how
