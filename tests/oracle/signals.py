"""ECG: cleaning and training views, sample by sample.

    baseline   (W + lam D'D) z = W y by Gaussian elimination of the whole matrix in 50 decimal
               digits; w = p above, 1 - p below, 0 on the baseline
    surrogate  T y_t = X_0 + (-1)^t X_{T/2} + sum_{0<k<T/2} 2 Re(X_k e^{2 pi i (m U_k + k t / T)})
               X_k = sum_t x_t e^{-2 pi i k t / T}; X_{T/2} for even T alone
    resample   sum_k h(n r / r' - k) x_k / sum_k h(n r / r' - k), h(u) = sinc(c u) kaiser(u)

Glossary: B records, V leads, T samples, y signal, z baseline, w weights, X spectrum, m magnitude,
U uniform numbers, r -> r' sampling rates.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from itertools import pairwise

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
                a[j] = [u - factor * v if v else u for u, v in zip(a[j], a[i], strict=True)]
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
            z = solve(matrix, [weight * v for weight, v in zip(w, y, strict=True)])
            w = [Decimal(0) if abs(v - u) < ON_THE_BASELINE else
                 Decimal(p) if v > u else 1 - Decimal(p) for v, u in zip(y, z, strict=True)]
        return [float(v) for v in z]


def asymmetric_least_squares(signal: np.ndarray, lam: float, p: float,
                             iterations: int) -> np.ndarray:
    """Baseline of every row of [V, T]."""
    return np.array([baseline(row, lam, p, iterations) for row in signal])


def normalise(ecg: np.ndarray, ends: tuple[int, ...]) -> np.ndarray:
    """Z-score of the groups of leads up to each end of [V, T], variance + 1e-12."""
    out = np.zeros(ecg.shape)
    for start, stop in pairwise((0, *ends)):
        values = [v for row in ecg[start:stop] for v in row]
        mean = math.fsum(values) / len(values)
        variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
        for place in np.ndindex(stop - start, ecg.shape[1]):
            out[start + place[0], place[1]] = (ecg[start + place[0], place[1]] - mean) / math.sqrt(
                variance + 1e-12)
    return out


def clean_ecg(ecg: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Missing samples of [12, T] to 0, clip to 4 standard deviations, baseline, groups."""
    values = [0.0 if gone else v
              for v, gone in zip(ecg.reshape(-1), missing.reshape(-1), strict=True)]
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


def bessel_i0(x: float) -> float:
    """sum_k ((x / 2)^k / k!)^2."""
    total, term, k = 0.0, 1.0, 0
    while term > 1e-18 * total:
        total += term
        k += 1
        term *= (x / 2 / k) ** 2
    return total


def low_pass(u: float, narrow: float) -> float:
    """Windowed sinc at a distance of u samples; `narrow` is the share of the band that stays."""
    inside = 1 - (u * narrow / 64) ** 2
    if inside < 0:
        return 0.0
    angle = math.pi * narrow * (1 - 0.0785 / 2) * u
    return (math.sin(angle) / angle if angle else 1.0) * bessel_i0(7.86 * math.sqrt(inside))


def continued(x: list[float], k: int) -> float:
    """Sample k of a signal that is reflected in its end points."""
    last = len(x) - 1
    if k < 0:
        return 2 * x[0] - continued(x, -k)
    return x[k] if k <= last else 2 * x[last] - continued(x, 2 * last - k)


def bridged(x, missing) -> list[float]:
    """Missing samples on the line between their neighbours, at the ends like the nearest one."""
    seen, out = [t for t in range(len(x)) if not missing[t]], []
    for t in range(len(x)):
        left = max((s for s in seen if s <= t), default=seen[0])
        right = min((s for s in seen if s >= t), default=seen[-1])
        share = (t - left) / (right - left) if right > left else 0.0
        out.append((1 - share) * x[left] + share * x[right])
    return out


def resample(ecg: np.ndarray, missing: np.ndarray, rate: int, to: int) -> np.ndarray:
    """[V, T] -> [V, T to // rate]: the continued signal under the filter at every new instant."""
    narrow, T = min(1.0, to / rate), ecg.shape[1]
    out, reach = np.zeros((len(ecg), T * to // rate)), math.ceil(64 / narrow)
    for v in range(len(ecg)):
        x = bridged(ecg[v], missing[v])
        for n in range(out.shape[1]):
            middle, rest = n * rate // to, n * rate % to / to
            taps = [(low_pass(rest - k, narrow), continued(x, middle + k))
                    for k in range(-reach, reach + 2)]
            out[v, n] = sum(h * value for h, value in taps) / sum(h for h, _ in taps)
    return out


def ecg_view(x: np.ndarray, noise: dict[str, np.ndarray], view: dict,
             length: int) -> dict[str, np.ndarray]:
    """Crop, surrogate, jitter, rescaling, flips, record by record."""
    start = random_start(noise["start"], x.shape[2], length)
    cropped = crop(x, start, length)
    out = np.array(cropped)
    for b in range(len(x)):
        u, one = {name: values[b] for name, values in noise.items()}, cropped[b:b + 1]
        if not u["apply"] < view["rate"]:
            continue
        if u["surrogate"] < view["surrogate_rate"]:
            one = fourier_surrogate(one, view["surrogate"], u["phase"][None])
        one = jitter(one, view["jitter"], u["jitter"][None])
        one = rescale(one, view["rescale"], [u["rescale"]])
        if u["time_flip"] < view["time_flip"]:
            one = one[:, :, ::-1]
        out[b] = -one[0] if u["sign_flip"] < view["sign_flip"] else one[0]
    return {"mid/crop": cropped, "out/x": out}
