"""What frozen features know: closed-form ridge and Newton logistic regression, in float64.

Equations, with u = (x - mean) / scale, mean and scale of the training features:

    ridge     minimise sum_i (y_i - u_i . w - b)^2 + a |w|^2                over w, b
    logistic  minimise sum_i log(1 + exp(-(2 y_i - 1)(u_i . w + b))) + a/2 |w|^2   over w, b

The bias b is not penalised. The penalty a is chosen on the validation rows: per column by R2
(ridge), by AUROC (logistic); of equals, and where the metric is undefined, the strongest.

    x  features [N, D]     w  weights          a  penalty
    u  standardised x      b  bias             q  orthonormal basis of the rows of u
    y  targets [N, C] (NaN = missing), or labels [N]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reference.evaluation import Array, as_float64, auroc, r2

PENALTIES = tuple(10.0**k for k in range(-2, 6))


@dataclass(frozen=True)
class RidgeProbe:
    """A fitted multi-output ridge regression."""

    mean: np.ndarray     # [D]
    scale: np.ndarray    # [D]
    weight: np.ndarray   # [D, C]
    bias: np.ndarray     # [C]
    penalty: np.ndarray  # [C], the chosen ones

    def predict(self, x: Array) -> np.ndarray:
        """Features [N, D] -> predictions [N, C] in the targets' units."""
        return _standardised(x, self.mean, self.scale) @ self.weight + self.bias  # [N, D] @ [D, C]


@dataclass(frozen=True)
class LogisticProbe:
    """A fitted binary logistic regression."""

    mean: np.ndarray    # [D]
    scale: np.ndarray   # [D]
    weight: np.ndarray  # [D]
    bias: float
    penalty: float      # the chosen one

    def logits(self, x: Array) -> np.ndarray:
        """Features [N, D] -> log odds [N]."""
        return _standardised(x, self.mean, self.scale) @ self.weight + self.bias

    def predict(self, x: Array) -> np.ndarray:
        """Features [N, D] -> probabilities of class 1 [N]."""
        return _sigmoid(self.logits(x))


def ridge_fit(x: Array, y: Array, x_val: Array, y_val: Array,
              penalties: Sequence[float] = PENALTIES) -> RidgeProbe:
    """Fit all targets in closed form; each uses the rows where it is observed.

    Args:
        x: [N, D] training features; y: [N, C] targets in their units, NaN = missing.
        x_val: [M, D]; y_val: [M, C].
        penalties: candidates for a, each > 0.
    Returns: RidgeProbe.
    Raises: ValueError for shapes that do not fit, features not finite, a target never observed,
        penalties that are not positive.
    Source: Hoerl and Kennard 1970; stands for the linear probe of Turgut et al. 2025.
    Differs: the authors train a linear layer on normalised features by gradient descent.
    """
    x, y, x_val, y_val = _checked(x, y, x_val, y_val, penalties)
    seen = ~np.isnan(y)  # [N, C]
    if not seen.any(axis=0).all():
        raise ValueError(f"targets {np.flatnonzero(~seen.any(axis=0))[:5]} have no observed row")
    mean, scale = _moments(x)
    u, u_val = _standardised(x, mean, scale), _standardised(x_val, mean, scale)
    weight, bias = np.empty((x.shape[1], y.shape[1])), np.empty(y.shape[1])
    chosen = np.empty(y.shape[1])
    penalties = sorted(penalties, reverse=True)
    masks, group = np.unique(seen, axis=1, return_inverse=True)  # columns that share their rows
    for index, rows in enumerate(masks.T):
        columns = np.flatnonzero(group.ravel() == index)
        w, b = _ridge_path(u[rows], y[np.ix_(rows, columns)], penalties)  # [P, D, c], [P, c]
        scores = np.array([r2(y_val[:, columns], u_val @ w[k] + b[k]) for k in range(len(w))])
        best = np.nan_to_num(scores, nan=-np.inf).argmax(axis=0)  # [c]; first of equals: strongest
        inner = np.arange(len(columns))
        weight[:, columns], bias[columns] = w[best, :, inner].T, b[best, inner]
        chosen[columns] = np.asarray(penalties)[best]
    return RidgeProbe(mean, scale, weight, bias, chosen)


