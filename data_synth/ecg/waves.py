"""The waves of one beat as Gaussian kernels with vector amplitudes, and their placement in time.

    lead_i(t) = sum_b sum_k (L R_b v_k + n_k)_i a_b exp(-(t - t_b - c_bk)^2 / (2 w_k^2))

QRS and T kernels are those of Sameni et al. (2007), turned from phase into time at 60 bpm, so that
the QRS does not widen with a slow heart; QRS centres and widths are then scaled to the wanted QRS
duration and T centres to the wanted QT.

Glossary: b, beat; k, kernel; t_b, R peak (s); c, centre (s); w, width (s); v, dipole vector
(X left, Y foot, Z back; mV); n, non-dipolar amplitude in the eight leads (mV); a, amplitude of the
beat; R_b, rotation of the heart with breathing; L, lead field.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from reference.cohort.format import SAMPLES, SAMPLING_RATE

_PHASE = 1 / (2 * np.pi)  # s per radian at 60 bpm
# axis, phase (rad), amplitude (mV), width (rad); the last column is the part of the ventricle
_SAMENI_QRS = (
    (0, -.19, -.13, .0453, "septum"), (0, -.07, .85, .0378, "wall"), (0, 0., 1.11, .0332, "wall"),
    (0, .06, .75, .0302, "wall"), (0, .22, .06, .0378, "base"),
    (1, -.11, .32, .055, "wall"), (1, -.01, .51, .037, "wall"), (1, .065, -.32, .0604, "base"),
    (2, -.15, -.36, .045, "septum"), (2, .095, .55, .05, "wall"))
_SAMENI_T = (
    (0, 1.20, .10, .45), (0, 1.42, .17, .302), (0, 1.68, .39, .1812),
    (1, .80, .04, .40), (1, 1.58, .08, .30),
    (2, 1.05, -.12, .45), (2, 1.25, -.20, .40), (2, 1.55, -.35, .20))
T_PEAKS = [2, 4, 7]  # of these, the latest on each axis: the peak of the T wave
_T_BROADER = 1.12  # T peak to T end is longer than the published kernels'
_T_AXES = np.array([.92, 1.9, .44])  # the published T is too tall in V2-V3, too low in II
_AXIS, _TIME, _AMPLITUDE, _WIDE, _PART = zip(*_SAMENI_QRS, strict=True)
_QRS_TIME, _QRS_WIDE = np.array((*_TIME, .20)), np.array((*_WIDE, .045))  # [11] rad
_OUTFLOW = np.array([-.20, -.10, .10])  # mV, right ventricular outflow
_T_AXIS, _T_TIME, _T_AMPLITUDE, _T_WIDE = map(np.array, zip(*_SAMENI_T, strict=True))  # [8]
_T_VECTOR = np.where(np.arange(3)[:, None] == _T_AXIS, _T_AMPLITUDE, 0.) * _T_AXES[:, None]
QRS_NATURAL = .0770  # s, duration of the kernels above before scaling
T_PEAK_NATURAL = 1.68 * _PHASE  # s after the R peak
T_PEAK_TO_END = .094  # s
# Left bundle branch block, in units of the QRS duration: slow, leftwards and backwards, notched
_LEFT_BLOCK = (
    (-.27, .090, (.70, .22, .30)), (.00, .105, (1.0, .10, .70)), (.29, .095, (1.0, .02, .60)))
ONSET = -.036  # s before the R peak at the natural duration
_MARGIN = 500  # samples on both sides of the record


class Kernels(NamedTuple):
    """K Gaussian kernels."""

    centre: np.ndarray  # [K] or [B, K] s after the R peak
    width: np.ndarray  # [K] s
    vector: np.ndarray  # [3, K] mV


class Parts(NamedTuple):
    """Amplitudes of the parts of the ventricle relative to an average heart."""

    wall: float
    septum: float
    base: float


def qrs_kernels(duration: float, parts: Parts) -> Kernels:
    """The QRS of normal conduction.

    Args:
        duration: QRS duration, s.
        parts: amplitudes of left ventricular wall, septum and base.
    Returns:
        11 kernels: the ten of the source and a late one of the right ventricular outflow.
    Source: Sameni et al. 2007 (10.1155/2007/43407).
    Differs: time instead of phase; widths scaled; backward force .55 for .46 mV (S in V1-V2); the
        last kernel, which gives S waves in I and V6.
    """
    scale = duration / QRS_NATURAL
    vector = np.zeros((3, 11))
    gain = [getattr(parts, name) for name in _PART]
    vector[_AXIS, range(10)] = np.multiply(_AMPLITUDE, gain)
    vector[:, 10] = _OUTFLOW * parts.base
    return Kernels(_QRS_TIME * (_PHASE * scale), _QRS_WIDE * (_PHASE * scale), vector)


def left_block_kernels(duration: float, gain: float) -> Kernels:
    """The QRS of left bundle branch block: no septal q, broad notched R to the left, QS in V1-V2.

    Args:
        duration: QRS duration, s.
        gain: amplitude relative to an average heart.
    Returns:
        3 kernels.
    Source: Strauss et al. 2011 (10.1016/j.amjcard.2010.11.010), criteria in words.
    """
    centre, width, vector = zip(*_LEFT_BLOCK, strict=True)
    return Kernels(np.array(centre) * duration, np.array(width) * duration,
                   gain * .85 * np.array(vector).T)


def t_kernels(t_peak: np.ndarray, width: float = 1.0) -> Kernels:
    """ST segment and T wave, their centres stretched with the time of the T peak.

    Args:
        t_peak: [B] s after the R peak, one for each beat; width: duration relative to an average
            T wave's.
    Returns:
        8 kernels with centres [B, 8].
    Source: Sameni et al. 2007 (10.1155/2007/43407).
    Differs: axes scaled, and the three broadest kernels narrowed so that the T wave ends.
    """
    stretch = np.asarray(t_peak)[:, None] / T_PEAK_NATURAL  # [B, 1]
    return Kernels(stretch * _T_TIME * _PHASE,  # [B, 8]
                   float(np.mean(stretch)) * _T_BROADER * width * _T_WIDE * _PHASE,
                   _T_VECTOR.copy())


def p_kernels(onset: float, duration: float, height: float, terminal: float) -> Kernels:
    """The P wave: right atrium first (down, forwards), left atrium last (left, backwards).

    Args:
        onset: s relative to the R peak.
        duration: s.
        height: amplitude relative to normal.
        terminal: amplitude of the left atrium's backward force relative to normal.
    Returns:
        2 kernels.
    Source: two-source model; P terminal force after Morris et al. 1964.
    """
    middle = onset + duration / 2
    centre = np.array([middle - .17 * duration, middle + .17 * duration])
    vector = height * np.array([[.035, .055], [.085, .050], [-.055, .045 * terminal]])
    return Kernels(centre, np.full(2, .165 * duration), vector)


def join(*kernels: Kernels) -> Kernels:
    """All kernels of several groups with [K] centres as one group."""
    return Kernels(np.concatenate([k.centre for k in kernels]),
                   np.concatenate([k.width for k in kernels]),
                   np.concatenate([k.vector for k in kernels], axis=1))


def rotation(frontal: float | np.ndarray, horizontal: float | np.ndarray) -> np.ndarray:
    """Rotations of the dipole: `frontal` from left to foot, then `horizontal` from left to back.

    Args:
        frontal, horizontal: degrees, numbers or [...].
    Returns:
        [..., 3, 3], one rotation for each angle.
    """
    f, h = np.deg2rad(frontal), np.deg2rad(horizontal)
    in_frontal, in_horizontal = np.zeros((2, *np.shape(f), 3, 3))
    in_frontal[..., 0, 0] = in_frontal[..., 1, 1] = np.cos(f)
    in_frontal[..., 1, 0] = np.sin(f)
    in_frontal[..., 0, 1] = -in_frontal[..., 1, 0]
    in_horizontal[..., 0, 0] = in_horizontal[..., 2, 2] = np.cos(h)
    in_horizontal[..., 2, 0] = np.sin(h)
    in_horizontal[..., 0, 2] = -in_horizontal[..., 2, 0]
    in_frontal[..., 2, 2] = in_horizontal[..., 1, 1] = 1
    return in_horizontal @ in_frontal


def canvas() -> np.ndarray:
    """An empty eight-lead record with a margin on both sides, [8, 6000] float32, mV."""
    return np.zeros((8, SAMPLES + 2 * _MARGIN), np.float32)


def cut(record: np.ndarray) -> np.ndarray:
    """The record without its margins, [8, 5000]."""
    return record[:, _MARGIN:_MARGIN + SAMPLES]


def place(record: np.ndarray, kernels: Kernels, amplitudes: np.ndarray, times: np.ndarray) -> None:
    """Add the kernels of every beat to the record, evaluated only where they are not zero.

    Args:
        record: [8, 6000] from `canvas`, changed in place.
        kernels: K kernels, centres [K] or [B, K].
        amplitudes: [B, 8, K] mV.
        times: [B] R peaks, s.
    """
    if len(times) == 0:
        return
    reach = 4.2 * kernels.width  # [K]
    first = math.floor((kernels.centre - reach).min() * SAMPLING_RATE)
    last = math.ceil((kernels.centre + reach).max() * SAMPLING_RATE)
    peak = times * SAMPLING_RATE
    whole = np.floor(peak).astype(int)  # [B]
    t = np.arange(first, last + 1, dtype=np.float32)  # [W] samples after the whole peak
    shift = (peak - whole)[:, None] + kernels.centre * SAMPLING_RATE  # [B, K]
    scale = (-.5 / (kernels.width * SAMPLING_RATE) ** 2).astype(np.float32)
    shape = t - shift[:, :, None].astype(np.float32)  # [B, K, W]
    np.square(shape, out=shape)
    shape *= scale[:, None]
    np.exp(shape, out=shape)
    waves = amplitudes.astype(np.float32) @ shape  # [B, 8, K] x [B, K, W] -> [B, 8, W]
    for wave, start in zip(waves, (whole + (first + _MARGIN)).tolist(), strict=True):
        begin, end = max(start, 0), min(start + len(t), record.shape[1])
        if begin < end:
            part = record[:, begin:end]
            part += wave[:, begin - start:end - start]
