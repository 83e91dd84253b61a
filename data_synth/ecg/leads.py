"""From the cardiac dipole and the electrodes to the twelve leads.

    lead = L d + local;   L = Dower's matrix, perturbed for each subject
    I = LA - RA,  II = LL - RA,  V_i = C_i - (RA + LA + LL) / 3          (electrodes -> 8 leads)
    III = II - I,  aVR = -(I + II) / 2,  aVL = I - II / 2,  aVF = II - I / 2  (8 -> 12 leads)

Glossary: d = (X, Y, Z), the dipole, towards left, foot and back; L [8, 3], lead field; RA, LA, LL,
electrodes on the right arm, left arm, left leg; C_i, chest electrode i; local, what one electrode
sees of the muscle next to it and no dipole explains.
"""

from __future__ import annotations

import numpy as np

from data_synth.streams import places, quantiles
from reference.cohort.format import LEADS, SAMPLES, SAMPLING_RATE

LEAD = {name: row for row, name in enumerate(LEADS)}  # rows of a record of twelve
EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")  # the independent leads
EIGHT_ROWS = [LEAD[name] for name in EIGHT]
ELECTRODES = ("RA", "LA", "LL", "C1", "C2", "C3", "C4", "C5", "C6")
DOWER = np.array([  # X, Y, Z of I, II, V1..V6
    [.632, -.235, .059], [.235, 1.066, -.132], [-.515, .157, -.917], [.044, .164, -1.387],
    [.882, .098, -1.277], [1.213, .127, -.601], [1.125, .127, -.086], [.831, .076, .230]])
_NEIGHBOURS = np.gradient(DOWER[2:], axis=0)  # change from one intercostal place to the next
LEAD_FIELD_DRAWS = 8 * 3 + 4  # normal numbers that `lead_field` needs
FREQUENCIES = np.fft.rfftfreq(SAMPLES, 1 / SAMPLING_RATE)  # Hz, [2501]
_FROM_ELECTRODES = np.zeros((8, 9), np.float32)
_FROM_ELECTRODES[0, [0, 1]] = -1, 1
_FROM_ELECTRODES[1, [0, 2]] = -1, 1
_FROM_ELECTRODES[2:, :3] = -1 / 3
_FROM_ELECTRODES[range(2, 8), range(3, 9)] = 1


def lead_field(normal: np.ndarray, scale: float) -> np.ndarray:
    """The lead matrix of one subject: electrodes shifted, rows scaled, entries perturbed.

    Args:
        normal: [28] standard normal numbers.
        scale: multiplies all perturbations; 0 gives Dower's matrix.
    Returns:
        [8, 3], mV per unit dipole.
    Source: Dower et al. 1980 (10.1002/clc.1980.3.2.87); spread of the torso's part after Minchole
        et al. 2019: body shape is the largest source of variation between healthy records.
    """
    entries, row_shift, up, limb, chest = (
        normal[:24].reshape(8, 3), normal[24], normal[25], normal[26], normal[27])
    field = DOWER.copy()  # [8, 3]
    field[2:] += scale * .35 * row_shift * _NEIGHBOURS
    field[2:, 1] += scale * .12 * up  # electrodes too high or too low see more of Y
    field += scale * .07 * entries
    field[:2] *= np.exp(np.clip(scale * .08 * limb, -1, 1))
    field[2:] *= np.exp(np.clip(scale * .10 * chest, -1, 1))
    return field


def twelve_leads(eight: np.ndarray) -> np.ndarray:
    """Add III, aVR, aVL and aVF to the eight independent leads.

    Args:
        eight: [8, T], leads I, II, V1..V6.
    Returns:
        [12, T], same dtype and unit, leads I II III aVR aVL aVF V1..V6.
    Source: Einthoven 1913; Goldberger 1942.
    """
    first, second = eight[0], eight[1]
    leads = np.empty((12, eight.shape[1]), eight.dtype)
    leads[0], leads[1], leads[6:] = first, second, eight[2:]
    np.subtract(second, first, out=leads[2])
    np.multiply(first + second, -.5, out=leads[3])
    np.subtract(first, .5 * second, out=leads[4])
    np.subtract(second, .5 * first, out=leads[5])
    return leads  # [12, T]


def electrode_noise(rng: np.random.Generator) -> np.ndarray:
    """Recording noise of the eight independent leads, made at the nine electrodes.

    White and 1/f muscle noise, residual 50 Hz hum and baseline wander; levels differ between
    records and electrodes. The spectrum is drawn directly and transformed once.

    Args:
        rng: the subject's "ecg" stream; always advanced by the same number of draws.
    Returns:
        [8, 5000] float32, mV.
    """
    normal = quantiles().take(places(rng, 9 * len(_MUSCLE)), mode="wrap").reshape(9, -1)
    level = np.exp(.35 * rng.standard_normal((3, 9)) + .30 * rng.standard_normal((3, 1)))  # [3, 9]
    hum = rng.standard_normal(9) * .004 * level[2]  # mV
    phase = 2 * np.pi * rng.random()
    muscle, wander = level[:2, :, None].astype(np.float32)  # [9, 1]
    shape = muscle * _MUSCLE  # [9, 5002]
    shape += wander * _WANDER
    normal *= shape
    spectrum = normal.view(np.complex64)  # [9, 2501]
    cycle = 50 * SAMPLES // SAMPLING_RATE
    spectrum[:, cycle] += (hum * SAMPLES / 2 * np.exp(1j * phase)).astype(np.complex64)
    noise = np.fft.irfft(spectrum, SAMPLES, axis=1).astype(np.float32, copy=False)  # [9, 5000]
    right_arm, left_arm, left_leg = noise[:3]
    eight = np.empty((8, SAMPLES), np.float32)
    np.subtract(left_arm, right_arm, out=eight[0])
    np.subtract(left_leg, right_arm, out=eight[1])
    np.subtract(noise[3:], (right_arm + left_arm + left_leg) / 3, out=eight[2:])
    return eight


def from_electrodes(electrode: int) -> np.ndarray:
    """[8]: what each independent lead sees of one electrode (an index into ELECTRODES)."""
    return _FROM_ELECTRODES[:, electrode]


def _band(power: np.ndarray, rms: float) -> np.ndarray:
    """Amplitudes whose Gaussian spectrum has the given power law and root mean square (mV)."""
    amplitude = np.sqrt(power)
    # E[x^2] = 2 sum(amplitude^2 * 2) / T^2 for complex normals of variance 2
    return amplitude * rms * SAMPLES / np.sqrt(4 * np.sum(power))


def _spectra() -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes (mV) of the real and imaginary part of each frequency in turn, [5002]."""
    f = np.maximum(FREQUENCIES, .05)
    low_pass = 1 / (1 + (f / 150) ** 6)  # the recorder's filter
    muscle = (1 + 8 / f) * low_pass * (FREQUENCIES > 0)
    wander = f ** -2.2 / (1 + (f / .8) ** 4) * (FREQUENCIES > 0)
    muscle, wander = (np.repeat(_band(power, rms), 2).astype(np.float32)
                      for power, rms in ((muscle, .0055), (wander, .045)))
    return muscle, wander


_MUSCLE, _WANDER = _spectra()
