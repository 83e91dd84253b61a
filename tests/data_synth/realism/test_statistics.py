"""Statistics of a table and their standard errors, on tables of known make."""

from __future__ import annotations

import numpy as np
import pytest

from data_synth.realism import statistics
from data_synth.realism.targets import Row
from tests.support.helpers import assert_close, assert_equal

NOTHING = ("dm", "cad", "af", "af_now", "dcm", "lbbb", "rbbb", "mi", "scar_size",
           "scar_territory")


def row(statistic, columns, group="all", low=0.0, high=1.0):
    return Row("a quantity", statistic, columns, group, "", low, high, "nowhere")


def people(n=4000, seed=0, **columns):
    """A table of healthy persons with the given columns."""
    rng = np.random.default_rng(seed)
    table = {name: np.zeros(n) for name in NOTHING}
    table.update(male=(rng.random(n) < .5).astype(float), age=rng.normal(64, 8, n),
                 height=rng.normal(170, 9, n), bmi=rng.normal(27, 4, n),
                 sbp=rng.normal(137, 17, n), bsa=rng.normal(1.9, .2, n), lvmi=np.full(n, 45.0))
    for name, make in columns.items():
        table[name] = make(table, rng)
    return table


@pytest.mark.parametrize("statistic, columns, group, want, tolerance", [
    ("mean", ("y",), "all", 10.0, .1), ("sd", ("y",), "all", 2.0, .1),
    ("median", ("y",), "all", 10.0, .15), ("p98", ("y",), "all", 10 + 2.054 * 2, .4),
    ("p2", ("y",), "all", 10 - 2.054 * 2, .4), ("percent", ("male",), "all", 50.0, 3),
    ("difference", ("tall",), "men | women", 13.0, .3),
    ("ratio", ("tall",), "men | women", 176 / 163, .003),
    ("r", ("y", "copy"), "all", .8, .03), ("log slope", ("grows", "age", "10"), "all", -4.0, .4),
    ("slope", ("line", "sbp", "18"), "all", 3.6, .2), ("r2", ("line",), "all", .74, .04),
    ("effect", ("ill", "dm"), "all", 2.0, .25), ("log effect", ("logill", "dm"), "all", 5.0, .7),
    ("at least 3.5", ("y",), "all", 99.94, .2), ("mean RR", ("rate",), "all", 1000, 1)])
def test_statistics(statistic, columns, group, want, tolerance):
    table = people(
        y=lambda t, g: g.normal(10, 2, 4000), tall=lambda t, g: g.normal(163 + 13 * t["male"], 3),
        copy=lambda t, g: .8 * (t["y"] - 10) / 2 + .6 * g.standard_normal(4000),
        grows=lambda t, g: np.exp(np.log(.96) / 10 * t["age"] + .02 * g.standard_normal(4000)),
        line=lambda t, g: .2 * t["sbp"] + 2 * g.standard_normal(4000),
        rate=lambda t, g: np.full(4000, 60.0),
        dm=lambda t, g: (g.random(4000) < .3) * 1.0,
        ill=lambda t, g: 2 * t["dm"] + t["age"] * .1 + g.standard_normal(4000),
        logill=lambda t, g: np.exp(np.log(1.05) * t["dm"] + .05 * g.standard_normal(4000)))
    value, error = statistics.evaluate(row(statistic, columns, group), table)
    assert_close(statistic, value, want, atol=tolerance)
    assert 0 <= error < max(tolerance, 1)


def test_standard_error_of_a_mean():
    errors = []
    for seed in range(12):
        table = people(1000, seed, y=lambda t, g: g.normal(0, 3, 1000))
        errors.append(statistics.evaluate(row("mean", ("y",)), table)[1])
    assert_close("se", np.mean(errors), 3 / np.sqrt(1000), rtol=.2)


def test_missing_values_and_small_groups():
    table = people(100, y=lambda t, g: np.where(np.arange(100) < 50, np.nan, 4.0))
    assert_equal("mean", statistics.evaluate(row("mean", ("y",)), table)[0], 4.0)
    assert np.isnan(statistics.evaluate(row("mean", ("y",), "AF now"), table)[0])


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    score, label = rng.integers(0, 6, 40).astype(float), (rng.random(40) < .4).astype(float)
    pairs = [(a > b) + .5 * (a == b) for a in score[label > .5] for b in score[label < .5]]
    assert_close("AUC", statistics.auc(score, label), np.mean(pairs), atol=1e-12)
    assert np.isnan(statistics.auc(score, np.zeros(40)))
