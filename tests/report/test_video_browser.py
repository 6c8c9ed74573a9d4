"""The page in a real browser, opened from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quavf.core.branches import BranchSpec, score_columns
from quavf.report.annotate import write_annotated_video
from quavf.report.video import write_report
from quavf.results.records import Moment, Person, PersonScores
from quavf.results.scores import Scores, write_scores
from quavf.results.video import VideoResult
from quavf.workflows.report_clips import report_clips
from tests.helpers.browser import TIME, box_of, settled, until
from tests.helpers.made_up_results import made_up, write_video
from tests.helpers.stores import make_tiny_store

HOSTILE = "<img src=x onerror=alert(1)>'\"&\u2028</script><script>alert(2)<"
PLAYHEAD = """(() => {
  const plot = document.querySelector('.plot').getBoundingClientRect();
  const head = document.querySelector('.plot .playhead').getBoundingClientRect();
  return (head.left - plot.left) / plot.width;
})()"""
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people over 6 seconds with labels, a hostile file name and hostile notes."""
    out = tmp_path_factory.mktemp("report")
    video = write_video(out / "in.mp4", seconds=6.0)
    result = made_up(video, duration_s=6.0, has_truth=True, seed=7)
    moments = (Moment(1, 1.0, 2.5, 0.8), Moment(2, 3.0, 5.0, 0.9))
    result = replace(result, moments=moments, truth=moments[:1], notes=(HOSTILE,))
    write_annotated_video(result, out / "out" / "annotated.mp4")
    write_report(replace(result, video=Path(HOSTILE.replace("/", "∕"))), out / "out")
    return out / "out"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of a store, scored and labelled; the video of one of them."""
    out = tmp_path_factory.mktemp("dataset")
    faces = make_tiny_store(out / "store", ("val", "val")).faces("clip0")
    (out / "clips").mkdir()
    write_video(out / "clips" / "clip0.mp4", seconds=4.0)
    names = np.repeat(np.array(["clip0", "clip1"], object), len(faces))
    person, frame = np.tile(faces.person, 2), np.tile(faces.frame, 2)
    columns = dict.fromkeys(score_columns(), frame / frame.max())
    write_scores(out / "scores", Scores(names, person, frame, columns), {})
    report_clips(out / "scores", out / "store", out / "eval", out / "clips")
    return out / "eval"


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour, 60 people, no video."""
    out = tmp_path_factory.mktemp("hour")
    time_s = np.arange(0, 3600, 0.1)
    wave = (1 + np.sin(time_s / 40)) / 2
    columns = dict.fromkeys(score_columns(), wave)
    rows = PersonScores(time_s, np.arange(len(time_s)), np.zeros((len(time_s), 4)), columns)
    short = rows.take(np.arange(300))
    result = VideoResult(
        Path("hour.mp4"),
        3600.0,
        Fraction(30),
        (1920, 1080),
        persons=tuple(Person(n, 0, 3600) for n in range(1, 61)),
        scores={n: rows if n < 7 else short for n in range(1, 61)},
        moments=tuple(Moment(1 + i % 3, i * 20.0, i * 20.0 + 9, 0.8) for i in range(180)),
    )
    write_report(result, out)
    return out


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a folder's page; at the end nothing may have been written to the console."""
    contexts, said = [], []

    def dismissed(dialog: Any) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    def requested(request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            said.append(request.url)

    def opened(folder: Path, width: int = 1280, scheme: str = "light", **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", dismissed)
        page.on("request", requested)
        page.goto((folder / "report.html").as_uri())
        until(page, "document.querySelector('.axis svg').childElementCount > 0")
        if page.locator("video").is_visible():
            until(page, "document.querySelector('video').readyState >= 2")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


def playhead(page: Any) -> float:
    """Where the first lane's playhead is, as a share of the lane."""
    return float(page.evaluate(PLAYHEAD))


def test_lanes_are_there(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    assert page.locator(".lane").count() == 2
    assert page.locator(".lane h3").all_text_contents() == ["Person 1", "Person 2"]
    assert page.locator(".lane img").count() == 2
    for name in ("fused", "audio", "visual"):
        for line in page.locator(f".{name}-line").all():
            assert len(line.get_attribute("d")) > 100
    assert page.locator(".moment").count() == 2
    assert page.locator(".truth").count() == 1
    assert page.locator("#moments button").count() == 2
    assert "Two people. Person 2 talked to you for 2 s" in page.locator("h1").inner_text()
    assert "<img src=x" in page.locator(".file").inner_text()
    assert page.locator("img[src=x]").count() == 0


def test_labels_of_a_dataset(open_page: Open, dataset: Path) -> None:
    page = open_page(dataset / "clips" / "clip0")
    assert page.locator(".lane").count() == 2
    first, second = page.locator(".lane").all()
    assert (first.locator(".truth").count(), first.locator(".other").count()) == (1, 1)
    assert (second.locator(".truth").count(), second.locator(".other").count()) == (0, 1)
    for name in ("fused-line", "audio-line", "visual-line", "quality-area"):
        assert len(first.locator(f".{name}").get_attribute("d")) > 100
    assert page.locator(".moment").count() == 2
    box = box_of(first.locator(".plot"))
    words = {}
    for share in (0.25, 0.6, 0.9):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + 40)
        words[share] = page.locator("#tip").inner_text()
    assert "Label: talking to you" in words[0.25]
    assert "no score here" in words[0.6]
    assert "Label: none" in words[0.6]
    assert "Label: talking, not to you" in words[0.9]
    page.get_by_role("button", name="Label: to others").click()
    assert page.locator(".other").first.is_hidden()
    assert page.locator(".truth").first.is_visible()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 40)
    settled(page, 2.0)


def test_the_list_of_clips_leads_to_their_pages(browser: Any, dataset: Path) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 844})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto((dataset / "report.html").as_uri())
    assert page.locator(".pages a").all_text_contents() == ["clip0", "clip1"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.get_by_role("link", name="clip1").click()
    assert page.locator(".no-video").is_visible()
    assert page.locator(".lane").count() == 2
    page.close()
    assert said == []


def test_a_click_seeks_and_the_playhead_follows(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    box = box_of(page.locator(".plot").nth(1))
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 40)
    settled(page, 3.0)
    assert playhead(page) == pytest.approx(0.5, abs=0.01)
    page.evaluate("document.querySelector('video').currentTime = 1.5")
    until(page, "document.querySelector('#axis').ariaValueNow === '1.50'")
    assert playhead(page) == pytest.approx(0.25, abs=0.01)
    assert page.locator("#moments button.now").count() == 1


def test_the_playhead_moves_while_it_plays(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    page.keyboard.press("Space")
    until(page, f"{TIME} > 0.5")
    first = playhead(page)
    until(page, f"{TIME} > 1")
    assert playhead(page) > first > 0
    page.keyboard.press("Space")
    until(page, "document.querySelector('video').paused")
    now = page.evaluate(TIME)
    page.wait_for_timeout(100)
    assert playhead(page) == pytest.approx(now / 6, abs=0.02)


def test_keys(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    for key, time_s in [
        ("ArrowRight", 1.0),
        ("ArrowRight", 2.0),
        ("ArrowLeft", 1.0),
        ("n", 3.0),
        ("p", 1.0),
        (".", 1 + 1 / 30),
        (",", 1.0),
        ("Home", 0.0),
        ("Shift+ArrowRight", 6.0),
        ("Home", 0.0),
        ("End", 6.0),
    ]:
        page.keyboard.press(key)
        settled(page, time_s)


def test_tab_goes_through_the_moments(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.ariaLabel || ''"))
        if seen[-1].startswith("Person 2"):
            break
    assert "Person 1, from 0:01.0 for 1.5 s, 80 % sure" in seen
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    until(page, f"{TIME} > 3 && !document.querySelector('video').paused")


def test_hover_shows_values(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    box = box_of(page.locator(".plot").first)
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40)
    tip = page.locator("#tip")
    words = tip.inner_text()
    for part in ("Person 1", "0:01.5", "Talking to you", "From the sound", "Face quality"):
        assert part in words
    assert "Moment of 1.5 s, 80 % sure" in words
    assert "Label: talking to you" in words
    page.mouse.move(5, 5)
    assert tip.is_hidden()


def test_the_legend_hides_a_curve(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    button = page.get_by_role("button", name="Sound", exact=True)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.locator(".audio-line").first.is_hidden()
    button.click()
    assert page.locator(".audio-line").first.is_visible()


def test_a_third_branch_has_a_curve(open_page: Open, tmp_path: Path, toy_spec: BranchSpec) -> None:
    result = made_up(Path("v.mp4"), duration_s=6.0)
    scores = {
        n: replace(rows, columns={**rows.columns, toy_spec.name: 1 - rows.visual})
        for n, rows in result.scores.items()
    }
    write_report(replace(result, scores=scores), tmp_path, with_video=False)
    page = open_page(tmp_path)
    line = page.locator(".toy-line").first
    assert len(line.get_attribute("d")) > 100
    dashes = [
        page.locator(f".{name}-line").first.evaluate("e => getComputedStyle(e).strokeDasharray")
        for name in ("audio", "visual", "toy")
    ]
    assert len({*dashes}) == 3
    page.get_by_role("button", name="Toy", exact=True).click()
    assert line.is_hidden()
    assert page.locator(".audio-line").first.is_visible()
    assert "From the toy" in page.locator(".meaning").inner_text()


def test_own_controls(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    assert not page.evaluate("document.querySelector('video').controls")
    page.get_by_role("button", name="Play", exact=True).click()
    until(page, "!document.querySelector('video').paused")
    page.get_by_role("button", name="Pause", exact=True).click()
    until(page, "document.querySelector('video').paused")
    page.locator("#speed").click()
    assert page.evaluate("document.querySelector('video').playbackRate") == 1.5
    page.locator("#mute").click()
    assert page.evaluate("document.querySelector('video').muted")


def test_nothing_scrolls_sideways(open_page: Open, folder: Path, hour: Path) -> None:
    for which in (folder, hour):
        page = open_page(which)
        for width in (320, 390, 768, 900, 1280, 1800):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_and_light(open_page: Open, folder: Path) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        page = open_page(folder, scheme=scheme)
        for name, of in (("paper", "backgroundColor"), ("ink", "color")):
            colour = page.evaluate(f"getComputedStyle(document.body).{of}")
            shades[scheme, name] = sum(int(v) for v in colour[4:-1].split(",")) / 3
    assert shades["light", "paper"] > 240 > 60 > shades["light", "ink"]
    assert shades["dark", "paper"] < 30 < 200 < shades["dark", "ink"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_text(open_page: Open, folder: Path, scheme: str) -> None:
    """WCAG AA: 4.5 for text, 3 for curves, against the page."""
    page = open_page(folder, scheme=scheme)
    colours = page.evaluate(
        """() => {
          const probe = document.createElement('i');
          document.body.append(probe);
          const names = ['paper', 'ink', 'soft', 'yes-text', 'yes', 'branch-audio',
                         'branch-visual', 'quality', 'focus'];
          const read = (name) => {
            probe.style.color = `var(--${name})`;
            return getComputedStyle(probe).color;
          };
          return Object.fromEntries(names.map((name) => [name, read(name)]));
        }"""
    )
    floors = dict.fromkeys(("ink", "soft", "yes-text"), 4.5)
    floors |= dict.fromkeys(("yes", "branch-audio", "branch-visual", "quality", "focus"), 3.0)
    for name, floor in floors.items():
        assert contrast(colours[name], colours["paper"]) >= floor, name


def contrast(a: str, b: str) -> float:
    light = sorted(luminance(c) for c in (a, b))
    return (light[1] + 0.05) / (light[0] + 0.05)


def luminance(colour: str) -> float:
    parts = np.array([int(v) for v in colour[4:-1].split(",")[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_touch(open_page: Open, folder: Path) -> None:
    page = open_page(folder, width=390, has_touch=True)
    box = box_of(page.locator(".plot").first)
    page.touchscreen.tap(box["x"] + box["width"] * 0.5, box["y"] + 60)
    settled(page, 3.0)


def test_an_hour_without_a_video(open_page: Open, hour: Path) -> None:
    page = open_page(hour)
    assert page.locator(".no-video").is_visible()
    points = page.evaluate(
        "[...document.querySelectorAll('.lane:not([hidden]) .fused-line')]"
        ".map((line) => line.getAttribute('d').split('L').length)"
    )
    assert max(points) < 2000
    assert page.locator(".lane:visible").count() == 3  # who never talked is folded away
    page.get_by_role("button", name="Show 57 people who did not talk to you").click()
    assert page.locator(".lane:visible").count() == 60
    box = box_of(page.locator(".plot").first)
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 40)
    assert playhead(page) == pytest.approx(0.5, abs=0.01)


def test_zoom(open_page: Open, hour: Path) -> None:
    page = open_page(hour)
    page.keyboard.press("n")
    page.keyboard.press("n")
    assert page.locator("#axis").get_attribute("aria-valuenow") == "40.00"
    assert page.locator(".overview .window").is_hidden()
    for _ in range(5):
        page.keyboard.press("+")
    until(page, "document.querySelectorAll('.moment').length < 20")
    assert page.locator(".overview .window").is_visible()
    until(page, f"0.3 < {PLAYHEAD} && {PLAYHEAD} < 0.6")
    page.keyboard.press("0")
    until(page, "document.querySelectorAll('.moment').length === 180")


def test_zoom_by_wheel_and_overview(open_page: Open, hour: Path) -> None:
    page = open_page(hour)
    span = "document.querySelector('.overview .window').getBoundingClientRect().width"
    box = box_of(page.locator(".plot").first)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    until(page, f"0 < {span} && {span} < {box['width'] * 0.5}")
    overview = box_of(page.locator(".overview"))
    page.mouse.move(overview["x"] + overview["width"] / 2, overview["y"] + 10)
    page.mouse.down()
    page.mouse.move(overview["x"] + overview["width"] - 1, overview["y"] + 10)
    page.mouse.up()
    last = "[...document.querySelectorAll('.axis text')].at(-1).textContent"
    until(page, f"{last} === '1:00:00'")


def test_the_video_stays_in_sight(open_page: Open, folder: Path) -> None:
    page = open_page(folder)
    page.set_viewport_size({"width": 1280, "height": 500})
    page.locator(".lane").last.scroll_into_view_if_needed()
    until(page, "document.querySelector('.slot').classList.contains('away')")
    box = page.locator("video").bounding_box()
    assert 0 < box["y"] < 500
    page.evaluate("scrollTo(0, 0)")
    until(page, "!document.querySelector('.slot').classList.contains('away')")
