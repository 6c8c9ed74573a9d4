"""The appearance of a person: shape, colours and skin texture of the face.

Colours are linear RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from quavf.core.records import Array, Floats

# Monk skin tone scale (Monk 2019), sRGB hex, light to dark
MONK = (
    *("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96"),
    *("a07e56", "825c43", "604134", "3a312a", "292420"),
)
HAIR_COLOURS = {
    "black": (0.012, 0.010, 0.010),
    "dark brown": (0.035, 0.020, 0.012),
    "brown": (0.085, 0.045, 0.022),
    "auburn": (0.13, 0.045, 0.02),
    "blond": (0.38, 0.25, 0.11),
    "grey": (0.28, 0.27, 0.26),
    "white": (0.62, 0.60, 0.57),
}
EYE_COLOURS = ((0.05, 0.025, 0.012), (0.09, 0.05, 0.02), (0.06, 0.09, 0.04), (0.08, 0.13, 0.2))

TEXTURE_X, TEXTURE_Y = 0.1, 0.14  # metres from the centre of the face to the texture's edges
TEXTURE_SIZE = (256, 184)  # rows, columns


@dataclass(frozen=True)
class Appearance:
    """One identity. Lengths are in metres, positions relative to the head's centre."""

    width: float = 0.077
    height: float = 0.118
    depth: float = 0.096
    jaw: float = 0.3
    chin: float = 1.0
    nose: float = 0.026
    nose_y: float = 0.040
    nose_width: float = 0.014
    sockets: float = 0.007
    brow_ridge: float = 0.004
    cheeks: float = 0.004
    neck: float = 0.054
    shoulders: float = 0.21
    hairline: float = -0.066
    recede: float = 0.0
    sideburn: float = 0.02
    hair_style: str = "short"  # bald, short, long, bun
    hair_lift: float = 0.012
    has_hat: bool = False
    has_glasses: bool = False
    rim: float = 0.0025
    beard: float = 0.0  # 0: none, about 0.4: stubble, 1: full
    brow: float = 1.0  # thickness
    lips: float = 1.0  # thickness
    skin: tuple[float, float, float] = (0.55, 0.35, 0.25)
    hair: tuple[float, float, float] = (0.035, 0.020, 0.012)
    iris: tuple[float, float, float] = (0.05, 0.025, 0.012)
    lip: tuple[float, float, float] = (0.4, 0.16, 0.14)
    cloth: tuple[float, float, float] = (0.1, 0.12, 0.3)
    cloth2: tuple[float, float, float] = (0.3, 0.3, 0.3)
    stripe_m: float = 0.0  # width of a stripe; 0: plain
    is_male: bool = False  # selects the voice
    seed: int = 0  # of the skin texture


