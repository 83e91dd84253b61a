"""Angles of a short-axis ring, and the AHA segments they lie in.

Angles follow the AHA convention: 0 anterior, 90 septal, 180 inferior, -90 lateral (degrees).
"""

from __future__ import annotations

import numpy as np

POINTS = 144  # angles at which the fields of a ring are known
ANGLES = -180.0 + 360.0 / POINTS * np.arange(POINTS)  # degrees


def aha_segment(degrees: np.ndarray, ring: int) -> np.ndarray:
    """The AHA segment (1..16) of angles in a ring.

    Args:
        degrees: angles, 0 anterior, 90 septal, -90 lateral; any shape.
        ring: 0 basal, 1 middle, 2 apical.
    Returns:
        Segment numbers, int, same shape; a sector owns its lower bound.
    Source: ukbb_cardiac (Bai et al. 2020), common/cardiac_utils.py: basal 1 and middle 7 are
        [-30, 30), then 60 degrees each towards the septum; apical 13 is [-45, 45), then 90 each.
    """
    if ring == 2:
        return 13 + (np.floor((degrees + 45.0) / 90.0).astype(int) % 4)
    return 1 + 6 * ring + (np.floor((degrees + 30.0) / 60.0).astype(int) % 6)
