"""What surrounds the heart in the image, and how the scanner colours it: no heart disease here.

    fat of the chest wall (mm) = 15 (BMI / 26.5)^1.5 exp(N(0, .35))      the only declared edge
    image <- image + alpha (tissue - image)                              painted back to front
    alpha = clip(1/2 - d / w, 0, 1)                                      d: distance outside an edge
    coil  = exp(quadratic in the row + quadratic in the column)

Glossary: x column, y row (pixels of 1.8 mm); alpha share of a pixel that a tissue fills; w width of
an edge. Intensities are relative to blood = 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reference.cohort.format import IMAGE_SHAPE, PIXEL_MM

SIZE = IMAGE_SHAPE[-1]  # pixels
HEART_AT = (84.0, 108.0)  # row, column: usual place of the heart in the image
BODY_DRAWS = 44  # standard normal numbers that the body uses
BODY = {  # name -> (place among those numbers, mean, SD), units in `latents`; others are unnamed
    "chest_muscle_log": (1, 0.0, .2), "chest_row": (2, 103.0, 3.0), "chest_column": (3, 105.0, 3.0),
    "chest_height": (4, 62.0, 3.5), "chest_width": (5, 76.0, 4.0), "liver_row": (20, 0.0, 4.0),
    "liver_column": (23, 0.0, 5.0), "liver_height": (24, 34.0, 5.0), "liver_width": (25, 46.0, 6.0),
    "stomach_row": (26, 0.0, 4.0), "stomach_height": (28, 20.0, 4.0),
    "stomach_signal": (30, .55, .12), "aorta_radius": (33, 6.0, .6)}
_F = np.float32
_AXIS = np.arange(SIZE, dtype=_F)
_COARSE = 27  # texture cells per side


def _upsample(cells: int) -> np.ndarray:
    """[SIZE, cells]: linear interpolation from coarse cells to pixels."""
    place = np.linspace(0, cells - 1, SIZE)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells))).astype(_F)


_UP = _upsample(_COARSE).reshape(-1, 30, _COARSE)  # [7, 30, 27]: products too small for threads
_DOME = (146, 72)  # row, column: usual place of the liver's dome
_REACH = 45  # pixels, how far from there anything moves


def _push() -> np.ndarray:
    """[91, 91]: how much of the liver's motion the pixels around the dome share, 0..1."""
    away = np.arange(-_REACH, _REACH + 1) / _REACH
    return ((1 - away * away)[:, None] ** 2 * (1 - away * away) ** 2).astype(_F)


_PUSH = _push()


Ellipse = tuple[float, float, float, float]  # row, column of its middle; half-height, half-width


class Pose(NamedTuple):
    """A turn of the body in the image about a point (pixels), clockwise."""

    y: float = 0.0
    x: float = 0.0
    sin: float = 0.0
    cos: float = 1.0

    def place(self, y: float, x: float) -> tuple[float, float]:
        """Where a point of the upright body comes to lie."""
        down, right = y - self.y, x - self.x
        return (self.y + self.cos * down + self.sin * right,
                self.x - self.sin * down + self.cos * right)


UPRIGHT = Pose()


class Contrast(NamedTuple):
    """Intensity of each tissue, relative to blood, in one subject."""

    muscle: float
    papillary: float
    fat: float
    liver: float
    lung: float
    skeletal: float
    bone: float
    rv_blood: float


def contrast(z: np.ndarray) -> Contrast:
    """Tissue intensities of one subject, drawn apart from all physiology.

    Args:
        z: [8] standard normal numbers.
    Returns:
        Intensities relative to the blood of the left ventricle.
    Source: bSSFP signal at 1.5 T, and the values of MRXCAT (10.1186/s12968-014-0063-3).
    """
    mean = (0.42, 0.46, 0.90, 0.52, 0.06, 0.35, 0.25, 0.97)
    spread = (0.09, 0.08, 0.08, 0.10, 0.30, 0.10, 0.15, 0.03)
    return Contrast(*(m * math.exp(s * min(max(v, -2.5), 2.5))
                      for m, s, v in zip(mean, spread, z.tolist(), strict=True)))


def texture(z: np.ndarray, scale: float) -> np.ndarray:
    """Smooth random field with mean 0.

    Args:
        z: [27, 27] float32 standard normal numbers; scale: its standard deviation at the cells.
    Returns:
        [210, 210] float32.
    Source: own choice; stands for the slow variation of signal inside a tissue. In blocks of 30
        rows, because a matrix product that is shared out over threads may round otherwise.
    """
    across = _UP.reshape(SIZE, _COARSE).T  # [27, 210]
    return ((_UP @ (z * _F(scale))) @ across).reshape(SIZE, SIZE)


