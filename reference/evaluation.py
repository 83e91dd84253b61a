"""How good a prediction is: metrics per column, and their intervals.

Equations, per column over the observed rows (target not NaN):

    AUROC     P(s+ > s-) + P(s+ = s-) / 2 for a random positive and a random negative
    AP        sum_k (R_k - R_{k-1}) P_k over the distinct scores, highest first (no interpolation)
    F1        2 TP / (2 TP + FP + FN); a score is a positive prediction where it exceeds 1/2
    balanced  (TP / (TP + FN) + TN / (TN + FP)) / 2
    R2        1 - sum (y - p)^2 / sum (y - mean y)^2
    Pearson   sum (y - mean y)(p - mean p) / sqrt(sum (y - mean y)^2 sum (p - mean p)^2)

    y  target or label               p  prediction        s  score
    R  recall, P  precision          N  rows              C  columns (phenotypes, diseases)

Torch tensors and NumPy arrays come in, float64 goes out: a number for [N], an array [C] for [N, C].
A metric that its data does not define is NaN, never a guess: one class only (AUROC, balanced
accuracy), no positive (average precision), neither a positive label nor a positive prediction (F1),
a constant target (R2, Pearson) or prediction (Pearson), no observed row (all).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

Array = np.ndarray | torch.Tensor


class Interval(NamedTuple):
    """A metric on all rows, and its percentile bootstrap interval; floats or arrays [C]."""

    value: np.ndarray | float
    low: np.ndarray | float
    high: np.ndarray | float


# ---- classification: labels in {0, 1, NaN}, scores of any scale, [N] or [N, C] ----

def auroc(labels: Array, scores: Array) -> np.ndarray | float:
    """Probability that a positive scores above a negative; ties count one half.

    Args: labels, scores [N] or [N, C]; labels in {0, 1}, NaN = missing.
    Returns: in [0, 1]; NaN where only one class is present.
    Raises: ValueError for shapes that differ, other labels, scores that are not finite.
    Source: Mann and Whitney 1947 (midranks); Turgut et al. 2025, main risk metric.
    """
    return _classify(labels, scores, _auroc)


def average_precision(labels: Array, scores: Array) -> np.ndarray | float:
    """Area under the precision-recall curve as a step function; tied scores enter together.

    Args: as `auroc`.
    Returns: in (0, 1]; NaN without a positive.
    Raises: as `auroc`.
    Source: authors' code (AUPRC), which is scikit-learn's definition.
    """
    return _classify(labels, scores, _average_precision)


def f1(labels: Array, scores: Array, threshold: float = 0.5) -> np.ndarray | float:
    """Harmonic mean of precision and recall at a threshold.

    Args: as `auroc`; scores may be 0/1 predictions. A row is predicted positive where its score is
        strictly greater than the threshold.
    Returns: in [0, 1]; NaN where there is neither a positive label nor a positive prediction.
    Raises: as `auroc`.
    Source: authors' code (threshold 1/2, strict).
    """
    def metric(y: np.ndarray, s: np.ndarray) -> float:
        tp, fp, fn, _ = _confusion(y, s > threshold)
        return _ratio(2 * tp, 2 * tp + fp + fn)
    return _classify(labels, scores, metric)


def balanced_accuracy(labels: Array, scores: Array, threshold: float = 0.5) -> np.ndarray | float:
    """Mean of sensitivity and specificity at a threshold.

    Args, Raises, Source: as `f1`.
    Returns: in [0, 1]; NaN where only one class is present.
    """
    def metric(y: np.ndarray, s: np.ndarray) -> float:
        tp, fp, fn, tn = _confusion(y, s > threshold)
        return (_ratio(tp, tp + fn) + _ratio(tn, tn + fp)) / 2
    return _classify(labels, scores, metric)


def accuracy(labels: Array, scores: Array, threshold: float = 0.5) -> np.ndarray | float:
    """Fraction of rows on the right side of a threshold.

    Args, Raises, Source: as `f1`.
    Returns: in [0, 1].
    """
    return _classify(labels, scores, lambda y, s: _ratio(np.sum((s > threshold) == y), len(y)))


# ---- regression: target with NaN = missing, [N] or [N, C] ----

def r2(target: Array, prediction: Array) -> np.ndarray | float:
    """Coefficient of determination: 1 is perfect, 0 the mean, negative worse than the mean.

    Args: target, prediction [N] or [N, C], in the phenotype's unit; NaN in target = missing.
    Returns: in (-inf, 1]; NaN for a constant target.
    Raises: ValueError for shapes that differ, a prediction or an observed target not finite.
    Source: Turgut et al. 2025, main phenotype metric.
    """
    y, p, seen, shape = _columns(target, prediction)
    residual = np.where(seen, y - p, 0.0)  # [N, C]
    total = np.sum(_centred(y, seen) ** 2, axis=0)  # [C]
    return _shaped(1 - _ratios(np.sum(residual**2, axis=0), total), shape)


def pearson(target: Array, prediction: Array) -> np.ndarray | float:
    """Pearson correlation of target and prediction.

    Args, Raises: as `r2`.
    Returns: in [-1, 1]; NaN where either is constant.
    Source: Turgut et al. 2025; validation metric of their regression fine-tuning.
    """
    y, p, seen, shape = _columns(target, prediction)
    y, p = _centred(y, seen), _centred(p, seen)  # [N, C]
    covariance = np.sum(y * p, axis=0)  # [C]
    scale = np.sqrt(np.sum(y**2, axis=0)) * np.sqrt(np.sum(p**2, axis=0))
    return _shaped(np.clip(_ratios(covariance, scale), -1, 1), shape)


def mae(target: Array, prediction: Array) -> np.ndarray | float:
    """Mean absolute error, in the phenotype's unit. Args, Raises: as `r2`."""
    y, p, seen, shape = _columns(target, prediction)
    return _shaped(_ratios(np.sum(np.where(seen, np.abs(y - p), 0.0), axis=0), seen.sum(0)), shape)


