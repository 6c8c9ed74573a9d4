"""Random changes of sounds and faces beyond the published ones, for models that meet other worlds.

What a sample goes through is drawn from its own generator, so that a run can be repeated. Nothing
is drawn for what is switched off: the published recipe's samples stay the same to the bit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as VF  # noqa: N812

from quavf.core.clock import SAMPLE_RATE
from quavf.core.records import CROP_SIZE, Image
from quavf.faces.crop import decode_jpeg, encode_jpeg
from quavf.training.config import AugmentConfig

FILTER_BANDS = 8  # between 60 Hz and half the sampling rate, evenly in octaves
LOWEST_HZ = 60.0
CODEC_BITS = (6, 9)
CODEC_HIGH_HZ = (2500.0, 7500.0)
CODEC_LOW_HZ = (40.0, 350.0)
JPEG_QUALITY = (15, 60)
SMALLEST_FACE_PX = 24  # smallest side that a 2x crop is downscaled to
ERASED = (0.15, 0.45)  # of a crop's side


def change_sound(samples: Tensor, config: AugmentConfig, rng: random.Random) -> Tensor:
    """samples (N,) in [-1, 1] -> (N,): filter, noise, codec and level, each as configured."""
    if config.filter_db and len(samples):
        samples = _filter_spectrum(samples, config.filter_db, rng)
    if rng.random() < config.noise:
        samples = add_noise(samples, config, rng)
    if config.codec and rng.random() < config.codec and len(samples):
        samples = _simulate_codec(samples, rng)
    if config.level_db != (0.0, 0.0):
        samples = samples * _ratio(rng.uniform(*config.level_db))
    return samples


def add_noise(samples: Tensor, config: AugmentConfig, rng: random.Random) -> Tensor:
    """Noise at a random signal-to-noise ratio (QuAVF's AddAudNoise when it is white).

    samples (N,). Ratio and slope are drawn from `rng`, the noise from torch's global generator.
    """
    snr_db = rng.uniform(*config.noise_snr_db)
    noise = torch.randn_like(samples)
    if config.noise_slope != (0.0, 0.0) and len(samples):
        slope = rng.uniform(*config.noise_slope)
        octaves = (_frequencies(len(samples)).clamp(min=LOWEST_HZ) / 1000).log2()
        colour: Tensor = 10 ** (slope * octaves / 20)
        noise = _shape_spectrum(noise, colour)
    power, noise_power = samples.pow(2).mean(), noise.pow(2).mean()
    gain: Tensor = (power / (noise_power * 10 ** (snr_db / 10))).sqrt()
    noisy: Tensor = samples + gain * noise
    return noisy


def _ratio(db: float) -> float:
    """The ratio of amplitudes that is this many decibels."""
    return float(10 ** (db / 20))


def _filter_spectrum(samples: Tensor, most_db: float, rng: random.Random) -> Tensor:
    """A smooth random change of the spectrum."""
    points = torch.tensor([rng.uniform(-most_db, most_db) for _ in range(FILTER_BANDS)])
    octaves = (_frequencies(len(samples)).clamp(min=LOWEST_HZ) / LOWEST_HZ).log2()
    place = octaves / math.log2(SAMPLE_RATE / 2 / LOWEST_HZ) * (FILTER_BANDS - 1)
    low = place.floor().long().clamp(max=FILTER_BANDS - 2)
    db = torch.lerp(points[low], points[low + 1], place - low)
    gain: Tensor = 10 ** (db / 20)
    return _shape_spectrum(samples, gain)


def _simulate_codec(samples: Tensor, rng: random.Random) -> Tensor:
    """Band limits, then mu-law steps of a few bits, as a telephone's."""
    low, high = rng.uniform(*CODEC_LOW_HZ), rng.uniform(*CODEC_HIGH_HZ)
    frequencies = _frequencies(len(samples))
    narrow = _shape_spectrum(samples, ((frequencies > low) & (frequencies < high)).float())
    peak: Tensor = narrow.abs().max().clamp(min=1e-6)
    steps, mu = 2 ** rng.randint(*CODEC_BITS) / 2, 255.0
    squeezed: Tensor = (
        (narrow / peak).sign() * torch.log1p(mu * (narrow / peak).abs()) / math.log1p(mu)
    )
    coarse: Tensor = (squeezed * steps).round() / steps
    louder: Tensor = torch.expm1(coarse.abs() * math.log1p(mu)) / mu
    return peak * (coarse.sign() * louder)


def _frequencies(n_samples: int) -> Tensor:
    """(F,) of the transform of a sound padded to whole tenths of a second, Hz."""
    padded = -(-n_samples // 1600) * 1600
    frequencies: Tensor = torch.fft.rfftfreq(padded, 1 / SAMPLE_RATE)
    return frequencies


def _shape_spectrum(samples: Tensor, gain: Tensor) -> Tensor:
    """samples (N,) with each frequency multiplied by `gain` (F,)."""
    padded = 2 * (len(gain) - 1)
    spectrum = torch.fft.rfft(F.pad(samples, (0, padded - len(samples))))
    shaped: Tensor = torch.fft.irfft(spectrum * gain, n=padded)
    return shaped[: len(samples)]


@dataclass(frozen=True)
class FaceChanges:
    """Changes to the faces of one window: alike for all of them, but for their random parts."""

    config: AugmentConfig
    flip: bool
    gains: tuple[float, float, float] | None  # of red, green and blue; None: as they are
    offset: float
    grey: bool
    side: int  # pixels that the crop is brought to and back; 0: not
    jpeg: int  # quality; 0: not

    @classmethod
    def draw(cls, config: AugmentConfig, rng: random.Random) -> FaceChanges:
        """At random, for one window."""
        flip = rng.random() < config.flip
        gains, offset = None, 0.0
        if config.colour:
            contrast = rng.uniform(1 - config.colour, 1 + config.colour)
            red, green, blue = (
                contrast * (1 + 0.3 * config.colour * rng.uniform(-1, 1)) for _ in range(3)
            )
            gains, offset = (red, green, blue), 1.5 * config.colour * rng.uniform(-1, 1)
        grey = bool(config.grey) and rng.random() < config.grey
        side = jpeg = 0
        if config.downscale and rng.random() < config.downscale:
            side = round(math.exp(rng.uniform(math.log(SMALLEST_FACE_PX), math.log(160))))
        if config.jpeg and rng.random() < config.jpeg:
            jpeg = rng.randint(*JPEG_QUALITY)
        return cls(config, flip, gains, offset, grey, side, jpeg)

    def compress(self, crop: Image) -> Image:
        """crop RGB uint8 (H, W, 3), as a cheap video would have it."""
        if not self.jpeg:
            return crop
        picture = decode_jpeg(encode_jpeg(crop[..., ::-1], self.jpeg))
        assert picture is not None
        return picture

    def apply(self, crop: Tensor, rng: random.Random) -> Tensor:
        """crop (3, 224, 224) normalised -> (3, 224, 224): a random part of it, changed."""
        if self.side:
            small = F.interpolate(crop[None], [self.side] * 2, mode="area")
            crop = F.interpolate(small, crop.shape[1:], mode="bilinear", align_corners=False)[0]
        crop = random_part(crop, self.config.crop_scale, self.config.crop_ratio)
        if self.flip:
            crop = crop.flip(-1)
        if self.grey:
            crop = crop.mean(dim=0, keepdim=True).expand(3, -1, -1)
        if self.gains is not None:
            crop = crop * torch.tensor(self.gains)[:, None, None] + self.offset
        if self.config.erase and rng.random() < self.config.erase:
            crop = _erase_rectangle(crop, rng)
        return crop


def _erase_rectangle(crop: Tensor, rng: random.Random) -> Tensor:
    """A rectangle of one colour somewhere on the crop."""
    height, width = (int(side * rng.uniform(*ERASED)) for side in crop.shape[1:])
    top, left = (
        rng.randint(0, s - c) for s, c in zip(crop.shape[1:], (height, width), strict=True)
    )
    crop = crop.clone()
    colour = torch.tensor([rng.uniform(-2, 2) for _ in range(3)])
    crop[:, top : top + height, left : left + width] = colour[:, None, None]
    return crop


def random_part(crop: Tensor, scale: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """Cut a random part out of a 2x crop and resize it to 224 x 224.

    `scale` is its share of the area, `ratio` its width to height, lowest and highest. Draws from
    torch's global generator.
    """
    top, left, height, width = RandomResizedCrop.get_params(crop, list(scale), list(ratio))
    return VF.resized_crop(crop, top, left, height, width, [CROP_SIZE, CROP_SIZE])  # type: ignore[no-any-return]


@contextmanager
def seed_sample(*key: int) -> Iterator[random.Random]:
    """A generator for this sample alone; torch's global one is seeded alike inside the block."""
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield random.Random(seed)
