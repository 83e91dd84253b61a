"""The 61 image-derived phenotypes of a heart, computed from its own contours and volumes.

    LVSV = LVEDV - LVESV     LVEF = 100 LVSV / LVEDV     LVCO = LVSV HR / 1000     (RV likewise)
    WT   = |epi_k - endo_k| at ED
    Ecc  = 100 (|p'_{k+1} - p'_k| / |p_{k+1} - p_k| - 1), over the endo and the epi contour
    Err  = 100 ERR_SCALE (|epi'_k - endo'_k| / |epi_k - endo_k| - 1)

Each segment is the mean over its lines; Global is the mean over all lines of the three rings.

Glossary: k, one of 36 radial lines of a ring; p, contour point at ED; p', the same material point
at ES; ED, ES, end of diastole and of systole; HR, heart rate (bpm); ring, short-axis section at the
base, the middle or the apex. Angles follow the AHA convention: 0 anterior, 90 septal, 180 inferior,
-90 lateral (degrees).
"""

from __future__ import annotations

import numpy as np

from data_synth.heart.geometry import Heart
from data_synth.heart.segments import ANGLES, POINTS, aha_segment
from reference.cohort.format import PHENOTYPES

LINES = 36  # radial lines on which the phenotypes are measured
LINE_INDEX = np.arange(2, POINTS, POINTS // LINES)  # lines at -175, -165 .. 175 degrees
ERR_SCALE = 0.83  # registration-based radial strain is smaller than the geometric one
COLUMN = {phenotype.name: k for k, phenotype in enumerate(PHENOTYPES)}
REALISED = {"lvedv": "LVEDV", "lvesv": "LVESV", "lvef": "LVEF", "lvm": "LVM", "rvedv": "RVEDV",
            "rvesv": "RVESV", "rvef": "RVEF", "wt_global": "WT_Global"}  # latent: phenotype
_ED, _ES = 0, 2


def _means(degrees: np.ndarray) -> np.ndarray:
    """[17, 3 * LINES]: rows average the lines of segment 1..16, and all lines."""
    segment = np.concatenate([aha_segment(degrees, ring) for ring in range(3)])
    member = (segment == np.arange(1, 17)[:, None]).astype(float)  # [16, 108]
    member = np.vstack([member, np.ones(segment.size)])  # [17, 108]
    return member / member.sum(axis=1, keepdims=True)


LINE_DEGREES = ANGLES[LINE_INDEX]
_LINE_MEANS = _means(LINE_DEGREES)
_CHORD_MEANS = _means(LINE_DEGREES + 180.0 / LINES)  # a chord lies half-way between two lines
_CHORD_COS = np.cos(2 * np.pi / LINES)


def phenotypes(heart: Heart, latents: dict[str, float]) -> np.ndarray:
    """All phenotypes of one subject, in the order of `reference.cohort.PHENOTYPES`.

    Args:
        heart: from `geometry.realise`.
        latents: its physiology; heart_rate (bpm) is used.
    Returns:
        [61] float64: LV 6 (ml, ml, ml, %, l/min, g), RV 4 (ml, ml, ml, %), wall thickness 17 (mm),
        circumferential strain 17 (%), radial strain 17 (%).
    Source: UK Biobank fields 24100-24109, 24124-24140, 24141-24157, 24158-24174; definitions of
        ukbb_cardiac (Bai et al. 2020).
    Differs: a chord belongs to the segment of its midpoint; radial strain is scaled by ERR_SCALE.
    """
    endo, epi = heart.endo[..., LINE_INDEX], heart.epi[..., LINE_INDEX]  # [3, 3, 36]
    wall = epi - endo  # [3, 3, 36]
    thickening = wall[_ES] / wall[_ED] - 1.0  # [3, 36]
    contours = np.stack([endo[[_ED, _ES]], epi[[_ED, _ES]]])  # [2 contours, 2 phases, 3, 36]
    length = chord_lengths(contours)
    shortening = (length[:, 1] / length[:, 0] - 1.0).mean(axis=0)  # [3, 36]
    left, right = heart.lv_volumes, heart.rv_volumes  # ED, mid, ES
    lv_stroke, rv_stroke = left[_ED] - left[_ES], right[_ED] - right[_ES]
    volumes = [left[_ED], left[_ES], lv_stroke, 100 * lv_stroke / left[_ED],
               lv_stroke * latents["heart_rate"] / 1000, heart.lv_mass,
               right[_ED], right[_ES], rv_stroke, 100 * rv_stroke / right[_ED]]
    return np.concatenate([volumes, _LINE_MEANS @ wall[_ED].ravel(),
                           100 * (_CHORD_MEANS @ shortening.ravel()),
                           100 * ERR_SCALE * (_LINE_MEANS @ thickening.ravel())])  # [61]


def realised(values: np.ndarray) -> dict[str, float]:
    """The volumes, mass and thickness that a heart came to have, as latents.

    Args:
        values: [61] from `phenotypes`.
    Returns:
        `REALISED` -> ml, %, g, mm.
    """
    return {name: float(values[COLUMN[column]]) for name, column in REALISED.items()}


def chord_lengths(radius: np.ndarray) -> np.ndarray:
    """Distance from each contour point to the next one around the ring.

    Args:
        radius: [..., 36] mm, distance from the ring's axis at evenly spaced angles.
    Returns:
        [..., 36] mm; entry k joins points k and k + 1.
    Source: law of cosines.
    """
    following = np.concatenate([radius[..., 1:], radius[..., :1]], axis=-1)
    return np.sqrt(radius**2 + following**2 - 2 * _CHORD_COS * radius * following)
