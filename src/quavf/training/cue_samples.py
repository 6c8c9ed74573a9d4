"""Training samples of the cues branch: stretches of cues, from stores and simulated on the spot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from quavf.core.branches import LOOKING as LOOKS
from quavf.core.branches import SPEAKING as SPEAKS
from quavf.core.records import TALKING, WEARER, Array, Interval, Ints, Segment
from quavf.cues.features import N_ANSWERS, N_FACE, N_RULE, N_SOUND, OFFLINE, compute_features
from quavf.cues.grid import RATE, CueGrid, build_grid, count_ticks
from quavf.simulate.cue_noise import observe
from quavf.simulate.cue_scenes import UNKNOWN, draw_scene_truth
from quavf.store import ClipStore, Manifest
from quavf.training.config import TrainCuesConfig
from quavf.training.datasets import IGNORED, ClassCounts, Sample, TrainSet, count_classes

MOST_PEOPLE = 6  # in a sample; of more, some are drawn
KEPT_CLIPS = 4096  # simulated clips that are kept in memory: about 100 kB each
TO_ME, SPEAKING, LOOKING, TURN = range(N_ANSWERS)


@dataclass(frozen=True)
class LabelledCues:
    """Cues of P people over T ticks with their labels: 1, 0, or IGNORED where not known."""

    grid: CueGrid
    people: Ints  # (P, T, 4): talks to me, speaks, looks at me, the turn is addressed to me
    wearer: Ints  # (T,): the wearer speaks

    def cut(self, start: int, stop: int) -> LabelledCues:
        """The ticks from `start` to `stop`."""
        grid = self.grid.cut(start, stop)
        return LabelledCues(grid, self.people[:, start:stop], self.wearer[start:stop])

    def mirror(self) -> LabelledCues:
        """The same, seen in a mirror."""
        return replace(self, grid=self.grid.mirror())

    def take(self, people: Array) -> LabelledCues:
        """The people of an index array or a mask."""
        return replace(self, grid=self.grid.take(people), people=self.people[people])


class CuesTrainSet(TrainSet):
    """Stretches of `config.seconds`: features, look-ahead and labels.

    Each draws its place in the clip and its look-ahead in every epoch, and half of them are
    mirrored.
    """

    def __init__(self, store: ClipStore, config: TrainCuesConfig) -> None:
        self.config = config
        self.n_ticks = round(config.seconds * RATE)
        self.stores = [store, *(ClipStore.open(Path(path)) for path in config.stores)]
        self.items: list[tuple[int, str]] = []  # store and clip, once for each stretch
        positive = negative = n_speaking = 0
        for k, source in enumerate(self.stores):
            for clip in source.clips("train"):
                manifest = source.manifest(clip)
                n_ticks = count_ticks(source.cues(clip), manifest.n_samples)
                for segment in manifest.segments:
                    positive += segment.n_frames * segment.label
                    negative += segment.n_frames * (1 - segment.label)
                n_speaking += manifest.speaking is not None
                if TALKING in manifest.unlabelled:
                    labelled = _find_labelled(read_labelled_cues(source, clip))
                    n_ticks = len(labelled)
                n_stretches = max(round((n_ticks - 1) / self.n_ticks), 1)
                self.items += [(k, clip)] * n_stretches
        share = config.rehearsal
        self.n_rehearsed = round(len(self.items) * share / (1 - share))
        only_speaking = n_speaking and not positive and not negative
        if config.simulated or self.n_rehearsed or only_speaking:
            # Clips that are not counted have both classes.
            self.counts = ClassCounts(positive, negative)
        else:
            self.counts = count_classes(positive, negative, store, "labelled faces")

    def __len__(self) -> int:
        return len(self.items) + self.config.simulated + self.n_rehearsed

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.config.trainer.seed, self.epoch, index))
        if index < len(self.items):
            number, name = self.items[index]
            clip = read_labelled_cues(self.stores[number], name)
        else:
            number = index - len(self.items)
            if number >= self.config.simulated:  # others in each epoch
                number += self.epoch * self.n_rehearsed
            clip = simulate_labelled_cues(self.config, number)
        start = self._draw_start(clip, rng)
        clip = clip.cut(start, start + self.n_ticks)
        present = np.flatnonzero(clip.grid.is_seen.any(axis=1))
        clip = clip.take(rng.permutation(present)[:MOST_PEOPLE])
        if rng.random() < 0.5:
            clip = clip.mirror()
        choices = [OFFLINE, OFFLINE, *(round(s * RATE) for s in self.config.look_ahead)]
        return make_sample(clip, self.n_ticks, int(rng.choice(choices)))

    def _draw_start(self, clip: LabelledCues, rng: np.random.Generator) -> int:
        """Where a stretch begins; where a clip is labelled in part, it holds a labelled tick."""
        last = max(clip.grid.n_ticks - self.n_ticks, 0)
        is_whole = bool(_is_known(clip).any(axis=0).all())
        labelled = np.empty(0, int) if is_whole else _find_labelled(clip)
        if not len(labelled):
            return int(rng.integers(last + 1))
        return int(np.clip(rng.choice(labelled) - rng.integers(self.n_ticks), 0, last))


def _is_known(clip: LabelledCues) -> Array:
    """(P, T) whether it is labelled if somebody talks to me, or at least speaks."""
    return np.asarray((clip.people[:, :, [TO_ME, SPEAKING]] != IGNORED).any(axis=2))


def _find_labelled(clip: LabelledCues) -> Ints:
    """The ticks with sound at which it is labelled of anybody in view."""
    heard = ~np.isnan(clip.grid.level_db)  # (T,)
    return np.flatnonzero((_is_known(clip) & clip.grid.is_seen).any(axis=0) & heard)


def make_sample(clip: LabelledCues, n_ticks: int, look_ahead: int) -> Sample:
    """Features, look-ahead and labels of a stretch, padded to `n_ticks` and MOST_PEOPLE.

    face (P, T, N_FACE), sound (T, N_SOUND), rule (P, T, 3), seen (P, T), look_ahead (),
    labels ((4 * P + 1) * T,) in the order of the network's outputs.
    """
    features = compute_features(clip.grid, None if look_ahead == OFFLINE else look_ahead)
    n_people, n = clip.grid.n_people, clip.grid.n_ticks
    face = np.zeros((MOST_PEOPLE, n_ticks, N_FACE), np.float32)
    sound = np.zeros((n_ticks, N_SOUND), np.float32)
    rule = np.zeros((MOST_PEOPLE, n_ticks, N_RULE), np.float32)
    seen = np.zeros((MOST_PEOPLE, n_ticks), bool)
    people = np.full((MOST_PEOPLE, n_ticks, N_ANSWERS), IGNORED)
    wearer = np.full(n_ticks, IGNORED)
    face[:n_people, :n], rule[:n_people, :n] = features.face, features.rule
    sound[:n], seen[:n_people, :n] = features.sound, features.seen
    people[:n_people, :n] = np.where(features.seen[..., None], clip.people, IGNORED)
    deaf = np.isnan(clip.grid.level_db)  # (T,) without sound, only looks can be judged
    for answer in (TO_ME, SPEAKING, TURN):
        people[:n_people, :n, answer][:, deaf] = IGNORED
    wearer[:n] = np.where(deaf, IGNORED, clip.wearer)
    labels = np.concatenate([people.transpose(2, 0, 1).ravel(), wearer])
    arrays = (face, sound, rule, seen, np.array(look_ahead), labels)
    return tuple(torch.from_numpy(array) for array in arrays)


def simulate_labelled_cues(config: TrainCuesConfig, index: int) -> LabelledCues:
    """One simulated clip; the same for the same seed and index."""
    seconds = config.seconds * 1.5
    return _simulate(config.trainer.seed, index, seconds, config.footage)


@lru_cache(maxsize=KEPT_CLIPS)
def _simulate(seed: int, index: int, seconds: float, footage: float) -> LabelledCues:
    rng = np.random.default_rng((seed, index))
    scene = draw_scene_truth(rng, seconds, footage)
    grid = observe(scene, rng)
    has_turn = scene.speaking | (scene.to_me == 1)
    turn = np.where(has_turn, scene.to_me, UNKNOWN)
    people = np.stack([scene.to_me, scene.speaking, scene.looking, turn], axis=-1)
    labels = np.where(people < 0, IGNORED, people).astype(np.int8)
    return LabelledCues(grid, labels, scene.wearer.astype(np.int8))


@lru_cache(maxsize=256)
def read_labelled_cues(store: ClipStore, clip: str) -> LabelledCues:
    """The cues of a store's clip, with the labels that it has."""
    manifest = store.manifest(clip)
    faces = store.cues(clip)
    persons = np.unique(faces.person)
    ticks = range(count_ticks(faces, manifest.n_samples))
    grid = build_grid(faces, store.sound_cues(clip), persons, ticks)
    frames = np.floor(np.arange(len(ticks)) / RATE * float(manifest.clock.fps) + 0.5).astype(int)
    people = np.full((len(persons), len(ticks), N_ANSWERS), IGNORED)
    for k, person in enumerate(persons):
        people[k, :, TURN] = _label_segments(manifest.spoken, int(person), frames)
        people[k, :, TO_ME] = _label_to_me(manifest, int(person), frames)
        people[k, :, SPEAKING] = _label(manifest, SPEAKS, int(person), frames)
        people[k, :, LOOKING] = _label(manifest, LOOKS, int(person), frames)
    return LabelledCues(grid, people, _label(manifest, SPEAKS, WEARER, frames))


