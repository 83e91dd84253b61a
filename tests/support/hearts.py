"""Hearts, persons and small statistics for the tests of the synthetic heart."""

from __future__ import annotations

import numpy as np

from data_synth.heart import geometry, physiology
from data_synth.heart.phenotypes import COLUMN, phenotypes

LATENTS = {
    "lvedv_target": 150.0, "lvm_target": 88.0, "ef_target": 59.5, "longitudinal_strain": -0.17,
    "rv_sv_ratio": 0.97, "rv_ef_target": 56.0, "scar_size": 0.0, "scar_territory": 0.0,
    "scar_transmurality": 0.0, "lbbb": 0.0, "bmi": 26.5, "heart_rate": 62.0}

COHORT = range(3, 8)  # subjects of the fixture `written`, of seed 4


class Zeros:
    """A generator whose normal numbers are all zero: the average anatomy."""

    def standard_normal(self, size):
        return np.zeros(size)


def hearts(seed=3, **changes):
    """A heart of `LATENTS` with changes; its own anatomy by seed."""
    return geometry.realise({**LATENTS, **changes}, np.random.default_rng(seed))


def average(**changes):
    """A heart of `LATENTS` with changes and the average anatomy."""
    return geometry.realise({**LATENTS, **changes}, Zeros())


def values(heart, **changes):
    """Phenotypes of a heart by name."""
    return dict(zip(COLUMN, phenotypes(heart, {**LATENTS, **changes}), strict=True))


def person(subject: int = 4, seed: int = 0, **changes) -> dict[str, float]:
    """Physiology whose geometry realised its targets exactly."""
    p = physiology.sample(subject, seed)
    stroke = p["lvedv_target"] * p["ef_target"] / 100
    p.update(lvedv=p["lvedv_target"], lvm=p["lvm_target"], lvef=p["ef_target"],
             rvedv=stroke * p["rv_sv_ratio"] / p["rv_ef_target"] * 100)
    return {**p, **changes}


def hat(u, ring):
    """Linear interpolation weight of one ring at depth u, spelled out."""
    below, here, above = ((None, .20, .45), (.20, .45, .75), (.45, .75, None))[ring]
    if u < here:
        return 1.0 if below is None else max(0.0, (u - below) / (here - below))
    return 1.0 if above is None else max(0.0, (above - u) / (above - here))


def segment_of(degrees, ring):
    """AHA segment by a chain of comparisons."""
    degrees = (degrees + 180) % 360 - 180
    if ring == 2:
        if -45 <= degrees < 45:
            return 13
        if 45 <= degrees < 135:
            return 14
        return 16 if -135 <= degrees < -45 else 15
    for k, low in enumerate((-30, 30, 90)):
        if low <= degrees < low + 60:
            return 6 * ring + 1 + k
    if -150 <= degrees < -90:
        return 6 * ring + 5
    return 6 * ring + 6 if -90 <= degrees < -30 else 6 * ring + 4


def residual(target: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """What a linear regression on the inputs does not explain."""
    x = np.c_[inputs, np.ones(len(target))]
    return target - x @ np.linalg.lstsq(x, target, rcond=None)[0]
