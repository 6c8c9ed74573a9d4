"""The report page: a folder with a video and a `report.html` that needs no network.

The page is rendered from `template/`, with style, script and data inline. Its security policy
allows that script only, whatever a file name or a note contains.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from quavf.core.branches import FUSED, LOOKING, QUALITY, SPEAKING, branch_names, branch_specs
from quavf.core.errors import MediaError
from quavf.report.annotate import convert_video, plays_in_browsers, read_start_offset_s
from quavf.report.words import describe_briefly, describe_person, format_length, summarise
from quavf.results.labels import VideoLabels, fingerprint_people, fingerprint_video
from quavf.results.people import apply_people
from quavf.results.records import Moment, Person, PersonScores
from quavf.results.video import VideoResult
from quavf.sources.config import MediaOptions
from quavf.utils.files import explain_os_errors, write_text

REPORT_FILE = "report.html"
ANNOTATED_FILE = "annotated.mp4"
PLAIN_FILE = "video.mp4"
MAX_STEPS = 40_000  # of one person: 1.1 hours at 10 a second; beyond, neighbours are averaged
SCRIPTS = (  # of the page, in this order
    "label_stretches.js",
    "label_state.js",
    "label_keeping.js",
    "label_lanes.js",
    "label.js",
    "report.js",
)
FULL, MISSING = 250, 255  # a score in one byte: 0.4 % steps
HELD_S = 0.15  # a score stands for so much time before and after it
GAP_S = 0.5  # a longer time without scores is shown as not in view
MODEL_TITLES = {QUALITY: "Face quality", "faces": "Faces"}  # those of branches: in their specs


@dataclass(frozen=True)
class LabelServer:
    """Where a page that `quavf label` serves saves its labels, and what is there."""

    url: str
    revision: str  # of the file; empty: there is none yet
    labels: dict[str, Any] | None = None
    tab: str = ""  # differs in each tab: a browser lets two wait for each other's video


def write_report(
    result: VideoResult,
    folder: Path,
    with_video: bool = True,
    options: MediaOptions | None = None,
    copy: bool = False,
) -> Path:
    """Write `report.html` into `folder` and return its path; puts a video beside it.

    Takes `annotated.mp4` when it is there. Otherwise `video.mp4` is made: a link to the original,
    or a `copy`, when browsers play it as it was read with `options`, else an H.264 copy. Without a
    readable original the page has no video, and says so, as with `with_video` off.
    """
    folder = Path(folder)
    video, offset_s = place_video(result, folder, with_video, options, copy)
    write_text(folder / REPORT_FILE, render_report(result, video, offset_s))
    return folder / REPORT_FILE


def write_report_again(result: VideoResult, labels: VideoLabels | None, folder: Path) -> Path:
    """Write `report.html` with people as `labels` name them, over the video that is beside it."""
    plain = folder / PLAIN_FILE
    video: str | None
    if plain.is_file() and not (folder / ANNOTATED_FILE).is_file():
        video, offset_s = plain.name, read_start_offset_s(plain)
    else:
        video, offset_s = place_video(result, folder, with_video=result.video.is_file())
    write_text(folder / REPORT_FILE, render_report(result, video, offset_s, labels=labels))
    return folder / REPORT_FILE


def place_video(
    result: VideoResult,
    folder: Path,
    with_video: bool = True,
    options: MediaOptions | None = None,
    copy: bool = False,
) -> tuple[str | None, float]:
    """Name of the video in a page's folder, made if needed, and the time of its first picture.

    See `write_report`; None where there is none.
    """
    if (folder / ANNOTATED_FILE).is_file():
        return ANNOTATED_FILE, 0.0
    if not with_video:
        return None, 0.0
    return _put_video_beside(result, folder, options or MediaOptions(), copy)


def render_report(
    result: VideoResult,
    video: str | None,
    offset_s: float = 0.0,
    server: LabelServer | None = None,
    labels: VideoLabels | None = None,
) -> str:
    """The page; `video` is a plain file name beside it, whose picture 0 shows at `offset_s`.

    Where there are no labels to show, people can label in it; with a `server`, that keeps them.
    `labels` say who the people are, and their names.
    """
    script = read_script()
    title = html.escape(clean_text(result.video.name))
    found, result = result, apply_people(result, labels)
    summary = summarise(result)
    source = video if video is None or server is None else f"{video}?{server.tab}"
    values = {
        "head": render_head(title, script, connects=server is not None),
        "title": title,
        "headline": html.escape(summary.headline),
        "lede": html.escape(" ".join(summary.details)),
        "video": f'src="{html.escape(source)}"' if source else "",
        "facts": "".join(
            f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in _facts(result)
        ),
        "branches": _explain_branches(result),
        "notes": _notes(result),
        "data": encode_for_script(
            _build_content(result, video, offset_s, summary.nothing)
            | {"labels": _labelling(found, server, result)}
        ),
        "js": script,
    }
    return fill_template("report.html", values)


def read_script() -> str:
    """The script of the page, as one text."""
    return "\n".join(('"use strict";', *map(read_template, SCRIPTS)))


def _labelling(
    found: VideoResult, server: LabelServer | None, shown: VideoResult
) -> dict[str, Any] | None:
    """The key that labels are kept under, and the labelled people if the page shows others.

    None if the page shows labels already.
    """
    if found.truth is not None:
        return None
    people = [_person_content(found, person) for person in found.persons]
    return {
        "video": found.video.name,
        "fingerprint": fingerprint_video(found.video),
        "run": fingerprint_people(found),
        "server": None if server is None else asdict(server),
        "found": None if shown is found else people,
    }


def read_template(name: str) -> str:
    """The text of a file in `template/`."""
    return (files("quavf.report") / "template" / name).read_text(encoding="utf-8")


def fill_template(name: str, values: dict[str, str]) -> str:
    """A template with `{{key}}` replaced by values, which must be safe as HTML already."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], read_template(name))