def _label(manifest: Manifest, kind: str, person: int, frames: Ints) -> Ints:
    """(T,) whether a person speaks (or looks) at each frame; IGNORED where it is not labelled."""
    intervals = manifest.speaking if kind == SPEAKS else manifest.looking
    if intervals is None:
        return np.full(len(frames), IGNORED)
    labels = _covers(intervals, person, frames).astype(np.int64)
    labels[_covers(manifest.unlabelled.get(kind, ()), person, frames)] = IGNORED
    return labels


def _covers(intervals: tuple[Interval, ...], person: int, frames: Ints) -> Array:
    """(T,) whether each frame lies in an interval of a person."""
    inside = np.zeros(len(frames), bool)
    for interval in intervals:
        if interval.person == person:
            inside |= interval.covers(frames)
    return inside


def _label_segments(segments: tuple[Segment, ...], person: int, frames: Ints) -> Ints:
    """(T,) labels of a person's segments; IGNORED outside them."""
    labels = np.full(len(frames), IGNORED)
    for segment in reversed(segments):
        if segment.person == person:
            labels[segment.covers(frames)] = segment.label
    return labels


def _label_to_me(manifest: Manifest, person: int, frames: Ints) -> Ints:
    """(T,) labels of a person's segments; 0 outside them if speech is labelled, else IGNORED."""
    labels = np.full(len(frames), IGNORED if manifest.speaking is None else 0)
    labels[_covers(manifest.unlabelled.get(TALKING, ()), person, frames)] = IGNORED
    inside = _label_segments(manifest.segments, person, frames)
    return np.where(inside == IGNORED, labels, inside)
