"""Cues of a whole store: computed, skipped, resumed, stale, without sound or frame."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from quavf.core.errors import ConfigError, StoreError
from quavf.cues import tracks
from quavf.cues.mesh import N_POINTS, FaceMesh, MeshPoints
from quavf.cues.tracks import FaceCues, SoundCues
from quavf.store import ClipStore, clips
from quavf.store.cue_tables import FACES_NAME, SOUND_NAME
from quavf.utils.parallel import EngineConfig
from quavf.workflows import clip_rows
from quavf.workflows import cues as module
from quavf.workflows.cues import compute_cues
from tests.helpers.stores import make_tiny_store

N_FACES = 167  # of a tiny clip
TABLES = (FACES_NAME, SOUND_NAME)


class CountingMesh:
    """Reads every face, until `stop_after`."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.read, self.stop_after = 0, stop_after

    def run(self, pictures: np.ndarray) -> MeshPoints:
        if self.stop_after is not None and self.read + len(pictures) > self.stop_after:
            raise KeyboardInterrupt
        self.read += len(pictures)
        points = np.random.default_rng(0).uniform(0, 192, (len(pictures), N_POINTS, 3))
        return MeshPoints(points.astype(np.float32), np.full(len(pictures), 0.9, np.float32))


@pytest.fixture
def store(tmp_path: Path) -> ClipStore:
    return make_tiny_store(tmp_path / "store", ("train",))


def use(mesh: CountingMesh, monkeypatch: pytest.MonkeyPatch) -> CountingMesh:
    monkeypatch.setattr(module, "FaceMesh", lambda runtime: mesh)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return mesh


def test_each_face_and_step_of_sound_has_its_row(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(CountingMesh(), monkeypatch)
    summary = compute_cues(store.path)
    faces, cues, sound = store.faces("clip0"), store.cues("clip0"), store.sound_cues("clip0")
    assert len(faces) == N_FACES
    assert (summary.clips, summary.faces, summary.read) == (1, N_FACES, N_FACES)
    np.testing.assert_array_equal(cues.person, faces.person)
    np.testing.assert_array_equal(cues.frame, faces.frame)
    assert cues.time_s[-1] == pytest.approx(95 / 30)  # of person 2
    assert np.isnan(cues["x"]).all()  # crops of no known frame
    assert np.isnan(cues["face_size"]).all()
    assert not np.isnan(cues["lip_opening"]).any()
    assert (~np.isnan(cues["gaze_yaw"])).sum() == 6 + 4 + 6  # 0.4 s apart
    assert len(sound) == 126  # one sample more than 125 steps
    assert summary.sound_s == pytest.approx(4.032)
    assert sound.level_db[5] == pytest.approx(20 * np.log10(8000 / 32768 / np.sqrt(2)), abs=0.2)


def test_small_faces_are_read_twice(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = use(CountingMesh(), monkeypatch)
    monkeypatch.setattr(module, "frame_box", lambda geometry: np.array([0.0, 0, 30, 40]))
    compute_cues(store.path)
    assert mesh.read == 2 * N_FACES


def test_the_work_can_be_sent_to_another_process(store: ClipStore) -> None:
    work = pickle.loads(pickle.dumps(module._Computing(store, "openvino")))
    assert (work.store.path, work.runtime) == (store.path, "openvino")


def test_the_real_mesh_sees_no_face_in_coloured_squares(store: ClipStore) -> None:
    summary = compute_cues(store.path, EngineConfig(workers=2))
    cues = store.cues("clip0")
    assert summary.read == 0
    assert (cues["confidence"] < 0.1).all()
    assert np.isnan(cues["yaw"]).all()


def test_clips_with_cues_are_skipped(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for expected in (N_FACES, 0):
        mesh = use(CountingMesh(), monkeypatch)
        compute_cues(store.path)
        assert mesh.read == expected
    monkeypatch.setattr(clips, "CUE_SETTINGS", {"format": 99})
    assert not store.has_cues("clip0")


def test_an_interrupted_clip_resumes(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 32)
    monkeypatch.setattr(clip_rows, "SAVE_EVERY_S", -1.0)
    use(CountingMesh(stop_after=70), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compute_cues(store.path)
    assert not store.has_cues("clip0")
    mesh = use(CountingMesh(), monkeypatch)
    compute_cues(store.path)
    assert mesh.read == N_FACES - 64
    assert not list(store.folder("clip0").glob(".cues*"))


def test_cues_of_an_earlier_version_of_a_clip_do_not_count(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(CountingMesh(), monkeypatch)
    compute_cues(store.path)
    faces, sound = ((store.folder("clip0") / n).read_bytes() for n in TABLES)
    make_tiny_store(store.path.parent / "other", ("train", "val"))  # clip1: another fingerprint
    other = ClipStore.open(store.path.parent / "other")
    for name, data in zip(TABLES, (faces, sound), strict=True):
        (other.folder("clip1") / name).write_bytes(data)
    assert not other.has_cues("clip1")
    with pytest.raises(StoreError, match="earlier version of the clip; run `quavf cues"):
        other.cues("clip1")


def test_missing_cues_say_what_to_run(store: ClipStore) -> None:
    with pytest.raises(StoreError, match=r"cues\.parquet: no such table; run `quavf cues"):
        store.cues("clip0")
    with pytest.raises(StoreError, match="run `quavf cues"):
        store.sound_cues("clip0")


def test_clips_without_sound_or_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(CountingMesh(), monkeypatch)
    silent = make_tiny_store(tmp_path / "silent", ("val",), sound=False)
    assert compute_cues(silent.path).without_sound == 1
    assert len(silent.sound_cues("clip0")) == 0
    empty = make_tiny_store(tmp_path / "empty", ("val",), faces=False)
    assert compute_cues(empty.path).faces == 0
    assert len(empty.cues("clip0")) == 0


def test_missing_values_stay_missing(store: ClipStore) -> None:
    values = np.full((2, len(tracks.FACE_COLUMNS)), np.nan, np.float32)
    values[1] = np.arange(len(tracks.FACE_COLUMNS))
    faces = FaceCues(np.array([1, 1]), np.array([3, 4]), np.array([0.1, 0.2]), values)
    sound = SoundCues(np.array([0.5, np.nan]), np.array([-20.0, np.nan]))
    store.write_cues("clip0", faces, sound)
    assert store.has_cues("clip0")
    np.testing.assert_array_equal(store.cues("clip0").values, values)
    np.testing.assert_array_equal(store.sound_cues("clip0").voice, sound.voice)


def test_eyes_are_read_at_most_every_so_often() -> None:
    person = np.array([1, 1, 1, 1, 2, 2])
    time_s = np.array([0.0, 0.2, 0.4, 0.9, 0.3, 0.4])
    chosen = module.choose_gaze_rows(person, time_s)
    assert chosen.tolist() == [True, False, True, True, True, True]


def test_an_unknown_runtime(store: ClipStore) -> None:
    with pytest.raises(ConfigError, match=r"runtime: 'torch' is not one of auto, openvino"):
        compute_cues(store.path, runtime="torch")


def test_real_mesh_of_one_process_is_opened_once(store: ClipStore) -> None:
    work = module._Computing(store)
    assert isinstance(work.mesh, FaceMesh)
    assert work.mesh is work.mesh
