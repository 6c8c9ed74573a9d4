"""The clip store on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from quavf.core.errors import AnnotationError, StoreError
from quavf.core.names import is_safe_name
from quavf.core.records import Floats, Intervals, SourceRows, Unlabelled
from quavf.cues.tracks import CUE_SETTINGS, FaceCues, SoundCues
from quavf.store.clip_tables import read_origin, write_clip_table
from quavf.store.config import CONFIG_NAME, StoreConfig
from quavf.store.cue_tables import (
    FACES_NAME,
    FACES_SCHEMA,
    SOUND_NAME,
    SOUND_SCHEMA,
    face_table,
    read_face_table,
    read_sound_table,
    sound_table,
)
from quavf.store.integrity import (
    REMEDY,
    check_faces,
    check_nulls,
    check_size,
    check_sum,
    is_clip_folder,
)
from quavf.store.manifest import Manifest
from quavf.store.sound import SoundReader
from quavf.store.tables import (
    LATER,
    ROWS_NAME,
    ROWS_SCHEMA,
    SCHEMA,
    Faces,
    read_faces,
    read_table,
)
from quavf.store.writer import ClipWriter
from quavf.utils.files import (
    config_hash,
    explain_os_errors,
    lock_file,
    read_json,
    refuse_links,
    remove_leftovers,
    replace_folder,
    write_json,
)

PATIENCE_S = 1.0  # to wait for the lock: longer than removing leftovers takes


class ClipStore:
    """A store on disk. Open it with `ClipStore.open` or `ClipStore.create`."""

    def __init__(self, path: Path, config: StoreConfig) -> None:
        self.path, self.config = Path(path), config
        self._alone = False
        self._sounds = SoundReader()

    @classmethod
    def open(cls, path: Path) -> ClipStore:
        """Open a store. Raises StoreError if there is none, or if it has another format version."""
        return cls(Path(path), StoreConfig.read(Path(path)))

    @classmethod
    def create(cls, path: Path, config: StoreConfig) -> ClipStore:
        """Create a store, or open an existing one made with the same settings."""
        path = Path(path)
        refuse_links(path, "*", "clips/*")
        if (path / CONFIG_NAME).is_file():
            store = cls.open(path)
            store.config.check_same(config, path)
        else:
            with explain_os_errors(path):
                if path.exists() and (not path.is_dir() or any(path.iterdir())):
                    raise StoreError(
                        f"{path}: exists and is not a store; choose a new or empty folder"
                    )
            config.write(path)
            store = cls(path, config)
        with lock_file(path / CONFIG_NAME) as free:
            if free:
                store._remove_leftovers()
        return store

    def _remove_leftovers(self) -> None:
        """Remove half-written files of killed runs; the store must be locked."""
        remove_leftovers(self.path, ".*.*.tmp", "clips/.*.*.tmp", "search/.*.*.tmp")
        self.remove_table_leftovers()

    def remove_table_leftovers(self) -> None:
        """Remove half-written tables of killed runs; others may write tables meanwhile."""
        remove_leftovers(self.path, "clips/*/.*.*.tmp", "clips/*/quality/.*.*.tmp")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the store, so that no other process or block writes clips.

        Raises StoreError if another process holds the lock. `write_clip` works inside the block.
        """
        with self._lock(shared=False):
            before, self._alone = self._alone, True
            try:
                yield
            finally:
                self._alone = before

    @contextmanager
    def _lock(self, shared: bool) -> Iterator[None]:
        if self._alone:
            yield
            return
        with lock_file(self.path / CONFIG_NAME, shared=shared, patience_s=PATIENCE_S) as free:
            if not free:
                raise StoreError(
                    f"{self.path}: another process is writing clips into this store; wait "
                    "until it ends, or choose another --store"
                )
            yield

    def clips(self, split: str | None = None) -> list[str]:
        """The ids of all finished clips, sorted; of one split if given.

        Raises StoreError if a folder holds only part of a clip, or a name that no clip can have.
        """
        folders = (self.path / "clips").glob("[!.]*")
        ids = sorted(folder.name for folder in folders if is_clip_folder(folder))
        return ids if split is None else [c for c in ids if self.manifest(c).split == split]

    def finished_clips(self) -> list[str]:
        """The ids of all finished clips, sorted; other folders are passed over."""
        ids = sorted(p.parent.name for p in (self.path / "clips").glob("[!.]*/clip.json"))
        return [clip for clip in ids if is_safe_name(clip)]

    def folder(self, clip: str) -> Path:
        assert is_safe_name(clip), clip
        return self.path / "clips" / clip

    def has_clip(self, clip: str) -> bool:
        """Whether this clip is there, whatever it was made from."""
        return (self.folder(clip) / "clip.json").is_file()

    def is_current(self, clip: str, fingerprint: str) -> bool:
        """Whether this clip is there and was made from the same annotations and media."""
        return self.has_clip(clip) and self.manifest(clip).fingerprint == fingerprint

    def manifest(self, clip: str) -> Manifest:
        path = self.folder(clip) / "clip.json"
        if not path.is_file():
            raise StoreError(f"{self.path}: clip {clip} is not in this store")
        try:
            content = read_json(path)
        except AnnotationError as error:
            raise StoreError(f"{error}; {REMEDY}") from None
        manifest = Manifest.from_json(content, path)
        if manifest.clip != clip:
            raise StoreError(f"{path}: this is clip {manifest.clip!r} under another name; {REMEDY}")
        if manifest.config_hash != self.config.hash:
            raise StoreError(f"{path}: made with other settings than the store; {REMEDY}")
        return manifest

    def write_intervals(
        self,
        clip: str,
        speaking: Intervals,
        looking: Intervals,
        unlabelled: Unlabelled | None = None,
    ) -> None:
        """Replace the labels of speaking and looking of a clip; everything else stays.

        `unlabelled`: see `Manifest`; default: as it is.
        """
        with self._lock(shared=True):
            manifest = replace(self.manifest(clip), speaking=speaking, looking=looking)
            if unlabelled is not None:
                manifest = replace(manifest, unlabelled=unlabelled)
            write_json(self.folder(clip) / "clip.json", manifest.to_json())

    def source_rows(self, clip: str) -> SourceRows | None:
        """The rows of the dataset's own files that stand for faces; None if none were kept."""
        path = self.folder(clip) / ROWS_NAME
        if not path.is_file():
            return None
        table = self.table(clip, ROWS_NAME, ROWS_SCHEMA, REMEDY)
        person, frame = (np.asarray(table[name].to_numpy()) for name in ("person", "frame"))
        return SourceRows(person, frame, tuple(table["text"].to_pylist()))

    def faces(self, clip: str) -> Faces:
        """The crops of a clip. Raises StoreError if the table is not as it was written."""
        manifest, path = self.manifest(clip), self.folder(clip) / "faces.parquet"
        check_sum(path, manifest.files.get(path.name))
        table = read_table(path, SCHEMA, REMEDY, optional=LATER)
        check_nulls(path, table)
        faces, tar = read_faces(table), self.crops_path(clip)
        tar_size = check_size(tar, manifest.files.get(tar.name))
        check_faces(path, table, faces, manifest.n_crops, tar_size)
        return faces

    def crops_path(self, clip: str) -> Path:
        return self.folder(clip) / "crops.tar"

    def sound(self, clip: str, start: int, end: int) -> Floats:
        """(end - start,) float32 samples in [-1, 1]; fewer where the clip ends before."""
        path = self.folder(clip) / "sound.wav"
        return self._sounds.read(path, lambda: self.manifest(clip), start, end)

    @contextmanager
    def write_clip(self, clip: str) -> Iterator[ClipWriter]:
        """Write a clip; call `finish` last. An older version of the clip is replaced.

        Several may write, each its own clips. Raises StoreError while one has the store `alone`.
        """
        with self._lock(shared=True), replace_folder(self.folder(clip)) as folder:
            writer = ClipWriter(folder)
            try:
                yield writer
            finally:
                writer.close()

    def confidences(self, clip: str) -> Floats | None:
        """(N,) the face detector's, a row of `faces` each; None where faces were annotated."""
        path, manifest = self.folder(clip) / "confidence.parquet", self.manifest(clip)
        if not path.is_file() and path.name not in manifest.files:
            return None
        check_sum(path, manifest.files.get(path.name))
        table = read_table(path, pa.schema([("confidence", pa.float64())]), REMEDY)
        if len(table) != manifest.n_crops:
            raise StoreError(
                f"{path}: {len(table)} rows, clip.json says {manifest.n_crops}; {REMEDY}"
            )
        return np.asarray(table["confidence"].to_numpy())

    def scorers(self) -> list[str]:
        """Names of the scorers that have scored every clip, sorted."""
        found: set[str] | None = None
        for clip in self.clips():
            names = {p.stem for p in (self.folder(clip) / "quality").glob("[!.]*.parquet")}
            here = names if found is None else names & found
            found = {n for n in here if is_safe_name(n) and self.has_quality(clip, n)}
        return sorted(found or ())

    def fingerprint(self, clip: str) -> str:
        """Identifies the version of a clip, as `prepare` wrote it; tables made from it keep it."""
        return self.manifest(clip).version

    def has_table(self, clip: str, name: str, settings: dict[str, Any] | None = None) -> bool:
        """Whether a clip has a table of this file name, made from the clip as it is.

        With `settings`, also whether it was made with these. Tables of earlier versions, which
        know no fingerprint, count as made from the clip.
        """
        origin = read_origin(self.folder(clip) / name)
        if origin is None or (settings is not None and origin.settings != config_hash(settings)):
            return False
        return origin.fingerprint in ("", self.fingerprint(clip))

    def write_table(
        self,
        clip: str,
        name: str,
        table: pa.Table,
        settings: dict[str, Any],
        fingerprint: str | None = None,
    ) -> None:
        """Write a table that belongs to a clip, under the file name `name`.

        `settings`, anything that JSON can hold, are kept in the table's metadata. `fingerprint` is
        that of the clip the table was made from, read before the clip's faces; default: the clip
        as it is. Raises StoreError if the clip has been prepared again since.
        """
        present = self.fingerprint(clip)
        if fingerprint not in (None, present):
            raise StoreError(
                f"{self.folder(clip) / name}: the clip was prepared again in the meantime; repeat "
                "the command"
            )
        write_clip_table(self.folder(clip) / name, table, settings, present)

    def table(self, clip: str, name: str, schema: pa.Schema, remedy: str) -> pa.Table:
        """A clip's table; StoreError with `remedy` if it is missing, stale or damaged."""
        path = self.folder(clip) / name
        if not path.is_file():
            raise StoreError(f"{path}: no such table; {remedy}")
        if read_origin(path) is not None and not self.has_table(clip, name):
            raise StoreError(f"{path}: made from an earlier version of the clip; {remedy}")
        return read_table(path, schema, remedy)

    def has_cues(self, clip: str) -> bool:
        """Whether the clip as it is has its cues, of faces and of sound, by this version."""
        return all(self.has_table(clip, name, CUE_SETTINGS) for name in (FACES_NAME, SOUND_NAME))

    def write_cues(
        self, clip: str, faces: FaceCues, sound: SoundCues, fingerprint: str | None = None
    ) -> None:
        """Write the cues of a clip; see `write_table`."""
        self.write_table(clip, SOUND_NAME, sound_table(sound), CUE_SETTINGS, fingerprint)
        self.write_table(clip, FACES_NAME, face_table(faces), CUE_SETTINGS, fingerprint)

    def cues(self, clip: str) -> FaceCues:
        """The cues of a clip's faces. Raises StoreError if they are missing, stale or damaged."""
        remedy = f"run `quavf cues {self.path}`"
        return read_face_table(self.table(clip, FACES_NAME, FACES_SCHEMA, remedy))

    def sound_cues(self, clip: str) -> SoundCues:
        """The cues of a clip's sound. Raises StoreError if they are missing, stale or damaged."""
        remedy = f"run `quavf cues {self.path}`"
        return read_sound_table(self.table(clip, SOUND_NAME, SOUND_SCHEMA, remedy))

    def has_quality(self, clip: str, scorer: str, settings: dict[str, Any] | None = None) -> bool:
        """Whether a scorer has scored the clip as it is, with these `settings` if given."""
        name = _quality_name(scorer)
        if not self.has_table(clip, name, settings):
            return False
        origin = read_origin(self.folder(clip) / name)
        return origin is not None and origin.n_rows == self.manifest(clip).n_crops

    def write_quality(
        self,
        clip: str,
        scorer: str,
        scores: Floats,
        settings: dict[str, Any],
        fingerprint: str | None = None,
    ) -> None:
        """`scores` (N,), a row of `faces` each, in [0, 1] or NaN when there is none.

        See `write_table`.
        """
        table = pa.table({"quality": pa.array(scores, type=pa.float64(), from_pandas=True)})
        self.write_table(clip, _quality_name(scorer), table, settings, fingerprint)

    def quality(self, clip: str, scorer: str) -> Floats:
        """(N,) scores of one scorer, NaN where it gave none."""
        name, remedy = _quality_name(scorer), f"run `quavf quality {self.path} --scorer {scorer}`"
        if not (self.folder(clip) / name).is_file():
            raise StoreError(f"{self.path}: clip {clip} has no quality from {scorer!r}; {remedy}")
        table = self.table(clip, name, pa.schema([("quality", pa.float64())]), remedy)
        n_crops = self.manifest(clip).n_crops
        if len(table) != n_crops:
            raise StoreError(
                f"{self.folder(clip) / name}: {len(table)} scores for {n_crops} crops; {remedy}"
            )
        return np.asarray(table["quality"].to_numpy())


def _quality_name(scorer: str) -> str:
    assert is_safe_name(scorer), scorer
    return f"quality/{scorer}.parquet"
