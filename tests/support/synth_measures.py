"""Simple measurements on a rendered electrocardiogram, for the tests of the synthetic heart.

They know nothing of how a record was made: R peaks from the leads' velocity, a median beat, and
amplitudes and durations on it.
"""

from __future__ import annotations

import numpy as np

EIGHT = [0, 1, 6, 7, 8, 9, 10, 11]  # I, II, V1..V6
BEFORE, AFTER = 150, 300  # samples around the R peak


def r_peaks(ecg: np.ndarray) -> np.ndarray:
    """Samples of the QRS complexes of [12, 5000] mV."""
    energy = np.convolve((np.diff(ecg[EIGHT]) ** 2).sum(0), np.ones(20) / 20, "same")
    energy -= np.percentile(energy, 30)  # noise
    threshold = .3 * np.percentile(energy, 98)
    above, peaks = np.flatnonzero(energy > threshold), []
    while len(above):
        peaks.append(above[0] + int(np.argmax(energy[above[0]:above[0] + 60])))
        above = above[np.searchsorted(above, peaks[-1] + 125):]
    return np.array(peaks)


def median_beat(ecg: np.ndarray, peaks: np.ndarray | None = None) -> np.ndarray:
    """[12, 450] mV, the R peak at sample 150; the start of the beat is the zero."""
    peaks = r_peaks(ecg) if peaks is None else peaks
    peaks = [p for p in peaks if BEFORE < p < ecg.shape[1] - AFTER]
    beats = np.stack([ecg[:, p - BEFORE:p + AFTER] for p in peaks])
    return np.median(beats - beats[:, :, :20].mean(2, keepdims=True), axis=0)


def qrs_bounds(beat: np.ndarray) -> tuple[int, int]:
    """First and last sample of the QRS of a median beat: velocity over a tenth of its peak."""
    speed = np.convolve(np.abs(np.diff(beat[EIGHT])).sum(0), np.ones(3) / 3, "same")
    speed -= np.median(speed[330:])
    fast = np.flatnonzero(speed[60:260] > .1 * speed[100:200].max()) + 60
    groups = np.split(fast, np.flatnonzero(np.diff(fast) > 15) + 1)
    top = 100 + int(np.argmax(speed[100:200]))
    group = next(g for g in groups if g[0] <= top <= g[-1])
    return int(group[0]), int(group[-1])


def features(ecg: np.ndarray) -> dict[str, np.ndarray]:
    """QRS duration (ms), rate (bpm), irregularity, axis (degrees), amplitudes of all leads (mV)."""
    peaks = r_peaks(ecg)
    beat, rr = median_beat(ecg, peaks), np.diff(peaks) / 500
    first, last = qrs_bounds(beat)
    beat = beat - beat[:, first - 10:first - 4].mean(1, keepdims=True)
    qrs, t_wave = beat[:, first:last + 1], beat[:, min(last + 40, 330):430]
    p_wave = beat[:, max(first - 110, 0):first - 10]
    area = qrs.sum(1)
    peak = np.argmax(np.abs(t_wave), axis=1)
    return {"qrs": 2.0 * (last - first), "rate": 60 / rr.mean(),
            "irregularity": np.abs(np.diff(rr)).mean() / rr.mean(),
            "axis": np.degrees(np.arctan2(area[5] * 2 / np.sqrt(3), area[0])),
            "r": qrs.max(1), "s": qrs.min(1), "t": t_wave[np.arange(12), peak],
            "t_time": 2.0 * (np.median(peak) + min(last + 40, 330) - BEFORE),
            "st": beat[:, last + 10], "p": p_wave.max(1), "p_negative": p_wave.min(1)}


def vector(ecg: np.ndarray) -> np.ndarray:
    """All features of one record as [F] numbers."""
    return np.concatenate([np.atleast_1d(value) for value in features(ecg).values()])


def held_out_correlation(inputs: np.ndarray, target: np.ndarray, penalty: float = 20.0) -> float:
    """Pearson r of a ridge regression's predictions on the last third of the rows."""
    half = 2 * len(target) // 3
    mean, spread = inputs[:half].mean(0), inputs[:half].std(0) + 1e-9
    z = np.c_[np.clip((inputs - mean) / spread, -5, 5), np.ones(len(target))]
    weights = np.linalg.solve(z[:half].T @ z[:half] + penalty * np.eye(z.shape[1]),
                              z[:half].T @ target[:half])
    return float(np.corrcoef(z[half:] @ weights, target[half:])[0, 1])


def residual(target: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """What a linear regression on the inputs does not explain."""
    x = np.c_[inputs, np.ones(len(target))]
    return target - x @ np.linalg.lstsq(x, target, rcond=None)[0]
