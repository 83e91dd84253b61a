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
from typing import NamedTuple

import numpy as np

SIZE = 210  # pixels
PIXEL_MM = 1.8
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


def _push() -> np.ndarray:
    """[91, 210]: how much of the liver's motion each pixel shares; 1 at the dome, 0 far away."""
    y, x = np.arange(-45, 46)[:, None] / 45, (np.arange(SIZE) - _DOME[1]) / 45
    return (np.maximum(1 - y * y, 0) ** 2 * np.maximum(1 - x * x, 0) ** 2).astype(_F)


_PUSH = _push()


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
                      for m, s, v in zip(mean, spread, z.tolist())))


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
         roll: float = 0.0) -> np.ndarray:
    """The chest without the heart.

    Args:
        bmi: kg/m2, sets the thickness of subcutaneous fat and nothing else.
        tissue: intensities; z: [BODY_DRAWS] standard normal numbers;
        grain: [210, 210] float32 texture;
        roll: degrees that the patient lies turned, clockwise in the image.
    Returns:
        [210, 210] float32, blood = 1, air = 0.
    Source: own drawing of an oblique short-axis section of the chest.
    """
    fat_mm = min(max(15.0 * (bmi / 26.5) ** 1.5 * math.exp(0.35 * z[0]), 4.0), 45.0)
    fat = fat_mm / PIXEL_MM
    muscle = 6.0 * math.exp(0.2 * z[1])
    y, x = 103 + 3 * z[2], 105 + 3 * z[3]
    high, wide = 62 + 3.5 * z[4], 76 + 4 * z[5]  # inner chest, pixels
    turn = math.radians(roll)
    pose = Pose(y, x, math.sin(turn), math.cos(turn))
    image = np.full((SIZE, SIZE), _F(tissue.lung))
    _organs(image, tissue, z[6:], (y, x, high, wide), pose)
    _surround(image, y, x, high, wide, tissue.skeletal, pose)
    _spine(image, tissue, z[39:], (y, x, high), pose)
    for grow, value in ((muscle, tissue.fat), (muscle + fat, 0.0)):
        # every layer is thicker in front and at the sides than at the back
        _surround(image, y - 0.15 * grow, x, high + 0.75 * grow, wide + 0.85 * grow, value,
                  pose)
    image *= 1 + grain
    return image


def beat(frame: np.ndarray, shift: float) -> np.ndarray:
    """The body in another frame: the beating heart moves the dome of the liver.

    Args:
        frame: [210, 210] float32; shift: pixels, positive downwards, at the dome; -1..1.
    Returns:
        [210, 210] float32; rows are interpolated, and nothing moves 45 pixels away from the dome.
    Source: own choice; a held breath still leaves the heart's own push on the diaphragm.
    """
    moved = frame.copy()
    rows = slice(_DOME[0] - 45, _DOME[0] + 46)
    step = 1 if shift > 0 else -1
    before = frame[rows.start - step:rows.stop - step]
    moved[rows] += _F(abs(shift)) * _PUSH * (before - frame[rows])
    return moved


def _organs(image: np.ndarray, tissue: Contrast, z: np.ndarray, chest: tuple, pose: Pose) -> None:
    """Paint lung vessels, mediastinal fat, liver, stomach and aorta into the chest."""
    y, x, high, wide = chest
    for k in range(7):
        _paint(image, y - 6 + 22 * z[k], x + (0.62 * wide + 5 * z[k + 7]) * (-1) ** k,
               1.6, 2.4, 0.4, pose)
    _paint(image, y - 0.62 * high, x - 6 + 5 * z[15], 0.32 * high, 26 + 4 * z[16],
           0.8 * tissue.fat, pose)  # in front of the heart
    _paint(image, y + 0.62 * high + 4 * z[14], x - 0.48 * wide + 5 * z[17], 34 + 5 * z[18],
           46 + 6 * z[19], tissue.liver, pose)
    _paint(image, y + 0.60 * high + 4 * z[20], x + 0.45 * wide + 5 * z[21], 20 + 4 * z[22],
           24 + 4 * z[23], 0.55 + 0.12 * z[24], pose)  # stomach and spleen
    _paint(image, y + 0.52 * high + 2 * z[25], x + 20 + 2 * z[26], 6 + 0.6 * z[27],
           6 + 0.6 * z[27], 0.95, pose)  # descending aorta


def _spine(image: np.ndarray, tissue: Contrast, z: np.ndarray, chest: tuple, pose: Pose) -> None:
    """Paint the muscles of the back, a vertebra and the spinal fluid."""
    y, x, high = chest
    x += 3 * z[0] - 2
    _paint(image, y + 0.86 * high, x, 22 + 2 * z[1], 28 + 2 * z[2], tissue.skeletal, pose)
    _paint(image, y + 0.70 * high, x, 11 + z[3], 13 + z[4], tissue.bone, pose)
    _paint(image, y + 0.92 * high, x, 4.0, 5.0, 1.1, pose)


def _surround(image: np.ndarray, y: float, x: float, high: float, wide: float,
              value: float, pose: Pose = UPRIGHT) -> None:
    """Lay one intensity over everything outside an ellipse, with a one-pixel edge."""
    alpha = _outside(_AXIS, _AXIS, (*pose.place(y, x), high, wide), pose)
    change = _F(value) - image
    change *= alpha
    image += change


def _outside(rows: np.ndarray, columns: np.ndarray, ellipse: tuple, pose: Pose) -> np.ndarray:
    """Share of each pixel outside a turned ellipse (y, x, high, wide), [rows, columns] float32."""
    y, x, high, wide = ellipse
    down, right = rows - _F(y), columns - _F(x)
    a, b = 1 / high**2, 1 / wide**2
    cos2, sin2 = pose.cos**2, pose.sin**2
    level = (_F(a * cos2 + b * sin2) * down * down)[:, None] + (
        _F(a * sin2 + b * cos2) * right * right)
    if pose.sin:
        level += (_F(2 * (b - a) * pose.sin * pose.cos) * down)[:, None] * right
    sharp = _F(0.5 * min(high, wide))  # level - 1 is about 2 d / half-axis
    level -= _F(1)
    level *= sharp
    level += _F(0.5)
    np.maximum(level, 0, out=level)
    return np.minimum(level, 1, out=level)


def _paint(image: np.ndarray, y: float, x: float, high: float, wide: float, value: float,
           pose: Pose = UPRIGHT) -> None:
    """Lay an ellipse with a one-pixel edge over the image, within its own rows and columns."""
    high, wide = max(high, 1.0), max(wide, 1.0)
    y, x = pose.place(y, x)
    top, bottom = _span(y, math.hypot(high * pose.cos, wide * pose.sin))
    left, right = _span(x, math.hypot(wide * pose.cos, high * pose.sin))
    if top >= bottom or left >= right:
        return
    part = image[top:bottom, left:right]
    outside = _outside(_AXIS[top:bottom], _AXIS[left:right], (y, x, high, wide), pose)
    change = _F(value) - part
    change *= np.subtract(1, outside, out=outside)
    part += change


def _span(centre: float, half: float) -> tuple[int, int]:
    return max(int(centre - half) - 1, 0), min(int(centre + half) + 3, SIZE)
