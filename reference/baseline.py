"""Baseline of a signal by asymmetric least squares, for one lead or for thousands.

    z = argmin  sum_i w_i (y_i - z_i)^2 + lam sum_i (z_i - 2 z_{i+1} + z_{i+2})^2
    (W + lam D'D) z = W y,      w_i = p where y_i > z_i, 1 - p where y_i < z_i, 0 where equal

starting from w = 1, solved `iterations` times. The matrix is symmetric, positive definite and
pentadiagonal; only its diagonal changes. Divided through by lam it is factored and solved row by
row, L V L' = W / lam + D'D with r = 1 / v and q = e / v:

    v_i = a_i - q_{i-1} e_{i-1} - r_{i-2},      e_i = b_i - q_{i-1}
    g_i = w_i y_i / lam - q_{i-1} g_{i-1} - r_{i-2} g_{i-2}
    z_i = r_i (g_i - z_{i+2}) - q_i z_{i+1}

The condition number is about 16 lam / p, 5e8 for an ECG, so everything is float64.

Glossary: T samples, lane = one signal, y signal, z baseline, w weights, lam smoothness, p
asymmetry, a b 1 = diagonals of W / lam + D'D.
Source: Eilers & Boelens 2005; Turgut et al. 2025, authors' code.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor)  # what comes in goes out
METHODS = ("auto", "plain", "rows", "chunks", "reduction")


def asymmetric_least_squares(signal: Array, lam: float = 1e7, p: float = 0.3, iterations: int = 5,
                             *, method: str = "auto") -> Array:
    """Baseline of every signal.

    Args:
        signal: [..., T], NumPy array or tensor, real, T >= 3.
        lam: smoothness, > 0.
        p: weight of samples above the baseline, 0 < p < 1.
        iterations: number of solves, >= 1; the first has w = 1.
        method: "plain", the equations above row by row; or one of `kernels.baseline_solvers`:
            "rows" or "chunks" (NumPy, and tensors on the CPU), "reduction", or "auto": the
            reduction for other devices, rows from 240 lanes on, chunks below.
    Returns:
        [..., T] float64, NumPy for NumPy, a tensor on the same device for a tensor; no gradient.
        A lane with NaN gives NaN in that lane.
    Raises:
        ValueError: T < 3, or an argument outside its range.
        TypeError: signal is no array or tensor of real numbers.
    Source: Eilers & Boelens 2005; authors' code (baseline removal, lam 1e7, p 0.3, 5 iterations).
    Differs: where the signal meets its baseline in all samples but one or none, all weights vanish
        and the system is singular; such a signal (a straight line) is its own baseline here.
    """
    check(signal, lam, p, iterations, method)
    if isinstance(signal, torch.Tensor):
        signal = signal.detach()
        if signal.device.type == "cpu" and method != "reduction":
            array = asymmetric_least_squares(signal.numpy(), lam, p, iterations, method=method)
            return torch.from_numpy(array)
    elif method == "plain":
        lanes = signal.reshape(-1, signal.shape[-1])  # [lanes, T]
        return plain(lanes, lam, p, iterations).reshape(signal.shape)
    from reference.kernels import baseline_solvers  # optional speed; delete to lift this file

    if isinstance(signal, torch.Tensor):
        with torch.no_grad():
            return baseline_solvers.by_reduction(signal.to(torch.float64), lam, p, iterations)
    lanes = signal.reshape(-1, signal.shape[-1])  # [lanes, T]
    return baseline_solvers.solve(lanes, lam, p, iterations, method).reshape(signal.shape)


def plain(lanes: np.ndarray, lam: float, p: float, iterations: int) -> np.ndarray:
    """The equations as they stand: [lanes, T] real -> [lanes, T] float64.

    Source: Eilers & Boelens 2005.
    """
    y = lanes.T.astype(np.float64)  # [T, lanes]
    z, w = y, np.ones_like(y)
    own = (y == y[0]).all(axis=0)  # constant signals are their own baselines
    for iteration in range(iterations):
        if iteration > 0:
            w = np.select((y > z, y < z, y == z), (p, 1.0 - p, 0.0), np.nan)
            own |= np.count_nonzero(w, axis=0) < 2
        w[:, own] = 1.0  # any weights that are not singular
        z = _solve(w / lam, y)
    return np.where(own, y, z).T


def _solve(w: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(diag(w) + D'D) z = w y, each [T, lanes]."""
    T, lanes = y.shape
    a, b = np.zeros(T), np.zeros(T)  # diagonals of D'D
    for k, square in enumerate((1.0, 4.0, 1.0)):
        a[k:T - 2 + k] += square
    b[:T - 2] -= 2.0
    b[1:T - 1] -= 2.0
    r, q, g = np.zeros((3, T + 2, lanes))  # two rows of zeros stand before the first
    e = np.zeros(lanes)
    for i in range(T):
        v = w[i] + a[i] - q[i + 1] * e - r[i]
        e = b[i] - q[i + 1]
        r[i + 2], q[i + 2] = 1.0 / v, e / v
        g[i + 2] = w[i] * y[i] - q[i + 1] * g[i + 1] - r[i] * g[i]
    z = np.zeros((T + 2, lanes))  # and two after the last
    for i in reversed(range(T)):
        z[i] = r[i + 2] * (g[i + 2] - z[i + 2]) - q[i + 2] * z[i + 1]
    return z[:T]


def check(signal: object, lam: float, p: float, iterations: int, method: str = "auto") -> None:
    """ValueError or TypeError for arguments that `asymmetric_least_squares` refuses."""
    if not isinstance(signal, (np.ndarray, torch.Tensor)):
        raise TypeError(f"signal must be a NumPy array or a tensor, got {type(signal).__name__}")
    kind = "c" if "complex" in str(signal.dtype) else getattr(signal.dtype, "kind", "f")
    if kind not in "biuf":
        raise TypeError(f"signal must hold real numbers, got {signal.dtype}")
    if signal.ndim < 1 or signal.shape[-1] < 3:
        raise ValueError(f"signal must be [..., T] with T >= 3, got shape {tuple(signal.shape)}")
    if not 0.0 < lam < float("inf"):
        raise ValueError(f"lam must be positive and finite, got {lam}")
    if not 0.0 < p < 1.0:
        raise ValueError(f"p must be in (0, 1), got {p}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if (method in ("plain", "rows", "chunks") and isinstance(signal, torch.Tensor)
            and signal.device.type != "cpu"):
        raise ValueError(f"method {method!r} runs on the CPU, got a tensor on {signal.device}")
