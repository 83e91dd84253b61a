"""Metrics by counting: pairs for the AUROC, thresholds for precision and recall, rows elsewhere.

A metric that its data does not define is None.

Glossary: y target or label, s score, p prediction, of the observed rows of one column; B rows,
D width of embeddings.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.losses import cosine_logits, unit

LEVEL = 1e-14  # cosines this close are level


def ratio(numerator: float, denominator: float) -> float | None:
    """None where the denominator is 0."""
    return numerator / denominator if denominator > 0 else None


# ---- classification ----

def auroc(y: list, s: list, threshold: float) -> float | None:
    """Share of pairs (positive, negative) in the right order, level ones one half."""
    pairs = [(s[i], s[j]) for i in range(len(y)) for j in range(len(y)) if y[i] == 1 and y[j] == 0]
    return ratio(sum((a > b) + 0.5 * (a == b) for a, b in pairs), len(pairs))


def average_precision(y: list, s: list, threshold: float) -> float | None:
    """Sum over the distinct scores, highest first, of the gain in recall times the precision."""
    area, before = 0.0, 0
    for cut in sorted(set(s), reverse=True):
        called = [label for label, score in zip(y, s, strict=True) if score >= cut]
        area += (sum(called) - before) * sum(called) / len(called)
        before = sum(called)
    return ratio(area, sum(y))


def counts(y: list, s: list, threshold: float) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives, true negatives."""
    found = [0, 0, 0, 0]
    for label, score in zip(y, s, strict=True):
        found[(0 if label else 1) if score > threshold else (2 if label else 3)] += 1
    return tuple(found)


def f1(y: list, s: list, threshold: float) -> float | None:
    """Harmonic mean of precision and recall."""
    tp, fp, fn, _ = counts(y, s, threshold)
    return ratio(2 * tp, 2 * tp + fp + fn)


def balanced_accuracy(y: list, s: list, threshold: float) -> float | None:
    """Mean of sensitivity and specificity."""
    tp, fp, fn, tn = counts(y, s, threshold)
    both = ratio(tp, tp + fn), ratio(tn, tn + fp)
    return None if None in both else sum(both) / 2


def accuracy(y: list, s: list, threshold: float) -> float | None:
    """Share of rows on the right side."""
    tp, _, _, tn = counts(y, s, threshold)
    return ratio(tp + tn, len(y))


# ---- regression ----

def r2(y: list, p: list) -> float | None:
    """1 - residual over total sum of squares."""
    if len(set(y)) < 2:
        return None
    mean = math.fsum(y) / len(y)
    residual = math.fsum((a - b) ** 2 for a, b in zip(y, p, strict=True))
    return 1 - residual / math.fsum((a - mean) ** 2 for a in y)


def pearson(y: list, p: list) -> float | None:
    """Correlation."""
    if len(set(y)) < 2 or len(set(p)) < 2:
        return None
    y = [v - math.fsum(y) / len(y) for v in y]
    p = [v - math.fsum(p) / len(p) for v in p]
    product = math.fsum(a * b for a, b in zip(y, p, strict=True))
    return product / math.sqrt(math.fsum(a * a for a in y) * math.fsum(b * b for b in p))


def mae(y: list, p: list) -> float | None:
    """Mean absolute error."""
    return ratio(math.fsum(abs(a - b) for a, b in zip(y, p, strict=True)), len(y))


def rmse(y: list, p: list) -> float | None:
    """Root mean squared error."""
    mean = ratio(math.fsum((a - b) ** 2 for a, b in zip(y, p, strict=True)), len(y))
    return None if mean is None else math.sqrt(mean)


def by_column(metrics, target: np.ndarray, prediction: np.ndarray, observed: np.ndarray,
              *options) -> dict[str, np.ndarray]:
    """Every metric of every column of [N, C]: value [C], 0 where undefined, and defined [C]."""
    out = {}
    for metric in metrics:
        values = []
        for c in range(target.shape[1]):
            rows = [i for i in range(len(target)) if observed[i, c]]
            values.append(metric([float(target[i, c]) for i in rows],
                                 [float(prediction[i, c]) for i in rows], *options))
        out[f"out/{metric.__name__}"] = np.array([v or 0.0 for v in values])
        out[f"out/{metric.__name__}_defined"] = np.array([v is not None for v in values])
    return out


# ---- retrieval and collapse ----

def places(cosines: np.ndarray) -> tuple[list[int], list[int]]:
    """Candidates above the partner of each query, and level with it (the partner among them)."""
    above, level = [], []
    for i, row in enumerate(cosines):
        gaps = [c - row[i] for c in row]
        above.append(sum(gap > LEVEL for gap in gaps))
        level.append(sum(abs(gap) <= LEVEL for gap in gaps))
    return above, level


def chance(above: int, level: int, k: int) -> float:
    """That the partner is among the first k where the level ones stand in random order."""
    return sum(above + place <= k for place in range(1, level + 1)) / level


def in_batch_accuracy(z_query: np.ndarray, z_target: np.ndarray,
                      ranks: list[int]) -> dict[str, np.ndarray]:
    """Places, and the mean chance for every k of `ranks`."""
    above, level = places(cosine_logits(unit(z_query), unit(z_target), 1.0))
    means = [sum(chance(a, n, k) for a, n in zip(above, level, strict=True)) / len(above)
             for k in ranks]
    return {"mid/above": np.array(above), "mid/level": np.array(level), "out/top": np.array(means)}


def retrieval(z_query: np.ndarray, z_target: np.ndarray, order: np.ndarray,
              candidates: int) -> dict[str, np.ndarray]:
    """Each query among n candidates: sets along the order, the last one filled up backwards."""
    N = len(order)
    size, found = min(candidates, N), []
    for k in range(N):
        first = min(k // size * size, N - size)
        rows = order[first:first + size]
        cosines = cosine_logits(unit(z_query[rows]), unit(z_target[rows]), 1.0)
        above, level = places(cosines)
        found.append((above[k - first], level[k - first]))
    middles = sorted(above + (level + 1) / 2 for above, level in found)
    median = (middles[(N - 1) // 2] + middles[N // 2]) / 2
    tops = {f"out/top{k}": np.array(sum(chance(*pair, k) for pair in found) / N) for k in (1, 5)}
    return {**tops, "out/median_rank": np.array(median), "out/candidates": np.array(size)}


def collapse(z: np.ndarray) -> dict[str, np.ndarray]:
    """Mean cosine of different rows; spread of the unit rows."""
    B, D = z.shape
    u = unit(z)
    cosines = [sum(a * b for a, b in zip(u[i], u[j], strict=True))
               for i in range(B) for j in range(B) if i != j]
    deviations = []
    for d in range(D):
        mean = sum(u[:, d]) / B
        deviations.append(math.sqrt(sum((v - mean) ** 2 for v in u[:, d]) / (B - 1)))
    return {"out/mean_cosine": np.array(sum(cosines) / len(cosines)),
            "out/spread": np.array(math.sqrt(D) * sum(deviations) / D)}


def on_plateau(losses: np.ndarray, batch: int, tolerance: float) -> np.ndarray:
    """Is the mean closer to ln B than the tolerance?"""
    return np.array(abs(math.fsum(losses) / len(losses) - math.log(batch)) < tolerance)