def rmse(target: Array, prediction: Array) -> np.ndarray | float:
    """Root mean squared error, in the phenotype's unit. Args, Raises: as `r2`."""
    y, p, seen, shape = _columns(target, prediction)
    squares = np.sum(np.where(seen, y - p, 0.0) ** 2, axis=0)  # [C]
    return _shaped(np.sqrt(_ratios(squares, seen.sum(0))), shape)


# ---- intervals ----

def bootstrap(metric: Callable, target: Array, prediction: Array, generator: np.random.Generator,
              rounds: int = 1000, level: float = 0.95) -> Interval:
    """Percentile bootstrap interval of a metric over subjects.

    Args:
        metric: (target, prediction) -> number or [C], any of this module.
        target, prediction: [N] or [N, C].
        generator: draws the rows, with replacement.
        rounds: number of resamples; level: coverage in (0, 1).
    Returns: Interval; resamples that leave the metric undefined are left out.
    Raises: ValueError for lengths that differ, rounds < 1, level outside (0, 1).
    Source: Efron 1979.
    """
    y, p = _same_rows(target, prediction)
    return _interval(lambda rows: metric(y[rows], p[rows]), len(y), generator, rounds, level)


def bootstrap_difference(metric: Callable, target: Array, prediction: Array, baseline: Array,
                         generator: np.random.Generator, rounds: int = 1000,
                         level: float = 0.95) -> Interval:
    """Paired bootstrap interval of metric(prediction) - metric(baseline): the same rows for both.

    Args, Returns, Raises: as `bootstrap`; `baseline` is the other method's prediction.
    Source: Efron 1979.
    """
    y, p, b = _same_rows(target, prediction, baseline)

    def gain(rows: np.ndarray) -> np.ndarray:
        return np.asarray(metric(y[rows], p[rows])) - np.asarray(metric(y[rows], b[rows]))
    return _interval(gain, len(y), generator, rounds, level)


def _interval(statistic: Callable, count: int, generator: np.random.Generator, rounds: int,
              level: float) -> Interval:
    if rounds < 1 or not 0 < level < 1:
        raise ValueError(f"rounds={rounds}, level={level}; rounds >= 1, level in (0, 1) are needed")
    value = np.asarray(statistic(np.arange(count)), dtype=np.float64)  # [] or [C]
    draws = np.stack([np.asarray(statistic(generator.integers(count, size=count)), dtype=np.float64)
                      for _ in range(rounds)]).reshape(rounds, -1)  # [rounds, C]
    tails = ((1 - level) / 2, (1 + level) / 2)
    defined = [column[~np.isnan(column)] for column in draws.T]
    ends = np.array([np.quantile(d, tails) if len(d) else (math.nan, math.nan) for d in defined])
    low, high = (ends[:, side].reshape(value.shape) for side in (0, 1))
    return Interval(*(float(v) if v.ndim == 0 else v for v in (value, low, high)))


