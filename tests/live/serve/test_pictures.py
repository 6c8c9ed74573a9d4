"""Pictures and sound of packets as arrays; pictures that are none."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from quavf.live.serve.config import LimitsConfig
from quavf.live.serve.pictures import DamagedPictureError, read_picture, read_sound
from quavf.live.serve.protocol import Kind, Packet, pack_picture, pack_sound, parse_packet

LIMITS = LimitsConfig(picture_pixels=20_000)


def encode(width: int, height: int, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), 200).save(out, "JPEG")
    return out.getvalue()


def packet(jpeg: bytes) -> Packet:
    return parse_packet(pack_picture(Kind.JPEG, jpeg, 0.0, (0, 0)), LIMITS)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg(mode: str) -> None:
    picture = read_picture(packet(encode(40, 30, mode)), LIMITS)
    assert picture.shape == (30, 40, 3)
    assert picture.dtype == np.uint8


def test_raw() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    message = pack_picture(Kind.RGB, pixels.tobytes(), 0.0, (4, 3))
    assert np.array_equal(read_picture(parse_packet(message, LIMITS), LIMITS), pixels)


def test_sound() -> None:
    samples = np.arange(-8, 8, dtype="<i2").reshape(8, 2)
    message = pack_sound(samples.tobytes(), 0.0, 16_000, channels=2)
    assert np.array_equal(read_sound(parse_packet(message, LIMITS)), samples)


def test_size_is_checked_before_decoding() -> None:
    """A header that claims 65,500 pixels squared asks for 13 GB."""
    jpeg = bytearray(encode(40, 30))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    with pytest.raises(DamagedPictureError):
        read_picture(packet(bytes(jpeg)), LIMITS)
    with pytest.raises(DamagedPictureError, match="too many"):
        read_picture(packet(encode(201, 100)), LIMITS)


@pytest.mark.parametrize("cut", [4, 30, 200, 500])
def test_half_a_picture(cut: int) -> None:
    jpeg = encode(100, 100)
    with pytest.raises(DamagedPictureError):
        read_picture(packet(jpeg[: min(cut, len(jpeg) - 100)]), LIMITS)
