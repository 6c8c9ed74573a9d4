"""What shows the result of a video: the annotated video and the report page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quavf.results.video import VideoResult
from quavf.utils.failures import describe_failure
from quavf.utils.progress import show_progress
from quavf.workflows.config import RunConfig

ANNOTATED = "annotated.mp4"
REPORT = "report.html"
ERROR_LOG = "error.log"
NOTED = (f"{ANNOTATED} ", f"The {ANNOTATED} ", f"{REPORT} ")  # how notes on them begin


def write_reports(result: VideoResult, folder: Path, config: RunConfig) -> VideoResult:
    """Write the annotated video and the report, where they are asked for and not there yet.

    Whatever goes wrong with them, the result stays: it is returned, with a note on what is missing.
    """
    from quavf.report.video import write_report

    notes = tuple(note for note in result.notes if not note.startswith(NOTED))
    if config.annotated and result.boxes:
        is_written = (folder / ANNOTATED).is_file()
        notes += _kept_notes(result) if is_written else _write_annotated(result, folder, config)
    result = _write_with_notes(result, notes, folder)
    if config.report and not (folder / REPORT).is_file():
        try:
            with_video, copy = config.beside != "none", config.beside == "copy"
            write_report(result, folder, with_video, config.video.media, copy)
        except Exception as error:  # the scores are there: nothing may lose them
            result = _write_with_notes(result, (*notes, _missing(REPORT, error, folder)), folder)
    return result


def _write_annotated(result: VideoResult, folder: Path, config: RunConfig) -> tuple[str, ...]:
    """Write the annotated video; return what is missing in it, or why it is missing."""
    from quavf.report.annotate import write_annotated_video

    notes: list[str] = []
    with show_progress("Drawing", int(result.duration_s), unit="s of video") as bar:
        drawn = 0

        def report(time_s: float) -> None:
            nonlocal drawn
            bar.advance(int(time_s) - drawn, 1)
            drawn = int(time_s)

        try:
            write_annotated_video(result, folder / ANNOTATED, report, config.video.media, notes)
        except Exception as error:  # the scores are there: nothing may lose them
            notes.append(_missing(ANNOTATED, error, folder))
    return tuple(notes)


def _missing(name: str, error: Exception, folder: Path) -> str:
    return f"{name} could not be written: {describe_failure(error, folder / ERROR_LOG)}"


def _kept_notes(result: VideoResult) -> tuple[str, ...]:
    """What an earlier run noted of the annotated video that it wrote."""
    return tuple(note for note in result.notes if note.startswith(f"The {ANNOTATED}"))


def _write_with_notes(result: VideoResult, notes: tuple[str, ...], folder: Path) -> VideoResult:
    if notes == result.notes:
        return result
    result = replace(result, notes=notes)
    result.write(folder)
    return result
