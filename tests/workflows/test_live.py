"""`quavf live`: a stream is judged and recorded until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from quavf.live.events import LiveEvent
from quavf.results.video import VideoResult
from quavf.sources.media.file import open_video_file
from quavf.workflows.config import LiveOptions, RunConfig
from quavf.workflows.live import RECORDING, run_live
from tests.helpers.cue_media import look, write_cue
from tests.helpers.live_streams import streaming


def test_a_stream_that_breaks_is_recorded_until_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both parts of it are in one video, with the gap between them."""
    monkeypatch.setattr("quavf.live.stream.FIRST_WAIT_S", 0.1)
    monkeypatch.setattr("quavf.workflows.live.STATUS_S", 0.05)
    first = write_cue(tmp_path / "a.ts", seconds=0.6)
    second = write_cue(tmp_path / "b.ts", seconds=0.6, size=(192, 144))
    before, events, statuses = signal.getsignal(signal.SIGINT), list[LiveEvent](), list[str]()

    def press_ctrl_c() -> None:
        time.sleep(1)  # until what has come is judged
        if signal.getsignal(signal.SIGINT) is not before:  # else it would end the tests
            os.kill(os.getpid(), signal.SIGINT)

    config = RunConfig(weights="talk", annotated=False, device="cpu")
    options = LiveOptions(record=str(tmp_path / "out"))
    with streaming([first, second], 0.5, at_end=press_ctrl_c) as address:
        result = run_live(address, config, options, events.append, statuses.append)
    assert signal.getsignal(signal.SIGINT) is before
    assert "looks" in statuses[-1]
    assert result is not None
    assert VideoResult.read(tmp_path / "out").duration_s == result.duration_s
    assert (tmp_path / "out" / "report.html").is_file()
    assert json.loads((tmp_path / "out" / "moments.json").read_text())["moments"] == []
    video = tmp_path / "out" / RECORDING
    seen = look(video)
    assert seen.size == (96, 72)
    assert seen.n_pictures > 18
    times = [frame.time_s for frame in open_video_file(video).pictures()]
    assert max(b - a for a, b in pairwise(times)) > 0.09
