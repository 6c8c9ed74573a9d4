"""All formats by name, and the function that writes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quavf.core.errors import ConfigError, MediaError
from quavf.report.annotate import read_start_offset_s
from quavf.report.formats.captions import format_vtt
from quavf.report.formats.elan import format_elan
from quavf.report.formats.names import FORMAT_NAMES
from quavf.report.formats.rttm import format_rttm
from quavf.report.formats.tables import format_csv, format_json
from quavf.report.formats.textgrid import write_textgrid
from quavf.report.formats.timeline import Timeline, build_timeline, check_kinds
from quavf.results.kinds import SPEAKING, TALKING
from quavf.results.video import VideoResult
from quavf.utils.files import write_text

Write = Callable[[Timeline, Path], None]


@dataclass(frozen=True)
class FileFormat:
    """One format: the ending of its files, and how they are written.

    `kinds` are those it shows by default, all if empty; with `one_kind` the first that was judged.
    """

    suffix: str
    write: Write
    kinds: tuple[str, ...] = ()
    one_kind: bool = False


def _as_text(format_text: Callable[[Timeline], str]) -> Write:
    return lambda timeline, target: write_text(target, format_text(timeline))


FORMATS = {
    "elan": FileFormat(".eaf", lambda t, target: write_text(target, format_elan(t, target))),
    "vtt": FileFormat(".vtt", _as_text(format_vtt), (TALKING,)),
    "rttm": FileFormat(".rttm", _as_text(format_rttm), (SPEAKING, TALKING), one_kind=True),
    "textgrid": FileFormat(".TextGrid", write_textgrid),
    "csv": FileFormat(".csv", _as_text(format_csv)),
    "json": FileFormat(".json", _as_text(format_json)),
}
assert tuple(FORMATS) == FORMAT_NAMES


def check_formats(formats: Sequence[str], kinds: Sequence[str]) -> None:
    """Raise ConfigError for unknown formats and kinds, and for several kinds in RTTM."""
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ConfigError(f"format: {unknown[0]!r} is not one of {', '.join(FORMATS)}")
    check_kinds(kinds)
    alone = [name for name in formats if FORMATS[name].one_kind]
    if len(kinds) > 1 and alone:
        raise ConfigError(f"kind: {alone[0]} holds one kind, not {' and '.join(kinds)}; give one")


def write_format(result: VideoResult, name: str, target: Path, kinds: Sequence[str] = ()) -> Path:
    """Write a result in one format; `target` is a path without ending. Returns the file's path.

    `kinds` says what to write (see `quavf.results.kinds`). Raises ConfigError for what does not
    exist, and where the format's library is missing.
    """
    check_formats([name], kinds)
    chosen = FORMATS[name]
    path = target.with_name(f"{target.name}{chosen.suffix}")
    timeline = build_timeline(result, kinds or chosen.kinds, _read_offset_ms(result.video))
    if chosen.one_kind and not kinds:
        judged = [kind for kind in chosen.kinds if kind in timeline.judged]
        timeline = build_timeline(result, judged[:1], timeline.offset_ms)
    try:
        chosen.write(timeline, path)
    except ImportError as error:
        raise ConfigError(
            f"format: {name} needs {error.name or error}; install it with "
            "`pip install 'quavf[formats]'`"
        ) from None
    return path


def _read_offset_ms(video: Path) -> int:
    """The time of the first picture in the file; 0 where the video is not at hand."""
    if not video.is_file():
        return 0
    try:
        return max(0, round(1000 * read_start_offset_s(video)))
    except MediaError:
        return 0