def draw_appearance(rng: np.random.Generator) -> Appearance:
    """Draw a person's appearance."""
    is_male = bool(rng.random() < 0.5)
    old = float(rng.random())
    tone = int(rng.choice(10, p=[0.08, 0.1, 0.13, 0.14, 0.14, 0.12, 0.1, 0.09, 0.06, 0.04]))
    skin = linearise_srgb(np.array([int(MONK[tone][i : i + 2], 16) for i in (0, 2, 4)]) / 255.0)
    skin = skin * np.array([0.78, 0.64, 0.56])  # the swatches are paler than faces
    skin = skin * np.exp(rng.normal(0, 0.08)) * np.exp(rng.normal(0, 0.02, 3))
    skin = np.maximum(skin, np.array([0.12, 0.078, 0.058]))  # reflectance of the darkest skin
    names = list(HAIR_COLOURS)
    fair = (
        np.array([4, 4, 3, 1, 2.5, 1.5, 0.6]) if tone < 5 else np.array([9, 3, 0.4, 0, 0, 1, 0.5])
    )
    if old > 0.75:
        fair[5:] *= 8
    hair = np.array(HAIR_COLOURS[names[int(rng.choice(7, p=fair / fair.sum()))]])
    styles = ("bald", "short", "long", "bun")
    style = str(
        rng.choice(styles, p=[0.14, 0.72, 0.1, 0.04] if is_male else [0.01, 0.3, 0.47, 0.22])
    )
    beard = float(rng.choice([0, 0.35, 0.6, 1.0], p=[0.5, 0.2, 0.1, 0.2])) if is_male else 0.0
    n = rng.normal
    person = Appearance(
        width=0.077 * (1 + n(0, 0.04)),
        height=0.118 * (1 + n(0, 0.035)),
        depth=0.096 * (1 + n(0, 0.03)),
        jaw=float(np.clip(n(0.27 if is_male else 0.33, 0.05), 0.15, 0.45)),
        chin=float(np.clip(n(1.0, 0.25), 0.4, 1.6)),
        nose=float(np.clip(n(0.026 if is_male else 0.023, 0.003), 0.016, 0.034)),
        nose_y=0.040 + n(0, 0.002),
        nose_width=float(np.clip(n(0.0135, 0.0018), 0.01, 0.019)),
        sockets=float(np.clip(n(0.007, 0.0015), 0.003, 0.011)),
        brow_ridge=float(np.clip(n(0.005 if is_male else 0.003, 0.001), 0.001, 0.008)),
        cheeks=float(np.clip(n(0.004, 0.0015), 0, 0.008)),
        neck=float(np.clip(n(0.058 if is_male else 0.049, 0.003), 0.04, 0.07)),
        shoulders=float(np.clip(n(0.225 if is_male else 0.195, 0.012), 0.16, 0.27)),
        hairline=-0.066 + n(0, 0.006) - (0.012 * old if is_male else 0.0),
        recede=float(rng.random() < 0.3) * is_male,
        sideburn=0.02 + n(0, 0.008),
        hair_style=style,
        hair_lift=float(rng.uniform(0.003, 0.018 if is_male else 0.024)),
        has_hat=bool(rng.random() < 0.07) and style != "bald",
        has_glasses=bool(rng.random() < 0.3),
        rim=float(rng.uniform(0.0015, 0.0045)),
        beard=beard,
        brow=float(np.clip(n(1.2 if is_male else 0.85, 0.2), 0.5, 1.8)),
        lips=float(np.clip(n(0.9 if is_male else 1.1, 0.15), 0.6, 1.5)),
        is_male=is_male,
    )
    return _draw_colours(person, rng, skin, hair)


def _draw_colours(
    person: Appearance, rng: np.random.Generator, skin: Floats, hair: Floats
) -> Appearance:
    red = np.array([0.75, 0.42, 0.45]) if not person.is_male and rng.random() < 0.35 else None
    lip = skin * np.array([0.85, 0.55, 0.58]) if red is None else 0.4 * skin * red + 0.3 * red
    hat = rng.uniform(0.02, 0.6, 3)
    cloth = np.exp(rng.uniform(np.log(0.015), np.log(0.7))) * rng.uniform(0.5, 1.3, 3)
    other = np.clip(cloth * np.exp(rng.normal(0, 0.8, 3)), 0.01, 0.9)
    eye = EYE_COLOURS[int(rng.integers(4)) if skin[0] > 0.4 else int(rng.integers(2))]
    return replace(
        person,
        skin=_triple(skin),
        hair=_triple(hat if person.has_hat else hair * np.exp(rng.normal(0, 0.15))),
        iris=eye,
        lip=_triple(lip),
        cloth=_triple(np.clip(cloth, 0.01, 0.9)),
        cloth2=_triple(other),
        stripe_m=float(rng.uniform(0.01, 0.05)) if rng.random() < 0.3 else 0.0,
        seed=int(rng.integers(2**31)),
    )


def _triple(colour: Floats) -> tuple[float, float, float]:
    return float(colour[0]), float(colour[1]), float(colour[2])


def linearise_srgb(srgb: Floats) -> Floats:
    """Convert sRGB in [0, 1] to linear light, with the renderer's gamma of 2."""
    return np.asarray(srgb) ** 2


def paint_skin(person: Appearance) -> list[Array]:
    """Paint the frontal skin texture: a pyramid of float32 RGB images, each half the previous.

    Rows run from -TEXTURE_Y to TEXTURE_Y, columns from -TEXTURE_X to TEXTURE_X.
    """
    rows, columns = TEXTURE_SIZE
    x, y = np.meshgrid(
        np.linspace(-TEXTURE_X, TEXTURE_X, columns), np.linspace(-TEXTURE_Y, TEXTURE_Y, rows)
    )
    rng = np.random.default_rng(person.seed)
    skin = np.array(person.skin)
    picture = skin * _shade_skin(person, x, y)[..., None] * np.ones(3)
    blush = gaussian_bump(np.abs(x), y, (0.042, 0.035), (0.022, 0.02)) + 0.8 * gaussian_bump(
        x, y, (0, person.nose_y), (0.014, 0.012)
    )
    picture *= 1 - blush[..., None] * np.array([-0.04, 0.14, 0.12])
    mottle = cv2.GaussianBlur(rng.standard_normal((rows, columns)), (0, 0), 5) * 5
    grain = cv2.GaussianBlur(rng.standard_normal((rows, columns)), (0, 0), 0.8)
    picture *= np.exp(0.04 * mottle + 0.05 * grain)[..., None]
    hair = np.array(person.hair) if not person.has_hat else np.array(HAIR_COLOURS["dark brown"])
    hair = np.minimum(hair, 0.7 * skin)
    for cover, strength in (
        (_paint_brows(person, x, y, rng), 0.9),
        (_paint_beard(person, x, y, rng), person.beard),
    ):
        share = np.clip(cover * strength, 0, 1)[..., None]
        picture = picture * (1 - share) + hair * share
    pyramid = [np.ascontiguousarray(np.clip(picture, 0, 1), dtype=np.float32)]
    while len(pyramid) < 4:
        pyramid.append(np.ascontiguousarray(cv2.pyrDown(pyramid[-1])))
    return pyramid