# ---- one column ----

def _auroc(y: np.ndarray, s: np.ndarray) -> float:
    _, value, count = np.unique(s, return_inverse=True, return_counts=True)
    midrank = (np.cumsum(count) - (count - 1) / 2)[value]  # [N]; multiples of 1/2, exact
    positives = np.sum(y)
    u = np.sum(midrank[y == 1]) - positives * (positives + 1) / 2
    return _ratio(u, positives * (len(y) - positives))


def _average_precision(y: np.ndarray, s: np.ndarray) -> float:
    _, value, count = np.unique(-s, return_inverse=True, return_counts=True)  # highest first
    hits: np.ndarray = np.bincount(value, weights=y)  # positives at each distinct score
    precision = np.cumsum(hits) / np.cumsum(count)
    return _ratio(np.sum(hits * precision), np.sum(hits))


def _confusion(y: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float, float]:
    """TP, FP, FN, TN."""
    tp, positives, called = np.sum(predicted * y), np.sum(y), np.sum(predicted)
    return tp, called - tp, positives - tp, len(y) - positives - called + tp


# ---- checks and columns ----

def _classify(labels: Array, scores: Array, metric: Callable) -> np.ndarray | float:
    """Apply a metric of one column (y, s) to the observed rows of every column."""
    y, s, seen, shape = _columns(labels, scores)
    if not np.isin(y[seen], (0.0, 1.0)).all():
        raise ValueError(f"labels hold {np.unique(y[seen])[:5]}; 0, 1, NaN (missing) are allowed")
    columns = range(y.shape[1])
    return _shaped(np.array([metric(y[seen[:, c], c], s[seen[:, c], c]) for c in columns]), shape)


def _columns(target: Array, prediction: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple]:
    """Target [N, C] (0 where missing), prediction [N, C], observed [N, C], shape of the result."""
    y, p = as_float64("target", target), as_float64("prediction", prediction)
    if y.shape != p.shape or y.ndim not in (1, 2):
        raise ValueError(f"target is {y.shape}, prediction {p.shape}; one [N] or [N, C] is needed")
    shape = y.shape[1:]
    y, p = (v.reshape(len(v), math.prod(shape)) for v in (y, p))
    seen = ~np.isnan(y)
    if np.isinf(y).any() or not np.isfinite(p[seen]).all():
        raise ValueError("target is infinite, or prediction NaN or infinite, in an observed row")
    return np.where(seen, y, 0.0), np.where(seen, p, 0.0), seen, shape


def _centred(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Values [N, C] minus their mean over observed rows, 0 elsewhere; exactly 0 for a constant."""
    if not len(values):
        return values
    anchor = values[seen.argmax(axis=0), np.arange(values.shape[1])]  # [C], first observed
    shifted = np.where(seen, values - anchor, 0.0)
    mean = shifted.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)  # [C]
    return np.where(seen, shifted - mean, 0.0)


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator > 0 else math.nan


def _ratios(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient, NaN where the denominator is 0."""
    defined = denominator > 0
    return np.where(defined, numerator / np.where(defined, denominator, 1.0), math.nan)


def _shaped(values: np.ndarray, shape: tuple) -> np.ndarray | float:
    return values if shape else float(values[0])


def as_float64(name: str, value: Array) -> np.ndarray:
    """float64 on the CPU; TypeError for anything but real numbers."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().to(torch.float64).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} is {array.dtype}; numbers are needed")
    return array.astype(np.float64)


def _same_rows(*arrays: Array) -> list[np.ndarray]:
    """The arrays in float64, all of one length >= 1."""
    converted = [as_float64("input", array) for array in arrays]
    lengths = {len(array) if array.ndim else 0 for array in converted}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(f"inputs have {sorted(lengths)} rows; one common number >= 1 is needed")
    return converted