def logistic_fit(x: Array, y: Array, x_val: Array, y_val: Array,
                 penalties: Sequence[float] = PENALTIES) -> LogisticProbe:
    """Fit one binary label by damped Newton steps, from the strongest penalty to the weakest.

    Args:
        x: [N, D] training features; y: [N] in {0, 1}, NaN = missing (row left out).
        x_val: [M, D]; y_val: [M].
        penalties: candidates for a (1 / C), each > 0.
    Returns: LogisticProbe.
    Raises: ValueError for shapes that do not fit, features not finite, labels other than 0, 1 and
        NaN, a training set of one class, penalties that are not positive.
    Source: Hastie et al. 2009, section 4.4; stands for the linear probe of Turgut et al. 2025.
    Differs: the authors train a linear layer on normalised features by gradient descent.
    """
    x, y, x_val, y_val = _checked(x, y, x_val, y_val, penalties, columns=False)
    x, y = x[~np.isnan(y)], y[~np.isnan(y)]
    if set(np.unique(y)) != {0.0, 1.0}:
        raise ValueError(f"training labels are {np.unique(y)[:5]}; 0 and 1, no other, are needed")
    mean, scale = _moments(x)
    u, u_val = _standardised(x, mean, scale), _standardised(x_val, mean, scale)
    basis = _row_space(u)  # [D, r]; the optimum lies in it
    v = np.hstack([u @ basis, np.ones((len(u), 1))])  # [N, r + 1]
    theta, fitted = np.zeros(v.shape[1]), []
    for penalty in sorted(penalties, reverse=True):
        theta = _newton(v, y, penalty, theta)  # [r + 1], weights then bias
        fitted.append(LogisticProbe(mean, scale, basis @ theta[:-1], float(theta[-1]), penalty))
    scores = np.array([auroc(y_val, u_val @ probe.weight) for probe in fitted])
    return fitted[np.nan_to_num(scores, nan=-np.inf).argmax()]  # first of equals: strongest


def _ridge_path(u: np.ndarray, y: np.ndarray,
                penalties: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Weights [P, D, C] and biases [P, C] for every penalty, from one eigendecomposition."""
    u_mean, y_mean = u.mean(axis=0), y.mean(axis=0)  # [D], [C]
    u = u - u_mean
    eigenvalues, q = np.linalg.eigh(u.T @ u)  # [D], [D, D]
    eigenvalues = np.maximum(eigenvalues, 0.0)  # rounding can leave -1e-16
    projected = q.T @ (u.T @ (y - y_mean))  # [D, C]
    weight = np.stack([q @ (projected / (eigenvalues + a)[:, None]) for a in penalties])
    return weight, y_mean - u_mean @ weight  # [P, D, C], [D] @ [P, D, C] -> [P, C]


def _newton(v: np.ndarray, y: np.ndarray, penalty: float, theta: np.ndarray) -> np.ndarray:
    """Minimise the logistic objective from theta: Newton steps, halved until they descend."""
    ridge = np.full(len(theta), penalty)
    ridge[-1] = 0.0  # the bias

    def objective(t: np.ndarray) -> float:
        return float(np.logaddexp(0.0, (1 - 2 * y) * (v @ t)).sum() + ridge @ t**2 / 2)

    for _ in range(100):
        p = _sigmoid(v @ theta)  # [N]
        gradient = v.T @ (p - y) + ridge * theta  # [r + 1]
        if np.linalg.norm(gradient) <= 1e-9 * len(y):
            break
        curvature = np.maximum(p * (1 - p), 1e-12)  # keeps the bias' row regular
        hessian = (v * curvature[:, None]).T @ v + np.diag(ridge)
        step, here, size = np.linalg.solve(hessian, gradient), objective(theta), 1.0
        while objective(theta - size * step) > here and size > 1e-6:
            size /= 2
        theta = theta - size * step
    return theta


def _row_space(u: np.ndarray) -> np.ndarray:
    """Orthonormal columns [D, min(N, D)] that hold every row of u."""
    return np.linalg.qr(u.T)[0] if len(u) < u.shape[1] else np.eye(u.shape[1])


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [D]; scale 1 for a feature that varies by rounding at most."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    constant = scale <= 1e-6 * np.abs(x).max(axis=0)
    return mean, np.where(constant, 1.0, scale)


def _standardised(x: Array, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    x = as_float64("x", x)
    if x.ndim != 2 or x.shape[1] != len(mean):
        raise ValueError(f"x is {x.shape}; [N, {len(mean)}] is needed")
    return (x - mean) / scale


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(z / 2)) / 2


def _checked(x: Array, y: Array, x_val: Array, y_val: Array, penalties: Sequence[float],
             columns: bool = True) -> list[np.ndarray]:
    """All four in float64 and of fitting shapes: y is [N, C] with columns, else [N]."""
    arrays = [as_float64(n, v) for n, v in (("x", x), ("y", y), ("x_val", x_val), ("y_val", y_val))]
    x, y, x_val, y_val = arrays
    shapes = ", ".join(str(a.shape) for a in arrays)
    targets = "[N, C]" if columns else "[N]"
    fits = (x.ndim == x_val.ndim == 2 and y.ndim == y_val.ndim == (2 if columns else 1)
            and x.shape[1:] == x_val.shape[1:] and y.shape[1:] == y_val.shape[1:]
            and len(x) == len(y) >= 1 and len(x_val) == len(y_val) >= 1)
    if not fits:
        raise ValueError(f"x, y, x_val, y_val are {shapes}; [N, D], {targets}, and the same with "
                         "M rows are needed")
    if not (np.isfinite(x).all() and np.isfinite(x_val).all()):
        raise ValueError("features hold NaN or infinity; finite numbers are needed")
    if not len(penalties) or not all(0 < a < np.inf for a in penalties):
        raise ValueError(f"penalties={list(penalties)}; positive finite numbers are needed")
    return arrays
