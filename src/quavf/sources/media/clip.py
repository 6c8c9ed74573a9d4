"""Pictures of a video by frame number, as annotations count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from quavf.core.clock import Clock
from quavf.sources.media.file import LONGEST_HOLD_S, VideoFile, open_video_file
from quavf.sources.media.pictures import Frame
from quavf.sources.media.pixels import Size

NEARLY_CONSTANT = Fraction(1, 100)  # average and nominal rate differ by less: gaps, not VFR
VARIABLE_RATE = "clips with a variable frame rate"
OTHER_RATE = "clips whose frame rate is not the annotated one, read by their times"


@dataclass
class ClipVideo:
    """A video read by frame numbers of a clock; `open_clip_video` opens one."""

    file: VideoFile
    clock: Clock
    holds: bool  # a picture stays until the next one, as at a variable rate
    clip_notes: Counter[str] = field(default_factory=Counter)

    @property
    def size(self) -> Size:
        """Width and height as shown, pixels."""
        return self.file.size

    @property
    def notes(self) -> Counter[str]:
        return self.clip_notes + self.file.notes

    def pictures(self, frames: set[int], first: int = 0) -> Iterator[tuple[int, Frame]]:
        """The pictures of some frames, in order, in one decoding pass.

        A frame shows the picture that is on screen at its time. Frames that cannot be decoded are
        left out. All are at or after `first`: what is long before it is not decoded.
        """
        hold = int(LONGEST_HOLD_S * self.clock.fps) if self.holds else 0
        last_frame = max(frames, default=-1)
        shown: tuple[int, Frame] | None = None
        for picture in self.file.pictures(first / self.clock.fps):
            frame = self.clock.s_to_frame(picture.time)
            if shown is not None:
                if frame <= shown[0]:  # faster than the clock
                    continue
                yield from _repeat(*shown, min(frame - shown[0] - 1, hold), frames)
                if shown[0] >= last_frame:
                    return
            shown = frame, picture
        if shown is not None:
            yield from _repeat(*shown, 0, frames)


def open_clip_video(path: Path, fps: Fraction | None = None, *, timed: bool = False) -> ClipVideo:
    """Open the video of a clip. Raises MediaError saying what is wrong with the file.

    `fps` is the frame rate of its annotations; where the file has another one, or where `timed`
    says that they were times, its pictures are found by their times.
    """
    file = open_video_file(path)
    average, nominal = file.rates
    notes: Counter[str] = Counter()
    rate = Fraction(nominal or average or Clock().fps)
    holds = bool(average and nominal and average != nominal)
    if average and nominal and abs(average - nominal) > nominal * NEARLY_CONSTANT:
        rate = Clock().fps  # a variable rate has no frame numbers of its own
        notes[VARIABLE_RATE] += 1
    if fps is not None and abs(fps - rate) > rate * NEARLY_CONSTANT:
        rate, holds = fps, True
        notes[OTHER_RATE] += 1
    if fps is not None and timed:
        rate, holds = fps, True
    return ClipVideo(file, Clock(rate), holds, notes)


def _repeat(first: int, shown: Frame, n_more: int, frames: set[int]) -> Iterator[tuple[int, Frame]]:
    for frame in range(first, first + n_more + 1):
        if frame in frames:
            yield frame, shown
