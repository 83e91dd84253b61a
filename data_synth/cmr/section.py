"""The contours of a heart in a section a little above or below its middle ring.

    u = u_1 + offset / L                       u_1 = .45, the middle ring
    endo(ED) = endo_1(ED) sqrt((1 - u^2) / (1 - u_1^2))         the ellipsoid of `geometry`
    x(u) = sum_i w_i(u) x_i                    wall thickness at ED, relative motion of each phase
    endo = endo(ED) (1 - motion)               epi^2 = endo^2 + (section at ED) / (1 + f ELL)

A planned slice misses the middle of the ventricle by some millimetres. Only the image sees this
section: volumes, mass and the other phenotypes belong to the whole heart and stay what they are.

Glossary: u depth as a fraction of the cavity's length L; w_i, hat functions of the rings i; f,
fraction of systole; ELL, longitudinal strain. The section follows the heart as it shortens.
"""

from __future__ import annotations

import numpy as np

from data_synth.heart.geometry import FRACTIONS, RINGS, Heart

MIDDLE = 1  # the ring that is rendered
MAX_OFFSET_MM = 6.0


def section(heart: Heart, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Contours beside the middle ring.

    Args:
        heart: from `geometry.realise`.
        offset: mm towards the apex, -6..6.
    Returns:
        endo, epi [3 phases, 144] mm; at offset 0 those of the middle ring, exactly.
    Raises:
        ValueError: offset beyond `MAX_OFFSET_MM`.
    Source: closed form of `geometry`.
    Differs: thickness is interpolated in mm between the rings; the heart's mass is not affected.
    """
    if not abs(offset) <= MAX_OFFSET_MM:
        raise ValueError(f"offset={offset}, but should be in -{MAX_OFFSET_MM}..{MAX_OFFSET_MM}")
    endo, epi = heart.endo[:, MIDDLE], heart.epi[:, MIDDLE]  # [3, 144]
    if offset == 0:
        return endo, epi
    u = RINGS[MIDDLE] + offset / heart.length
    other = MIDDLE + (1 if offset > 0 else -1)
    share = (u - RINGS[MIDDLE]) / (RINGS[other] - RINGS[MIDDLE])
    motion = [1 - heart.endo[:, ring] / heart.endo[0, ring] for ring in (MIDDLE, other)]
    motion = motion[0] + share * (motion[1] - motion[0])  # [3, 144]
    wall = [heart.epi[0, ring] - heart.endo[0, ring] for ring in (MIDDLE, other)]
    wall = wall[0] + share * (wall[1] - wall[0])  # [144]
    start = endo[0] * np.sqrt((1 - u * u) / (1 - RINGS[MIDDLE] ** 2))  # [144]
    moved = start * (1 - motion)  # [3, 144]
    stretch = 1 + np.array(FRACTIONS)[:, None] * heart.longitudinal_strain
    return moved, np.sqrt(moved**2 + ((start + wall) ** 2 - start**2) / stretch)
