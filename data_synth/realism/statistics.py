"""One number from a table of measured subjects, and its standard error.

    difference, ratio   of two groups' means
    log slope           100 (exp(step b) - 1), b of ln y = a + b x + demographics
    log effect          the same for x going from 0 to 1
    r2                  of y on sex, age, height, BMI, blood pressure
    standard error      delete-a-group jackknife with G = 10 groups:
                        se^2 = (G - 1) / G sum_g (s_g - mean s)^2

Rows with NaN in a column that is used are left out.

Glossary: y, x, columns; step, the change of x that is reported; s_g, statistic without group g.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from data_synth.heart.physiology import DEMOGRAPHICS
from data_synth.realism.targets import GROUPS, Row, Table

FOLDS = 10  # groups of the jackknife
FEWEST = 8  # subjects a group needs for a statistic


def evaluate(row: Row, table: Table) -> tuple[float, float]:
    """The row's statistic and its standard error.

    Args:
        row: from `targets.ROWS`, not one of a model.
        table: from `measurement.measure`.
    Returns:
        Value and standard error; NaN if a group has fewer than 8 subjects.
    Raises:
        KeyError: an unknown statistic, group or column.
    Source: delete-a-group jackknife: Kott 2001.
    """
    table = _used(row, table)
    value = _value(row, table)
    fold = np.arange(len(table["male"])) % FOLDS
    parts = np.array([_value(row, {name: column[fold != k] for name, column in table.items()})
                      for k in range(FOLDS)])
    return value, float(np.sqrt((FOLDS - 1) / FOLDS * ((parts - parts.mean()) ** 2).sum()))


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve of scores [N] for labels [N] in {0, 1}, ties counted half."""
    order = np.argsort(score, kind="stable")
    _, start, count = np.unique(score[order], return_index=True, return_counts=True)
    rank = np.repeat(start + (count + 1) / 2, count)
    positive = label[order] > .5
    n, m = positive.sum(), (~positive).sum()
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else np.nan


_NEEDED = (*DEMOGRAPHICS, "dm", "cad", "af", "af_now", "dcm", "lbbb", "rbbb", "mi", "scar_size",
           "scar_territory", "lvmi")


def _used(row: Row, table: Table) -> Table:
    """Only the columns that the row and the groups need."""
    names = {*_NEEDED, *(c for c in row.columns if c in table)}
    return {name: table[name] for name in names}


def _value(row: Row, table: Table) -> float:
    """The statistic of one table."""
    columns = [name for name in row.columns if name in table]
    seen = np.all([np.isfinite(table[name]) for name in columns], axis=0)
    groups = [seen & GROUPS[name](table) for name in row.group.split(" | ")]
    if min(int(g.sum()) for g in groups) < FEWEST:
        return np.nan
    parts = [{name: column[g] for name, column in table.items()} for g in groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(STATISTICS[row.statistic](parts, *row.columns))


def _on_demographics(part: Table, y: np.ndarray, *extra: np.ndarray) -> np.ndarray:
    """Least squares of y on a constant, demographics and more columns -> weights."""
    x = np.stack([np.ones(len(y)), *(part[n] - part[n].mean() for n in DEMOGRAPHICS), *extra], 1)
    return np.linalg.lstsq(x, y, rcond=None)[0]


def _weight(part: Table, y: np.ndarray, name: str) -> float:
    """The weight of a column in a regression that also holds the demographics."""
    if name in DEMOGRAPHICS:
        return float(_on_demographics(part, y)[1 + DEMOGRAPHICS.index(name)])
    if name == "bsa":  # body size itself, within a sex
        x = np.stack([np.ones(len(y)), part["male"], part["bsa"]], 1)
        return float(np.linalg.lstsq(x, y, rcond=None)[0][2])
    return float(_on_demographics(part, y, part[name])[-1])


def _slope(parts: list[Table], y: str, x: str, step: str) -> float:
    return float(step) * _weight(parts[0], parts[0][y], x)


def _log_slope(parts: list[Table], y: str, x: str, step: str) -> float:
    return 100 * np.expm1(float(step) * _weight(parts[0], np.log(parts[0][y]), x))


def _log_effect(parts: list[Table], y: str, x: str) -> float:
    part = parts[0]
    keep = part[y] > 0
    part = {name: column[keep] for name, column in part.items()}
    return 100 * np.expm1(_weight(part, np.log(part[y]), x))


def _r2(parts: list[Table], y: str) -> float:
    part = parts[0]
    target = part[y]
    x = np.stack([np.ones(len(target)), *(part[n] - part[n].mean() for n in DEMOGRAPHICS)], 1)
    return 1 - float(np.var(target - x @ _on_demographics(part, target)) / np.var(target))


def _contrast_auc(parts: list[Table], y: str) -> float:
    score = np.concatenate([parts[0][y], parts[1][y]])
    return auc(score, np.repeat([1.0, 0.0], [len(parts[0][y]), len(parts[1][y])]))


def _percentile(q: float) -> Callable[[list[Table], str], float]:
    return lambda parts, y: np.percentile(parts[0][y], q)


STATISTICS: dict[str, Callable[..., float]] = {
    "mean": lambda parts, y: parts[0][y].mean(),
    "sd": lambda parts, y: parts[0][y].std(ddof=1),
    "median": _percentile(50), "p2": _percentile(2), "p95": _percentile(95),
    "p98": _percentile(98), "p99.9": _percentile(99.9),
    "percent": lambda parts, y: 100 * parts[0][y].mean(),
    "mean RR": lambda parts, y: (60000 / parts[0][y]).mean(),
    "difference": lambda parts, y: parts[0][y].mean() - parts[1][y].mean(),
    "ratio": lambda parts, y: parts[0][y].mean() / parts[1][y].mean(),
    "median ratio": lambda parts, y: np.median(parts[0][y]) / np.median(parts[1][y]),
    "r": lambda parts, x, y: np.corrcoef(parts[0][x], parts[0][y])[0, 1],
    "slope": _slope, "log slope": _log_slope, "log effect": _log_effect, "r2": _r2,
    "effect": lambda parts, y, x: _weight(parts[0], parts[0][y], x),
    "auc": _contrast_auc,
    **{f"at most {limit}": (lambda parts, y, limit=limit: 100 * np.mean(parts[0][y] < limit))
       for limit in (40, 50)},
    **{f"at least {limit}": (lambda parts, y, limit=limit: 100 * np.mean(parts[0][y] >= limit))
       for limit in (3.5, 110, 120)},
}
