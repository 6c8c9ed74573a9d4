"""Making a bundle: the fusion is fitted to scores, and the folder works like any weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quavf.cli import main
from quavf.core.errors import ConfigError, ScoresError
from quavf.core.records import Interval, Segment
from quavf.cues.network import FOLDER
from quavf.models.bundle import Bundle, read_bundle
from quavf.results.config import MomentsConfig
from quavf.results.scores import Scores, read_config, read_scores, write_scores
from quavf.results.stacker import Stacker
from quavf.store import ClipStore
from quavf.workflows.bundle import PERCEPTION, _choose_fallback, make_bundle
from quavf.workflows.evaluate import read_made_fusion
from quavf.workflows.predict import predict
from tests.helpers.scored_stores import CONFIG, make_store


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, store: Path, scores: Path) -> Path:
    """Scores of the store, with an audio branch that mostly knows and a visual one that guesses."""
    found, folder = read_scores(scores), tmp_path_factory.mktemp("told") / "scores"
    rng = np.random.default_rng(0)
    truth = np.where(found.person == 1, 0.7, 0.2)
    columns = {
        "audio": np.clip(truth + rng.normal(size=len(found)) * 0.1, 0, 1),
        "visual": rng.random(len(found)),
        "quality": found.quality,
    }
    write_scores(
        folder, Scores(found.clip, found.person, found.frame, columns), read_config(scores)
    )
    return folder


def test_a_bundle_is_made_and_used(tmp_path: Path, store: Path, told: Path) -> None:
    out = tmp_path / "mine"
    card = tmp_path / "card.md"
    card.write_text("# Mine\n")
    moments = MomentsConfig(threshold=0.6)
    summary = make_bundle([told], out, moments=moments, card=card)
    assert (summary.branches, summary.rows, summary.positive) == (("audio", "visual"), 12, 6)
    assert summary.learned is not None
    assert summary.learned.log_loss < summary.published.log_loss
    bundle = read_bundle(out)
    assert (bundle.name, bundle.moments, bundle.card) == ("mine", moments, out / "README.md")
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "audio.ckpt", "bundle.json", "visual.ckpt",
    ]  # fmt: skip
    assert isinstance(bundle.fusion, Stacker)
    assert [m.name for m in bundle.fusion.modulators] == ["quality"]
    found = read_scores(told)
    fused = bundle.fusion.fuse(found.columns)
    assert ((fused > 0.5) == (found.person == 1)).all()

    predict(store, tmp_path / "scores", weights=out, config=CONFIG)
    again = read_scores(tmp_path / "scores")
    np.testing.assert_allclose(again.fused, bundle.fusion.fuse(again.columns))
    assert read_config(tmp_path / "scores")["moments"]["threshold"] == 0.6


def test_a_start_leaves_its_mark(tmp_path: Path, told: Path) -> None:
    """With few labels the fusion stays near that of the start, and the moments are its own."""
    make_bundle([told], tmp_path / "first", moments=MomentsConfig(threshold=0.7))
    first = read_bundle(tmp_path / "first")
    assert isinstance(first.fusion, Stacker)
    others = read_scores(told)
    swapped = {"audio": 1 - others.audio, "visual": others.visual, "quality": others.quality}
    turned = Scores(others.clip, others.person, others.frame, swapped)
    write_scores(tmp_path / "turned", turned, read_config(told))
    words = ["bundle", tmp_path / "turned", "--out", tmp_path / "b", "--start", tmp_path / "first"]
    assert main([str(word) for word in words]) == 0
    second = read_bundle(tmp_path / "b")
    assert second.moments.threshold == 0.7
    assert isinstance(second.fusion, Stacker)
    assert second.fusion.modulators == first.fusion.modulators
    make_bundle([tmp_path / "turned"], tmp_path / "free")
    free = read_bundle(tmp_path / "free").fusion
    before, held, alone = (f.fuse(others.columns) for f in (first.fusion, second.fusion, free))
    assert np.abs(held - before).mean() < np.abs(alone - before).mean()
    with pytest.raises(ConfigError, match="start small has no learned fusion of audio, visual"):
        make_bundle([told], tmp_path / "c", start="small")


def test_a_foreign_branch_counts_less(tmp_path: Path, told: Path) -> None:
    def weight(name: str, foreign: tuple[str, ...]) -> float:
        make_bundle([told], tmp_path / name, foreign=foreign)
        fusion = read_bundle(tmp_path / name).fusion
        assert isinstance(fusion, Stacker)
        both = next(w for w in fusion.weights if len(w.inputs) == 2)
        return float(both.slopes[both.inputs.index("audio"), 0])

    assert weight("at_home", ()) > weight("abroad", ("audio",)) + 0.1


def test_faces_may_have_no_say_in_how_much_a_branch_counts(tmp_path: Path, told: Path) -> None:
    found = {}
    for by_face in (True, False):
        make_bundle([told], tmp_path / str(by_face), by_face=by_face)
        fusion = read_bundle(tmp_path / str(by_face)).fusion
        assert isinstance(fusion, Stacker)
        found[by_face] = [modulator.name for modulator in fusion.modulators]
    assert "quality" in found[True]
    assert found[False] == []


def test_turns_get_a_fusion_of_their_own(tmp_path: Path, audio: Path) -> None:
    labels = (Segment(1, 0, 10, 1), Segment(2, 0, 10, 0))
    store = make_store(tmp_path / "store", ("val", "val"), segments=labels)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    predict(store.path, whole, audio, config=CONFIG)
    predict(store.path, parts, audio, config=replace(CONFIG, all_faces=True))
    summary = make_bundle([parts], tmp_path / "b", turns=[whole])
    assert summary.turns is not None
    bundle = read_bundle(tmp_path / "b")
    assert isinstance(bundle.turns, Stacker)
    assert bundle.turns != bundle.fusion
    predict(store.path, tmp_path / "again", weights=tmp_path / "b", config=CONFIG)
    again = read_scores(tmp_path / "again")
    for clip in store.clips():
        for person in (1, 2):
            own = (again.clip == clip) & (again.person == person)
            assert own.sum() > 0
            expected = bundle.turns.fuse({"audio": np.array([again["audio"][own].mean()])})
            np.testing.assert_allclose(again.fused[own], expected[0])
    made = read_made_fusion(tmp_path / "again", again, store)
    columns = {name: again[name] for name in ("audio", "quality") if name in again.columns}
    np.testing.assert_allclose(made.fuse(columns), again.fused, err_msg="evaluate fuses alike")
    changed = bundle.change({"audio": whole})
    assert changed.turns is None, "it fits the bundle's own checkpoints"


def test_one_labelled_clip_is_enough(tmp_path: Path, audio: Path) -> None:
    labels = (Segment(1, 0, 10, 1), Segment(2, 0, 10, 0))
    store = make_store(tmp_path / "store", ("val",), segments=labels)
    predict(store.path, tmp_path / "scores", audio, config=CONFIG)
    summary = make_bundle([tmp_path / "scores"], tmp_path / "b")
    assert summary.clips == 1
    assert summary.learned is None, "no clip is left to judge the fusion on"
    assert read_bundle(tmp_path / "b").fusion.fuse({"audio": np.array([0.5])}).shape == (1,)


def test_pauses_do_not_count_for_raw_video(tmp_path: Path, store: Path, told: Path) -> None:
    opened = ClipStore.open(shutil.copytree(store, tmp_path / "spoken"))
    for clip in opened.clips():
        first = next(s for s in opened.manifest(clip).segments if s.label)
        heard = (Interval(first.person, first.start_frame, first.start_frame),)
        opened.write_intervals(clip, heard, None)
    summary = make_bundle([told], tmp_path / "mine", [opened.path], spoken=True)
    assert summary.rows == 12
    assert summary.positive < 6


def test_rows_whose_label_is_not_known_are_left_out(tmp_path: Path, audio: Path) -> None:
    labels = (Segment(1, 0, 10, 1), Segment(2, 0, 10, 0))
    store = make_store(tmp_path / "store", ("val", "val"), segments=labels)
    for clip in store.clips():
        manifest = store.manifest(clip)
        unknown = {"talking": (Interval(1, 0, 99),)}
        store.write_intervals(clip, manifest.speaking, manifest.looking, unknown)
    predict(store.path, tmp_path / "all", audio, config=replace(CONFIG, all_faces=True))
    summary = make_bundle([tmp_path / "all"], tmp_path / "b")
    assert (summary.rows, summary.positive, summary.clips) == (6, 2, 2)


def test_the_command(
    tmp_path: Path, told: Path, capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    words = ["bundle", str(told), "--out", str(tmp_path / "b"), "--store", str(store)]
    assert main([*words, "--prior", "0.2", "--moments.threshold", "0.7"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "branches audio, visual" in said
    assert "published formula mAP" in said
    assert read_bundle(tmp_path / "b").moments == MomentsConfig(threshold=0.7)


def test_faces_outside_segments_are_scored_and_count_as_not_to_me(
    tmp_path: Path, audio: Path
) -> None:
    labels = (Segment(1, 0, 10, 1), Segment(2, 0, 10, 0))
    store = make_store(tmp_path / "store", ("val", "val"), segments=labels)
    predict(store.path, tmp_path / "labelled", audio, config=CONFIG)
    predict(store.path, tmp_path / "all", audio, config=replace(CONFIG, all_faces=True))
    assert len(read_scores(tmp_path / "labelled")) == 4
    summary = make_bundle([tmp_path / "all"], tmp_path / "b")
    assert (summary.rows, summary.positive, summary.clips) == (8, 2, 2)


def test_perception_files_are_in_the_package() -> None:
    for file in PERCEPTION.values():
        assert (FOLDER / file).is_file(), file


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0])
def test_impossible_priors(tmp_path: Path, told: Path, prior: float) -> None:
    with pytest.raises(ConfigError, match="is not between 0 and 1"):
        make_bundle([told], tmp_path / "b", prior=prior)


def test_scores_that_do_not_fit(tmp_path: Path, told: Path, challenge: Path) -> None:
    found, made = read_scores(told), read_config(told)
    with pytest.raises(ConfigError, match="1 scores, but 2 stores"):
        make_bundle([told], tmp_path / "b", ["S", "T"])
    with pytest.raises(ConfigError, match=r"none\.ckpt does not exist; say where it is with --au"):
        make_bundle([told], tmp_path / "b", audio=tmp_path / "none.ckpt")
    other = {**made, "audio": {**made["audio"], "sha256": "0"}}
    write_scores(tmp_path / "other", found, other)
    with pytest.raises(ConfigError, match="different checkpoints of the audio branch"):
        make_bundle([told, tmp_path / "other"], tmp_path / "b")
    write_scores(tmp_path / "unknown", found, {})
    with pytest.raises(ScoresError, match="does not say which checkpoints made it"):
        make_bundle([tmp_path / "unknown"], tmp_path / "b")
    write_scores(tmp_path / "few", found.take(found.person == 1), made)
    with pytest.raises(ScoresError, match="of one class only"):
        make_bundle([tmp_path / "few"], tmp_path / "b")
    clip = np.full(len(found), "elsewhere", object)
    write_scores(tmp_path / "astray", Scores(clip, found.person, found.frame, found.columns), made)
    with pytest.raises(ScoresError, match="clip elsewhere is not in"):
        make_bundle([tmp_path / "astray"], tmp_path / "b")


def test_branches_that_stand_in_for_the_cues(tmp_path: Path, told: Path) -> None:
    with pytest.raises(ConfigError, match="bundle: fallback: there is no branch cues to stand in"):
        make_bundle([told], tmp_path / "a", fallback=["visual"])
    with pytest.raises(ConfigError, match="bundle: fallback: expected a list of some of audio, vi"):
        make_bundle([told], tmp_path / "b", fallback=["smell"])
    assert not (tmp_path / "a").exists()
    paths = {name: Path(f"{name}.safetensors") for name in ("audio", "visual", "cues")}
    start = Bundle("start", paths, fallback=("audio", "visual"))
    assert _choose_fallback(None, start, paths) == ("audio", "visual")
    less = {name: paths[name] for name in ("visual", "cues")}
    assert _choose_fallback(None, start, less) == ("visual",)
    assert _choose_fallback((), start, paths) == ()
    assert _choose_fallback(None, start, {"audio": paths["audio"]}) == ()
    assert _choose_fallback(["audio"], None, paths) == ("audio",)
