"""The media that users really have, made small: how to make each, and what must come of it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from quavf.sources.config import MediaOptions
from quavf.sources.media.file import ANOTHER_SIZE, ENDS_EARLY, LONG_STRETCH, OUT_OF_ORDER
from quavf.sources.media.sound import (
    EARLY,
    GAPS,
    OPPOSITE,
    OVERLAPS,
    PASSED_OVER,
    SEVERAL,
    SILENT_TRACK,
    UNKNOWN,
)
from quavf.sources.media.timeline import ALONE, JOINED, STRAY
from tests.helpers.cue_media import SIZE, beep, remux, write_cue
from tests.helpers.data import ROOT
from tests.helpers.face_videos import turn
from tests.helpers.media_files import cut_short, damage, damage_sound

SUPPORTED, REPAIRED, REFUSED = "supported", "repaired, with a note", "refused, with a message"
DAMAGED = "damaged packets"
F = Fraction
Make = Callable[[Path], object]


@dataclass(frozen=True)
class Kind:
    """One kind of media.

    Args:
        title: As the documentation lists it.
        name: File name.
        make: Writes the file.
        notes: What must be noted, and nothing else; `also` may be.
        message: Part of the error's message; the file is refused.
        size: As shown.
        span_s: From first to last picture; None: not asserted.
        cue_s: When square and beep begin; `square`, `beep`: whether they can be perceived.
        slow: Whether it takes more than a moment.
    """

    title: str
    name: str
    make: Make
    notes: Sequence[str] = ()
    also: Sequence[str] = ()
    message: str = ""
    size: tuple[int, int] = SIZE
    span_s: float | None = 1.567
    cue_s: float | None = 0.8
    square: bool = True
    beep: bool = True
    options: MediaOptions = field(default_factory=MediaOptions)
    slow: bool = False

    @property
    def result(self) -> str:
        return REFUSED if self.message else REPAIRED if self.notes else SUPPORTED


def encoded(**how: Any) -> Make:
    return lambda path: write_cue(path, **how)


def plain(title: str, name: str, **how: Any) -> Kind:
    """A file that is as it should be."""
    return Kind(title, name, encoded(**how), beep=how.get("sound", "aac") is not None)


# Containers and codecs -------------------------------------------------------------------------

CODECS = [
    plain("MP4: H.264, AAC", "h264.mp4"),
    plain("MP4: H.265, AAC", "h265.mp4", video="libx265"),
    plain("MP4: H.264, MP3", "mp3.mp4", sound="mp3"),
    plain("MP4: MPEG-4 part 2 (`.m4v`)", "part2.m4v", video="mpeg4"),
    plain("MP4 for Flash (`.f4v`)", "flash.f4v"),
    Kind(
        "MP4 in fragments, as streaming services write it",
        "fragments.mp4",
        encoded(mux={"movflags": "frag_keyframe+empty_moov"}),
        [EARLY],
        [GAPS],
    ),
    plain("QuickTime: H.264, PCM", "pcm.mov", sound="pcm_s16le"),
    plain("QuickTime: ProRes 4:2:2, PCM of 24 bits", "prores.mov", video="prores_ks",
          pix_fmt="yuv422p10le", sound="pcm_s24le"),
    plain("QuickTime: Animation, Apple Lossless", "rle.mov", video="qtrle", pix_fmt="rgb24",
          sound="alac"),
    plain("QuickTime: PNG pictures, telephone sound (µ-law, 8 kHz)", "png.mov", video="png",
          pix_fmt="rgb24", sound="pcm_mulaw", rate=8000),
    plain("Matroska: H.264, FLAC", "flac.mkv", sound="flac"),
    plain("Matroska: H.264, E-AC-3", "eac3.mkv", sound="eac3"),
    plain("Matroska: H.264, WavPack", "wavpack.mkv", sound="wavpack"),
    plain("Matroska: H.264, floating-point PCM", "float.mkv", sound="pcm_f32le"),
    plain("Matroska: FFV1, TTA (lossless)", "ffv1.mkv", video="ffv1", sound="tta"),
    plain("Matroska: JPEG 2000, Opus", "j2k.mkv", video="jpeg2000", sound="libopus"),
    plain("Matroska: AV1, Opus", "av1.mkv", video="libsvtav1", sound="libopus"),
    plain("WebM: VP8, Opus", "vp8.webm", video="libvpx", sound="libopus"),
    plain("WebM: VP9, Opus", "vp9.webm", video="libvpx-vp9", sound="libopus"),
    plain("AVI: MPEG-4 part 2, MP3", "divx.avi", video="mpeg4", sound="mp3"),
    plain("AVI: Motion JPEG, PCM", "mjpeg.avi", video="mjpeg", pix_fmt="yuvj420p",
          sound="pcm_s16le"),
    plain("AVI: HuffYUV, PCM", "huffyuv.avi", video="huffyuv", pix_fmt="yuv422p",
          sound="pcm_s16le"),
    plain("AVI: Ut Video, PCM of 8 bits", "ut.avi", video="utvideo", sound="pcm_u8"),
    plain("AVI: raw pictures, ADPCM", "raw.avi", video="rawvideo", sound="adpcm_ms"),
    plain("AVI: Microsoft Video 1, PCM", "msvideo1.avi", video="msvideo1", pix_fmt="rgb555le",
          sound="pcm_s16le"),
    plain("AVI: Snow, MP2", "snow.avi", video="snow", sound="mp2"),
    plain("MPEG transport stream: H.264, AAC", "h264.ts"),
    plain("MPEG transport stream: MPEG-2, MP2", "mpeg2.ts", video="mpeg2video", sound="mp2"),
    plain("MPEG program stream: MPEG-1, MP2", "mpeg1.mpg", video="mpeg1video", sound="mp2"),
    plain("DVD (`.vob`): MPEG-2, AC-3", "dvd.vob", video="mpeg2video", sound="ac3"),
    plain("Flash: Sorenson, MP3", "sorenson.flv", video="flv", sound="mp3", rate=44_100),
    plain("Flash: H.264, AAC", "h264.flv"),
    plain("Flash movie (`.swf`)", "movie.swf", video="flv", sound="mp3", rate=44_100),
    Kind("Windows Media: WMV 8, WMA", "wmv.wmv",
         encoded(video="wmv2", sound="wmav2", channels=2, rate=44_100), also=[GAPS]),
    Kind("Old phones (`.3gp`): H.263, AMR, pixels of 12:11", "phone.3gp",
         encoded(video="h263", sound="libopencore_amrnb", rate=8000, size=(176, 144)),
         size=(192, 144)),
    plain("MXF: MPEG-2, PCM", "camera.mxf", video="mpeg2video", sound="pcm_s16le", gop=12),
    plain("Windows TV recording (`.wtv`)", "tv.wtv", video="mpeg2video", sound="mp2"),
    plain("NUT: FFV1, PCM", "nut.nut", video="ffv1", sound="pcm_s16le"),
    plain("Motion pictures without a sound track (MP4)", "mute.mp4", sound=None),
    plain("IVF: VP8", "vp8.ivf", video="libvpx", sound=None),
    plain("YUV4MPEG", "raw.y4m", video="wrapped_avframe", sound=None),
    Kind("Animated GIF", "moving.gif",
         encoded(video="gif", pix_fmt="rgb8", sound=None, fps=F(25)), span_s=1.56, beep=False),
    plain("Animated PNG", "moving.apng", video="apng", pix_fmt="rgb24", sound=None),
    Kind("Bare H.264, without time stamps (taken as 25 a second)", "bare.h264",
         encoded(sound=None), span_s=1.88, cue_s=0.96, beep=False),
    Kind("Bare Motion JPEG, without time stamps (taken as 25 a second)", "bare.mjpeg",
         encoded(video="mjpeg", pix_fmt="yuvj420p", sound=None), span_s=1.88, cue_s=0.96,
         beep=False),
]  # fmt: skip


# Pictures --------------------------------------------------------------------------------------


def oblong(stored: tuple[int, int], pixel: F) -> Make:
    return encoded(stored=stored, tags={"sample_aspect_ratio": pixel})


def turned(degrees: int) -> Make:
    """Stored turned back, so that a player that turns it shows it upright."""

    def make(path: Path) -> None:
        write_cue(path, change=lambda p: np.rot90(p, degrees // 90))
        turn(path, degrees)

    return make


def mirrored(path: Path) -> None:
    write_cue(path, change=np.fliplr)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    data[at : at + 36] = struct.pack(">9i", -(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def resized(second: tuple[int, int]) -> Make:
    """A recording of a call: from half-way on, pictures of another size in the same stream."""

    def make(path: Path) -> None:
        times = [k / 30 for k in range(48)]
        parts = [path.with_name("one.webm"), path.with_name("two.webm")]
        how: dict[str, Any] = {"video": "libvpx", "sound": "libopus"}
        write_cue(parts[0], times=tuple(times[:12]), **how)
        write_cue(parts[1], times=tuple(times[12:]), size=second, **{**how, "sound": None})
        with (
            av.open(str(parts[0])) as one,
            av.open(str(parts[1])) as two,
            av.open(str(path), "w") as out,
        ):
            video = out.add_stream_from_template(one.streams.video[0])
            sound = out.add_stream_from_template(one.streams.audio[0])
            packets: list[tuple[Any, Any]] = [
                (p, sound if p.stream.type == "audio" else video) for p in one.demux()
            ]
            packets += [(p, video) for p in two.demux(video=0)]
            stamped = [item for item in packets if item[0].pts is not None]
            for packet, stream in sorted(stamped, key=lambda item: item[0].pts * item[0].time_base):
                packet.dts = packet.pts if stream is video else packet.dts
                packet.stream = stream
                out.mux(packet)

    return make


PICTURES = [
    plain("10 bits", "10bit.mp4", pix_fmt="yuv420p10le"),
    plain("4:4:4", "444.mp4", pix_fmt="yuv444p"),
    plain("RGB", "rgb.mkv", video="libx264rgb", pix_fmt="rgb24", sound="flac"),
    plain("Full range", "full.mp4", pix_fmt="yuvj420p"),
    plain("Transparency (VP9)", "alpha.webm", video="libvpx-vp9", pix_fmt="yuva420p",
          sound="libopus"),
    Kind("Grey (no face of the test's colour to see)", "grey.mkv",
         encoded(video="ffv1", pix_fmt="gray", sound="flac"), square=False),
    Kind("Odd width and height", "odd.mkv", encoded(video="ffv1", size=(97, 73), sound="flac"),
         size=(97, 73)),
    Kind("Turned by metadata, 90°", "turned90.mp4", turned(90)),
    Kind("Turned by metadata, 180°", "turned180.mp4", turned(180)),
    Kind("Turned by metadata, 270°", "turned270.mp4", turned(270)),
    Kind("Mirrored by metadata", "mirrored.mp4", mirrored),
    Kind("On its side without metadata: `--turn 90`", "sideways.mp4",
         encoded(change=lambda p: np.rot90(p, 1)),
         options=MediaOptions(turn=90)),
    Kind("Pixels twice as wide as high", "anamorphic.mp4", oblong((48, 72), F(2))),
    Kind("Pixels twice as high as wide", "tall.mp4", oblong((96, 36), F(1, 2))),
    Kind("Oblong pixels in Matroska", "anamorphic.mkv", oblong((48, 72), F(2))),
    Kind("Resolution changes (calls)", "smaller.webm", resized((48, 36)), [ANOTHER_SIZE]),
    Kind("Resolution and proportions change (calls)", "upright.webm", resized((72, 96)),
         [ANOTHER_SIZE]),
]  # fmt: skip


# Times -----------------------------------------------------------------------------------------

VARIABLE = tuple(t / 30 for t in (0, 1, 2, 5, 6, 7, 11, 12, 20, 22, 24, 25, 26, 30, 31, 40, 47))


def joined(back: bool) -> Make:
    """Two recordings one after the other, as `cat` joins them; the cue is in the second."""

    def make(path: Path) -> None:
        first = path.with_suffix(".first.ts")
        half: dict[str, Any] = {"times": tuple(k / 30 for k in range(24)), "seconds": 0.79}
        write_cue(first, start_s=5000.0 if back else 0.0, **half)
        write_cue(
            path.with_suffix(".second.ts"),
            sounds=[beep(1.6, 48_000)[:, 38_400:]],
            times=tuple(k / 30 for k in range(24, 48)),
            start_s=-0.8,
            sound_s=0.8,
        )
        path.write_bytes(first.read_bytes() + path.with_suffix(".second.ts").read_bytes())

    return make


def moved(suffix: str, change: Callable[[Any, float, int], float | None], **how: Any) -> Make:
    """Copy a file with time stamps changed by `change(packet, time in s, stream)`; None drops."""

    def make(path: Path) -> None:
        whole = write_cue(path.with_name(f"whole{suffix}"), **{"options": {"bf": "0"}, **how})

        def shift(packet: Any, number: int, index: int) -> Any:
            later_s = change(packet, float(packet.pts * packet.time_base), index)
            if later_s is None:
                return None
            packet.pts += round(later_s / packet.time_base)
            packet.dts = packet.pts
            return packet

        remux(whole, path, shift)

    return make


def cut_mid_group(path: Path) -> None:
    """A broadcast recorded from the middle of a group of pictures on."""
    whole = write_cue(path.with_name("whole.ts"), gop=12).read_bytes()
    packets = [whole[at : at + 188] for at in range(0, len(whole), 188)]
    tables = [p for p in packets if struct.unpack_from(">H", p, 1)[0] & 0x1FFF in (0, 17, 4096)]
    path.write_bytes(b"".join([*tables[:3], *packets[len(packets) // 6 :]]))


PCM: dict[str, Any] = {"sound": "pcm_s16le"}
TIMES = [
    Kind("23.976 pictures a second", "23976.mp4", encoded(fps=F(24_000, 1001)), cue_s=0.82),
    plain("25 pictures a second", "25.mp4", fps=F(25)),
    plain("29.97 pictures a second", "2997.mp4", fps=F(30_000, 1001)),
    plain("50 pictures a second", "50.mp4", fps=F(50)),
    plain("60 pictures a second", "60.mp4", fps=F(60)),
    plain("120 pictures a second", "120.mp4", fps=F(120)),
    Kind("Variable frame rate", "variable.mp4", encoded(times=VARIABLE), cue_s=None),
    Kind("1 picture a second", "1fps.mp4", encoded(fps=F(1), seconds=6), span_s=5.0, cue_s=None),
    Kind("One picture in 2 seconds", "halffps.mp4", encoded(fps=F(1, 2), seconds=12), span_s=10.0,
         cue_s=None),
    Kind("Time stamps that begin at 5000 s", "late.ts", encoded(start_s=5000.0)),
    Kind("Pictures that begin late (MP4)", "lateones.mp4",
         encoded(times=tuple(0.3 + k / 30 for k in range(39))), [EARLY], span_s=1.267, cue_s=0.5),
    Kind("Pictures that begin late (Matroska)", "lateones.mkv",
         encoded(times=tuple(0.3 + k / 30 for k in range(39)), **PCM), [EARLY], span_s=1.267,
         cue_s=0.5),
    Kind("Sound that begins late", "latesound.mkv",
         lambda path: write_cue(path, sounds=[beep(1.6, 48_000)[:, 24_000:]], sound_s=0.5, **PCM),
         [GAPS]),
    Kind("Broadcast cut in the middle of a group of pictures", "midgroup.ts", cut_mid_group,
         also=[EARLY, DAMAGED], span_s=None, cue_s=None),
    Kind("Recordings joined, time starts again", "restart.ts", joined(False), [JOINED], [GAPS]),
    Kind("Recordings joined, time jumps back", "back.ts", joined(True), [JOINED], [GAPS]),
    Kind("Pictures and sound pause for 700 s", "pause.mkv",
         moved(".mkv", lambda p, t, i: 700 if t >= 0.6 else 0, **PCM), [GAPS, LONG_STRETCH],
         span_s=701.567, cue_s=700.8),
    Kind("Pictures and sound jump by a day", "day.mkv",
         moved(".mkv", lambda p, t, i: 86_400 if t >= 0.6 else 0, **PCM), [JOINED]),
    Kind("Pictures freeze for 5 s", "freeze.mkv",
         encoded(times=(*(k / 30 for k in range(30)), *(6 + k / 30 for k in range(5))), seconds=6.2,
                 **PCM), [LONG_STRETCH], span_s=None),
    Kind("A gap in the sound", "gap.mkv",
         moved(".mkv", lambda p, t, i: None if i == 1 and 0.2 <= t < 0.5 else 0, **PCM), [GAPS]),
    Kind("Sound that overlaps", "overlap.ts",
         lambda path: write_overlap(path), [OVERLAPS, OUT_OF_ORDER]),
    Kind("A time stamp that strays", "stray.ts", lambda path: write_stray(path), [STRAY]),
    Kind("The sound's time stamps jump by a day", "soundday.mkv",
         moved(".mkv", lambda p, t, i: 86_400 if i == 1 and t >= 0.5 else 0, **PCM), [ALONE]),
]  # fmt: skip


def write_overlap(path: Path) -> None:
    """Two segments of a stream; the second repeats the last 0.2 s of the first."""
    parts = path.with_suffix(".first.ts"), path.with_suffix(".second.ts")
    no_delay: dict[str, Any] = {"options": {"bf": "0"}}
    write_cue(parts[0], times=tuple(k / 30 for k in range(24)), seconds=0.8, **no_delay)
    rest, times = beep(1.6, 48_000)[:, 28_800:], tuple(k / 30 for k in range(18, 48))
    write_cue(parts[1], sounds=[rest], sound_s=0.6, times=times, **no_delay)
    path.write_bytes(parts[0].read_bytes() + parts[1].read_bytes())


def write_stray(path: Path) -> None:
    """One packet of sound with the time stamp of another day."""
    data = bytearray(write_cue(path, sound="mp2").read_bytes())
    begins_sound = 0x4101  # a packet of the second stream in which a frame begins
    starts = [
        at
        for at in range(0, len(data), 188)
        if struct.unpack_from(">H", data, at + 1)[0] == begins_sound
    ]
    header = data.index(b"\0\0\1\xc0", starts[len(starts) // 3])
    stamp = 50_000 * 90_000 % (1 << 33)
    parts = (0x21 | stamp >> 29 & 0x0E, stamp >> 22, stamp >> 14 | 1, stamp >> 7, stamp << 1 | 1)
    data[header + 9 : header + 14] = bytes(part & 0xFF for part in parts)
    path.write_bytes(data)


# Streams ---------------------------------------------------------------------------------------


def streams(*parts: tuple[str, dict[str, Any]], default: int | None = None, **options: Any) -> Make:
    """The streams of several files in one, in this order: (kind, how to encode its file).

    `default` is the position of the one flagged default; without it, flags are as the format
    sets them.
    """

    def make(path: Path) -> None:
        sources = []
        for k, (_, how) in enumerate(parts):
            whole = write_cue(path.with_name(f"part{k}.mkv"), **how)
            sources.append(av.open(str(whole)))
        with av.open(str(path), "w", **options) as out:
            packets: list[tuple[float, Any, Any]] = []
            for k, ((kind, _), source) in enumerate(zip(parts, sources, strict=True)):
                template = getattr(source.streams, kind)[0]
                stream = out.add_stream_from_template(template)
                if default is not None:
                    stream.disposition = Disposition.default if k == default else Disposition(0)
                for packet in source.demux(template):
                    if packet.pts is not None:
                        order = packet.dts if packet.dts is not None else packet.pts
                        packets.append((float(order * packet.time_base), packet, stream))
            for _, packet, stream in sorted(packets, key=lambda item: item[0]):
                packet.stream = stream
                out.mux(packet)
        for source in sources:
            source.close()

    return make


VIDEO: tuple[str, dict[str, Any]] = ("video", {"sound": None, "options": {"bf": "0"}})
HEARD: tuple[str, dict[str, Any]] = ("audio", {"video": "mpeg4", "sound": "pcm_s16le"})
SILENCE: tuple[str, dict[str, Any]] = (
    "audio",
    {"video": "mpeg4", "sound": "pcm_s16le", "sounds": [np.zeros((1, 76_800), np.float32)]},
)
PREVIEW: tuple[str, dict[str, Any]] = (
    "video",
    {"video": "mjpeg", "pix_fmt": "yuvj420p", "sound": None, "seconds": 1 / 30, "size": (64, 64)},
)
BROKEN_CODEC = b"A_ZZZ/INT/LIT"  # in place of A_PCM/INT/LIT


def with_cover(path: Path) -> None:
    """The cover picture is stream 0, as music programs and phones put it."""
    copy_with_cover(streams(PREVIEW, VIDEO, HEARD, format="matroska"), path)


def copy_with_cover(make: Make, path: Path) -> None:
    """Make a file, and copy it with its first stream marked as the cover picture."""
    whole = path.with_name("whole.mkv")
    make(whole)
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        pairs = {s.index: out.add_stream_from_template(s) for s in source.streams}
        pairs[0].disposition = Disposition.attached_pic
        for packet in source.demux():
            if packet.pts is not None:
                packet.stream = pairs[packet.stream_index]
                out.mux(packet)


def unknown_sound(first: bool) -> Make:
    """One of two sound tracks is of a kind that nothing can decode."""

    def make(path: Path) -> None:
        other = ("audio", {"video": "mpeg4", "sound": "flac"})
        streams(VIDEO, *([HEARD, other] if first else [other, HEARD]))(path)
        path.write_bytes(path.read_bytes().replace(b"A_PCM/INT/LIT", BROKEN_CODEC))

    return make


def opposite(path: Path) -> None:
    sound = beep(1.6, 48_000)
    write_cue(path, sounds=[np.concatenate([sound, -sound])], **PCM)


def one_sided(path: Path) -> None:
    sound = beep(1.6, 48_000)
    write_cue(path, sounds=[np.concatenate([sound, 0 * sound])], **PCM)


STREAMS = [
    Kind("A cover picture before the video", "cover.mp4", with_cover),
    Kind("A preview of one picture before the video, not marked as cover", "preview.mkv",
         streams(PREVIEW, VIDEO, HEARD)),
    Kind("Two videos, the second flagged default", "second.mkv",
         streams(("video", {**VIDEO[1], "size": (64, 48)}), VIDEO, HEARD, default=1)),
    Kind("Two sound tracks, the second flagged default", "default.mkv",
         streams(VIDEO, SILENCE, HEARD, default=2), [SEVERAL.format(2)]),
    Kind("Two sound tracks, the first silent", "silent.mkv", streams(VIDEO, SILENCE, HEARD),
         [SEVERAL.format(2), SILENT_TRACK]),
    Kind("Two sound tracks, both with sound: the first", "both.mkv", streams(VIDEO, HEARD, HEARD),
         [SEVERAL.format(1)]),
    Kind("Two sound tracks: `--audio-track 2`", "chosen.mkv", streams(VIDEO, SILENCE, HEARD),
         options=MediaOptions(audio_track=2)),
    Kind("`--audio-track 3` of two tracks", "missing.mkv", streams(VIDEO, SILENCE, HEARD),
         message="no sound track 3 that can be decoded", options=MediaOptions(audio_track=3)),
    Kind("A second sound track without decoder (spatial audio of phones)", "spatial.mkv",
         unknown_sound(False), [PASSED_OVER]),
    Kind("A first sound track without decoder", "spatial1.mkv", unknown_sound(True), [PASSED_OVER]),
    Kind("The only sound track without decoder", "unknown.mkv",
         lambda path: (write_cue(path, **PCM), path.write_bytes(
             path.read_bytes().replace(b"A_PCM/INT/LIT", BROKEN_CODEC))), [UNKNOWN], beep=False),
    Kind("Left and right channel cancel each other", "opposite.mov", opposite, [OPPOSITE]),
    Kind("Sound on the left channel alone", "left.mov", one_sided),
    plain("Stereo", "stereo.mp4", channels=2),
    plain("Surround sound, 5.1", "surround.mkv", sound="flac", channels=6),
    plain("Sound at 6 kHz", "6khz.mov", sound="pcm_s16le", rate=6000),
    Kind("Sound at 11 kHz (MP3)", "11khz.avi",
         encoded(video="mpeg4", sound="mp3", rate=11_025), span_s=None, cue_s=0.92),
    plain("Sound at 96 kHz", "96khz.mkv", sound="flac", rate=96_000),
    Kind("Silent throughout", "silence.mp4",
         lambda path: write_cue(path, sounds=[np.zeros((1, 76_800), np.float32)]), beep=False),
]  # fmt: skip


# Damage ----------------------------------------------------------------------------------------


def holding(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def sound_only(path: Path) -> None:
    streams(HEARD)(path)


def unknown_video(path: Path) -> None:
    write_cue(path)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))


KEY = "00112233445566778899aabbccddeeff"
ENCRYPTION = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": KEY,
    "encryption_kid": KEY,
}
FASTSTART: dict[str, Any] = {"mux": {"movflags": "faststart"}}
LONG = tuple(k / 30 for k in range(90))
DAMAGE = [
    Kind("Cut short, with the index in front (MP4)", "cut.mp4",
         lambda path: cut_short(write_cue(path, sounds=[beep(1.6, 48_000)], seconds=1.6,
                                          times=LONG, **FASTSTART), 0.5),
         [ENDS_EARLY], [DAMAGED], span_s=None, cue_s=None),
    Kind("Cut short, with the index at the end (MP4)", "noindex.mp4",
         lambda path: cut_short(write_cue(path), 0.5), message="download or export it again"),
    Kind("Cut short (Matroska)", "cut.mkv",
         lambda path: cut_short(write_cue(path, times=LONG, **PCM), 0.5),
         [ENDS_EARLY], [DAMAGED], span_s=None, cue_s=None),
    Kind("Cut short (transport stream)", "cut.ts",
         lambda path: cut_short(write_cue(path), 0.9), also=[DAMAGED], span_s=None),
    Kind("Damaged in the middle", "middle.mp4",
         lambda path: damage(write_cue(path, **FASTSTART), 0.45, 0.5), [DAMAGED],
         [GAPS, LONG_STRETCH, OVERLAPS], cue_s=None, span_s=None),
    Kind("Damaged sound", "sound.mp4", lambda path: damage_sound(write_cue(path)), [DAMAGED],
         [GAPS, OVERLAPS]),
    Kind("Damaged all over", "all.mp4", lambda path: damage(write_cue(path, **FASTSTART), 0, 1),
         message="not a single picture can be decoded"),
    Kind("Encrypted (DRM)", "drm.mp4", encoded(mux=ENCRYPTION), message="the video is encrypted"),
    Kind("Video of an unknown kind", "zzzz.mp4", unknown_video, message="of an unknown kind"),
    Kind("Sound only", "sound.mka", sound_only, message="no video in this file; is it sound only"),
    Kind("Sound with a cover picture", "song.mp4",
         lambda path: song_with_cover(path), message="no video in this file but a cover picture"),
    Kind("A single picture", "still.mp4", encoded(times=(0.0,), sound=None), span_s=0, cue_s=None,
         beep=False),
    Kind("An empty file", "empty.mp4", holding(b""), message="not a readable media file"),
    Kind("A web page saved as a video", "page.mp4", holding(b"<html>404 not found</html>" * 50),
         message="not a readable media file"),
    Kind("A text file", "text.mp4", holding(b"Dear diary,\n" * 100),
         message="not a readable media file"),
    Kind("Zeros, as a full disk leaves them", "zeros.mp4", holding(b"\0" * 5000),
         message="not a readable media file"),
    Kind("A ZIP archive", "archive.mp4", holding(b"PK\3\4" + bytes(range(256)) * 20),
         message="not a readable media file"),
    Kind("A folder", "folder.mp4", lambda path: path.mkdir(), message="a folder, not a media file"),
    Kind("A file that is not there", "gone.mp4", lambda path: None, message="no such file"),
]  # fmt: skip


def song_with_cover(path: Path) -> None:
    copy_with_cover(streams(PREVIEW, HEARD), path)


GROUPS = {
    "Containers and codecs": CODECS,
    "Pictures": PICTURES,
    "Times": TIMES,
    "Streams": STREAMS,
    "Damage, and what is no video": DAMAGE,
}
KINDS = [kind for group in GROUPS.values() for kind in group]


# The table in the documentation ----------------------------------------------------------------

PAGE = ROOT / "docs" / "reference" / "media.md"
START, END = "<!-- kinds -->\n", "<!-- end of kinds -->"


def render_table() -> str:
    """All kinds as Markdown, with what becomes of them."""
    counts = {r: sum(k.result == r for k in KINDS) for r in (SUPPORTED, REPAIRED, REFUSED)}
    lines = [f"{len(KINDS)} kinds: " + "; ".join(f"{n} {r}" for r, n in counts.items()) + "."]
    for title, group in GROUPS.items():
        lines += ["", f"### {title}", "", "| media | result | note or message |", "|---|---|---|"]
        for kind in group:
            said = kind.message or "; ".join(kind.notes)
            lines.append(f"| {kind.title} | {kind.result.split(',')[0]} | {said} |")
    return "\n".join(lines) + "\n"


def update_page() -> str:
    """The page with the present table in it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    return before + START + "\n" + render_table() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(update_page(), encoding="utf-8")
