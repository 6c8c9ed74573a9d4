"""The main job in an installation without the extra `train`: run as a script, in an own process.

    python -m tests.helpers.light_job FOLDER

Hides the libraries of the extra and everything that the light installation does not bring.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from quavf.utils.extras import TRAIN

HIDDEN = {*TRAIN, "scipy", "numba", "pandas", "onnx", "onnxscript", "openvino", "ray", "retinaface"}
HIDDEN |= {"supervision", "trackers", "face_alignment", "skimage"}


class Hide:
    """A finder that finds none of the hidden libraries."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(folder: Path) -> None:
    sys.meta_path.insert(0, Hide())
    import quavf
    from tests.helpers.scored_stores import make_store
    from tests.helpers.stores import make_tiny_store

    run_video(folder)
    store = make_tiny_store(folder / "store", ("val",)).path
    quavf.score_quality(store)
    words = ["predict", store, "--weights", "small", "--split", "val", "--out", folder / "scores"]
    assert call(*words)[0] == 0
    judge = ["evaluate", folder / "scores", "--store", store, "--out", folder / "evaluation"]
    status, message = call(*judge)
    assert status == 0
    assert "needs matplotlib" in " ".join(message.split())
    assert (folder / "evaluation" / "metrics.md").is_file()
    assert quavf.report_clips(folder / "scores", store, folder / "pages").index.is_file()
    test, told = make_store(folder / "test", ("test",), False).path, folder / "file.json"
    words = ["predict", test, "--weights", "small", "--split", "test", "--out", folder / "s"]
    assert call(*words)[0] == 0
    assert call("submit", folder / "s", "--out", told)[0] == 0
    assert call("submit", "--check", told, "--store", test)[0] == 0
    judge_live(folder)
    refuse_training(folder, store)
    assert not HIDDEN & {name.partition(".")[0] for name in sys.modules}


def run_video(folder: Path) -> None:
    """Two faces and a tone, in one second of video."""
    import quavf
    from quavf.faces.config import SearchConfig
    from quavf.inference.clip import ClipData
    from quavf.video.config import VideoConfig
    from tests.helpers.cue_stores import make_cue_store
    from tests.helpers.face_videos import BLOCKS, still, write_video

    path = write_video(
        folder / "v.mp4", seconds=1, faces=still((20, 40, 80, 110), (200, 40, 260, 110))
    )
    config = quavf.RunConfig(video=VideoConfig(search=SearchConfig(detector=BLOCKS)))
    pipeline = quavf.load("talk", config)
    analysis = pipeline.run(path, folder / "out")
    assert len(analysis.persons) == 2
    assert {"audio", "visual"} <= set(analysis.scores[1].columns)
    for name in ("report.html", "annotated.mp4", "scores.csv", "moments.json"):
        assert (folder / "out" / name).is_file(), name
    cues = make_cue_store(folder / "cues", ("val",), seed=2)
    judged = pipeline.predictors["cues"].score_faces(ClipData(cues, "clip0"))["cues"]
    assert 0 < np.nanmean(judged) < 1


def judge_live(folder: Path) -> None:
    """The command, on the video of `run_video`, as fast as it can be judged."""
    words = ["live", folder / "v.mp4", "--pace", "fast", "--record", folder / "live"]
    status, message = call(*words)
    assert status == 0, message
    assert (folder / "live" / "report.html").is_file()


def refuse_training(folder: Path, store: Path) -> None:
    """One line each that says what is missing and how to get it."""
    import quavf

    cues = quavf.load("talk").bundle.branches["cues"]
    for words in (
        ["train", "audio", "--store", store, "--out", folder / "run"],
        ["export", cues, "--out", folder / "cues.onnx"],
        ["predict", store, "--cues", cues, "--runtime", "torch", "--out", folder / "no"],
        ["quality", store, "--scorer", "fan"],
    ):
        status, message = call(*words)
        assert status == 2, words
        *_, last = message.splitlines()
        assert last.startswith("quavf: error: "), message
        assert "pip install 'quavf[" in last, message
    told = ""
    try:
        quavf.load_branch(cues)
    except quavf.ConfigError as error:
        told = str(error)
    assert "quavf.load_branch needs" in told


def call(*words: object) -> tuple[int, str]:
    """Exit code and messages of a command."""
    from quavf.cli import main as quavf_main

    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        status = quavf_main([str(word) for word in words])
    return status, told.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
