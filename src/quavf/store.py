"""The clip store: what every source writes and every model reads.

    STORE/store.json                     kind, semantics, format version
    STORE/summary.json                   what `prepare` kept, dropped and mended, counted
    STORE/clips/<clip>/clip.json         manifest: split, labels, clock, fingerprints, notes
                       faces.parquet     one row a crop, sorted by person and frame
                       crops.tar         the crops, uncompressed tar of JPEG files
                       sound.wav         16-bit mono 16 kHz; absent when the clip has no sound
                       confidence.parquet   the face detector's; absent where faces were annotated
                       quality/<scorer>.parquet   one score a row of faces.parquet

A clip's folder appears whole or not at all.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import tarfile
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quavf.clock import SAMPLE_RATE, Clock
from quavf.errors import AnnotationError, ConfigError, StoreError
from quavf.files import (
    config_hash,
    is_safe_name,
    read_json,
    replacing,
    replacing_folder,
    user_os_errors,
    write_json,
)
from quavf.records import Array, Floats, Ints, Segment
from quavf.semantics import semantics

log = logging.getLogger(__name__)

FORMAT = 1  # raised when an older reader could misread a store
TAR_BLOCK = 512  # bytes: a member's data starts one block after its header
_ANEW = "delete the clip's folder and prepare again"

SCHEMA = pa.schema(
    [("person", pa.int64()), ("frame", pa.int64()), ("time_s", pa.float64())]
    + [(f"box_{side}", pa.float64()) for side in ("x1", "y1", "x2", "y2")]
    + [(f"region_{side}", pa.int32()) for side in ("x1", "y1", "x2", "y2")]
    + [(f"picture_{side}", pa.int32()) for side in ("x0", "x1", "y0", "y1")]
    + [("offset", pa.int64()), ("size", pa.int64())]
)


@dataclass(frozen=True)
class StoreConfig:
    """What all clips of a store have in common; a store never mixes two of these."""

    kind: str  # "ego4d", "challenge" or "video": where the clips come from
    semantics: str  # "reference" or "fixed": tracks, crops and quality regions
    framing: str  # "grown": crops twice as large as the face box; "face": cut at the box

    @property
    def hash(self) -> str:
        return config_hash({"format": FORMAT, **asdict(self)})


@dataclass(frozen=True)
class Manifest:
    """What is known of one clip beside its crops and sound."""

    clip: str
    split: str
    clock: Clock
    segments: tuple[Segment, ...]  # empty when nothing is labelled
    n_samples: int | None  # None: the clip has no sound
    n_crops: int
    frame_size: tuple[int, int] | None  # width, height, pixels; None: there were no frames
    fingerprint: str  # of annotations and media: another one means that they changed
    config_hash: str
    notes: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        content = asdict(self) | {"clock": str(self.clock.fps)}
        content["segments"] = [
            [s.person, s.start_frame, s.last_frame, s.label] for s in self.segments
        ]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any], where: object) -> Manifest:
        """Raises StoreError that names `where` and the first field that cannot be used."""
        name = "the file"
        try:
            known = {}
            for name, read in _MANIFEST_FIELDS.items():
                known[name] = read(content[name])
            return cls(**known)
        except (LookupError, TypeError, ValueError, ArithmeticError, AssertionError) as error:
            raise StoreError(f"{where}: damaged at {name!r} ({error!r}); {_ANEW}") from None


def _exactly(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"found {value!r:.60}")
        return value

    return read


def _segments(value: list[list[int]]) -> tuple[Segment, ...]:
    return tuple(Segment(*map(int, segment)) for segment in value)


def _size(value: list[int] | None) -> tuple[int, int] | None:
    return None if value is None else (int(value[0]), int(value[1]))


_MANIFEST_FIELDS: dict[str, Callable[[Any], Any]] = {
    "clip": _exactly(str),
    "split": _exactly(str),
    "clock": lambda value: Clock(Fraction(value)),
    "segments": _segments,
    "n_samples": _exactly(int, NoneType),
    "n_crops": _exactly(int),
    "frame_size": _size,
    "fingerprint": _exactly(str),
    "config_hash": _exactly(str),
    "notes": _exactly(dict),
}


@dataclass(frozen=True)
class Faces:
    """The crops of one clip, sorted by person and frame; columns are (N,) or (N, 4)."""

    person: Ints
    frame: Ints
    time_s: Floats
    box: Floats  # as annotated, xyxy pixels of the frame
    region: Ints  # the part of the frame that was cut, xyxy
    picture: Ints  # x0, x1, y0, y1: the part of the crop that is picture and not padding
    offset: Ints  # bytes, of the JPEG in crops.tar
    size: Ints  # bytes

    def __len__(self) -> int:
        return len(self.person)

    def rows_of(self, person: int) -> slice:
        """Where one person's rows are; their frames ascend."""
        first, end = np.searchsorted(self.person, [person, person + 1])
        return slice(int(first), int(end))

    def persons(self) -> list[int]:
        return [int(person) for person in np.unique(self.person)]


