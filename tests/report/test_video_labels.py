"""Labelling in the page, in a real browser, with clicks and keys."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quavf.report.video import write_report, write_report_again
from quavf.results.labels import (
    LabelledPerson,
    Part,
    Stretch,
    VideoLabels,
    fingerprint_people,
    read_csv,
    write_csv,
)
from quavf.results.records import Moment
from tests.helpers.browser import TIME, box_of, settled, until
from tests.helpers.made_up_results import made_up, write_video

LENGTH_S = 6.0
WANTED = {
    1: (Stretch(0.5, 1.5, "to_me"), Stretch(1.5, 3.0, "silent"), Stretch(4.0, 5.5, "to_others")),
    2: (Stretch(0.0, 2.0, "to_others"), Stretch(2.5, 5.0, "to_me")),
}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels")
    result = made_up(write_video(out / "in.mp4", seconds=LENGTH_S), duration_s=LENGTH_S)
    moments = (Moment(1, 1.0, 2.5, 0.8), Moment(2, 3.0, 5.0, 0.9))
    speaking = (Moment(1, 0.5, 3.0, 0.8), Moment(2, 3.0, 5.0, 0.9))
    write_report(replace(result, moments=moments, speaking=speaking, looking=()), out)
    return out


@pytest.fixture
def open_page(browser: Any, folder: Path) -> Iterator[Open]:
    """Opens the page in labelling mode; nothing may have been written to the console."""
    contexts, said = [browser.new_context(viewport={"width": 1280, "height": 900})], []

    def opened(context: Any = None, **options: Any) -> Any:
        if options:
            contexts.append(browser.new_context(**options))
        page = (context or contexts[-1]).new_page()
        page.set_default_timeout(5_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((folder / "report.html").as_uri() + "#label")
        until(page, "document.querySelectorAll('.label-lane').length > 0")
        until(page, "document.querySelector('video').readyState >= 2")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


def download(page: Any, folder: Path, button: str = "Download") -> Path:
    with page.expect_download() as found:
        page.get_by_role("button", name=button, exact=True).click()
    target = folder / str(found.value.suggested_filename)
    found.value.save_as(target)
    return target


def labels_of(page: Any, folder: Path) -> dict[int, tuple[Stretch, ...]]:
    labels = VideoLabels.read(download(page, folder))
    return {p.number: p.stretches for p in labels.people}


def assert_close(found: dict[int, tuple[Stretch, ...]], wanted: dict[int, Any]) -> None:
    assert found.keys() == wanted.keys()
    for person, stretches in found.items():
        assert [s.label for s in stretches] == [s.label for s in wanted[person]]
        for one, other in zip(stretches, wanted[person], strict=True):
            assert one.start_s == pytest.approx(other.start_s, abs=0.05)
            assert one.end_s == pytest.approx(other.end_s, abs=0.05)


def draw(page: Any, lane: int, start_s: float, end_s: float) -> None:
    """Drag over the track of a lane, counted from 0."""
    box = box_of(page.locator(".track").nth(lane))
    x = [box["x"] + box["width"] * t / LENGTH_S for t in (start_s, end_s)]
    y = box["y"] + 40
    page.mouse.move(x[0], y)
    page.mouse.down()
    page.mouse.move(sum(x) / 2, y)
    page.mouse.move(x[1], y)
    page.mouse.up()


def type_label(page: Any, start_s: float, end_s: float, key: str) -> None:
    """Give a label to the chosen person with keys alone."""
    page.keyboard.press("Home")
    for time_s, others in ((start_s, 1), (end_s, 2)):
        seconds = int(time_s) if others == 1 else int(time_s) - int(start_s)
        for _ in range(seconds):
            page.keyboard.press("ArrowRight")
        part = time_s - int(time_s) - (0 if others == 1 else start_s - int(start_s))
        for _ in range(round(abs(part) * 30)):
            page.keyboard.press("." if part > 0 else ",")
        page.keyboard.press(key)


def label_everything(page: Any) -> None:
    page.get_by_role("button", name="Start from nothing").click()
    for s, key in zip(WANTED[1], "132", strict=True):
        type_label(page, s.start_s, s.end_s, key)
    page.keyboard.press("ArrowDown")
    draw(page, 1, 0.0, 2.0)
    page.keyboard.press("2")
    draw(page, 1, 2.5, 5.0)
    page.get_by_role("button", name="To you").click()


def test_from_scratch_with_keys_and_mouse(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    label_everything(page)
    assert_close(labels_of(page, tmp_path), WANTED)
    assert "4 s labelled" in page.locator(".label-lane").first.inner_text()
    found = read_csv(download(page, tmp_path, "CSV"))
    assert_close({p.number: p.stretches for p in found[0].people}, WANTED)


def test_while_the_video_plays(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.keyboard.press("1")
    page.keyboard.press("l")
    until(page, f"{TIME} > 0.6")
    until(page, "document.querySelectorAll('.block.live').length == 1")
    page.keyboard.press("3")  # the first label ends here
    until(page, f"{TIME} > 1.2")
    page.keyboard.press("k")
    page.keyboard.press("3")
    first, second = labels_of(page, tmp_path)[1]
    assert (first.label, second.label) == ("to_me", "silent")
    assert first.start_s == 0
    assert 0.5 < first.end_s == second.start_s < 1.2
    assert 1.1 < second.end_s < 2


def test_a_crash_loses_nothing(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    label_everything(page)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("1")  # not finished when it happens
    settled(page, LENGTH_S - 1)
    context = page.context
    with pytest.raises(Exception, match="crash"):
        page.goto("chrome://crash")
    time.sleep(0.5)  # Chromium may show a page opened at once an empty store
    page = open_page(context)
    assert page.get_by_text("Kept in this browser").is_visible()
    assert_close(labels_of(page, tmp_path), WANTED)


def test_undo_and_redo(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    draw(page, 0, 1.0, 2.0)
    draw(page, 0, 3.0, 4.0)
    page.keyboard.press("Delete")
    for _ in range(2):
        page.keyboard.press("Control+z")
    until(page, "document.querySelectorAll('.block').length == 1")
    page.get_by_role("button", name="Redo").click()
    until(page, "document.querySelectorAll('.block').length == 2")
    page.keyboard.press("Control+Shift+z")
    assert_close(labels_of(page, tmp_path), {1: (Stretch(1, 2, "to_me"),), 2: ()})
    until(page, "document.querySelector('[data-act=redo]').disabled")


def test_edges_move(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    draw(page, 0, 1.0, 2.0)
    box = box_of(page.locator(".block.picked i[data-edge=end]"))
    page.mouse.move(box["x"] + 6, box["y"] + 20)
    page.mouse.down()
    track = box_of(page.locator(".track").first)
    for share in (0.5, 0.6, 0.75):
        page.mouse.move(track["x"] + track["width"] * share, box["y"] + 20)
    page.mouse.up()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("e")  # the end to the playhead
    page.keyboard.press("Home")
    page.keyboard.press("q")
    assert_close(labels_of(page, tmp_path), {1: (Stretch(0, 5, "to_me"),), 2: ()})


def test_a_new_stretch_takes_the_place_of_others(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    draw(page, 0, 1.0, 5.0)
    page.keyboard.press("Escape")
    type_label(page, 2.0, 3.0, "3")
    type_label(page, 3.0, 4.0, "3")  # touches the one before: one stretch
    wanted = (Stretch(1, 2, "to_me"), Stretch(2, 4, "silent"), Stretch(4, 5, "to_me"))
    assert_close(labels_of(page, tmp_path), {1: wanted, 2: ()})


def test_a_draft_becomes_labels_when_confirmed(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.get_by_role("button", name="Start from what quavf found").click()
    labels = VideoLabels.read(download(page, tmp_path))
    assert labels.labelled_s == 0
    wanted = [("silent", 0.5), ("to_others", 1.0), ("to_me", 2.5), ("to_others", 3.0)]
    assert [(s.label, s.end_s) for s in labels.people[0].stretches][:4] == wanted
    for key in ("]", "]", "Enter"):  # the moment; then the next draft is picked
        page.keyboard.press(key)
    until(page, "document.querySelectorAll('.block.picked.draft').length == 1")
    first = VideoLabels.read(download(page, tmp_path)).checked.people[0]
    assert first.stretches == (Stretch(1.0, 2.5, "to_me"),)
    page.get_by_role("button", name="Confirm all").click()
    until(page, "document.querySelectorAll('.block.draft').length == 0")
    page.keyboard.press("Control+z")
    until(page, "document.querySelectorAll('.block.draft').length > 3")


def test_people_are_split_and_joined(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    draw(page, 0, 1.0, 4.0)
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    labels = VideoLabels.read(download(page, tmp_path))
    assert [p.number for p in labels.people] == [1, 3, 2]
    assert [p.parts for p in labels.people[:2]] == [(Part(1, 0, 3),), (Part(1, 3, LENGTH_S),)]
    later = (Stretch(3, 4, "to_me"),)
    assert_close({3: labels.people[1].stretches}, {3: later})
    menu = page.locator(".label-lane").nth(2).locator(".menu")
    menu.locator("summary").click()
    menu.get_by_role("button", name="Same person as Person 3").click()
    assert page.get_by_text("in view at the same time").is_visible()
    menu = page.locator(".label-lane").first.locator(".menu")
    menu.locator("summary").click()
    menu.get_by_role("button", name="Same person as Person 3").click()
    labels = VideoLabels.read(download(page, tmp_path))
    assert_close(
        {p.number: p.stretches for p in labels.people}, {1: (Stretch(1, 4, "to_me"),), 2: ()}
    )
    page.locator(".label-lane").first.locator("summary").click()
    page.get_by_role("button", name="Rename").first.click()
    page.keyboard.type("Anna 1")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.label-lane h3').textContent === 'Anna 1'")


def test_files_are_opened(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    run = json.loads(page.evaluate("document.getElementById('data').textContent"))["labels"]["run"]
    names = {1: 'Anna "A", B.', 2: ""}
    people = tuple(LabelledPerson(n, WANTED[n], name=names[n]) for n in WANTED)
    labels = VideoLabels("in, 2.mp4", people, LENGTH_S, run=run)
    labels.write(tmp_path / "a.json")
    write_csv(tmp_path / "a.csv", [labels])
    replace(labels, run="other").write(tmp_path / "b.json")
    (tmp_path / "c.json").write_text("{")
    for name, said in (
        ("b.json", "belongs to another run"),
        ("c.json", "cannot be opened"),
        ("a.csv", "a.csv is open"),
        ("a.json", "a.json is open"),
    ):
        page.locator("input[type=file]").set_input_files(tmp_path / name)
        until(page, f"document.querySelector('#label-bar .notice').textContent.includes('{said}')")
        if name.startswith("a"):
            assert_close(labels_of(page, tmp_path), WANTED)
            table = download(page, tmp_path, "CSV")
            (found,) = read_csv(table)
            assert {p.number: p.name for p in found.people} == names
            page.keyboard.press("Control+z")


def test_a_page_with_names_labels_the_people_found(
    browser: Any, folder: Path, tmp_path: Path
) -> None:
    """The lanes above show people as they were labelled, those below as they were found."""
    result = made_up(folder / "in.mp4", duration_s=LENGTH_S)
    labels = VideoLabels("in.mp4", (LabelledPerson(1, (), (Part(1), Part(2)), "Anna"),))
    page = browser.new_page()
    page.goto(write_report_again(result, labels, tmp_path).as_uri() + "#label")
    until(page, "document.querySelectorAll('.label-lane').length === 2")
    shown = page.evaluate("[...document.querySelectorAll('#lanes h3')].map((h) => h.textContent)")
    assert shown == ["Anna"]
    found = VideoLabels.read(download(page, tmp_path))
    assert [p.number for p in found.people] == [1, 2]
    assert found.run == fingerprint_people(result)
    page.close()


def test_on_a_phone(open_page: Open, tmp_path: Path) -> None:
    phone = {"width": 390, "height": 844}
    page = open_page(viewport=phone, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Start from nothing").tap()
    page.locator(".label-lane .who h3").nth(1).tap()
    page.get_by_role("button", name="To others").tap()
    page.locator(".track").nth(1).tap(position={"x": 358 / 2, "y": 40})
    settled(page, LENGTH_S / 2)
    page.get_by_role("button", name="To others").tap()
    box = page.get_by_role("button", name="Silent").bounding_box()
    assert box["y"] + box["height"] <= 844
    assert_close(labels_of(page, tmp_path), {1: (), 2: (Stretch(0, 3, "to_others"),)})
