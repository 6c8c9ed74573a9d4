"""Any raw video, from the recording to a report: the public functions and classes."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quavf.core.branches import BRANCHES, CUES
from quavf.core.errors import ConfigError, QuavfError
from quavf.core.names import name_safely
from quavf.core.windows import WindowConfig
from quavf.inference.config import InferenceConfig
from quavf.live.config import LiveConfig
from quavf.models.bundled import DEFAULT, FOLDER
from quavf.results.records import Moment, Person, PersonScores
from quavf.results.video import RESULT_FILE, VideoResult
from quavf.sources.media.file import open_video_file
from quavf.utils.failures import describe_failure
from quavf.utils.files import config_hash, read_json, write_json
from quavf.utils.holding import hold_folder
from quavf.utils.memory import release_memory
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import Progress, show_progress
from quavf.video.prepare import prepare_video, video_fingerprint
from quavf.video.prepared import ALL, NONE, UNREAD
from quavf.video.scoring import VideoScoring, add_moments, score_step_s
from quavf.workflows.config import RunConfig, keep_cues
from quavf.workflows.quality import QUALITY_INFERENCE, score_quality
from quavf.workflows.show_result import ANNOTATED, ERROR_LOG, REPORT, write_reports

if TYPE_CHECKING:
    from quavf.inference.predictor import Predictor
    from quavf.live.networks import LiveNetworks
    from quavf.live.session import LiveSession

log = logging.getLogger(__name__)

STORE = "store"  # folder of the crops and the sound, inside the output folder
PARTS = "parts"  # of scores, until all are there
RUN_FILE = "run.json"
LEFTOVERS = (".*.*.tmp", "parts/*/.*.*.tmp")  # of a killed run


@dataclass(frozen=True)
class VideoAnalysis:
    """The analysis of one video: scores, moments, persons; `save` writes it to a folder."""

    result: VideoResult
    config: RunConfig

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Who talked to the camera wearer, from when to when, how sure."""
        return self.result.moments

    @property
    def scores(self) -> dict[int, PersonScores]:
        """Scores over time, by person."""
        return self.result.scores

    @property
    def persons(self) -> tuple[Person, ...]:
        return self.result.persons

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong or is missing, in plain words."""
        return self.result.notes

    def save(self, out: Path | str) -> Path:
        """Write tables, moments and, as the configuration says, video and report; the folder."""
        folder = Path(out)
        self.result.write(folder)
        write_reports(self.result, folder, self.config)
        return folder


@dataclass(frozen=True)
class VideoOutcome:
    """The outcome for one of several videos: an analysis, or why it failed (`error`)."""

    video: Path
    folder: Path
    analysis: VideoAnalysis | None
    error: str = ""


class Pipeline:
    """All branches of a configuration, loaded once, ready to score videos.

    Raises ConfigError without a branch, CheckpointError if one cannot be loaded.
    """

    def __init__(self, config: RunConfig) -> None:
        from quavf.inference.loading import load_predictors, resolve_device

        self.config = config
        self.bundle = config.choose_bundle()
        self.device = resolve_device(config).device
        self.predictors = load_predictors(
            self.bundle.branches, config, lambda spec, settings: config.quality
        )
        self.windows = _common_windows(self.predictors)
        self._lock = threading.Lock()
        self._live_networks: LiveNetworks | None = None

    def __reduce__(self) -> tuple[type[Pipeline], tuple[RunConfig]]:
        """Without the networks: each process loads its own."""
        return Pipeline, (self.config,)

    def run(
        self,
        video: Path | str,
        out: Path | str | None = None,
        truth: Sequence[Moment] | None = None,
    ) -> VideoAnalysis:
        """What a video shows: who talked to the camera wearer, and when.

        With `out` all is written there, and an interrupted run goes on where it was; without it
        nothing is kept, and `VideoAnalysis.save` writes. `truth` are labels to show beside. Raises
        MediaError when the file is no video, ConfigError while another process writes to `out`.
        """
        if out is None:
            with tempfile.TemporaryDirectory(prefix="quavf-") as temporary:
                return VideoAnalysis(
                    self._read_or_score(Path(video), Path(temporary), truth), self.config
                )
        with hold_folder(Path(out), *LEFTOVERS):
            return self._run(Path(video), Path(out), truth)

    def live(self, look_ahead: float = 0.3, config: LiveConfig | None = None) -> LiveSession:
        """Start a live session: pictures and sound in, events out.

        `look_ahead` is the time in seconds that a judgement waits for; `config` says more, and its
        `look_ahead` counts. Of the branches, it runs the cues alone. Sessions share the networks,
        and may run in several threads at once. Raises ConfigError without the cues branch.
        """
        from quavf.live.session import LiveSession

        config = config or LiveConfig(look_ahead=look_ahead)
        networks = self.load_live_networks()
        moments = self.config.moments or keep_cues(self.bundle, "live").moments
        return LiveSession(networks, self.bundle.fusion, moments, config)

    def load_live_networks(self) -> LiveNetworks:
        """Load the networks of live sessions, once: all sessions of this pipeline share them.

        Raises ConfigError without a cues branch.
        """
        from quavf.inference.loading import load_predictors
        from quavf.live.networks import open_networks
        from quavf.live.session import SEARCH

        keep_cues(self.bundle, "live")
        with self._lock:
            if self._live_networks is None:
                checkpoint = {CUES.name: self.bundle.branches[CUES.name]}
                alone = replace(self.config, device="cpu", threads=1)  # the fastest for so little
                loaded = load_predictors(checkpoint, alone, lambda spec, settings: "")
                predictor: Any = loaded[CUES.name]
                self._live_networks = open_networks(predictor, SEARCH)
            return self._live_networks

    def _run(self, video: Path, folder: Path, truth: Sequence[Moment] | None) -> VideoAnalysis:
        before = _read_run(folder)
        result = self._read_or_score(video, folder, truth)
        if before != _read_run(folder):
            for name in (ANNOTATED, REPORT):
                (folder / name).unlink(missing_ok=True)
        result = write_reports(result, folder, self.config)
        shutil.rmtree(folder / PARTS, ignore_errors=True)
        if not self.config.keep_store:
            shutil.rmtree(folder / STORE, ignore_errors=True)
        return VideoAnalysis(result, self.config)

    def _read_or_score(self, video: Path, out: Path, truth: Sequence[Moment] | None) -> VideoResult:
        """The result, from the folder when it is there and made in the same way."""
        config, moments = self.config, self.bundle.moments
        key = self._key(video)
        shown = {"moments": asdict(moments), "truth": [asdict(m) for m in truth or ()]}
        before = _read_run(out)
        if before.get("key") == key and (out / RESULT_FILE).is_file():
            result = VideoResult.read(out)
            if before.get("shown") == shown:
                log.info("%s: %s is done already", out, video)
                return result
            result = add_moments(result, moments, score_step_s(config.video.rate, result.fps))
        else:
            result = self._judge(video) if config.causal else self._score(video, out, key)
        result = replace(result, truth=None if truth is None else tuple(truth))
        result.write(out)
        done = {"key": key, "shown": shown, "bundle": self.bundle.to_json()}
        write_json(out / RUN_FILE, {**done, "config": asdict(config)})
        return VideoResult.read(out)  # as a resumed run reads it: both draw the same

    def _score(self, video: Path, out: Path, key: str) -> VideoResult:
        """The result of the offline branches."""
        config = self.config
        prepared = prepare_video(video, out / STORE, config.video, self.windows, self._cut)
        score_quality(prepared.store.path, config.quality, config=self._quality_options())
        release_memory()
        parts, bundle = out / PARTS / key, self.bundle
        scoring = VideoScoring(
            prepared, self.predictors, config.quality, parts, bundle.fusion, bundle.fallback
        )
        return scoring.score(bundle.moments, self.models())

    @property
    def _cut(self) -> str:
        """Which faces a branch sees as pictures."""
        sees = [name for name in self.predictors if BRANCHES.get(name).uses_quality]
        if not sees:
            return NONE
        return UNREAD if set(sees) <= set(self.bundle.fallback) else ALL

    def _judge(self, video: Path) -> VideoResult:
        """The result of a live session that is fed with the file."""
        from quavf.live.feed import FileFeed

        feed = FileFeed(open_video_file(video, self.config.video.media))
        total = int(feed.file.declared_s or 0)
        with (
            self.live(config=LiveConfig(self.config.look_ahead, real_time=False, record=True)) as s,
            show_progress("Judging", total, unit="s of video", inner="pictures") as bar,
        ):
            done = 0

            def report(time_s: float) -> None:
                nonlocal done
                bar.advance(int(time_s) - done, 1)
                done = int(time_s)
                s.events()

            feed.run(s, after=report)
        return s.result(feed.media, self.models())

    def _quality_options(self) -> InferenceConfig:
        """How the scorer runs; only fan has a network that other runtimes can run."""
        config = self.config
        options = replace(QUALITY_INFERENCE, threads=config.threads)
        if config.quality != "fan":
            return replace(options, device=self.device)
        device = "cpu" if config.runtime == "openvino" else self.device
        return replace(options, device=device, runtime=config.runtime, precision=config.precision)

    def models(self) -> dict[str, str]:
        """What reports say that a result was made with."""
        models = {"faces": self.config.video.search.detector, "quality": self.config.quality}
        for name, path in self.bundle.branches.items():
            models[name] = path.parent.name if path.parent.parent == FOLDER else path.name
        return models

    def _key(self, video: Path) -> str:
        """All that decides the scores: the file, the settings, the weights and how they run."""
        fingerprint = video_fingerprint(video, self.config.video, self.windows, self._cut)
        weights = {name: _stamp(path) for name, path in self.bundle.branches.items()}
        how: list[Any] = [self.config.runtime, self.config.precision, self.bundle.fusion.to_json()]
        how += [f"{name} as fallback" for name in self.bundle.fallback]
        if self.config.causal:
            how.append(f"causal {self.config.look_ahead}")
        return config_hash([fingerprint, weights, self.config.quality, how])


def load(weights: Path | str = DEFAULT, config: RunConfig | None = None) -> Pipeline:
    """Load weights that come with the package, a folder's, or `hf://owner/name[@revision]`.

    A folder is a bundle (see docs/guide/weights.md), or holds `<branch>.safetensors` for each
    branch. `config` says everything else; its `branches` replace single branches. Example:
    `quavf.load("small").run("dinner.mp4")`. Raises CheckpointError if there are no such weights.
    """
    return Pipeline(replace(config or RunConfig(), weights=str(weights)))


def run_video(
    video: Path | str,
    out: Path | str,
    config: RunConfig,
    truth: Sequence[Moment] | None = None,
) -> VideoAnalysis:
    """Score a video and write scores, moments, annotated video and report to `out`."""
    return Pipeline(config).run(video, out, truth)


def run_videos(
    videos: Sequence[Path | str],
    out: Path | str,
    config: RunConfig,
    engine: EngineConfig | None = None,
) -> list[VideoOutcome]:
    """The same for several videos, each into a folder of its name; one that fails stops no other.

    A single video goes into `out` itself.
    """
    engine = engine or EngineConfig()
    work = partial(_outcome, Pipeline(config))
    folders = output_folders(videos, Path(out))
    jobs = [_Job(Path(video), folder) for video, folder in zip(videos, folders, strict=True)]
    alone = len(jobs) == 1 or engine == EngineConfig()  # then each stage shows a bar of its own
    outcomes = {}
    with nullcontext(Progress()) if alone else show_progress("Running", len(jobs), "videos") as bar:
        for done in run_each(work, jobs, engine, gpu=config.device != "cpu"):
            outcomes[done.item] = done.result
            bar.advance()
    return [outcomes[job] for job in jobs]


@dataclass(frozen=True)
class _Job:
    """A video, and the folder for what is found in it."""

    video: Path
    folder: Path

    def __str__(self) -> str:
        return str(self.video)


def _outcome(pipeline: Pipeline, job: _Job) -> VideoOutcome:
    """Of one of several videos; whatever goes wrong is told, not raised."""
    try:
        return VideoOutcome(job.video, job.folder, pipeline.run(job.video, job.folder))
    except Exception as error:  # whatever it is: the other videos shall be run
        reason = describe_failure(error, job.folder / ERROR_LOG)
        log.warning("%s", reason)
        return VideoOutcome(job.video, job.folder, None, reason)


def output_folders(videos: Sequence[Path | str], out: Path) -> list[Path]:
    """Where each video's output goes: `out` for one, else safe names that differ."""
    if len(videos) == 1:
        return [out]
    taken: set[str] = set()
    return [out / name_safely(Path(video).stem, taken) for video in videos]


def _common_windows(predictors: Mapping[str, Predictor]) -> WindowConfig:
    """The windows of crops that the branches see; without such a branch, the scored faces alone.

    Raises ConfigError if two branches need different windows.
    """
    needed = {
        name: p.model.settings.windows
        for name, p in predictors.items()
        if BRANCHES.get(name).uses_quality
    }
    if len(set(needed.values())) > 1:
        raise ConfigError(
            f"run: {' and '.join(needed)} were trained on different windows of crops; run them "
            "one by one"
        )
    return next(iter(needed.values()), WindowConfig(n_slots=1))


def _read_run(folder: Path) -> dict[str, Any]:
    """What the folder's last finished run was made of; empty when there was none."""
    path = folder / RUN_FILE
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
    except QuavfError:
        return {}
    return content if isinstance(content, dict) else {}


def _stamp(path: Path) -> list[Any]:
    """Tells one state of a checkpoint from another."""
    from quavf.inference.loading import model_files

    states = [(file.resolve(), file.stat()) for file in model_files(path)]
    return [[str(file), state.st_size, state.st_mtime_ns] for file, state in states]
