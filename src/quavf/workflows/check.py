"""Check a whole store: every file against its sum, every table and every crop."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from quavf.core.errors import StoreError
from quavf.faces.crop import decode_jpeg
from quavf.store import ClipStore, CropReader, Manifest
from quavf.store.clip_tables import describe_damage
from quavf.store.integrity import REMEDY, check_sound, check_sum, is_clip_folder
from quavf.utils.parallel import EngineConfig, run_each
from quavf.utils.progress import show_progress

OWN_TABLES = ("faces.parquet", "confidence.parquet", "truth.parquet")  # of a clip itself


@dataclass(frozen=True)
class StoreCheck:
    """Findings of `check_store`."""

    store: Path
    clips: int
    problems: tuple[str, ...]  # one line each: the file, the fault, what to do
    without_sums: int  # clips of earlier versions: checked as far as files fit together
    stale_tables: int  # made from earlier versions of clips; they count as absent


def check_store(store: Path | str, engine: EngineConfig | None = None) -> StoreCheck:
    """Read every file of a store and compare it with what was written.

    Clips made by earlier versions have no sums; their tables, sound and crops must be readable and
    fit together.
    """
    opened = ClipStore.open(Path(store))
    problems, names, without_sums, n_stale = [], [], 0, 0
    for folder in sorted((opened.path / "clips").glob("[!.]*")):
        try:
            if is_clip_folder(folder):
                names.append(folder.name)
        except StoreError as error:
            problems.append(str(error))
    with show_progress("Checking", len(names)) as bar:
        for done in run_each(partial(_check_clip, opened), names, engine):
            problems += done.result.problems
            without_sums += not done.result.has_sums
            n_stale += done.result.n_stale
            bar.advance(1)
    return StoreCheck(opened.path, len(names), tuple(sorted(problems)), without_sums, n_stale)


@dataclass(frozen=True)
class _ClipCheck:
    problems: tuple[str, ...]
    has_sums: bool = True
    n_stale: int = 0


def _check_clip(store: ClipStore, clip: str) -> _ClipCheck:
    try:
        manifest = store.manifest(clip)
    except StoreError as error:
        return _ClipCheck((str(error),))
    problems = list(_check_files(store, clip, manifest))
    n_stale = 0
    folder = store.folder(clip)
    for path in sorted([*folder.glob("*.parquet"), *folder.glob("quality/[!.]*.parquet")]):
        name = str(path.relative_to(folder))
        if name in manifest.files or (name in OWN_TABLES and not manifest.files):
            continue
        fault = describe_damage(path)
        problems += [fault] if fault else []
        n_stale += not fault and not store.has_table(clip, name)
    return _ClipCheck(tuple(dict.fromkeys(problems)), bool(manifest.files), n_stale)


def _check_files(store: ClipStore, clip: str, manifest: Manifest) -> Iterator[str]:
    """Yield the faults of a clip's own files."""
    folder = store.folder(clip)
    for name, expected in manifest.files.items():
        yield from _fault(partial(check_sum, folder / name, expected))
    yield from _fault(partial(store.confidences, clip))
    yield from _fault(partial(_check_crops, store, clip, decode=not manifest.files))
    if manifest.n_samples is not None:
        yield from _fault(partial(_check_sound, folder / "sound.wav", manifest.n_samples))


def _fault(check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except StoreError as error:
        yield str(error)


def _check_crops(store: ClipStore, clip: str, decode: bool) -> None:
    faces = store.faces(clip)
    reader = CropReader(store, clip, faces)
    try:
        for row in range(len(faces)):
            jpeg = reader.read(row)
            if decode and decode_jpeg(jpeg) is None:
                raise StoreError(f"{reader.path}: crop {row} is not a picture; {REMEDY}")
    finally:
        reader.close()


def _check_sound(path: Path, n_samples: int) -> None:
    try:
        with wave.open(str(path), "rb") as file:
            check_sound(path, file, n_samples)
            n_bytes = len(file.readframes(n_samples))
    except (OSError, EOFError, wave.Error) as error:
        raise StoreError(f"{path}: cannot be read ({error}); {REMEDY}") from None
    if n_bytes != 2 * n_samples:
        raise StoreError(f"{path}: cut short; {REMEDY}")
