"""A whole session on a talking head: the same scores however the input comes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from quavf.core.errors import ConfigError, MediaError
from quavf.core.records import Array
from quavf.live.config import LiveConfig
from quavf.live.events import LiveEvent
from quavf.live.session import LiveSession
from quavf.results.config import MomentsConfig
from quavf.results.video import VideoResult
from quavf.workflows.config import RunConfig
from quavf.workflows.run import Pipeline
from tests.helpers.live_media import RATE, TalkingHead, cut_head, needs_head, read_head

SECONDS = 2.4
FED_AS_IT_IS = LiveConfig(look_ahead=0.3, real_time=False, record=True)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(RunConfig(weights="talk", branches={"audio": "", "visual": ""}, device="cpu"))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> TalkingHead:
    return read_head(cut_head(tmp_path_factory.mktemp("head"), SECONDS))


Feed = Callable[[LiveSession, TalkingHead, list[LiveEvent]], None]


def feed_in_order(session: LiveSession, head: TalkingHead, events: list[LiveEvent]) -> None:
    """Sound in blocks of 100 ms a little ahead, all events at the end."""
    sound = head.blocks(RATE // 10)
    block = next(sound, None)
    for time_s, picture in head.pictures:
        while block is not None and block[0] < time_s + 0.1:
            session.audio(block[1], block[0], RATE)
            block = next(sound, None)
        session.video(picture, time_s)
    session.close()
    events += session.events()


def feed_oddly(session: LiveSession, head: TalkingHead, events: list[LiveEvent]) -> None:
    """Neighbours swapped, doubles, sound late in odd blocks and as two channels of floats."""
    order = [*head.pictures]
    for k in range(2, len(order) - 1, 5):
        order[k], order[k + 1] = order[k + 1], order[k]
    sound = head.blocks(1234)
    block = next(sound, None)
    scratch = order[0][1].copy()
    for k, (time_s, picture) in enumerate(order):
        scratch[...] = picture  # a buffer that its owner uses again
        session.video(scratch, time_s)
        if k % 7 == 3:
            session.video(scratch, time_s)
        while block is not None and block[0] < time_s - 0.4:
            both = np.stack([block[1]] * 2, axis=1).astype(np.float32) / 32768
            session.audio(both, block[0], RATE)
            block = next(sound, None)
        events += session.events()
    while block is not None:
        session.audio(block[1], block[0], RATE)
        block = next(sound, None)
    session.close()
    events += session.events()


def run(
    pipeline: Pipeline, head: TalkingHead, feed: Feed, config: LiveConfig = FED_AS_IT_IS
) -> tuple[list[LiveEvent], LiveSession]:
    events: list[LiveEvent] = []
    session = pipeline.live(config=config)
    feed(session, head, events)
    return events, session


def scores_of(session: LiveSession) -> Array:
    assert session._record is not None
    return np.array(session._record._people[1].scores).reshape(-1, 10)


@needs_head
def test_scores_depend_on_stamps_alone(pipeline: Pipeline, head: TalkingHead) -> None:
    events, session = run(pipeline, head, feed_in_order)
    others, odd = run(pipeline, head, feed_oddly)
    assert [e.to_json() for e in events] == [e.to_json() for e in others]
    assert {e.kind for e in events} >= {"seen", "addressed", "speaking", "released", "lost"}
    a, b = scores_of(session), scores_of(odd)
    assert len(a) > 0.8 * SECONDS * 15
    np.testing.assert_allclose(a[:, [0, *range(2, 10)]], b[:, [0, *range(2, 10)]], atol=1e-6)
    assert odd.counts.doubled > 0
    assert odd.counts.late == odd.counts.dropped == odd.counts.missing == 0


@needs_head
def test_a_causal_run_of_the_file_agrees(
    pipeline: Pipeline, head: TalkingHead, tmp_path: Path
) -> None:
    _, session = run(pipeline, head, feed_in_order)
    config = RunConfig(weights="talk", causal=True, annotated=False, report=False, device="cpu")
    found = Pipeline(config).run(head.path, tmp_path / "out").result
    rows = found.scores[1]
    own = scores_of(session)
    np.testing.assert_allclose(rows.time_s, own[:, 0], atol=1e-9)
    for k, name in enumerate(("cues", "speaking", "looking", "fused")):
        np.testing.assert_allclose(rows[name], own[:, 6 + k], atol=1e-6)
    assert found.moments
    assert found.persons[0].thumbnail
    assert VideoResult.read(tmp_path / "out").moments == found.moments


@needs_head
def test_nobody_is_addressed_by_a_muted_face_or_by_a_picture(
    pipeline: Pipeline, head: TalkingHead
) -> None:
    def mute(session: LiveSession, head: TalkingHead, events: list[LiveEvent]) -> None:
        feed_in_order(
            session, TalkingHead(head.path, head.pictures, np.zeros_like(head.sound)), events
        )

    def freeze(session: LiveSession, head: TalkingHead, events: list[LiveEvent]) -> None:
        picture = head.pictures[0][1]
        pictures = [(time_s, picture) for time_s, _ in head.pictures]
        feed_in_order(session, TalkingHead(head.path, pictures, head.sound), events)

    for feed in (mute, freeze):
        kinds = {event.kind for event in run(pipeline, head, feed)[0]}
        assert "seen" in kinds
        assert not kinds & {"addressed", "speaking"}, feed


@needs_head
def test_a_slow_machine_leaves_out_looks_evenly(pipeline: Pipeline, head: TalkingHead) -> None:
    clock = iter(range(10**6))
    session = pipeline.live(look_ahead=0.0)
    session._pace.clock = lambda: next(clock) * 0.2  # five times as slow as the pictures
    for time_s, picture in head.pictures:
        session.video(picture, time_s)
    counts = session.counts
    assert counts.dropped > 5
    assert counts.looked_at > 3
    assert "dropped" in {event.kind for event in session.events()}
    session.close()


def test_what_is_no_picture_and_no_sound(pipeline: Pipeline) -> None:
    with pipeline.live() as session:
        with pytest.raises(MediaError, match="video: float64 of shape"):
            session.video(np.zeros((4, 4, 3)), 0.0)  # type: ignore[arg-type]
        with pytest.raises(MediaError, match="audio: int64 of shape"):
            session.audio(np.zeros(4, np.int64), 0.0, RATE)
        with pytest.raises(MediaError, match="samples a second"):
            session.audio(np.zeros(4, np.int16), 0.0, 10)
        with pytest.raises(MediaError, match="no time"):
            session.video(np.zeros((4, 4, 3), np.uint8), float("nan"))
    with pytest.raises(MediaError, match="closed"):
        session.video(np.zeros((4, 4, 3), np.uint8), 1.0)


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_a_leap_of_the_clock_is_refused(pipeline: Pipeline, kind: str) -> None:
    picture, sound = np.zeros((90, 160, 3), np.uint8), np.zeros(160, np.int16)

    def give(session: LiveSession, time_s: float) -> None:
        if kind == "video":
            session.video(picture, time_s)
        else:
            session.audio(sound, time_s, 16_000)

    with pipeline.live() as session:
        give(session, 1.7e9)  # a clock may begin anywhere
        with pytest.raises(MediaError, match="one clock"):
            give(session, 2.7e9)
        give(session, 1.7e9 + 60)
        session.audio(sound, 1.7e9 + 60, 16_000)


def test_an_empty_session_ends(pipeline: Pipeline) -> None:
    with pipeline.live() as session:
        assert session.people() == ()
    assert session.events() == []


def test_weights_without_cues_cannot_judge_live() -> None:
    with pytest.raises(ConfigError, match="no cues branch"):
        RunConfig(weights="small", causal=True).choose_bundle()


@needs_head
def test_sessions_share_the_networks_and_may_run_at_once(
    pipeline: Pipeline, head: TalkingHead
) -> None:
    alone, session = run(pipeline, head, feed_in_order)
    networks = pipeline.load_live_networks()
    with ThreadPoolExecutor(2) as pool:
        both = [*pool.map(lambda _: run(pipeline, head, feed_in_order), range(2))]
    assert pipeline.load_live_networks() is networks
    for events, own in both:
        assert [e.to_json() for e in events] == [e.to_json() for e in alone]
        np.testing.assert_allclose(scores_of(own), scores_of(session), atol=1e-6)


def test_live_sessions_have_moments_of_their_own(pipeline: Pipeline) -> None:
    """Those that the weights give for scores of the cues alone; what is asked for overrides."""
    live = pipeline.bundle.live
    assert live is not None
    assert live != pipeline.bundle.moments
    with pipeline.live() as session:
        assert session._moments == live
    asked = MomentsConfig(threshold=0.9)
    for moments, expected in ((None, live), (asked, asked)):
        config = RunConfig(weights="talk", causal=True, moments=moments)
        assert config.choose_bundle().moments == expected