def gaussian_bump(
    x: Floats, y: Floats, at: tuple[float, float], size: tuple[float, float]
) -> Floats:
    """Evaluate a Gaussian centred at `at` with widths `size`; 1 at the centre."""
    return np.asarray(np.exp(-(((x - at[0]) / size[0]) ** 2) - ((y - at[1]) / size[1]) ** 2))


def _shade_skin(person: Appearance, x: Floats, y: Floats) -> Floats:
    """Shading factors (H, W) of folds and hollows of the face."""
    side = np.abs(x)
    shade = np.ones_like(x)
    nostril = (0.0065, person.nose_y + 0.008)
    shade -= 0.65 * gaussian_bump(side, y, nostril, (0.0042, 0.003))
    shade -= 0.25 * gaussian_bump(
        side, y, (person.nose_width * 1.15, person.nose_y + 0.002), (0.003, 0.008)
    )
    shade -= 0.16 * gaussian_bump(x, y, (0, person.nose_y + 0.014), (0.014, 0.005))
    shade -= 0.28 * gaussian_bump(side, y, (0.03, -0.004), (0.018, 0.010))  # sockets
    shade -= 0.14 * gaussian_bump(side, y, (0.032, 0.012), (0.013, 0.004))  # under the eyes
    shade -= 0.2 * gaussian_bump(side, y, (0.012, 0.0), (0.005, 0.012))
    shade -= 0.18 * gaussian_bump(x, y, (0, 0.087), (0.02, 0.004))  # under the lip
    fold = side - (0.018 + 0.45 * (y - person.nose_y))
    shade -= (
        0.13 * np.exp(-((fold / 0.0025) ** 2)) * gaussian_bump(x * 0, y, (0, 0.055), (1, 0.014))
    )
    shade += 0.1 * gaussian_bump(x, y, (0, person.nose_y - 0.002), (0.004, 0.006))
    shade += 0.07 * gaussian_bump(x, y, (0, -0.045), (0.03, 0.015))
    return np.clip(shade, 0.1, 1.3)


def _paint_brows(person: Appearance, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    side = np.abs(x)
    t = np.clip((side - 0.013) / 0.04, 0, 1)
    line = -0.0195 - 0.0055 * np.sin(np.pi * np.clip(t * 1.15, 0, 1)) + 0.002 * t
    thick = 0.0032 * person.brow * (1.1 - 0.6 * t)
    ends = 1 / (1 + np.exp(-(side - 0.012) / 0.001)) / (1 + np.exp((side - 0.053) / 0.0015))
    hairs = 0.8 + 0.3 * cv2.GaussianBlur(rng.standard_normal(x.shape), (0, 0), 1.0)
    return np.asarray(np.exp(-(((y - line) / thick) ** 2)) * ends * hairs)


def _paint_beard(person: Appearance, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    noise = cv2.GaussianBlur(rng.standard_normal(x.shape), (0, 0), 1.0)
    side = np.abs(x)
    edge = 0.045 + 0.012 * np.cos(np.clip(side / 0.06, 0, 1) * np.pi)
    edge = np.where(side > 0.05, edge - (side - 0.05) * 3.0, edge)
    cover = 1 / (1 + np.exp(-(y - edge + 0.003 * noise) / 0.003))
    lips = ((x / 0.027) ** 2 + ((y - 0.069) / 0.0125) ** 2) < 1
    cover *= 1 - cv2.GaussianBlur(lips.astype(float), (0, 0), 1.5)
    return np.asarray(cover * np.clip(0.85 + 0.4 * noise, 0, 1))
