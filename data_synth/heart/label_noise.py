"""Errors of automated phenotyping, for those who want labels as imperfect as real ones.

    EDV' = EDV (1 + .03 n),  ESV' = ESV (1 + .05 n'),  r(n, n') = .5;  LVM' = LVM (1 + .05 n)
    WT' = WT + .35 n,  Ecc' = Ecc + 2.5 n,  Err' = Err + 8 n   of the 16 segments and, on average
                       over the segments, of the global value

and stroke volume, ejection fraction and cardiac output follow from the changed volumes.

Segments share a quarter of their variance: a contour drawn too wide is too wide all around.
Glossary: n, standard normal numbers; EDV, ESV, volumes at the end of diastole and of systole (left
and right ventricle alike, the right with .04 for .03); WT, Ecc, Err, wall thickness (mm),
circumferential and radial strain (%).
"""

from __future__ import annotations

import math

import numpy as np

SEGMENT_SD = {"WT": .35, "Ecc": 2.5, "Err": 8.0}  # mm, %, %
_LEFT_SD, _RIGHT_SD = (.03, .05), (.04, .05)  # relative: EDV, ESV
_MASS_SD = .05
_COMMON = .25  # share of the variance common to all segments
_ESV_LIMIT = .95  # of EDV
_POINTS = np.array([6.0] * 12 + [9.0] * 4) / 108  # share of the radial lines in each segment
_LEAST_MM = 1.0  # thinnest wall that is measured


def measured(phenotypes: np.ndarray, heart_rate: float, rng: np.random.Generator,
             scale: float) -> np.ndarray:
    """The phenotypes as an automated pipeline would report them.

    Args:
        phenotypes: [61] exact, in the order of `reference.cohort.PHENOTYPES`.
        heart_rate: bpm; rng: the subject's "labels" stream; scale: 1 = realistic, 0 = exact.
    Returns:
        [61] float64; SV = EDV - ESV, EF and CO hold exactly.
    Source: reproducibility of automated UK Biobank phenotypes (Bai et al. 2018,
        10.1186/s12968-018-0471-x); segmental strain after PMC6397185.
    """
    normal = rng.standard_normal((4, 17))
    if scale == 0:
        return phenotypes.copy()
    found = phenotypes.astype(float)
    n = scale * normal
    found[0:2] = _volumes(found[0:2], n[3, 0:2], _LEFT_SD)
    found[5] *= max(1 + _MASS_SD * n[3, 2], .2)
    found[6:8] = _volumes(found[6:8], n[3, 3:5], _RIGHT_SD)
    for start in (0, 6):
        edv, esv = found[start:start + 2]
        found[start + 2:start + 4] = edv - esv, 100 * (edv - esv) / edv
    found[4] = found[2] * heart_rate / 1000
    for k, sd in enumerate(SEGMENT_SD.values()):
        error = sd * (math.sqrt(1 - _COMMON) * n[k, :16] + math.sqrt(_COMMON) * n[k, 16])
        block = found[10 + 17 * k:27 + 17 * k]  # a view: 16 segments and the global value
        block[:16] += error
        block[16] += _POINTS @ error
    found[10:27] = np.maximum(found[10:27], _LEAST_MM)
    return found


def _volumes(volumes: np.ndarray, n: np.ndarray, sd: tuple[float, float]) -> tuple[float, float]:
    """EDV and ESV with their errors, EDV > ESV > 0."""
    edv = float(volumes[0]) * max(1 + sd[0] * n[0], .2)
    esv = float(volumes[1]) * max(1 + sd[1] * (.5 * n[0] + math.sqrt(.75) * n[1]), .1)
    return edv, min(esv, _ESV_LIMIT * edv)
