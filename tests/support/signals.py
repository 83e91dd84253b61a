"""Signals for the tests of cleaning, and the slow baseline that the fast ones are held against."""

from __future__ import annotations

import numpy as np


def portable_ecg() -> np.ndarray:
    """[12, 500]: the input of the portable vectors, a formula."""
    t, k = np.arange(500) / 500, np.arange(12)[:, None]
    return (0.3 * np.sin(2 * np.pi * (0.2 + 0.03 * k) * t + k)
            + (0.1 + 0.02 * k) * np.sin(2 * np.pi * (5 + k) * t)
            + 1.5 * np.exp(-(((t - 0.5 - 0.01 * k) / 0.01) ** 2)))


def wandering(*shape: int, seed: int = 0) -> np.ndarray:
    """Noise on a slow wave, as an ECG has it."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (*shape[:-1], 1))
    return np.sin(2 * np.pi * np.arange(shape[-1]) / shape[-1] + phase) + rng.normal(0, 0.2, shape)


def dense_baseline(signal: np.ndarray, lam: float = 1e7, p: float = 0.3,
                   iterations: int = 5) -> np.ndarray:
    """The algorithm as printed by Eilers & Boelens 2005: [..., T] -> [..., T] float64."""
    T = signal.shape[-1]
    penalty = np.zeros((T, T))
    for row in range(T - 2):
        stencil = np.zeros(T)
        stencil[row], stencil[row + 1], stencil[row + 2] = 1.0, -2.0, 1.0
        penalty += lam * np.outer(stencil, stencil)
    baseline = np.array(signal, dtype=np.float64).reshape(-1, T)
    for lane in range(len(baseline)):
        y = baseline[lane].copy()
        w = np.ones(T)
        for _ in range(iterations):
            if np.count_nonzero(w) < 2 or np.all(y == y[0]):
                z = y
                break
            z = np.linalg.solve(np.diag(w) + penalty, w * y)
            w = np.array([p if u > v else 1 - p if u < v else 0.0
                          for u, v in zip(y, z, strict=True)])
        baseline[lane] = z
    return baseline.reshape(signal.shape)
