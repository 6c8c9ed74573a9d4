"""Simulated rooms for `labels.py`, and the labels that a person would give in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from quavf.core.branches import SPEAKING
from quavf.core.records import TALKING, WEARER, Array, Interval, Segment
from quavf.simulate.config import GazeConfig, SimulateConfig, TalkConfig, TruthConfig, WorldConfig
from quavf.simulate.cue_scenes import UNKNOWN, bridge_pauses
from quavf.store import ClipStore, Manifest
from quavf.utils.files import write_json

N_CLIPS, CLIP_S = 36, 30.0
EVERY = 2  # frames: 15 faces a second
EXACT = TruthConfig(p_label_flip=0.0, edge_sd_s=0.1)
TABLE = WorldConfig()

ROOMS = {
    # Dim and echoing; people glance at the wearer almost as often as at whom they talk to.
    "kitchen": WorldConfig(
        replace(TABLE.talk, partners=(2, 3), p_schism=0.0, wearer_share=0.7),
        replace(
            TABLE.gaze,
            p_speaker_addressee=0.5,
            p_speaker_others=0.3,
            p_listener_speaker=0.45,
            head_gain=0.5,
            head_gain_sd=0.05,
            head_noise_deg=5.0,
        ),
        replace(
            TABLE.picture,
            fov_deg=(88.0, 92.0),
            distance_m=(1.4, 2.2),
            spread_deg=50.0,
            light=(0.55, 0.65),
            exposure_ms=(14.0, 18.0),
            focus_blur_px=(0.8, 1.2),
            sensor_noise=(3.0, 4.0),
        ),
        replace(TABLE.sound, rt60_s=(0.7, 0.8), snr_db=(6.0, 9.0), babble_share=(0.1, 0.2)),
        EXACT,
    ),
    # One or two colleagues across a desk, close and well lit, who look at screens as they talk.
    "desk": WorldConfig(
        TalkConfig(partners=(1, 2), p_schism=0.0, p_silence=0.2, silence_mean_s=3.0),
        GazeConfig(
            p_speaker_addressee=0.3,
            p_speaker_others=0.1,
            p_listener_speaker=0.3,
            p_listener_others=0.1,
            p_idle_person=0.15,
            dwell_person_s=1.0,
            dwell_away_s=1.8,
        ),
        replace(
            TABLE.picture,
            fov_deg=(74.0, 78.0),
            distance_m=(0.9, 1.3),
            spread_deg=35.0,
            light=(0.9, 1.0),
            exposure_ms=(5.0, 7.0),
            focus_blur_px=(0.2, 0.4),
            sensor_noise=(0.5, 1.0),
            hands_per_min=0.5,
            passers_per_min=0.0,
        ),
        replace(TABLE.sound, rt60_s=(0.35, 0.45), snr_db=(16.0, 20.0), babble_share=(0.0, 0.1)),
        EXACT,
    ),
}
SEEDS = {"kitchen": 2026, "desk": 2027}


def make_room(name: str, work: Path) -> tuple[Path, Path]:
    """A store of a room's clips with cues, and the scores of `talk` without its face branch."""
    from quavf.inference.config import PredictConfig
    from quavf.workflows.cues import compute_cues
    from quavf.workflows.predict import predict
    from quavf.workflows.prepare_simulated import prepare_simulated

    store, scores = work / name, work / f"{name}.scores"
    if not (scores / "scores.parquet").is_file():
        config = SimulateConfig(
            seed=SEEDS[name],
            clips=N_CLIPS,
            seconds=CLIP_S,
            val_share=0.0,
            test_share=0.0,
            world=ROOMS[name],
        )
        prepare_simulated(store, config, every=EVERY)
        compute_cues(store)
        options = PredictConfig(all_faces=True, whole_turns=False)
        predict(store, scores, visual="", weights="talk", config=options)
    return label_store(store, work / f"{name}.labelled"), scores


def label_store(store: Path, folder: Path) -> Path:
    """The same clips with the labels that a person would give; all other files are links."""
    if (folder / "store.json").is_file():
        return folder
    source = ClipStore.open(store)
    for clip in source.clips():
        target = folder / "clips" / clip
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.folder(clip).iterdir()):
            link = target / path.name
            if path.name != "clip.json" and not link.is_symlink():
                link.symlink_to(path.resolve())
        people = sorted({int(p) for p in source.faces(clip).person})
        write_json(target / "clip.json", label_clip(source.manifest(clip), people).to_json())
    (folder / "store.json").write_bytes((store / "store.json").read_bytes())
    return folder


def label_clip(manifest: Manifest, people: list[int]) -> Manifest:
    """To me, to others or silent, at all times; nothing of looks and of the wearer.

    The simulator's own segments join turns over pauses of up to 3 s, in which the wearer answers.
    """
    fps = float(manifest.clock.fps)
    n = round((manifest.n_samples or 0) / 16_000 * fps)
    segments: list[Segment] = []
    speaking: list[Interval] = []
    unknown = [Interval(WEARER, 0, n)]
    for person in people:
        speaks = _mask(n, [i for i in manifest.speaking or () if i.person == person])
        asked = _mask(n, [s for s in manifest.segments if s.person == person and s.label])
        told = bridge_pauses((speaks & asked).astype(int)[None], fps)[0]
        to_me, doubtful = told == 1, told == UNKNOWN
        others = speaks & ~to_me & ~doubtful
        for mask, label in ((to_me, 1), (others, 0), (~to_me & ~others & ~doubtful, 0)):
            segments += [Segment(person, a, b - 1, label) for a, b in find_runs(mask)]
        speaking += [Interval(person, a, b - 1) for a, b in find_runs(to_me | others)]
        unknown += [Interval(person, a, b - 1) for a, b in find_runs(doubtful)]
    return replace(
        manifest,
        segments=tuple(sorted(segments, key=lambda s: (s.person, s.start_frame))),
        speaking=tuple(sorted(speaking)),
        looking=None,
        unlabelled={TALKING: tuple(unknown), SPEAKING: tuple(unknown)},
    )


def find_runs(mask: Array) -> list[tuple[int, int]]:
    """Start and end of each stretch in which a mask (N,) holds."""
    edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0, append=0))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _mask(n: int, parts: list[Interval] | list[Segment]) -> Array:
    inside = np.zeros(n, bool)
    for part in parts:
        inside[max(part.start_frame, 0) : part.last_frame + 1] = True
    return inside
