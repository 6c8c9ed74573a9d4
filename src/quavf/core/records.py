"""The records that stages exchange.

Conventions of the whole package: boxes are `xyxy` pixels (x right, y down, origin at the top
left corner of the picture); images are RGB uint8 (H, W, 3) unless a name says `bgr`; sound is mono
float32 in [-1, 1] at 16 kHz, stored as 16-bit; frames count from 0 at the start of the clip;
intervals are half-open unless a name says `last`. Person 0 is the camera wearer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Image = npt.NDArray[np.uint8]

WEARER = 0  # person id of the camera wearer
CROP_SIZE = 224  # pixels, both sides of a face crop


class FrameRange:
    """Base of records with the frames from `start_frame` to `last_frame`, inclusive."""

    start_frame: int
    last_frame: int

    def covers(self, frames: Ints) -> npt.NDArray[np.bool_]:
        """(N,) whether each of `frames` (N,) lies inside."""
        return (frames >= self.start_frame) & (frames <= self.last_frame)


@dataclass(frozen=True, order=True)
class Segment(FrameRange):
    """One labelled stretch of speech of one person.

    Faces from `start_frame` to `last_frame`, inclusive, belong to it; its sound ends where
    `last_frame` starts (both as Ego4D annotates and QuAVF reads).
    """

    person: int
    start_frame: int
    last_frame: int
    label: int  # 1: talking to the camera wearer, 0: not

    def __post_init__(self) -> None:
        assert self.label in (0, 1), self.label

    @property
    def n_frames(self) -> int:
        """Frames that can hold a face; 0 or less for a reversed segment."""
        return self.last_frame - self.start_frame + 1


@dataclass(frozen=True, order=True)
class Interval(FrameRange):
    """A stretch of frames, `last_frame` included, in which one person does something."""

    person: int
    start_frame: int
    last_frame: int

    def __post_init__(self) -> None:
        assert 0 <= self.start_frame <= self.last_frame, self


Intervals = tuple[Interval, ...] | None
"""When each person speaks, or looks at the camera wearer; None: not labelled."""

TALKING = "talking"  # label: talks to the camera wearer
Unlabelled = Mapping[str, tuple[Interval, ...]]
"""Stretches of persons whose label is not known, by what is not: talking, speaking or looking."""


@dataclass(frozen=True)
class Track:
    """Where one person's face is: `frames` (N,) ascending and distinct, `boxes` (N, 4) xyxy."""

    frames: Ints
    boxes: Floats

    def __post_init__(self) -> None:
        assert self.boxes.shape == (len(self.frames), 4), (self.boxes.shape, len(self.frames))
        assert bool(np.all(np.diff(self.frames) > 0)), "frames must ascend"


@dataclass(frozen=True)
class TrackRows:
    """One track as annotated: `frames` (N,) in any order, `xywh` (N, 4) pixels."""

    frames: Ints
    xywh: Floats  # left, top, width, height

    def __post_init__(self) -> None:
        assert self.xywh.shape == (len(self.frames), 4), (self.xywh.shape, len(self.frames))


Region = tuple[int, int, int, int]
UNPADDED: Region = (0, CROP_SIZE, 0, CROP_SIZE)


@dataclass(frozen=True)
class CropGeometry:
    """Where one face crop comes from: enough to undo it."""

    box: tuple[float, float, float, float]  # the face, xyxy pixels of the frame
    region: Region  # the part of the frame that was cut out, xyxy pixels
    picture: Region = UNPADDED  # x0, x1, y0, y1: the part of the crop that is not zero padding

    @property
    def size(self) -> tuple[int, int]:
        """Width and height before resizing, pixels."""
        x1, y1, x2, y2 = self.region
        return x2 - x1, y2 - y1


READY_MADE = CropGeometry((0, 0, CROP_SIZE, CROP_SIZE), (0, 0, CROP_SIZE, CROP_SIZE))
"""The geometry of a crop that came as a picture of its own: no frame is known."""


@dataclass(frozen=True)
class MediaFacts:
    """What annotations say of the media that they were made on; None: unknown."""

    fps: Fraction | None = None
    duration_s: float | None = None
    size: tuple[int, int] | None = None  # width and height, pixels
    banner: bool = False  # pictures that are wider than `size` have a banner on their left
    timed: bool = False  # labels were times: pictures are found by them at any frame rate
    relative: bool = False  # boxes are in 0 to 1 of the picture


@dataclass(frozen=True)
class SourceRows:
    """The rows of a dataset's own files that stand for faces of a clip, in file order.

    `text` (N,) is what the dataset calls each row; `person` and `frame` (N,) say whose it is here.
    """

    person: Ints
    frame: Ints
    text: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.person) == len(self.frame) == len(self.text), len(self.text)

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True)
class ClipRecord:
    """A clip as its source knows it, before any media is read."""

    clip: str
    split: str  # "train", "val" or "test"
    media: Path
    segments: tuple[Segment, ...]
    tracks: dict[int, tuple[TrackRows, ...]]  # by person, in file order; the wearer has none
    fingerprint: str  # of the annotations; it changes when they do
    notes: dict[str, int] = field(default_factory=dict)  # what was dropped or corrected, counted
    speaking: Intervals = None  # of everyone, the wearer included
    looking: Intervals = None  # at the wearer
    every: int = 0  # frames between the faces to keep outside labelled segments; 0: none
    facts: MediaFacts = MediaFacts()
    unlabelled: Unlabelled = field(default_factory=dict)
    sound: Path | None = None  # a file of sound instead of the media's own
    channels: tuple[int, ...] = ()  # of that file, from 1; empty: all
    start_s: float = 0.0  # where the clip starts in its media
    end_s: float | None = None  # and ends; None: with the media
    rows: SourceRows | None = None


@dataclass(frozen=True)
class CroppedClip:
    """A clip as its source knows it, whose faces come as pictures, already cropped.

    `geometry` says where each face comes from, by person, then frame; empty: unknown.
    """

    clip: str
    split: str
    faces: dict[int, dict[int, Path]]  # by person, then frame
    sound: Path | None
    fingerprint: str
    notes: dict[str, int] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    geometry: dict[int, dict[int, CropGeometry]] = field(default_factory=dict)
    speaking: Intervals = None
    looking: Intervals = None
    rows: SourceRows | None = None
    unlabelled: Unlabelled = field(default_factory=dict)


@dataclass(frozen=True)
class ClipIndex:
    """All clips that a source can deliver, and how a store keeps them."""

    records: list[ClipRecord] | list[CroppedClip]
    notes: dict[str, int] = field(default_factory=dict)  # of the index as a whole, counted
    semantics: str = "fixed"  # see `quavf.core.semantics`
    framing: str = "grown"  # "grown": crops twice as large as the face; "face": cut at the face


SPLITS = ("train", "val", "test")
