"""Take the picture at the top of the README: the report of a simulated conversation.

    python scripts/readme_picture.py [docs/guide/report.png] [--audio CKPT] [--visual CKPT]

Simulates a clip, processes it with `quavf run` (by default with the bundled weights), and takes a
screenshot of the report in headless Chromium; `--report OUT/report.html` uses an existing report.
Needs the extras simulate and dev, and Chromium (`--chromium PATH`). Fonts come from the system:
install Inter and Charis SIL (or Charter), which the style sheet was designed for.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from contextlib import nullcontext
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from quavf.models.bundled import DEFAULT
from quavf.results.video import VideoResult
from quavf.workflows.config import RunConfig
from quavf.workflows.run import run_video

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LARGEST = 250_000  # bytes: every clone of the repository downloads the picture
SMALLER = 0.9  # factor on the sides of a picture that is too large
COLOURS = 256


def main() -> None:
    arguments = _parse_arguments()
    folder = nullcontext(arguments.work) if arguments.work else tempfile.TemporaryDirectory()
    with folder as name:
        report = arguments.report or _make_report(Path(name), arguments)
        taken = _take_screenshot(report, arguments)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    arguments.picture.write_bytes(_compress_png(taken))


def _make_report(work: Path, arguments: argparse.Namespace) -> Path:
    """Simulate a conversation and process it; return the report. Existing files are kept."""
    from quavf.simulate.config import SimulateConfig
    from quavf.workflows.simulate import simulate_clips

    config = SimulateConfig(
        seed=arguments.seed,
        clips=1,
        seconds=arguments.seconds,
        preset="clean",
        val_share=1.0,
        test_share=0.0,
    )
    simulate_clips(work / "world", config)
    (clip,) = (work / "world" / "clips").glob("*.mp4")
    video = work / "conversation.mp4"  # the name shown in the report
    if not video.is_file():
        video.hardlink_to(clip)
    run_video(video, work / "out", RunConfig(weights=arguments.weights))
    return work / "out" / "report.html"


def _take_screenshot(report: Path, arguments: argparse.Namespace) -> bytes:
    """Take a PNG of the upper part of the page, down to the timeline."""
    width, height = (int(v) for v in arguments.size.split("x"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=FLAGS)
        page = browser.new_page(
            viewport={"width": width, "height": height},
            device_scale_factor=arguments.scale,
            color_scheme="dark" if arguments.dark else "light",
        )
        page.goto(report.resolve().as_uri())
        at_s = _choose_time(report.parent) if arguments.at is None else arguments.at
        _seek_video(page, at_s, arguments.hover)
        bottom = page.locator(".timeline").bounding_box()
        tall = height if bottom is None else min(height, bottom["y"] + bottom["height"] + 24)
        taken: bytes = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": tall})
        browser.close()
    return taken


def _choose_time(folder: Path) -> float:
    """Choose the middle of the longest moment of a run."""
    result = VideoResult.read(folder)
    longest = max(result.moments, key=lambda m: m.length_s, default=None)
    return result.duration_s / 3 if longest is None else (longest.start_s + longest.end_s) / 2


def _compress_png(png: bytes) -> bytes:
    """Reduce the colours of a picture, and its size until the file is small enough."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        few = picture.quantize(
            COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
        )  # keeps the colours of thin lines
        file = io.BytesIO()
        few.save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            return file.getvalue()
        size = round(picture.width * SMALLER), round(picture.height * SMALLER)
        picture = picture.resize(size, Image.Resampling.LANCZOS)


def _seek_video(page: Page, at_s: float, hover: float | None) -> None:
    """Seek to a time, wait for its frame, and point at a position in the first lane."""
    video = page.locator("video")
    if video.is_visible():
        video.evaluate("(v, t) => { v.currentTime = t; }", at_s)
        while video.evaluate("v => v.seeking || v.readyState < 2"):
            page.wait_for_timeout(100)
    plot = page.locator(".plot").first
    box = plot.bounding_box() if plot.count() else None
    if hover is not None and box is not None:
        page.mouse.move(box["x"] + box["width"] * hover, box["y"] + box["height"] / 2)
    page.wait_for_timeout(400)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("picture", type=Path, nargs="?", default=Path("docs/guide/report.png"))
    parser.add_argument("--report", type=Path, help="use the existing report.html of a run")
    parser.add_argument("--work", type=Path, help="folder to keep the clip and the run in")
    parser.add_argument("--weights", default=DEFAULT, help="name of weights, or a folder")
    parser.add_argument("--seed", type=int, default=4, help="seed of the simulated conversation")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the conversation")
    parser.add_argument(
        "--at", type=float, help="time of the playhead in s; default: in the longest moment"
    )
    parser.add_argument("--hover", type=float, help="point at this share of the first lane, 0 to 1")
    parser.add_argument(
        "--size", default="1280x1400", help="size of the window; cropped below the timeline"
    )
    parser.add_argument("--scale", type=float, default=1.5, help="pixels per CSS pixel")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    return parser.parse_args()


if __name__ == "__main__":
    main()
