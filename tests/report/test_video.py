"""The page: what it says, what it holds, and that no name can break out of it."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.branches import BranchSpec
from quavf.report.video import (
    MAX_STEPS,
    encode_for_script,
    pack_scores,
    render_report,
    write_report,
)
from quavf.report.words import (
    describe_briefly,
    describe_person,
    format_length,
    measure_overlap_s,
    summarise,
)
from quavf.results.records import Moment, Person, PersonScores
from quavf.results.video import VideoResult
from tests.helpers.made_up_results import made_up, silent, write_video

HOSTILE = "</script><script>alert(1)</script><!--\u2028\u2029\"'&{{js}}\u202eexe"


def result_of(
    n_persons: int,
    *moments: tuple[int, float, float],
    truth: tuple[tuple[int, float, float], ...] | None = None,
) -> VideoResult:
    return VideoResult(
        video=Path("dinner.mp4"),
        duration_s=60.0,
        fps=Fraction(30),
        frame_size=(640, 360),
        persons=tuple(Person(n, 0.0, 60.0) for n in range(1, n_persons + 1)),
        moments=tuple(Moment(p, a, b, 0.9) for p, a, b in moments),
        truth=None if truth is None else tuple(Moment(p, a, b) for p, a, b in truth),
    )


def page_data(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize(
    ("n_persons", "moments", "headline"),
    [
        (0, (), "No face was found in this video."),
        (1, (), "One person is in view, and did not talk to you."),
        (3, (), "Three people are in view. Nobody talked to you."),
        (12, (), "12 people are in view. Nobody talked to you."),
        (1, ((1, 2, 6.25),), "One person, who talked to you for 4.2 s in one moment."),
        (
            3,
            ((2, 0, 3), (2, 5, 8), (2, 10, 13), (2, 20, 23)),
            "Three people. Person 2 talked to you for 12 s in 4 moments.",
        ),
        (
            3,
            ((1, 0, 3), (2, 10, 22)),
            "Three people. Person 2 talked to you for 12 s in one moment, "
            "person 1 for 3 s in one moment.",
        ),
        (
            4,
            ((1, 0, 3), (2, 10, 22), (4, 30, 31)),
            "Four people. Three talked to you, most of all person 2: 12 s in one moment.",
        ),
        (
            3,
            ((1, 0, 3), (2, 10, 22), (3, 30, 31)),
            "Three people. All of them talked to you, most of all person 2: 12 s in one moment.",
        ),
    ],
)
def test_headline(
    n_persons: int, moments: tuple[tuple[int, float, float], ...], headline: str
) -> None:
    assert summarise(result_of(n_persons, *moments)).headline == headline


def test_details_count_overlaps_once() -> None:
    details = summarise(result_of(2, (1, 0, 10), (2, 5, 15))).details
    assert details[0] == (
        "Someone talked to you for 25 % of the 1 min; the longest moment, 10 s, begins at 0:00."
    )


@pytest.mark.parametrize(
    ("moments", "truth", "words"),
    [
        (((1, 0, 4),), (), "The labels say that nobody talked to you."),
        (
            ((1, 0, 4),),
            ((1, 0, 4),),
            "The labels mark 4 s: quavf found all of it, and nothing else.",
        ),
        (
            ((1, 1, 5),),
            ((1, 0, 4),),
            "The labels mark 4 s: quavf found 75 % of it, and 1 s that they do not mark.",
        ),
        (
            ((2, 0, 4),),
            ((1, 0, 4),),
            "The labels mark 4 s: quavf found none of it, and 4 s that they do not mark.",
        ),
    ],
)
def test_labels_in_words(moments: Any, truth: Any, words: str) -> None:
    assert summarise(result_of(2, *moments, truth=truth)).details[-1] == words


def test_silence_says_how_near_it_came() -> None:
    result = silent(made_up(Path("x.mp4")))
    assert re.search(
        r"The highest score is \d+ % \(person \d, at 0:0\d\); a moment needs 50 % for a while",
        summarise(result).details[0],
    )
    nothing = replace(result, scores={})
    assert summarise(nothing).details[0] == "Nobody could be scored."


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0 s"),
        (4.25, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3790, "1 h 3 min"),
    ],
)
def test_lengths(seconds: float, words: str) -> None:
    assert format_length(seconds) == words


def test_shared_time() -> None:
    a = [Moment(1, 0, 4), Moment(1, 6, 8)]
    assert measure_overlap_s(a, [Moment(1, 3, 7)]) == pytest.approx(2)
    assert measure_overlap_s(a, []) == 0


def test_hostile_names_stay_text() -> None:
    result = replace(
        made_up(Path("x.mp4")),
        video=Path(f"/tmp/{HOSTILE.replace('/', '')}.mp4"),
        models={"audio": HOSTILE, HOSTILE: "x"},
        notes=(HOSTILE,),
    )
    page = render_report(result, "video.mp4")
    assert "<script>alert" not in page
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "\u2028" not in page
    assert "\u202e" not in page
    assert html.escape("<script>alert(1)") in page
    assert page_data(page)["persons"][0]["name"] == "Person 1"


def test_script_json_survives_any_text() -> None:
    text = encode_for_script({"a": HOSTILE})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {"a": HOSTILE}


def test_the_policy_allows_exactly_the_script_and_style() -> None:
    import hashlib

    page = render_report(made_up(Path("x.mp4")), "video.mp4")
    for kind, pattern in (
        ("script", r"<script>(.*?)</script>"),
        ("style", r"<style>(.*?)</style>"),
    ):
        found = re.search(pattern, page, re.S)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page
    assert "style=" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)


def test_the_page_needs_no_network() -> None:
    page = render_report(made_up(Path("x.mp4")), "video.mp4")
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", page)


def test_content(tmp_path: Path) -> None:
    result = made_up(Path("x.mp4"), has_truth=True, seed=7)
    data = page_data(render_report(result, "annotated.mp4"))
    assert data["video"] == "annotated.mp4"
    assert [p["number"] for p in data["persons"]] == [1, 2]
    for person, content in zip(result.persons, data["persons"], strict=True):
        rows = result.scores[person.number]
        column = np.frombuffer(base64.b64decode(content["packed"]["fused"]), np.uint8)
        assert len(column) == len(rows)
        np.testing.assert_allclose(column / 250, rows.fused, atol=0.0021)
        assert len(content["moments"]) == len(result.moments_of(person.number))
        assert len(content["truth"]) == len(result.truth_of(person.number))
        assert content["thumbnail"].startswith("data:image/jpeg;base64,")


def rows_at(times: list[float], values: list[float]) -> PersonScores:
    time_s, fused = np.array(times, float), np.array(values, float)
    columns = {"visual": fused, "fused": fused}
    return PersonScores(time_s, np.zeros(len(times), int), np.zeros((len(times), 4)), columns)


def unpack(text: str) -> list[int]:
    return list(base64.b64decode(text))


@pytest.mark.parametrize(
    ("times", "values", "packed"),
    [
        ([], [], None),
        ([3.0], [0.5], [125]),
        ([0, 0.1, 0.2], [0, np.nan, 1], [0, 255, 250]),
        ([0, 0.1, 0.5, 0.6], [0, 0, 1, 1], [0, 0, 0, 255, 250, 250, 250]),  # held for a moment
        ([0, 0.1, 0.2, 0.9, 1.0, 1.1], [1] * 6, [250] * 4 + [255] * 4 + [250] * 4),  # a gap
    ],
)
def test_packing(times: list[float], values: list[float], packed: list[int] | None) -> None:
    start, step, columns = pack_scores(rows_at(times, values))
    if packed is None:
        assert columns == {}
        return
    assert start == times[0]
    assert step == pytest.approx(0.1)
    got = unpack(columns["fused"])
    assert len(got) == len(packed)
    assert [v == 255 for v in got] == [v == 255 for v in packed]
    assert "audio" not in columns


def test_an_hour_of_every_frame_stays_small() -> None:
    times = np.arange(0, 3600, 1 / 60)
    _, step, columns = pack_scores(rows_at(list(times), [0.5] * len(times)))
    assert len(unpack(columns["fused"])) <= MAX_STEPS
    assert set(unpack(columns["fused"])) == {125}
    assert step == pytest.approx(3600 / MAX_STEPS, rel=1e-3)


def test_folder_with_the_original(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a b#?.mp4")
    video.chmod(0o600)
    result = made_up(video, duration_s=2.0)
    for _ in range(2):  # repeating it is harmless
        page = write_report(result, tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    assert sorted(p.name for p in page.parent.iterdir()) == ["report.html", "video.mp4"]
    assert (page.parent / "video.mp4").read_bytes() == video.read_bytes()
    assert video.stat().st_mode & 0o777 == 0o600
    assert 'src="video.mp4"' in page.read_text()


def test_folder_with_a_video_that_browsers_do_not_play(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", codec="mpeg4", sound=None, seconds=0.5)
    page = write_report(made_up(video, duration_s=0.5), tmp_path / "out")
    assert (page.parent / "video.mp4").read_bytes()[4:8] == b"ftyp"


def test_folder_with_the_annotated_video(tmp_path: Path) -> None:
    (tmp_path / "annotated.mp4").write_bytes(b"")
    page = write_report(made_up(tmp_path / "gone.mp4"), tmp_path)
    assert 'src="annotated.mp4"' in page.read_text()


def test_folder_without_a_video(tmp_path: Path) -> None:
    page = write_report(made_up(tmp_path / "gone.mp4"), tmp_path / "out")
    assert [p.name for p in page.parent.iterdir()] == ["report.html"]
    assert page_data(page.read_text())["video"] is None


def test_no_sound_is_said_once() -> None:
    result = made_up(Path("x.mp4"), has_sound=False)
    words = "The video has no sound"
    assert render_report(result, None).count(words) == 1
    noted = replace(result, notes=("x.mp4: no sound; scored by faces alone",))
    assert words not in render_report(noted, None)


def test_nobody() -> None:
    result = VideoResult(Path("x.mp4"), 5.0, Fraction(30), (640, 360))
    page = render_report(result, None)
    assert "No face was found in this video." in page
    assert page_data(page)["persons"] == []


def test_page_shows_a_third_branch(toy_spec: BranchSpec) -> None:
    result = made_up(Path("v.mp4"), duration_s=2.0)
    assert [b["name"] for b in page_data(render_report(result, None))["branches"]] == [
        "audio",
        "visual",
    ]
    scores = {
        n: replace(rows, columns={**rows.columns, toy_spec.name: rows.visual})
        for n, rows in result.scores.items()
    }
    page = render_report(replace(result, scores=scores, models={"toy": "blocks"}), None)
    data = page_data(page)
    assert data["branches"][-1] == {"name": "toy", "title": "Toy", "colour": toy_spec.colour}
    assert all("toy" in person["packed"] for person in data["persons"])
    assert "From the toy" in page
    assert "<dt>Toy</dt><dd>blocks</dd>" in page


def spoke(*stretches: tuple[int, float, float]) -> tuple[Moment, ...]:
    return tuple(Moment(*stretch) for stretch in stretches)


@pytest.mark.parametrize(
    ("moments", "speaking", "looking", "expected"),
    [
        (
            spoke((2, 0.0, 4.0)), spoke((1, 1.0, 6.0), (2, 0.0, 4.5)), (),
            "Two people. Person 2 talked to you for 4 s in one moment. That is 67 % of the 6 s, "
            "beginning at 0:00. Person 1 spoke for 5 s, to others.",
        ),
        (
            (), spoke((1, 1.0, 6.0), (2, 0.0, 4.0)), (),
            "Nobody talked to you. Person 1 spoke for 5 s, to others, and person 2 for 4 s. The",
        ),
        ((), (), spoke((1, 0.0, 3.0)), "Nobody talked to you. Person 1 looked at you for 3 s. The"),
        ((), (), None, "Nobody talked to you. The highest"),
    ],
)  # fmt: skip
def test_the_summary_tells_who_spoke_to_others(
    moments: tuple[Moment, ...],
    speaking: tuple[Moment, ...],
    looking: tuple[Moment, ...] | None,
    expected: str,
) -> None:
    result = made_up(Path("v.mp4"), duration_s=6.0)
    result = replace(result, moments=moments, speaking=speaking, looking=looking)
    assert expected in summarise(result).text


def test_words_of_a_person_who_spoke() -> None:
    result = replace(
        made_up(Path("v.mp4"), duration_s=6.0),
        moments=spoke((1, 0.0, 2.0)),
        speaking=spoke((1, 0.0, 4.0), (2, 1.0, 2.5)),
        looking=spoke((1, 0.0, 3.0)),
    )
    assert describe_person(result, 1) == (
        "talked to you for 2 s in one moment, spoke to others for 2 s, looked at you for 3 s"
    )
    assert describe_briefly(result, 1) == "2 s in one moment; 2 s to others"
    assert describe_briefly(result, 2) == "spoke to others for 1.5 s"
