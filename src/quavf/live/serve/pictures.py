"""Packets to arrays: JPEG or raw pictures, and sound."""

from __future__ import annotations

import io

import numpy as np

from quavf.core.records import Array, Image
from quavf.live.serve.config import LimitsConfig
from quavf.live.serve.protocol import Kind, Packet


class DamagedPictureError(ValueError):
    """A picture that cannot be decoded, or that is larger than allowed."""


def read_picture(packet: Packet, limits: LimitsConfig) -> Image:
    """The picture of a packet, (H, W, 3) RGB uint8. Raises DamagedPictureError."""
    if packet.kind is Kind.RGB:
        pixels = np.frombuffer(packet.payload, np.uint8)
        return pixels.reshape(packet.height, packet.width, 3)
    from PIL import Image as Pictures

    try:
        with Pictures.open(io.BytesIO(packet.payload), formats=["JPEG"]) as picture:
            width, height = picture.size  # from the header: nothing is decoded yet
            if width * height > limits.picture_pixels:
                raise DamagedPictureError(f"{width} × {height} pixels are too many")
            return np.asarray(picture.convert("RGB"))
    except DamagedPictureError:
        raise
    except Exception as error:  # a decoder fed with anything
        raise DamagedPictureError(str(error)) from error


def read_sound(packet: Packet) -> Array:
    """The sound of a packet, (N, channels) int16."""
    return np.frombuffer(packet.payload, "<i2").reshape(-1, packet.channels)
