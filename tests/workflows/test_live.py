"""`quavf live`: a stream is judged and recorded until Ctrl-C, a file to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from quavf.results.video import VideoResult
from quavf.sources.media.file import open_video_file
from quavf.workflows.config import LiveOptions, RunConfig
from quavf.workflows.live import RECORDING, run_live
from tests.helpers.cue_media import look, write_cue
from tests.helpers.data import ROOT
from tests.helpers.live_streams import streaming


def test_a_stream_that_breaks_is_recorded_until_ctrl_c(tmp_path: Path) -> None:
    """Both parts of it are in one video, with the gap between them."""
    first = write_cue(tmp_path / "a.ts", seconds=0.6)
    second = write_cue(tmp_path / "b.ts", seconds=0.6, size=(192, 144))
    processes: list[subprocess.Popen[str]] = []

    def press_ctrl_c() -> None:
        time.sleep(1)  # until what has come is judged
        processes[0].send_signal(signal.SIGINT)

    out = tmp_path / "out"
    with streaming([first, second], 0.5, at_end=press_ctrl_c) as address:
        command = [sys.executable, "-m", "quavf", "live", address, "--record", str(out)]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        events, said = process.communicate()
    assert process.returncode == 0, said
    assert events == ""  # nobody is in the picture
    lines = said.splitlines()
    assert lines[0] == f"WARNING  {address}: broken (Input/output error); trying again in 0.5 s"
    assert lines[-1] == str(out)
    assert (out / "report.html").is_file()
    assert json.loads((out / "moments.json").read_text())["moments"] == []
    video = out / RECORDING
    seen = look(video)
    assert seen.size == (96, 72)
    assert seen.n_pictures > 18
    times = [frame.time_s for frame in open_video_file(video).pictures()]
    assert max(b - a for a, b in pairwise(times)) > 0.4
    assert VideoResult.read(out).duration_s >= times[-1]


def test_status_lines_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quavf.workflows.live.STATUS_S", 0.0)
    statuses = list[str]()
    config = RunConfig(weights="talk", annotated=False, device="cpu")
    video = write_cue(tmp_path / "a.mp4", seconds=0.6)
    before = signal.getsignal(signal.SIGINT)
    result = run_live(
        str(video), config, LiveOptions(pace="fast"), lambda event: None, statuses.append
    )
    assert signal.getsignal(signal.SIGINT) is before
    assert result is None  # nothing is recorded
    assert statuses[-1].startswith("0 people in view, ")
    assert int(statuses[-1].split()[4]) > 5, statuses[-1]
