"""ECG: cleaning and training views, sample by sample.

    baseline   (W + lam D'D) z = W y by Gaussian elimination of the whole matrix in 50 decimal
               digits; w = p above, 1 - p below, 0 on the baseline
    surrogate  y_t = (X_0 + (-1)^t X_{T/2} + sum_{0<k<T/2} 2 Re(X_k e^{2 pi i (m U_k + k t / T)})) / T
               X_k = sum_t x_t e^{-2 pi i k t / T}; X_{T/2} for even T alone

Glossary: B records, V leads, T samples, y signal, z baseline, w weights, X spectrum, m magnitude,
U uniform numbers.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np

ON_THE_BASELINE = Decimal("1e-30")  # of 50 digits: what is left of an exact zero


def solve(matrix: list[list[Decimal]], right: list[Decimal]) -> list[Decimal]:
    """Gaussian elimination without pivots, for a positive definite matrix."""
    T = len(right)
    a, z = [list(row) for row in matrix], list(right)
    for i in range(T):
        for j in range(i + 1, T):
            if a[j][i]:
                factor = a[j][i] / a[i][i]
                a[j] = [u - factor * v if v else u for u, v in zip(a[j], a[i])]
                z[j] -= factor * z[i]
    for i in reversed(range(T)):
        z[i] = (z[i] - sum(a[i][j] * z[j] for j in range(i + 1, T) if a[i][j])) / a[i][i]
    return z


def baseline(signal, lam: float, p: float, iterations: int) -> list[float]:
    """Asymmetric least squares of one signal; one that lies on its baseline is its own."""
    with localcontext() as context:
        context.prec = 50
        y, T = [Decimal(float(v)) for v in signal], len(signal)
        penalty = [[Decimal(0)] * T for _ in range(T)]
        for row in range(T - 2):
            for i, u in enumerate((1, -2, 1)):
                for j, v in enumerate((1, -2, 1)):
                    penalty[row + i][row + j] += Decimal(lam) * u * v
        w = [Decimal(1)] * T
        for _ in range(iterations):
            if sum(weight > 0 for weight in w) < 2:
                return [float(v) for v in y]
            matrix = [[v + (w[i] if i == j else 0) for j, v in enumerate(row)]
                      for i, row in enumerate(penalty)]
            z = solve(matrix, [weight * v for weight, v in zip(w, y)])
            w = [Decimal(0) if abs(v - u) < ON_THE_BASELINE else
                 Decimal(p) if v > u else 1 - Decimal(p) for v, u in zip(y, z)]
        return [float(v) for v in z]


def asymmetric_least_squares(signal: np.ndarray, lam: float, p: float,
                             iterations: int) -> np.ndarray:
    """Baseline of every row of [V, T]."""
    return np.array([baseline(row, lam, p, iterations) for row in signal])


def normalise(ecg: np.ndarray, ends: tuple[int, ...]) -> np.ndarray:
    """Z-score of the groups of leads up to each end of [V, T], variance + 1e-12."""
    out = np.zeros(ecg.shape)
    for start, stop in zip((0, *ends), ends):
        values = [v for row in ecg[start:stop] for v in row]
        mean = math.fsum(values) / len(values)
        variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
        for place in np.ndindex(stop - start, ecg.shape[1]):
            out[start + place[0], place[1]] = (ecg[start + place[0], place[1]] - mean) / math.sqrt(
                variance + 1e-12)
    return out


def clean_ecg(ecg: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Missing samples of [12, T] to 0, clip to 4 standard deviations, baseline, groups."""
    values = [0.0 if gone else v for v, gone in zip(ecg.reshape(-1), missing.reshape(-1))]
    mean = math.fsum(values) / len(values)
    limit = 4 * math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    clipped = np.array([min(max(v, -limit), limit) for v in values]).reshape(ecg.shape)
    return normalise(clipped - asymmetric_least_squares(clipped, 1e7, 0.3, 5), (3, 6, 12))


def random_start(uniform: np.ndarray, samples: int, length: int) -> np.ndarray:
    """Whole part of u (samples - length + 1)."""
    return np.array([math.floor(u * (samples - length + 1)) for u in uniform], dtype=np.int64)


def crop(x: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """[B, V, T] -> [B, V, n]."""
    out = np.zeros((*x.shape[:2], length))
    for b, v, t in np.ndindex(*out.shape):
        out[b, v, t] = x[b, v, start[b] + t]
    return out


def fourier_surrogate(x: np.ndarray, magnitude: float, uniform: np.ndarray) -> np.ndarray:
    """[B, V, T] with the phases of frequency k of record b turned by 2 pi m U_bk."""
    T, out = x.shape[2], np.zeros(x.shape)
    for b, v in np.ndindex(*x.shape[:2]):
        spectrum = [sum(x[b, v, t] * turn(-k * t / T) for t in range(T)) for k in range(T // 2 + 1)]
        for t in range(T):
            value = spectrum[0].real
            for k in range(1, T // 2 + 1):
                if 2 * k == T:
                    value += (-1) ** t * spectrum[k].real
                else:
                    phase = magnitude * uniform[b, k - 1] + k * t / T
                    value += 2 * (spectrum[k] * turn(phase)).real
            out[b, v, t] = value / T
    return out


def turn(share: float) -> complex:
    """e^(2 pi i share)."""
    return complex(math.cos(2 * math.pi * share), math.sin(2 * math.pi * share))


def jitter(x: np.ndarray, sigma: float, noise: np.ndarray) -> np.ndarray:
    """x + 0.6 sigma x n."""
    out = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        out[place] = x[place] + 0.6 * sigma * x[place] * noise[place]
    return out


def rescale(x: np.ndarray, sigma: float, noise: np.ndarray) -> np.ndarray:
    """Record b of [B, V, T] times 1 + sigma n_b."""
    out = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        out[place] = x[place] * (1 + sigma * noise[place[0]])
    return out