def encode_for_script(content: Any) -> str:
    """JSON that cannot end the script element that holds it, nor start a comment in it."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def render_head(title: str, script: str | None = None, connects: bool = False) -> str:
    """Head of a page: its title (safe as HTML), style and security policy."""
    style = read_template("report.css")
    policy = _policy(style, script) + ("; connect-src 'self'" if connects else "")
    return fill_template("head.html", {"policy": policy, "title": title, "css": style})


def _policy(style: str, script: str | None) -> str:
    """Security policy of a page: no other style, and no script or only this one."""

    def hash_of(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    allowed = hash_of(script) if script else "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {hash_of(style)}; "
        "img-src data:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def _build_content(
    result: VideoResult, video: str | None, offset_s: float, nothing: str
) -> dict[str, Any]:
    return {
        "video": video,
        "offset": round(offset_s, 4),
        "duration": round(result.duration_s, 3),
        "fps": float(result.fps),
        "size": list(result.frame_size),
        "threshold": result.threshold,
        "sound": result.has_sound,
        "branches": [
            {"name": spec.name, "title": spec.title, "colour": spec.colour}
            for spec in result.branches
        ],
        "published": result.fusion == "published",
        "nothing": nothing,
        "persons": [_person_content(result, person) for person in result.persons],
    }


def _explain_branches(result: VideoResult) -> str:
    """Explain the curve of each branch, as HTML."""
    titles = [html.escape(spec.title.lower()) for spec in result.branches]
    return "\n        ".join(
        f'<dt><i class="key key-branch"></i>From the {title}</dt>\n'
        f"        <dd>The score that the {title} alone would give.</dd>"
        for title in titles
    )


def _person_content(result: VideoResult, person: Person) -> dict[str, Any]:
    rows = result.scores.get(person.number)
    start_s, step_s, packed = (0.0, 1.0, {}) if rows is None else pack_scores(rows)
    speaking, looking = result.speaking_of(person.number), result.looking_of(person.number)
    return {
        "number": person.number,
        "name": person.title,
        "words": describe_person(result, person.number),
        "brief": describe_briefly(result, person.number),
        "thumbnail": _data_uri(person.thumbnail),
        "start": start_s,
        "step": step_s,
        "packed": packed,
        "unseen": _find_unseen(rows, result.duration_s),
        "moments": [
            [round(m.start_s, 3), round(m.end_s, 3), round(m.confidence, 3)]
            for m in result.moments_of(person.number)
        ],
        "truth": None if result.truth is None else _stretches(result.truth_of(person.number)),
        "others": None if result.others is None else _stretches(result.others_of(person.number)),
        "speaking": None if result.speaking is None else _stretches(speaking),
        "looking": None if result.looking is None else _stretches(looking),
    }


def _stretches(moments: Sequence[Moment]) -> list[list[float]]:
    return [[round(m.start_s, 3), round(m.end_s, 3)] for m in moments]


def pack_scores(rows: PersonScores) -> tuple[float, float, dict[str, str]]:
    """(start_s, step_s, columns): scores on an even grid of time, a byte each, as base64.

    0 to 250 stand for 0 to 1, 255 for missing. Rows that fall into one step are averaged, a step
    without one takes the nearest within `HELD_S`. A column without any value is left out.
    """
    if not len(rows):
        return 0.0, 1.0, {}
    start_s, span_s = float(rows.time_s[0]), float(rows.time_s[-1] - rows.time_s[0])
    step_s = max(_step_s(rows), span_s / (MAX_STEPS - 1))
    n_steps = round(span_s / step_s) + 1
    bins = np.minimum(np.round((rows.time_s - start_s) / step_s).astype(int), n_steps - 1)
    grid_s = start_s + step_s * np.arange(n_steps)
    right = np.clip(np.searchsorted(rows.time_s, grid_s), 1, max(len(rows) - 1, 1))
    right = np.minimum(right, len(rows) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(
        np.abs(rows.time_s[left] - grid_s) <= np.abs(rows.time_s[right] - grid_s), left, right
    )
    near = np.abs(rows.time_s[nearest] - grid_s) <= max(HELD_S, step_s)
    packed = {}
    for name in (FUSED, *branch_names(), QUALITY, SPEAKING, LOOKING):
        values = rows.columns.get(name, np.full(len(rows), np.nan))
        known = ~np.isnan(values)
        if not known.any():
            continue
        count = np.bincount(bins[known], minlength=n_steps)
        total = np.bincount(bins[known], weights=values[known], minlength=n_steps)
        held = np.where(near, values[nearest], np.nan)
        mean = np.where(count > 0, total / np.maximum(count, 1), held)
        filled = np.where(np.isnan(mean), 0.0, np.clip(mean, 0, 1))
        bytes_ = np.where(np.isnan(mean), MISSING, np.round(filled * FULL))
        packed[name] = base64.b64encode(bytes_.astype(np.uint8).tobytes()).decode()
    return start_s, step_s, packed


def _step_s(rows: PersonScores) -> float:
    steps = np.diff(rows.time_s)
    return float(np.median(steps)) if len(steps) and np.median(steps) > 0 else 0.1


def _find_unseen(rows: PersonScores | None, duration_s: float) -> list[list[float]]:
    """Stretches without scores, longer than `GAP_S`."""
    if rows is None or not len(rows):
        return [[0.0, round(duration_s, 3)]]
    starts = np.append(0.0, rows.time_s + _step_s(rows))  # a score holds until the next one
    ends = np.append(rows.time_s, duration_s)
    return [
        [round(float(a), 2), round(float(b), 2)]
        for a, b in zip(starts, ends, strict=True)
        if b - a > GAP_S
    ]


def _data_uri(jpeg: bytes) -> str | None:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode() if jpeg else None


def _facts(result: VideoResult) -> list[tuple[str, str]]:
    width, height = result.frame_size
    facts = [
        ("Length", format_length(result.duration_s)),
        ("Picture", f"{width} × {height}, {float(result.fps):.4g} a second"),
    ]
    steps = [_step_s(rows) for rows in result.scores.values() if len(rows) > 1]
    if steps:
        facts.append(("Scored", f"{1 / float(np.median(steps)):.3g} times a second"))
    facts.append(("Counts from", f"{result.threshold * 100:.3g} %"))
    if result.truth is not None:
        n_labels = len(result.truth) + len(result.others or ())
        facts.append(("Labels", "one stretch" if n_labels == 1 else f"{n_labels:,} stretches"))
    titles = MODEL_TITLES | {spec.name: spec.title for spec in branch_specs()}
    facts += [
        (titles.get(key, clean_text(key)), clean_text(name)) for key, name in result.models.items()
    ]
    return facts


def _notes(result: VideoResult) -> str:
    notes = list(result.notes)
    if not result.has_sound and not any("sound" in note or "audio" in note for note in notes):
        notes.insert(0, "The video has no sound: the scores come from faces alone.")
    if not notes:
        return ""
    items = "".join(f"<li>{html.escape(clean_text(note))}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>'


def clean_text(text: str) -> str:
    """Replace control characters, direction marks and broken Unicode, which could mislead."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _put_video_beside(
    result: VideoResult, folder: Path, options: MediaOptions, copy: bool
) -> tuple[str | None, float]:
    """Name of the video file in `folder`, created if needed, and the time of its first picture."""
    try:
        if options != MediaOptions() or not plays_in_browsers(result.video):
            convert_video(result.video, folder / PLAIN_FILE, options)
            return PLAIN_FILE, 0.0
        offset_s = read_start_offset_s(result.video)
    except MediaError:
        return None, 0.0
    _put_file(result.video, folder / PLAIN_FILE, copy)
    return PLAIN_FILE, offset_s


def _put_file(source: Path, target: Path, copy: bool) -> None:
    """Make a hard link, which costs no space, or a copy: as asked, or where links do not work."""
    with explain_os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not copy and target.exists() and target.samefile(source):
            return
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            if copy or not _is_linked(source, temporary):
                shutil.copyfile(source, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _is_linked(source: Path, target: Path) -> bool:
    """Make a hard link and tell whether it worked."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        return False
    return True
