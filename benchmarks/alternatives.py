"""What a user might take instead, where it is importable; never required.

Each entry has the signature of ours: asymmetric least squares (y [lanes, T] float64 -> baseline),
AUROC (labels, scores -> number),
CLIP loss (z_cmr, z_ecg -> loss at temperature 0.1, both directions alike).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest


def alternative(name: str) -> Callable:
    """The function of that name; skips the test where its package is not installed.

    Args:
        name: a key of ALTERNATIVES.
    Returns:
        Callable.
    """
    package, make = ALTERNATIVES[name]
    try:
        return make(importlib.import_module(package))
    except ImportError:
        pytest.skip(f"{package.split('.')[0]} is not installed")


def _scipy_baseline(_) -> Callable:
    """The textbook code with a sparse direct solve (Eilers & Boelens 2005), lane by lane."""
    sparse, solve = importlib.import_module("scipy.sparse"), \
        importlib.import_module("scipy.sparse.linalg").spsolve

    def lane(y: np.ndarray, lam: float, p: float, iterations: int) -> np.ndarray:
        T = len(y)
        D = sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(T - 2, T))
        penalty, w = lam * (D.T @ D), np.ones(T)
        for _ in range(iterations):
            z = solve((sparse.diags_array(w) + penalty).tocsc(), w * y)
            w = p * (y > z) + (1 - p) * (y < z)
        return z

    return lambda y, lam, p, iterations: np.stack([lane(x, lam, p, iterations) for x in y])


def _pybaselines_baseline(whittaker) -> Callable:
    def baseline(y: np.ndarray, lam: float, p: float, iterations: int) -> np.ndarray:
        # Its weights are 1 - p at a tie, and its last weights are computed once more.
        return np.stack([whittaker.asls(x, lam=lam, p=p, max_iter=iterations - 1, tol=0.0)[0]
                         for x in y])

    return baseline


def _open_clip_loss(package) -> Callable:
    loss = package.loss.ClipLoss()

    def unit(z):
        return z / z.norm(dim=-1, keepdim=True)

    return lambda z_cmr, z_ecg: loss(unit(z_cmr), unit(z_ecg), 10.0)


ALTERNATIVES = {
    "open_clip": ("open_clip", _open_clip_loss),
    "scipy": ("scipy.sparse.linalg", _scipy_baseline),
    "pybaselines": ("pybaselines.whittaker", _pybaselines_baseline),
    "scikit-learn": ("sklearn.metrics", lambda metrics: metrics.roc_auc_score),
}
