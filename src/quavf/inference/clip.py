"""One clip of a store, read as far as it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quavf.core.errors import StoreError
from quavf.core.records import CROP_SIZE, TALKING, Array, Image, Ints
from quavf.core.windows import Span, spans
from quavf.faces.crop import decode_jpeg
from quavf.store import ClipStore, CropReader, Faces, Manifest


@dataclass
class ClipData:
    """One clip of a store, read as far as it is needed."""

    store: ClipStore
    clip: str
    all_faces: bool = False  # spans hold all faces, not only those in labelled segments

    @cached_property
    def manifest(self) -> Manifest:
        return self.store.manifest(self.clip)

    @cached_property
    def faces(self) -> Faces:
        return self.store.faces(self.clip)

    @cached_property
    def spans(self) -> list[Span]:
        frames = {p: self.faces.frame[self.faces.rows_of(p)] for p in self.faces.persons()}
        return spans(() if self.all_faces else self.manifest.segments, frames)

    @property
    def turns(self) -> list[Ints]:
        """The rows of `faces` of each span, if spans are labelled turns; else nothing.

        They are not if all faces are scored, or where stretches of silence are labelled, too: that
        the person talks must not be taken for granted then, nor read from the labels.
        """
        if self.all_faces or TALKING in self.manifest.unlabelled:
            return []
        return [np.arange(part.start, part.stop) for part in map(self.rows, self.spans)]

    def rows(self, span: Span) -> slice:
        """The rows of `faces` inside a span."""
        own = self.faces.rows_of(span.person)
        inside = span.rows(self.faces.frame[own])
        return slice(own.start + inside.start, own.start + inside.stop)

    def scored_mask(self) -> Array:
        """(N,) mask of the faces inside any span: those that get a score."""
        mask = np.zeros(len(self.faces), bool)
        for span in self.spans:
            mask[self.rows(span)] = True
        return mask


def load_picture(reader: CropReader, row: int) -> Image:
    """(224, 224, 3) RGB, one stored crop. Raises StoreError when it is damaged."""
    picture = decode_jpeg(reader.read(row))
    if picture is None or picture.shape != (CROP_SIZE, CROP_SIZE, 3):
        raise StoreError(
            f"{reader.path}: crop {row} is damaged; delete the clip's folder and prepare again"
        )
    return picture
