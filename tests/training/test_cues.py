"""Training of the cues branch."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from quavf.core.config import from_dict
from quavf.core.errors import ConfigError, StoreError
from quavf.core.records import Interval
from quavf.cues.features import N_ANSWERS, N_FACE, N_RULE, N_SOUND, OFFLINE
from quavf.models.config import CuesConfig
from quavf.models.cues import CuesBranch
from quavf.simulate.cue_noise import observe
from quavf.simulate.cue_scenes import draw_talk
from quavf.store import ClipStore, StoreConfig
from quavf.training.config import TrainCuesConfig, TrainerConfig
from quavf.training.cue_samples import (
    LOOKING,
    MOST_PEOPLE,
    SPEAKING,
    TO_ME,
    TURN,
    CuesTrainSet,
    LabelledCues,
    make_sample,
    read_labelled_cues,
    simulate_labelled_cues,
)
from quavf.training.cues import CuesTraining
from quavf.training.datasets import IGNORED
from quavf.training.recipes import recipe_path
from quavf.training.validate import Validator
from quavf.workflows.train import train
from tests.helpers.cue_stores import make_cue_store, write_cue_clip

TRAINER = TrainerConfig(epochs=2, batch_size=4, lr=3e-3, class_weights=False, save_every=2)
CONFIG = TrainCuesConfig(
    simulated=4, seconds=6.0, cues=CuesConfig(dim=8, n_layers=3), trainer=TRAINER
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return make_cue_store(tmp_path_factory.mktemp("train") / "store")


def test_labels_that_are_not_known_are_ignored(tmp_path: Path) -> None:
    store = make_cue_store(tmp_path / "store", ("train",))
    manifest, before = store.manifest("clip0"), read_labelled_cues(store, "clip0")
    unlabelled = {
        "talking": (Interval(1, 0, 999),),
        "speaking": (Interval(0, 0, 999),),
        "looking": (Interval(1, 0, 99),),
    }
    store.write_intervals("clip0", manifest.speaking, manifest.looking, unlabelled)
    after = read_labelled_cues(ClipStore.open(store.path), "clip0")
    frames = 2 * np.arange(before.grid.n_ticks)
    own = [s.covers(frames) for s in manifest.segments if s.person == 1]
    free = ~np.any(own, axis=0)
    assert 0 < free.sum() < len(frames)
    expected = before.people.copy()
    expected[0, free, TO_ME] = IGNORED
    expected[0, frames < 100, LOOKING] = IGNORED
    np.testing.assert_array_equal(after.people, expected)
    assert (before.wearer != IGNORED).all()
    assert (after.wearer == IGNORED).all()


def test_samples(store: ClipStore) -> None:
    data = CuesTrainSet(store, CONFIG)
    assert len(data) == 2 * 2 + 4, "two clips of 12 s in samples of 6 s, and simulated ones"
    face, sound, rule, seen, look_ahead, labels = data[0]
    n_ticks = 90
    assert face.shape == (MOST_PEOPLE, n_ticks, N_FACE)
    assert sound.shape == (n_ticks, N_SOUND)
    assert rule.shape == (MOST_PEOPLE, n_ticks, N_RULE)
    assert seen.shape == (MOST_PEOPLE, n_ticks)
    assert labels.shape == ((N_ANSWERS * MOST_PEOPLE + 1) * n_ticks,)
    assert int(look_ahead) in (OFFLINE, 0, 4, 5, 15)
    again = CuesTrainSet(store, CONFIG)[0]
    assert all(torch.equal(a, b) for a, b in zip(data[0], again, strict=True))
    data.epoch = 1
    assert not all(torch.equal(a, b) for a, b in zip(data[0], again, strict=True))


def test_simulated_clips_are_not_counted(tmp_path: Path) -> None:
    unlabelled = make_cue_store(tmp_path / "store", ("val",))
    counts = CuesTrainSet(unlabelled, CONFIG).counts
    assert (counts.positive, counts.negative) == (0, 0)
    assert counts.weights().tolist() == [0.5, 0.5]
    with pytest.raises(StoreError, match="training needs both"):
        CuesTrainSet(unlabelled, replace(CONFIG, simulated=0))


def test_labels_of_one_class_are_enough_with_rehearsal(tmp_path: Path) -> None:
    scene = draw_talk(np.random.default_rng(3), 12.0)
    scene = replace(scene, to_me=np.where(scene.speaking, 1, 0))
    store = ClipStore.create(tmp_path / "store", StoreConfig("simulated", "fixed", "grown"))
    write_cue_clip(store, "clip", "train", scene, observe(scene, np.random.default_rng(3)))
    rehearsed = CuesTrainSet(store, replace(CONFIG, simulated=0, rehearsal=0.5))
    assert rehearsed.counts.positive > 0
    assert rehearsed.counts.negative == 0
    with pytest.raises(StoreError, match="and 0 negative samples"):
        CuesTrainSet(store, replace(CONFIG, simulated=0))


def test_speech_alone_is_trained_on_in_full(tmp_path: Path) -> None:
    """Where nobody knows who talks to the wearer, all of a clip still counts."""
    store = make_cue_store(tmp_path / "store", ("train", "train"), seed=2, segments=False)
    for clip in store.clips():
        everybody = {int(p) for p in store.faces(clip).person}
        talking = tuple(Interval(person, 0, 9999) for person in sorted(everybody))
        unlabelled = {"talking": talking, "speaking": (Interval(0, 0, 9999),)}
        store.write_intervals(clip, store.manifest(clip).speaking, None, unlabelled)
    data = CuesTrainSet(ClipStore.open(store.path), replace(CONFIG, simulated=0, rehearsal=0.5))
    assert len(data.items) >= 3, "two clips of 12 s in samples of 6 s"
    assert len(data) == 2 * len(data.items)
    for index in range(len(data.items)):
        *_, seen, _, labels = data[index]
        people = labels[: N_ANSWERS * seen.numel()].reshape(N_ANSWERS, *seen.shape)
        assert (people[[TO_ME, LOOKING, TURN]] == IGNORED).all()
        assert (people[SPEAKING][seen] != IGNORED).all()


def test_labels_of_a_store(store: ClipStore) -> None:
    clip = read_labelled_cues(store, "clip0")
    manifest = store.manifest("clip0")
    segment = manifest.segments[0]
    person = int(np.flatnonzero(np.unique(store.cues("clip0").person) == segment.person)[0])
    tick = (segment.start_frame + segment.last_frame) // 4
    assert clip.people[person, tick, TO_ME] == segment.label
    assert clip.people[person, tick, SPEAKING] == 1
    inside = clip.people[person, :, TURN] != IGNORED
    assert inside[tick]
    np.testing.assert_array_equal(
        clip.people[person, inside, TURN], clip.people[person, inside, TO_ME]
    )
    assert (clip.people[person, ~inside, TO_ME] == 0).all(), "outside turns nobody talks to me"
    assert set(np.unique(clip.people[..., LOOKING])) <= {0, 1}
    assert clip.wearer.max() <= 1


def test_unseen_people_and_missing_labels_are_ignored() -> None:
    clip = next(c for c in map(partial(simulate_labelled_cues, CONFIG), range(20)) if _heard(c))
    unlabelled = clip.people.copy()
    unlabelled[..., LOOKING] = IGNORED
    clip = replace(clip, people=unlabelled)
    *_, seen, _, labels = make_sample(clip.cut(0, 90), 90, OFFLINE)
    people = labels[: N_ANSWERS * MOST_PEOPLE * 90].reshape(N_ANSWERS, MOST_PEOPLE, 90)
    assert (people[LOOKING] == IGNORED).all()
    assert (people[SPEAKING][~seen] == IGNORED).all()
    assert (people[SPEAKING][seen] != IGNORED).all()


def test_simulated_turns_have_their_addressee_alone() -> None:
    clip = next(c for c in map(partial(simulate_labelled_cues, CONFIG), range(20)) if _heard(c))
    to_me, speaking, _, turn = np.moveaxis(clip.people, -1, 0)
    has_turn = (speaking == 1) | (to_me == 1)
    np.testing.assert_array_equal(turn[has_turn], to_me[has_turn])
    assert (turn[~has_turn] == IGNORED).all()


def _heard(clip: LabelledCues) -> bool:
    return not np.isnan(clip.grid.level_db).any()


def test_without_sound_only_looks_are_trained() -> None:
    clip = simulate_labelled_cues(CONFIG, 0)
    silence = np.full(clip.grid.n_ticks, np.nan)
    deaf = replace(clip, grid=replace(clip.grid, voice=silence, level_db=silence))
    *_, seen, _, labels = make_sample(deaf.cut(0, 90), 90, OFFLINE)
    people = labels[: N_ANSWERS * MOST_PEOPLE * 90].reshape(N_ANSWERS, MOST_PEOPLE, 90)
    assert (people[[TO_ME, SPEAKING, TURN]] == IGNORED).all()
    assert (people[LOOKING][seen] != IGNORED).all()
    assert (labels[-90:] == IGNORED).all()


def test_logits_are_in_the_order_of_the_labels(store: ClipStore) -> None:
    network = CuesBranch(CONFIG.cues).eval()
    weights = dict(network.named_parameters())
    with torch.no_grad():
        weights["people_head.2.bias"][SPEAKING].add_(100.0)
        weights["wearer_head.2.bias"].add_(200.0)
    batch = torch.utils.data.default_collate([CuesTrainSet(store, CONFIG)[0]])
    logits, labels = CuesTraining().logits(network, batch)
    assert logits.shape == (1, 2, labels.shape[1])
    n = MOST_PEOPLE * 90
    assert logits[0, 1, n : 2 * n].min() > 50
    assert logits[0, 1, 2 * n : 3 * n].max() < 50
    assert logits[0, 1, 3 * n : 4 * n].max() < 50
    assert logits[0, 1, 4 * n :].min() > 100


def test_validation_by_speaking_where_nothing_else_is_labelled(tmp_path: Path) -> None:
    store = make_cue_store(tmp_path / "store", ("val",), seed=2)  # heard, with both labels
    network = CuesBranch(CuesConfig(dim=8, n_layers=3))
    assert Validator(CuesTraining(), network, store).column == ""
    path = store.folder("clip0") / "clip.json"
    manifest = replace(store.manifest("clip0"), segments=())
    path.write_text(json.dumps(manifest.to_json()))
    validator = Validator(CuesTraining(), network, store)
    validator.add("clip0", "cpu")
    parts = validator.take()
    assert 0 < validator.mean_average_precision(parts) < 1
    truth = read_labelled_cues(ClipStore.open(store.path), "clip0").people[..., SPEAKING]  # (P, T)
    clip, person, frame, _ = parts[0]
    said = truth[person - 1, frame // 2].astype(float)
    assert validator.mean_average_precision([(clip, person, frame, said)]) == 1


def test_train_writes_weights_and_validates(store: ClipStore, tmp_path: Path) -> None:
    summary = train("cues", store.path, tmp_path / "run", CONFIG)
    assert summary.epochs == 2
    assert summary.best_map is not None
    assert (tmp_path / "run" / "best.safetensors").is_file()


@pytest.mark.parametrize(
    ("field", "value"),
    [("simulated", -1), ("footage", 2.0), ("seconds", 0.0), ("look_ahead", (-1.0,))],
)
def test_bad_options_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        TrainCuesConfig(**{field: value})  # type: ignore[arg-type]


def test_stretches_hold_what_is_labelled(tmp_path: Path) -> None:
    """Where a clip is labelled in part, no stretch is drawn from the rest."""
    store = make_cue_store(tmp_path / "store", ("train",), seed=6)  # with sound
    manifest = store.manifest("clip0")
    unknown = tuple(Interval(person, 0, 9999) for person in range(9))
    store.write_intervals(
        "clip0", manifest.speaking, None, {"talking": unknown, "speaking": unknown}
    )
    data = CuesTrainSet(ClipStore.open(store.path), replace(CONFIG, simulated=0, seconds=1.0))
    people = MOST_PEOPLE * data.n_ticks
    for data.epoch in range(8):
        for index in range(len(data)):
            assert bool((data[index][-1][:people] != IGNORED).any())


def test_rehearsal_draws_other_clips_in_each_epoch(store: ClipStore) -> None:
    alone = CuesTrainSet(store, replace(CONFIG, simulated=0))
    data = CuesTrainSet(store, replace(CONFIG, simulated=0, rehearsal=0.5))
    assert len(data) == 2 * len(alone)
    last, first = len(data) - 1, []
    for data.epoch in (0, 0, 1):
        first.append(data[last][0])
    torch.testing.assert_close(first[0], first[1], equal_nan=True)
    assert not torch.equal(first[0], first[2])
    with pytest.raises(ConfigError, match=r"rehearsal: 1\.0"):
        replace(CONFIG, rehearsal=1.0)


def test_the_recipe_for_own_labels_starts_from_talk() -> None:
    content = yaml.safe_load(recipe_path("own", "cues").read_text())
    config = from_dict(TrainCuesConfig, content)
    assert (config.start, config.trainer) == ("talk", TrainCuesConfig().trainer)
