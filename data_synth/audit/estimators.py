"""Cheap estimators of dependence, each with its own null, for the audit.

    residual     x - ridge(basis), fitted on the other folds
    CCA          canonical pairs (u_k, v_k) of a training half, correlations rho_k of held-out rows
    score        s_ij = sum_k [rho_k u_ik v_jk - rho_k^2 (u_ik^2 + v_jk^2) / 2] / (1 - rho_k^2)
    InfoNCE      mean_i [log sum_j exp s_ij - s_ii], both ways; log N when nothing is shared
    HSIC         mean of (H K H) o (H L H), Gaussian kernels of median width

The score is the log density ratio of Gaussian pairs, for which InfoNCE is least.

Glossary: x, y measurements; N rows; basis, functions of what is conditioned on; p, share of
permutations of the rows that reach the statistic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FOLDS = 5
PERMUTATIONS = 499
_KERNEL_ROWS = 600  # the kernel is [N, N]
_CUT = 2.5  # SD
_CLIP = 4.0  # SD; no single record may carry a correlation


class Pairs(NamedTuple):
    """Held-out canonical pairs."""

    u: np.ndarray  # [n, K]
    v: np.ndarray  # [n, K]
    rho: np.ndarray  # [K], correlations on rows that fitted nothing, 0 where negative


def standardise(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0, SD 1, clipped at 4 SD; constant columns become 0."""
    x = np.asarray(x, np.float64)
    spread = x.std(0)
    return np.clip((x - x.mean(0)) / np.where(spread > 1e-12, spread, np.inf), -_CLIP, _CLIP)


def quadratic(x: np.ndarray) -> np.ndarray:
    """[N, D + D (D + 1) / 2]: standardised columns and all their products, cut at 2.5 SD."""
    z = standardise(x)
    first, second = np.triu_indices(z.shape[1])
    cut = np.clip(z, -_CUT, _CUT)  # so that no row has much leverage
    return np.concatenate([z, cut[:, first] * cut[:, second]], axis=1)


def predict(basis: np.ndarray, y: np.ndarray, penalty: float = 1.0) -> np.ndarray:
    """Cross-fitted ridge regression.

    Args:
        basis: [N, D]; y: [N] or [N, F]; penalty: of the standardised basis.
    Returns:
        [N] or [N, F]: each row predicted from the four folds that it is not in (row mod 5).
    """
    z = np.c_[standardise(basis), np.ones(len(basis))]
    fold, result = np.arange(len(z)) % FOLDS, np.empty(np.shape(y))
    ridge = penalty * np.diag(np.r_[np.ones(z.shape[1] - 1), 1e-9])
    for k in range(FOLDS):
        a, b = z[fold != k], y[fold != k]
        result[fold == k] = z[fold == k] @ np.linalg.solve(a.T @ a + ridge, a.T @ b)
    return result


def residual(y: np.ndarray, basis: np.ndarray, penalty: float = 1.0) -> np.ndarray:
    """[N, F] standardised: what the cross-fitted regression on the basis does not explain."""
    y = standardise(np.reshape(y, (len(y), -1)))
    return standardise(y - predict(basis, y, penalty))