class ClipWriter:
    """Writes one clip; nothing is visible until the block of `ClipStore.writing` ends well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: list[tuple[Any, ...]] = []
        self._tar = tarfile.open(folder / "crops.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add_crop(
        self,
        person: int,
        frame: int,
        time_s: float,
        geometry: tuple[Sequence[float], Sequence[int], Sequence[int]],
        jpeg: bytes,
    ) -> None:
        """`geometry`: box (4,), region (4,) and picture (4,), as in `Faces`."""
        member = tarfile.TarInfo(f"{person}/{frame}.jpg")
        member.size = len(jpeg)
        offset = self._tar.offset + TAR_BLOCK
        self._tar.addfile(member, io.BytesIO(jpeg))
        box, region, picture = geometry
        self._rows.append((person, frame, time_s, *box, *region, *picture, offset, len(jpeg)))

    def add_confidences(self, confidences: dict[tuple[int, int], float]) -> None:
        """The face detector's for each crop, by person and frame, in [0, 1]."""
        keys = sorted(row[:2] for row in self._rows)
        column = pa.array([confidences[key] for key in keys], type=pa.float64(), from_pandas=True)
        pq.write_table(pa.table({"confidence": column}), self.folder / "confidence.parquet")

    def add_sound(self, samples: Ints) -> None:
        """(N,) 16-bit mono samples at 16 kHz, from the clip's start."""
        with wave.open(str(self.folder / "sound.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(samples.astype("<i2").tobytes())

    @property
    def n_crops(self) -> int:
        return len(self._rows)

    def finish(self, manifest: Manifest) -> None:
        self._tar.close()
        rows = sorted(self._rows, key=lambda row: row[:2])
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(SCHEMA)
        arrays = [
            pa.array(c, type=f.type, from_pandas=True) for c, f in zip(columns, SCHEMA, strict=True)
        ]
        pq.write_table(pa.table(arrays, schema=SCHEMA), self.folder / "faces.parquet")
        write_json(self.folder / "clip.json", manifest.to_json())

    def close(self) -> None:
        self._tar.close()


class ClipStore:
    """A store on disk. Open it with `ClipStore.open` or `ClipStore.create`."""

    def __init__(self, path: Path, config: StoreConfig) -> None:
        self.path, self.config = Path(path), config

    @classmethod
    def open(cls, path: Path) -> ClipStore:
        """An existing store. Raises StoreError when there is none, or of another version."""
        path = Path(path)
        if not (path / "store.json").is_file():
            raise StoreError(f"{path}: no store here (no store.json); make it with `quavf prepare`")
        try:
            content = read_json(path / "store.json")
            if (version := content.pop("format")) != FORMAT:
                raise StoreError(
                    f"{path}: store format {version}, this version reads {FORMAT}; choose another "
                    "--store and prepare again"
                )
            config = StoreConfig(**content)
            semantics(config.semantics)
        except (AnnotationError, ConfigError, AttributeError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path / 'store.json'}: damaged ({error}); delete the store and prepare again"
            ) from None
        return cls(path, config)

    @classmethod
    def create(cls, path: Path, config: StoreConfig) -> ClipStore:
        """A new store, or the one that is there when it was made with the same settings."""
        path = Path(path)
        if (path / "store.json").is_file():
            store = cls.open(path)
            for name, old in asdict(store.config).items():
                new = getattr(config, name)
                if new != old:
                    raise StoreError(
                        f"{path}: made with {name}={old!r}, now asked for {name}={new!r}; "
                        "choose another --store, or delete this one"
                    )
        else:
            with user_os_errors(path):
                if path.exists() and (not path.is_dir() or any(path.iterdir())):
                    raise StoreError(
                        f"{path}: exists and is not a store; choose a new or empty folder"
                    )
            write_json(path / "store.json", {"format": FORMAT, **asdict(config)})
            store = cls(path, config)
        store._remove_leftovers()
        return store

    def _remove_leftovers(self) -> None:
        """Half-written clips and files of a run that was killed."""
        for leftover in (self.path / "clips").glob(".*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in [*self.path.glob(".*.tmp"), *self.path.glob("clips/*/quality/.*.tmp")]:
            leftover.unlink(missing_ok=True)

    def clips(self, split: str | None = None) -> list[str]:
        """The ids of all finished clips, sorted; of one split if named."""
        ids = sorted(p.parent.name for p in (self.path / "clips").glob("[!.]*/clip.json"))
        return ids if split is None else [c for c in ids if self.manifest(c).split == split]

    def folder(self, clip: str) -> Path:
        assert is_safe_name(clip), clip
        return self.path / "clips" / clip

    def holds(self, clip: str) -> bool:
        """Whether this clip is there, whatever it was made from."""
        return (self.folder(clip) / "clip.json").is_file()

    def has(self, clip: str, fingerprint: str) -> bool:
        """Whether this clip is there and was made from the same annotations and media."""
        return self.holds(clip) and self.manifest(clip).fingerprint == fingerprint

    def manifest(self, clip: str) -> Manifest:
        path = self.folder(clip) / "clip.json"
        if not path.is_file():
            raise StoreError(f"{self.path}: clip {clip} is not in this store")
        try:
            content = read_json(path)
        except AnnotationError as error:
            raise StoreError(f"{error}; {_ANEW}") from None
        manifest = Manifest.from_json(content, path)
        if manifest.clip != clip:
            raise StoreError(f"{path}: this is clip {manifest.clip!r} under another name; {_ANEW}")
        if manifest.config_hash != self.config.hash:
            raise StoreError(f"{path}: made with other settings than the store; {_ANEW}")
        return manifest

    def faces(self, clip: str) -> Faces:
        table = _read_table(self.folder(clip) / "faces.parquet", SCHEMA, _ANEW)
        columns = {name: table[name].to_numpy() for name in SCHEMA.names}

        def four(name: str) -> Array:
            return np.stack([c for n, c in columns.items() if n.startswith(f"{name}_")], axis=1)

        plain = {n: columns[n] for n in ("person", "frame", "time_s", "offset", "size")}
        return Faces(box=four("box"), region=four("region"), picture=four("picture"), **plain)

    def crops_path(self, clip: str) -> Path:
        return self.folder(clip) / "crops.tar"

    def sound(self, clip: str, start: int, end: int) -> Floats:
        """(end - start,) float32 samples in [-1, 1]; fewer where the clip ends before."""
        path = self.folder(clip) / "sound.wav"
        try:
            with wave.open(str(path), "rb") as file:
                file.setpos(min(max(start, 0), file.getnframes()))
                n_samples = max(min(end, file.getnframes()) - max(start, 0), 0)
                data = file.readframes(n_samples)
        except (OSError, EOFError, wave.Error) as error:
            raise StoreError(f"{path}: cannot be read ({error}); {_ANEW}") from None
        if len(data) != 2 * n_samples:
            raise StoreError(f"{path}: cut short; {_ANEW}")
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768

    @contextmanager
    def writing(self, clip: str) -> Iterator[ClipWriter]:
        """Write a clip; call `finish` last. An older version of the clip is replaced."""
        with replacing_folder(self.folder(clip)) as folder:
            writer = ClipWriter(folder)
            try:
                yield writer
            finally:
                writer.close()

    def confidences(self, clip: str) -> Floats | None:
        """(N,) the face detector's, a row of `faces` each; None where faces were annotated."""
        path = self.folder(clip) / "confidence.parquet"
        if not path.is_file():
            return None
        table = _read_table(path, pa.schema([("confidence", pa.float64())]), _ANEW)
        return np.asarray(table["confidence"].to_numpy())

    def scorers(self) -> list[str]:
        """Names of the scorers that have scored every clip, sorted."""
        found = [
            {path.stem for path in (self.folder(clip) / "quality").glob("[!.]*.parquet")}
            for clip in self.clips()
        ]
        return sorted(set.intersection(*found)) if found else []

    def choose_scorer(self, asked: str, trained: str = "") -> str:
        """The scorer to use: the one asked for, the one trained with, or the only one there is.

        Raises StoreError when that leaves none, or several.
        """
        found = self.scorers()
        if asked:
            if asked not in found:
                raise StoreError(
                    f"{self.path}: no quality from {asked!r} for every clip (there is: "
                    f"{', '.join(found) or 'none'}); run `quavf quality {self.path} --scorer "
                    f"{asked}`"
                )
            return asked
        if not found:
            raise StoreError(
                f"{self.path}: the faces have no quality yet; run `quavf quality {self.path}`"
            )
        if trained in found:
            return trained
        if len(found) > 1:
            raise StoreError(
                f"{self.path}: has quality from {', '.join(found)}; choose one with --quality"
            )
        if trained:
            log.warning("trained with quality from %r, predicting with %r", trained, found[0])
        return found[0]

    def has_quality(self, clip: str, scorer: str, settings: dict[str, Any]) -> bool:
        path = self._quality_path(clip, scorer)
        if not path.is_file():
            return False
        return _settings_hash(path) == config_hash(settings)

    def write_quality(
        self, clip: str, scorer: str, scores: Floats, settings: dict[str, Any]
    ) -> None:
        """`scores` (N,), a row of `faces` each, in [0, 1] or NaN when there is none."""
        table = pa.table({"quality": pa.array(scores, type=pa.float64(), from_pandas=True)})
        table = table.replace_schema_metadata({"settings": config_hash(settings)})
        with replacing(self._quality_path(clip, scorer)) as temporary:
            pq.write_table(table, temporary)

    def quality(self, clip: str, scorer: str) -> Floats:
        """(N,) scores of one scorer, NaN where it gave none."""
        path = self._quality_path(clip, scorer)
        remedy = f"run `quavf quality {self.path} --scorer {scorer}`"
        if not path.is_file():
            raise StoreError(f"{self.path}: clip {clip} has no quality from {scorer!r}; {remedy}")
        table = _read_table(path, pa.schema([("quality", pa.float64())]), remedy)
        return np.asarray(table["quality"].to_numpy())

    def _quality_path(self, clip: str, scorer: str) -> Path:
        assert is_safe_name(scorer), scorer
        return self.folder(clip) / "quality" / f"{scorer}.parquet"


class CropReader:
    """JPEG bytes of a clip's crops by row of its faces; opens the tar once, when first used."""

    def __init__(self, store: ClipStore, clip: str, faces: Faces) -> None:
        self.path, self.faces = store.crops_path(clip), faces
        self._descriptor: int | None = None

    def read(self, row: int) -> bytes:
        size = int(self.faces.size[row])
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDONLY)
            data = os.pread(self._descriptor, size, int(self.faces.offset[row]))
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error.strerror}); {_ANEW}") from None
        if len(data) != size:
            raise StoreError(f"{self.path}: cut short; {_ANEW}")
        return data

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}  # each process opens its own


def _settings_hash(path: Path) -> str:
    """Of a quality table; empty when it is damaged, so that it is made again."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return ""
    return str(metadata.get(b"settings", b"").decode())


def _read_table(path: Path, schema: pa.Schema, remedy: str) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None).select(schema.names).cast(schema)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); {remedy}") from None
