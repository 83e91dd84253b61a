"""What rarely goes wrong at the electrodes: swapped cables, misplaced or loose electrodes.

    swapped cables   LA<->RA: I' = -I, II' = II - I;  LA<->LL: I' = II, II' = I;
                     RA<->LL: I' = I - II, II' = -II          1 % of records, chest leads unchanged
    chest            two neighbours swapped (.7 %), or V1 and V2 placed two ribs too high (1 %)
    loose electrode  burst(t) = A window (sin(2 pi f t) + .04 muscle noise)   3 % of records

The mean of the three limb electrodes, to which the chest leads refer, stays the same whichever of
their cables are swapped. All of it is private to the record: nothing depends on the person.

Glossary: RA, LA, LL, electrodes on the right arm, left arm, left leg; A amplitude (mV), f frequency
(Hz) of the burst; window, one raised cosine of up to 1.2 s.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_synth.ecg.leads import ELECTRODES, from_electrodes
from reference.cohort.format import SAMPLES, SAMPLING_RATE

CABLES = (0.006, 0.009, 0.010)  # cumulative: LA<->RA, LA<->LL, RA<->LL
CHEST = (0.007, 0.017)  # cumulative: neighbours swapped, V1 and V2 too high
BURST = 0.03  # share of records with a loose electrode
_BURST_SAMPLES = 600
_TOO_HIGH = -.35  # per unit dipole: the foot's direction seen from above the heart
_SWAPPED = np.array([  # I, II of the cables as they are
    [[1, 0], [0, 1]], [[-1, 0], [-1, 1]], [[0, 1], [1, 0]], [[1, -1], [0, -1]]], np.float32)


class Faults(NamedTuple):
    """The faults of one record; drawn whether or not they occur."""

    cables: int  # 0 none, 1 LA<->RA, 2 LA<->LL, 3 RA<->LL
    chest: int  # 0 none, 1..5 V_i and V_i+1 swapped, 6 V1 and V2 too high
    burst: float  # mV, amplitude of a loose electrode's burst; 0 none
    electrode: int  # which one, an index into ELECTRODES
    start: int  # sample
    length: int  # samples
    frequency: float  # Hz
    muscle: np.ndarray  # [600] normal


def draw(rng: np.random.Generator) -> Faults:
    """Draw the faults of one record; always the same count of random numbers."""
    u = rng.random(9).tolist()
    cables = 1 + sum(u[0] >= bound for bound in CABLES)
    neighbours = 1 + int(5 * u[2])
    chest = neighbours if u[1] < CHEST[0] else 6 * (u[1] < CHEST[1])
    length = int((.4 + .6 * u[6]) * _BURST_SAMPLES)
    return Faults(cables % 4, int(chest), (u[3] < BURST) * (.25 + .75 * u[4]),
                  int(len(ELECTRODES) * u[5]), int(u[7] * (SAMPLES - length)), length,
                  2 + 4 * u[8], rng.standard_normal(_BURST_SAMPLES, dtype=np.float32))


def misplace(field: np.ndarray, faults: Faults) -> np.ndarray:
    """The lead field with the chest electrodes where they are.

    Args:
        field: [8, 3], rows I, II, V1..V6; faults: from `draw`.
    Returns:
        [8, 3], a new array.
    Source: Bond et al. 2012 (10.1016/j.jelectrocard.2012.07.003) for electrodes placed too high:
        smaller r, negative P and T in V1 and V2.
    """
    field = field.copy()
    if faults.chest == 6:
        field[2:4, 1] += _TOO_HIGH
    elif faults.chest:
        first = 1 + faults.chest  # row of V_i
        field[[first, first + 1]] = field[[first + 1, first]]
    return field


def spoil(eight: np.ndarray, faults: Faults) -> np.ndarray:
    """Add the burst and swap the cables.

    Args:
        eight: [8, 5000] mV, leads I, II, V1..V6, changed in place; faults: from `draw`.
    Returns:
        The same array.
    Source: Einthoven's definitions; size and length of bursts are own choice.
    """
    if faults.burst:
        span = slice(faults.start, faults.start + faults.length)
        eight[:, span] += from_electrodes(faults.electrode)[:, None] * burst(faults)
    if faults.cables:
        eight[:2] = _SWAPPED[faults.cables] @ eight[:2]
    return eight


def burst(faults: Faults) -> np.ndarray:
    """What a loose electrode adds, [length] float32 mV, with mean 0."""
    t = np.arange(faults.length) / SAMPLING_RATE
    window = .5 - .5 * np.cos(2 * np.pi * np.arange(faults.length) / faults.length)
    wave = np.sin(2 * np.pi * faults.frequency * t) + .04 * faults.muscle[:faults.length]
    shape = faults.burst * window * wave
    return (shape - window * (shape.sum() / window.sum())).astype(np.float32)