def even_spread(y: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Residuals over their expected size given the basis, so that only their mean is uneven."""
    size = predict(basis, np.log(np.abs(y) + .05), penalty=30.0)
    return standardise(y / np.exp(np.clip(size, -3, 3)))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r of two vectors, 0 if one is constant."""
    return float(np.mean(standardise(a) * standardise(b)))


def largest_correlation(x: np.ndarray, y: np.ndarray, rng: np.random.Generator,
                        permutations: int = PERMUTATIONS) -> tuple[float, float]:
    """The largest squared correlation between any column of x and any column of y.

    Args:
        x: [N, F]; y: [N, G]; rng: of the permutations of y's rows; permutations: how many.
    Returns:
        R2 beyond the median of the permutations (at least 0), and p.
    """
    x, y = standardise(x).astype(np.float32), standardise(y).astype(np.float32)
    def statistic(rows: np.ndarray) -> float:
        return float(np.abs(x.T @ y[rows]).max() / len(x)) ** 2
    return _permute(statistic, len(x), rng, permutations)


def total_correlation(x: np.ndarray, y: np.ndarray, rng: np.random.Generator,
                      permutations: int = PERMUTATIONS) -> tuple[float, float]:
    """Mean squared correlation of all pairs of columns beyond its null, and p."""
    x, y = standardise(x).astype(np.float32), standardise(y).astype(np.float32)
    def statistic(rows: np.ndarray) -> float:
        return float(np.mean((x.T @ y[rows] / len(x)) ** 2))
    return _permute(statistic, len(x), rng, permutations)


def hsic(x: np.ndarray, y: np.ndarray, rng: np.random.Generator,
         permutations: int = PERMUTATIONS) -> tuple[float, float]:
    """Hilbert-Schmidt independence criterion beyond its null, over its largest value, and p.

    Source: Gretton et al. 2005 (10.1007/11564089_7), biased estimator.
    """
    x, y = x[:_KERNEL_ROWS], y[:_KERNEL_ROWS]
    k, m = _kernel(x), _kernel(y)
    scale = float(np.sqrt(np.mean(k * k) * np.mean(m * m)))
    def statistic(rows: np.ndarray) -> float:
        return float(np.mean(k * m[np.ix_(rows, rows)])) / scale
    return _permute(statistic, len(x), rng, permutations)


def cca(x: np.ndarray, y: np.ndarray, count: int = 8, penalty: float = .5) -> Pairs:
    """Canonical pairs fitted on two rows of four, correlations from the third, used on the fourth.

    Args:
        x: [N, F]; y: [N, G]; count: K; penalty: added to the covariance of standardised columns.
    Returns:
        u, v [N // 4, K] of rows 3, 7, .. with unit spread; rho [K].
    Source: Hotelling 1936, with a ridge.
    """
    x, y = standardise(x), standardise(y)
    quarter = np.arange(len(x)) % 4
    fit = quarter < 2
    a, b = x[fit], y[fit]
    white_a, white_b = _whiten(a, penalty), _whiten(b, penalty)
    left, _, right = np.linalg.svd(white_a.T @ (a.T @ b / len(a)) @ white_b)
    u, v = x @ white_a @ left[:, :count], y @ white_b @ right[:count].T  # [N, K]
    u, v = u / u[fit].std(0), v / v[fit].std(0)
    honest = standardise(u[quarter == 2]), standardise(v[quarter == 2])
    rho = np.mean(honest[0] * honest[1], axis=0)
    rho = np.where(rho > 2 / np.sqrt(len(honest[0])), np.minimum(rho, .98), 0)  # two SE
    return Pairs(u[quarter == 3], v[quarter == 3], rho)


def scores(pairs: Pairs) -> np.ndarray:
    """[n, n]: log density ratio of row i's u with row j's v."""
    u, v, r = pairs
    weight = r / (1 - r**2)
    own = -.5 * ((u**2) @ (r * weight))[:, None] - .5 * ((v**2) @ (r * weight))[None]
    return (u * weight) @ v.T + own


def infonce(score: np.ndarray) -> tuple[float, float]:
    """Contrastive loss of a score matrix, both ways, less log N; and its standard error."""
    def one_way(s: np.ndarray) -> np.ndarray:
        top = s.max(1, keepdims=True)
        return np.log(np.exp(s - top).sum(1)) + top[:, 0] - np.diag(s)
    loss = .5 * (one_way(score) + one_way(score.T)) - np.log(len(score))
    return float(loss.mean()), float(loss.std() / np.sqrt(len(score)))


def pairwise(score: np.ndarray, allowed: np.ndarray | None = None) -> tuple[float, float, float]:
    """How often the own image scores above a negative.

    Args:
        score: [n, n], row ECG, column image; allowed: [n, n] bool, which negatives count.
    Returns:
        Mean over rows with a negative (ties count half), its standard error, negatives a row.
    """
    allowed = ~np.eye(len(score), dtype=bool) if allowed is None else allowed
    own = np.diag(score)[:, None]
    wins = np.where(allowed, (own > score) + .5 * (own == score), 0).sum(1)
    count = allowed.sum(1)
    share = wins[count > 0] / count[count > 0]
    if len(share) < 2:
        return float("nan"), float("nan"), 0.0
    return float(share.mean()), float(share.std() / np.sqrt(len(share))), float(count.mean())


def bootstrap(values: np.ndarray, target: np.ndarray, rng: np.random.Generator,
              count: int = 300) -> np.ndarray:
    """[count, C]: correlations of each column of `values` [N, C] with `target`, rows redrawn."""
    result = np.empty((count, values.shape[1]))
    for k in range(count):
        rows = rng.integers(0, len(target), len(target))
        a, b = standardise(values[rows]), standardise(target[rows])
        result[k] = b @ a / len(rows)
    return result


def null_correlations(weights: np.ndarray, target: np.ndarray, rng: np.random.Generator,
                      count: int = 300) -> np.ndarray:
    """[count]: correlations of a prediction with a target whose rows are permuted first.

    Args:
        weights: [N, N], prediction = weights @ target (`predict` of the identity); target: [N].
    """
    drawn = np.stack([target[rng.permutation(len(target))] for _ in range(count)], axis=1)
    return np.mean(standardise(weights @ drawn) * standardise(drawn), axis=0)


def _permute(statistic, count: int, rng: np.random.Generator, permutations: int):
    own = statistic(np.arange(count))
    null = np.array([statistic(rng.permutation(count)) for _ in range(permutations)])
    p = (1 + np.sum(null >= own)) / (1 + permutations)
    return max(own - float(np.median(null)), 0.0), float(p)


def _kernel(x: np.ndarray) -> np.ndarray:
    """Centred Gaussian kernel of the first eight principal components, median width."""
    x = standardise(x)
    left, size, _ = np.linalg.svd(x, full_matrices=False)
    x = left[:, :8] * size[:8]
    square = (x**2).sum(1)
    distance = np.maximum(square[:, None] + square - 2 * x @ x.T, 0)
    k = np.exp(-distance / np.median(distance))
    return k - k.mean(0) - k.mean(1, keepdims=True) + k.mean()


def _whiten(x: np.ndarray, penalty: float) -> np.ndarray:
    value, vector = np.linalg.eigh(x.T @ x / len(x))
    return vector / np.sqrt(np.maximum(value, 0) + penalty)
