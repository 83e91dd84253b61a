"""Recipes of training views: numbers only; augmentation.py makes the views.

Source: Turgut et al. 2025, section 3 (augmentations); authors' code where a comment says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ECGView:
    """How an ECG training view is made; probabilities are per record."""

    surrogate: float = 0.1  # phase magnitude m
    surrogate_rate: float = 1.0  # within the augmented share
    jitter: float = 0.25
    rescale: float = 0.5
    rate: float = 0.95  # share of records that are augmented at all
    time_flip: float = 0.0  # 0.5 in the unimodal baselines
    sign_flip: float = 0.0  # 0.5 in the unimodal baselines


CONTRASTIVE_ECG = ECGView()
# The authors' code draws the surrogate with probability 0.5 here and always jitters and rescales.
MDM_ECG = ECGView(surrogate=0.075, surrogate_rate=0.5, jitter=0.2, rescale=0.5, rate=1.0)
CROP_ONLY = ECGView(surrogate=0.0, jitter=0.0, rescale=0.0, rate=0.0)


@dataclass(frozen=True)
class CMRView:
    """How a CMR training view is made; probabilities are per image."""

    rate: float = 0.95
    flip: float = 0.5
    rotation: float = 45.0  # degrees
    rotation_rate: float = 0.5  # paper; the authors' code always rotates
    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.25  # paper; 0.5 in the authors' code
    scale: tuple[float, float] = (0.6, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
