"""Closed-form ridge probe on the host: features [N, D], 61 targets -> weights, 8 penalties tried.

    flops  Gram matrix 2 N D^2, projected targets 2 N D C + 2 D^2 C, symmetric eigenproblem 9 D^3
           (tridiagonal form, vectors, back-transform), and for each penalty 2 D^2 C + 2 M D C
    bytes  read features and targets of both splits once, write weights: 8 (N + M) (D + C) + 8 D C

M = N / 4 validation rows choose the penalty of each target.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.harness.measure import Draw, host
from benchmarks.harness.roofline import Work
from reference.probes import PENALTIES, ridge_fit

C = 61
SHAPES = {"N1000-D384": (1000, 384), "N4000-D384": (4000, 384), "N28030-D384": (28030, 384),
          "N4000-D2048": (4000, 2048)}
CPU_SHAPES = ("N1000-D384", "N4000-D384")
PAPER = ("N28030-D384",)


def work(N: int, D: int) -> Work:
    """Counted work of one fit."""
    M = N // 4
    flops = (2 * N * D**2 + 2 * N * D * C + 2 * D**2 * C + 9 * D**3
             + len(PENALTIES) * (2 * D**2 * C + 2 * M * D * C))
    return Work(flops, 8 * (N + M) * (D + C) + 8 * D * C, precision="float64")


def inputs(N: int, D: int, draw: Draw) -> tuple[np.ndarray, ...]:
    """Features and noisy linear targets, training then validation rows."""
    x = draw.normal(N + N // 4, D, dtype=torch.float64)
    weight = draw.normal(D, C, dtype=torch.float64) / D**0.5
    y = x @ weight + draw.normal(len(x), C, dtype=torch.float64)
    return x[:N].numpy(), y[:N].numpy(), x[N:].numpy(), y[N:].numpy()


def ours(x: np.ndarray, y: np.ndarray, x_val: np.ndarray, y_val: np.ndarray) -> np.ndarray:
    """Weights of every target, [D, C]."""
    return ridge_fit(x, y, x_val, y_val).weight


def explicit(x: np.ndarray, y: np.ndarray, x_val: np.ndarray, y_val: np.ndarray) -> np.ndarray:
    """One linear system a penalty; the best on the validation rows, target by target."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    u, v = (x - mean) / scale, (x_val - mean) / scale
    fits = [np.linalg.solve(u.T @ u + a * np.eye(u.shape[1]), u.T @ (y - y.mean(axis=0)))
            for a in PENALTIES]
    errors = np.array([((y_val - y.mean(axis=0) - v @ w) ** 2).sum(axis=0) for w in fits])
    best = errors.argmin(axis=0)  # [C]
    return np.stack([fits[k][:, c] for c, k in enumerate(best)], axis=1)


@host
def test_ridge(measure, shape):
    N, D = SHAPES[shape]
    measure(ours, lambda draw: inputs(N, D, draw), work(N, D), explicit, 1e-8)
