"""Results of `run`, scores and labels as files for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quavf.core.errors import ConfigError
from quavf.core.names import name_safely
from quavf.report.formats.write import FORMATS, check_formats, write_format
from quavf.report.video import write_report_again
from quavf.report.words import Summary, summarise
from quavf.results.kinds import LABELS
from quavf.results.people import apply_people, find_labels
from quavf.results.scores import SCORES_FILE, read_config
from quavf.results.video import RESULT_FILE, VideoResult
from quavf.workflows.report_clips import iterate_clips

STORE_FILE = "store.json"
FILE = "report"  # of a run, without ending; beside report.html
FOLDER = "report"  # of scores, for a file for each clip


def rewrite_pages(folders: Sequence[Path | str]) -> dict[Path, Summary]:
    """Write `report.html` of runs again, with people as they were labelled; what each page says.

    Each folder is what `quavf run` wrote, of one video or several. Labels are those beside the
    results, where there are any: see `quavf.results.people.find_labels`. Raises ConfigError for
    other folders, AnnotationError for labels that do not fit.
    """
    written: dict[Path, Summary] = {}
    for folder in map(Path, folders):
        for run in _list_runs(folder):
            result = VideoResult.read(run)
            labels = find_labels(run, result)
            page = write_report_again(result, labels, run)
            written[page] = summarise(apply_people(result, labels))
    return written


def _list_runs(folder: Path) -> list[Path]:
    """The folders of single runs. Raises ConfigError if there is none."""
    if (folder / RESULT_FILE).is_file():
        return [folder]
    runs = sorted(path.parent for path in folder.glob(f"*/{RESULT_FILE}"))
    if not runs:
        raise ConfigError(
            f"{folder}: no result of `quavf run` here; to write scores or labels of a store for "
            "other programs, say how with --format"
        )
    return runs


@dataclass(frozen=True)
class _Source:
    """One result to write: where its files go, without ending, and the kinds it can tell of."""

    result: VideoResult
    target: Path
    kinds: tuple[str, ...] = ()


def write_formats(
    folders: Sequence[Path | str],
    formats: Sequence[str],
    out: Path | str | None = None,
    *,
    kinds: Sequence[str] = (),
    store: Path | str | None = None,
    clips: Path | str | None = None,
) -> list[Path]:
    """Write what people did, and when, for other programs; returns the files.

    Each folder is one of: what `quavf run` wrote, of one video or several; scores of `quavf
    predict`, judged with their `store` (default: the one they were made from); a store, for its
    labels. `formats` are elan, vtt, rttm, textgrid, csv or json; `kinds` says what to write (see
    `quavf.results.kinds`), by default all that a format can show. Files go to `out`, each named by
    its video or clip; by default to `report.eaf` and so on beside a run's results, and to `report/`
    in a folder of scores. `clips` is the folder of the clips' videos, `<clip>.mp4`, to link. Labels
    beside a run's results name its people, join and split them. Raises
    ConfigError for other folders and unknown names, ScoresError or StoreError for what cannot be
    read.
    """
    check_formats(formats, kinds)
    written: list[Path] = []
    taken: set[str] = set()
    for folder in map(Path, folders):
        paths = None if clips is None else Path(clips)
        work = _Work(folder, None if out is None else Path(out), _path(store), paths, taken)
        for source in work.find():
            written += [_write(source, name, kinds) for name in formats]
    return written


def _write(source: _Source, name: str, kinds: Sequence[str]) -> Path:
    chosen = tuple(kinds) or source.kinds
    if not kinds and len(chosen) > 1 and FORMATS[name].kinds:
        chosen = chosen[:1]  # a format that shows one kind by default
    return write_format(source.result, name, source.target, chosen)


def _path(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)


@dataclass(frozen=True)
class _Work:
    """One folder to read, and where its files go; `taken` holds names that are in use in `out`."""

    folder: Path
    out: Path | None
    store: Path | None
    clips: Path | None
    taken: set[str]

    def find(self) -> Iterator[_Source]:
        if (self.folder / RESULT_FILE).is_file():
            yield self._read_run(self.folder)
        elif (self.folder / SCORES_FILE).is_file():
            yield from self._read_scores()
        elif (self.folder / STORE_FILE).is_file():
            yield from self._read_labels()
        elif runs := sorted(path.parent for path in self.folder.glob(f"*/{RESULT_FILE}")):
            yield from map(self._read_run, runs)
        else:
            raise ConfigError(
                f"{self.folder}: no results here; give a folder that `quavf run` or `quavf "
                "predict` wrote, or a store"
            )

    def _read_run(self, folder: Path) -> _Source:
        found = VideoResult.read(folder)
        result = apply_people(found, find_labels(folder, found))
        if self.out is None:
            return _Source(result, folder / FILE)
        return _Source(result, self.out / name_safely(result.video.stem, self.taken))

    def _read_scores(self) -> Iterator[_Source]:
        made_from = str(read_config(self.folder).get("store") or "")
        store = self.store or (Path(made_from) if made_from else None)
        if store is None or not store.is_dir():
            raise ConfigError(
                f"{self.folder}: scores of the store {made_from or '(unknown)'}, which is not "
                "there; say where it is with --store"
            )
        out = self.out or self.folder / FOLDER
        for clip, result in iterate_clips(self.folder, store, self.clips):
            yield _Source(result, out / name_safely(clip, self.taken))

    def _read_labels(self) -> Iterator[_Source]:
        if self.out is None:
            raise ConfigError(f"{self.folder}: a store; say where its labels go with --out")
        for clip, result in iterate_clips(None, self.folder, self.clips):
            yield _Source(result, self.out / name_safely(clip, self.taken), LABELS)