def coil(z: np.ndarray) -> np.ndarray:
    """Sensitivity of the receiver coils: brighter near the anterior chest wall.

    Args:
        z: [4] standard normal numbers.
    Returns:
        [210, 210] float32, 1 at the heart's usual place, mostly within 25 % of 1 in the body.
    Source: own choice (surface coil above, spine coil below).
    """
    y, x = (_AXIS - _F(HEART_AT[0])) / 105, (_AXIS - _F(HEART_AT[1])) / 105
    down = np.exp(_F(-0.22 + 0.08 * z[0]) * y + _F(0.18 + 0.06 * z[1]) * y * y)
    across = np.exp(_F(0.08 * z[2]) * x + _F(-0.05 + 0.08 * z[3]) * x * x)
    return down[:, None] * across  # [210, 210]


def body(bmi: float, tissue: Contrast, z: np.ndarray, grain: np.ndarray,
         roll: float = 0.0) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The chest without the heart.

    Args:
        bmi: kg/m2, sets the thickness of subcutaneous fat and nothing else.
        tissue: intensities; z: [BODY_DRAWS] standard normal numbers;
        grain: [210, 210] float32 texture;
        roll: degrees that the patient lies turned, clockwise in the image.
    Returns:
        [210, 210] float32, blood = 1, air = 0; and the rows and columns beyond which, in every
        frame of `beat`, there is air alone.
    Source: own drawing of an oblique short-axis section of the chest.
    """
    n = z.tolist()
    fat_mm = min(max(15.0 * (bmi / 26.5) ** 1.5 * math.exp(0.35 * n[0]), 4.0), 45.0)
    fat = fat_mm / PIXEL_MM
    muscle = 6.0 * math.exp(0.2 * n[1])
    y, x = 103 + 3 * n[2], 105 + 3 * n[3]
    high, wide = 62 + 3.5 * n[4], 76 + 4 * n[5]  # inner chest, pixels
    # every layer is thicker in front and at the sides than at the back
    around, skin = ((y - 0.15 * grow, x, high + 0.75 * grow, wide + 0.85 * grow)
                    for grow in (muscle, muscle + fat))
    turn = math.radians(roll)
    pose = Pose(y, x, math.sin(turn), math.cos(turn))
    rows, columns = within = _box(skin, pose)
    image = np.full((SIZE, SIZE), _F(tissue.lung))
    _organs(image, tissue, n[6:], (y, x, high, wide), pose)
    _surround(image, (y, x, high, wide), tissue.skeletal, pose, within)
    _spine(image, tissue, n[39:], (y, x, high), pose)
    _surround(image, around, tissue.fat, pose, within)
    _surround(image, skin, 0.0, pose, within)
    frame = np.zeros_like(image)
    np.multiply(image[rows, columns], 1 + grain[rows, columns], out=frame[rows, columns])
    return frame, (_grown(rows), _grown(columns))


def mix(image: np.ndarray, value: np.ndarray | np.float32, share: np.ndarray) -> None:
    """Lay an intensity over an image: image <- image + share (value - image), in place.

    Args:
        image: [..., H, W] float32; value: number or array that broadcasts to it;
        share: [..., H, W] float32, how much of each pixel it takes, 0..1.
    """
    change = value - image
    change *= share
    image += change


def beat(frame: np.ndarray, shift: float) -> None:
    """Turn the body into that of another frame: the beating heart moves the dome of the liver.

    Args:
        frame: [210, 210] float32, changed in place; rows are interpolated, and nothing moves 45
            pixels away from the dome.
        shift: pixels, positive downwards, at the dome; -1..1.
    Source: own choice; a held breath still leaves the heart's own push on the diaphragm.
    """
    rows, columns = (slice(place - _REACH, place + _REACH + 1) for place in _DOME)
    step = 1 if shift > 0 else -1
    change = frame[rows.start - step:rows.stop - step, columns] - frame[rows, columns]
    change *= _F(abs(shift)) * _PUSH
    frame[rows, columns] += change


def _organs(image: np.ndarray, tissue: Contrast, z: Sequence[float], chest: Ellipse, pose: Pose
            ) -> None:
    """Paint lung vessels, mediastinal fat, liver, stomach and aorta into the chest."""
    y, x, high, wide = chest
    _vessels(image, [pose.place(y - 6 + 22 * z[k], x + (0.62 * wide + 5 * z[k + 7]) * (-1) ** k)
                     for k in range(7)], pose)
    _paint(image, (y - 0.62 * high, x - 6 + 5 * z[15], 0.32 * high, 26 + 4 * z[16]),
           0.8 * tissue.fat, pose)  # in front of the heart
    _paint(image, (y + 0.62 * high + 4 * z[14], x - 0.48 * wide + 5 * z[17], 34 + 5 * z[18],
                   46 + 6 * z[19]), tissue.liver, pose)
    _paint(image, (y + 0.60 * high + 4 * z[20], x + 0.45 * wide + 5 * z[21], 20 + 4 * z[22],
                   24 + 4 * z[23]), 0.55 + 0.12 * z[24], pose)  # stomach and spleen
    _paint(image, (y + 0.52 * high + 2 * z[25], x + 20 + 2 * z[26], 6 + 0.6 * z[27],
                   6 + 0.6 * z[27]), 0.95, pose)  # descending aorta


def _vessels(image: np.ndarray, places: list[tuple[float, float]], pose: Pose) -> None:
    """Paint vessels of the lung, all of one shape, at K places (row, column)."""
    high, wide, value = 1.6, 2.4, _F(0.4)
    side = 10  # pixels that hold one
    corners = [[min(max(int(place) - side // 2, 0), SIZE - side) for place in pair]
               for pair in places]
    pixels = np.array(corners)[:, :, None] + np.arange(side, dtype=_F)
    away = (pixels - np.array(places, _F)[:, :, None]).astype(_F)  # [K, 2, side]
    share = 1 - _outside(away[:, 0], away[:, 1], high, wide, pose)  # [K, side, side]
    for (top, left), alpha in zip(corners, share, strict=True):
        mix(image[top:top + side, left:left + side], value, alpha)


def _spine(image: np.ndarray, tissue: Contrast, z: Sequence[float], chest: tuple, pose: Pose
           ) -> None:
    """Paint the muscles of the back, a vertebra and the spinal fluid."""
    y, x, high = chest
    x += 3 * z[0] - 2
    _paint(image, (y + 0.86 * high, x, 22 + 2 * z[1], 28 + 2 * z[2]), tissue.skeletal, pose)
    _paint(image, (y + 0.70 * high, x, 11 + z[3], 13 + z[4]), tissue.bone, pose)
    _paint(image, (y + 0.92 * high, x, 4.0, 5.0), 1.1, pose)


def _surround(image: np.ndarray, ellipse: Ellipse, value: float, pose: Pose = UPRIGHT,
              within: tuple[slice, slice] = (slice(None), slice(None))) -> None:
    """Lay one intensity over everything outside an ellipse, with a one-pixel edge."""
    rows, columns = within
    y, x, high, wide = ellipse
    y, x = pose.place(y, x)
    alpha = _outside(_AXIS[rows] - _F(y), _AXIS[columns] - _F(x), high, wide, pose)
    mix(image[rows, columns], _F(value), alpha)


def _paint(image: np.ndarray, ellipse: Ellipse, value: float, pose: Pose = UPRIGHT) -> None:
    """Lay an ellipse with a one-pixel edge over the image, within its own rows and columns."""
    y, x, high, wide = ellipse
    high, wide = max(high, 1.0), max(wide, 1.0)
    rows, columns = _box((y, x, high, wide), pose)
    y, x = pose.place(y, x)
    outside = _outside(_AXIS[rows] - _F(y), _AXIS[columns] - _F(x), high, wide, pose)
    mix(image[rows, columns], _F(value), np.subtract(1, outside, out=outside))


def _outside(down: np.ndarray, right: np.ndarray, high: float, wide: float, pose: Pose
             ) -> np.ndarray:
    """Share of each pixel outside a turned ellipse, [..., H, W] float32.

    Pixels are at `down` [..., H] rows and `right` [..., W] columns from its middle.
    """
    a, b = 1 / high**2, 1 / wide**2
    sharp = 0.5 * min(high, wide)  # level - 1 is about 2 d / half-axis
    cos2, sin2 = sharp * pose.cos**2, sharp * pose.sin**2
    tilt = 2 * (b - a) * sharp * pose.sin * pose.cos
    share = (_F(tilt) * down)[..., None] * right[..., None, :]
    share += (_F(a * cos2 + b * sin2) * down * down + _F(0.5 - sharp))[..., None]
    share += (_F(a * sin2 + b * cos2) * right * right)[..., None, :]
    return share.clip(0, 1, out=share)


def _box(ellipse: Ellipse, pose: Pose) -> tuple[slice, slice]:
    """Rows and columns of the image that hold a turned ellipse and its edge; empty beside it."""
    y, x, high, wide = ellipse
    y, x = pose.place(y, x)
    return (_span(y, math.hypot(high * pose.cos, wide * pose.sin)),
            _span(x, math.hypot(wide * pose.cos, high * pose.sin)))


def _span(centre: float, half: float) -> slice:
    start = min(max(int(centre - half) - 1, 0), SIZE)
    return slice(start, max(min(int(centre + half) + 3, SIZE), start))


def _grown(span: slice) -> slice:
    """Two pixels more at both ends, for what moves by less than one; the last stays air."""
    return slice(max(span.start - 2, 0), min(span.stop + 2, SIZE))
