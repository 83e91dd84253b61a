"""Linear probes by their normal equations, solved by elimination with the bias as an unknown.

    ridge      (U'U + a I) w + U'1 b = U'y,   1'U w + n b = 1'y
    logistic   the same with weights h (1 - h) and residuals y - h in Newton's iteration,
               h = 1 / (1 + e^-(U w + b)), penalty a / 2

Glossary: U standardised features [N, D], w weights, b bias, a penalty, n rows.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracle import metrics


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the columns; scale 1 where the deviation is 0."""
    mean = np.array([math.fsum(column) / len(x) for column in x.T])
    scale = np.array([math.sqrt(math.fsum((v - m) ** 2 for v in column) / len(x))
                      for column, m in zip(x.T, mean, strict=True)])
    return mean, np.array([s or 1.0 for s in scale])


def eliminated(a: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solution of a square system by Gauss and Jordan, the largest pivot of each column first."""
    a, z, size = np.array(a), np.array(right), len(right)
    for i in range(size):
        pivot = max(range(i, size), key=lambda row: abs(a[row, i]))
        a[[i, pivot]], z[[i, pivot]] = a[[pivot, i]], z[[pivot, i]]
        for row in range(size):
            if row != i:
                factor = a[row, i] / a[i, i]
                a[row] -= factor * a[i]
                z[row] -= factor * z[i]
    return z / np.diagonal(a)


def system(u: np.ndarray, weights, penalty: float) -> np.ndarray:
    """sum_i weights_i (u_i, 1)(u_i, 1)' + a on the diagonal of the features."""
    D = u.shape[1]
    out = np.zeros((D + 1, D + 1))
    for row, weight in zip(u, weights, strict=True):
        v = [*row, 1.0]
        for i in range(D + 1):
            for j in range(D + 1):
                out[i, j] += weight * v[i] * v[j]
    for d in range(D):
        out[d, d] += penalty
    return out


def against(u: np.ndarray, values) -> np.ndarray:
    """sum_i values_i (u_i, 1)."""
    return np.array([math.fsum(v * x for v, x in zip(values, column, strict=True))
                     for column in (*u.T, np.ones(len(u)))])


def affine(u: np.ndarray, theta: np.ndarray) -> list[float]:
    """u_i . w + b."""
    return [math.fsum(a * b for a, b in zip(row, theta[:-1], strict=True)) + theta[-1] for row in u]


def ridge(x: np.ndarray, y: np.ndarray, observed: np.ndarray, x_val: np.ndarray,
          y_val: np.ndarray, penalties: list[float]) -> dict[str, np.ndarray]:
    """Per target the penalty of the best validation R2, of equals the strongest."""
    mean, scale = moments(x)
    u, u_val = (x - mean) / scale, (x_val - mean) / scale
    thetas, chosen = [], []
    for c in range(y.shape[1]):
        rows = [i for i in range(len(y)) if observed[i, c]]
        found = []
        for penalty in sorted(penalties, reverse=True):
            theta = eliminated(system(u[rows], np.ones(len(rows)), penalty),
                               against(u[rows], y[rows, c]))
            score = metrics.r2(list(y_val[:, c]), affine(u_val, theta))
            found.append((-math.inf if score is None else score, penalty, theta))
        _, penalty, theta = max(found, key=lambda entry: entry[:2])
        thetas.append(theta)
        chosen.append(penalty)
    return {"mid/mean": mean, "mid/scale": scale, "out/weight": np.array(thetas)[:, :-1].T,
            "out/bias": np.array(thetas)[:, -1], "out/penalty": np.array(chosen),
            "out/prediction": np.array([affine(u_val, theta) for theta in thetas]).T}


def logistic(x: np.ndarray, y: np.ndarray, observed: np.ndarray, x_val: np.ndarray,
             y_val: np.ndarray, penalties: list[float]) -> dict[str, np.ndarray]:
    """The penalty of the best validation AUROC, of equals the strongest."""
    rows = [i for i in range(len(y)) if observed[i]]
    mean, scale = moments(x[rows])
    u, u_val, found = (x[rows] - mean) / scale, (x_val - mean) / scale, []
    for penalty in sorted(penalties, reverse=True):
        theta, ridge_of = np.zeros(x.shape[1] + 1), np.array([penalty] * x.shape[1] + [0.0])
        for _ in range(30):
            h = [1 / (1 + math.exp(-z)) for z in affine(u, theta)]
            slope = against(u, [a - b for a, b in zip(h, y[rows], strict=True)]) + ridge_of * theta
            theta = theta - eliminated(system(u, [a * (1 - a) for a in h], penalty), slope)
        score = metrics.auroc(list(y_val), affine(u_val, theta), 0.5)
        found.append((score, penalty, theta))
    _, penalty, theta = max(found, key=lambda entry: entry[:2])
    logits = affine(u_val, theta)
    return {"mid/mean": mean, "mid/scale": scale, "out/weight": theta[:-1],
            "out/bias": np.array(theta[-1]), "out/penalty": np.array(penalty),
            "out/logits": np.array(logits),
            "out/prediction": np.array([1 / (1 + math.exp(-z)) for z in logits])}
