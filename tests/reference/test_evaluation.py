"""Metrics: parity, loops over scalars, closed forms, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import evaluation as ev
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    larger_golden,
)
from tests.support.strategies import seeds, sizes

CLASSIFICATION = {"auroc": ev.auroc, "auprc": ev.average_precision, "f1": ev.f1,
                  "acc": ev.accuracy, "bacc": ev.balanced_accuracy}
REGRESSION = {"r2": ev.r2, "pcc": ev.pearson, "mae": ev.mae, "rmse": ev.rmse}


@st.composite
def scored_labels(draw):
    """Labels of both classes [N] and scores [N] with many ties, in quarters of [0, 1]."""
    count = draw(sizes(2))
    rng = np.random.default_rng(draw(seeds()))
    labels = rng.integers(0, 2, count)
    labels[:2] = (0, 1)
    return labels, rng.integers(0, draw(st.integers(1, 9)), count) / 4


@st.composite
def regressions(draw):
    """Target and prediction [N, C], about a quarter of the target missing."""
    shape = draw(sizes(3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(seeds()))
    target = 3 + rng.standard_normal(shape)
    target[rng.random(shape) < 0.25] = np.nan
    return target, 1 + 0.5 * np.nan_to_num(target) + rng.standard_normal(shape)


# ---- the oracles: loops over scalars ----

def auroc_oracle(labels, scores) -> float:
    won = pairs = 0.0
    for y0, s0 in zip(labels, scores, strict=True):
        for y1, s1 in zip(labels, scores, strict=True):
            if y1 == 1 and y0 == 0:
                pairs += 1
                won += 1.0 if s1 > s0 else 0.5 if s1 == s0 else 0.0
    return won / pairs


def average_precision_oracle(labels, scores) -> float:
    total, recall_before, positives = 0.0, 0.0, sum(labels)
    for threshold in sorted(set(scores), reverse=True):
        called = [y for y, s in zip(labels, scores, strict=True) if s >= threshold]
        recall = sum(called) / positives
        total += (recall - recall_before) * sum(called) / len(called)
        recall_before = recall
    return total


def confusion_oracle(labels, scores, threshold=0.5):
    tp = fp = fn = tn = 0
    for y, s in zip(labels, scores, strict=True):
        tp += y == 1 and s > threshold
        fp += y == 0 and s > threshold
        fn += y == 1 and s <= threshold
        tn += y == 0 and s <= threshold
    return tp, fp, fn, tn


def regression_oracle(target, prediction) -> dict[str, float]:
    rows = [(float(y), float(p)) for y, p in zip(target, prediction, strict=True)
            if not math.isnan(y)]
    n = len(rows)
    if n == 0:
        return dict.fromkeys(REGRESSION, math.nan)
    mean_y, mean_p = sum(y for y, _ in rows) / n, sum(p for _, p in rows) / n
    squares = sum((y - p) ** 2 for y, p in rows)
    yy, pp = sum((y - mean_y) ** 2 for y, _ in rows), sum((p - mean_p) ** 2 for _, p in rows)
    yp = sum((y - mean_y) * (p - mean_p) for y, p in rows)
    return {"r2": 1 - squares / yy if n > 1 else math.nan,
            "pcc": yp / math.sqrt(yy * pp) if n > 1 else math.nan,
            "mae": sum(abs(y - p) for y, p in rows) / n, "rmse": math.sqrt(squares / n)}


def same(name, got, want, tolerance=1e-10):
    """As assert_close, with NaN wanted where the oracle says NaN."""
    got, want = np.atleast_1d(got), np.atleast_1d(want)
    assert_equal(f"{name} defined", np.isnan(got), np.isnan(want))
    assert_close(name, np.nan_to_num(got), np.nan_to_num(want), rtol=tolerance, atol=tolerance)


# ---- parity with the authors' code ----

@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification_larger(name):
    golden = larger_golden("metrics")
    got = CLASSIFICATION[name](golden["y"], golden["score"])
    assert_parity(f"metric {name}", got, golden[name], 1e-6, "larger set")


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_larger(name):
    golden = larger_golden("metrics")
    got = REGRESSION[name](golden["Y"], golden["H"])
    assert_parity(f"metric {name}", got, golden[name], 1e-6, "larger set")


# ---- classification ----

@given(scored_labels())
@settings(max_examples=80)
def test_classification_equals_its_oracles(case):
    labels, scores = case
    tp, fp, fn, tn = confusion_oracle(labels, scores)
    same("auroc", ev.auroc(labels, scores), auroc_oracle(labels, scores))
    same("ap", ev.average_precision(labels, scores), average_precision_oracle(labels, scores))
    same("f1", ev.f1(labels, scores), 2 * tp / (2 * tp + fp + fn))
    same("balanced", ev.balanced_accuracy(labels, scores), (tp / (tp + fn) + tn / (tn + fp)) / 2)
    same("accuracy", ev.accuracy(labels, scores), (tp + tn) / len(labels))


@given(scored_labels())
@settings(max_examples=40)
def test_auroc_complement_and_monotone_invariance(case):
    labels, scores = case
    got = ev.auroc(labels, scores)
    assert_close("scores negated", ev.auroc(labels, -scores), 1 - got, atol=1e-12)
    assert_close("labels swapped", ev.auroc(1 - labels, scores), 1 - got, atol=1e-12)
    for name, metric in (("auroc", ev.auroc), ("ap", ev.average_precision)):
        want = metric(labels, scores)
        assert_equal(f"{name} of exp", metric(labels, np.exp(scores) * 7 - 3), want)


def test_classification_by_hand():
    labels, scores = [1, 0, 1, 0], [0.9, 0.8, 0.5, 0.1]
    assert ev.auroc(labels, scores) == 0.75
    assert ev.average_precision(labels, scores) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert ev.f1(labels, scores) == 0.5  # 0.5 is not above the threshold
    assert ev.f1(labels, scores, threshold=0.4) == pytest.approx(0.8)
    assert ev.accuracy(labels, scores) == 0.5
    assert ev.balanced_accuracy([1, 0, 0, 0], [1, 1, 0, 0]) == pytest.approx((1 + 2 / 3) / 2)
    assert ev.auroc(labels, [3, 3, 3, 3]) == 0.5
    assert ev.average_precision(labels, [3, 3, 3, 3]) == 0.5  # the prevalence


def test_undefined_metrics_are_nan():
    ones, zeros, scores = np.ones(4), np.zeros(4), np.array([0.1, 0.6, 0.3, 0.9])
    for labels in (ones, zeros, np.full(4, np.nan)):
        assert math.isnan(ev.auroc(labels, scores))
        assert math.isnan(ev.balanced_accuracy(labels, scores))
    assert math.isnan(ev.average_precision(zeros, scores))
    assert ev.average_precision(ones, scores) == 1.0
    assert math.isnan(ev.f1(zeros, zeros)) and ev.f1(zeros, ones) == 0.0
    assert math.isnan(ev.accuracy(ones * np.nan, scores))
    for metric in (ev.r2, ev.pearson):
        assert math.isnan(metric(np.full(7, 0.1), np.arange(7)))  # the mean of 0.1 is rounded
    assert math.isnan(ev.pearson(np.arange(7), np.full(7, 0.1)))
    assert ev.r2(np.arange(7), np.full(7, 3.0)) == pytest.approx(0)
    for metric in REGRESSION.values():
        assert math.isnan(metric(np.full(3, np.nan), np.zeros(3)))
        assert math.isnan(metric(np.zeros(0), np.zeros(0)))


def test_labels_by_column_with_missing():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, (40, 3)).astype(float), rng.random((40, 3))
    labels[rng.random((40, 3)) < 0.3] = np.nan
    for name, metric in CLASSIFICATION.items():
        got = metric(labels, scores)
        assert_shape(name, got, (3,))
        for c in range(3):
            seen = ~np.isnan(labels[:, c])
            assert_equal(name, got[c], metric(labels[seen, c], scores[seen, c]))
    unseen = np.where(np.isnan(labels), np.nan, scores)
    want = ev.auroc(labels, scores)
    assert_equal("NaN score beside a missing label", ev.auroc(labels, unseen), want)


# ---- regression ----

@given(regressions())
@settings(max_examples=60)
def test_regression_equals_its_oracles(case):
    target, prediction = case
    for c in range(target.shape[1]):
        want = regression_oracle(target[:, c], prediction[:, c])
        for name, metric in REGRESSION.items():
            same(name, metric(target, prediction)[c], want[name])
            same(name, metric(target[:, c], prediction[:, c]), want[name])


def test_regression_closed_forms():
    y = np.array([1.0, 2.0, 4.0, 7.0])
    assert ev.r2(y, y) == 1.0 and ev.pearson(y, y) == 1.0
    assert ev.mae(y, y) == ev.rmse(y, y) == 0.0
    assert ev.r2(y, np.full(4, 3.5)) == 0.0
    assert ev.pearson(y, 5 - 2 * y) == pytest.approx(-1)
    assert ev.mae(y, y + np.array([3, -3, 3, -3])) == 3.0
    assert ev.rmse(y, y + np.array([1, -1, 7, -7])) == 5.0
    assert ev.r2(y + 1e9, y + 1e9 + 1) == pytest.approx(1 - 4 / 21, rel=1e-6)  # no cancellation
    assert ev.r2(np.array([0.0, 2.0]), np.array([2.0, 0.0])) == -3.0  # target first


def test_pearson_stays_within_one():
    """Rounding alone would leave the interval for about a quarter of these columns."""
    y = np.random.default_rng(0).standard_normal((5, 400))
    for sign in (1.0, -1.0):
        got = ev.pearson(y, sign * 3.7 * y)
        assert_close("correlation", got, np.full(400, sign), atol=1e-12)
        assert np.abs(got).max() <= 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_torch_and_numpy_agree(dtype):
    labels = torch.tensor([1, 0, 1, 0, 1])
    scores = torch.tensor([0.5, 0.25, 0.75, 0.5, 0.0], dtype=dtype, requires_grad=True)
    for metric in (*CLASSIFICATION.values(), *REGRESSION.values()):
        got = metric(labels, scores)
        assert isinstance(got, float)
        assert got == metric(labels.numpy().astype(bool), scores.detach().numpy().tolist())


def test_columns_are_zero_where_missing():
    y, p, seen, shape = ev._columns(torch.tensor([3.0, math.nan]), [2.0, math.nan])
    assert_equal("target", y, [[3.0], [0.0]])
    assert_equal("prediction", p, [[2.0], [0.0]])
    assert_equal("seen", seen, [[True], [False]])
    assert shape == ()


def test_sixteen_bit_scores_of_either_kind():
    labels, scores = torch.tensor([1, 0, 1, 0]), torch.tensor([0.5, 0.25, 0.75, 0.5])
    for dtype in (torch.bfloat16, torch.float16):
        assert ev.auroc(labels, scores.to(dtype)) == 0.875


def test_bad_input_is_refused():
    for metric in (*CLASSIFICATION.values(), *REGRESSION.values()):
        with pytest.raises(ValueError, match=r"target is \(3,\), prediction \(4,\)"):
            metric(np.ones(3), np.ones(4))
        with pytest.raises(ValueError, match="one"):
            metric(np.ones((2, 2, 2)), np.ones((2, 2, 2)))
        for bad in (np.nan, np.inf):
            with pytest.raises(ValueError, match="NaN or infinite"):
                metric([0, 1], [0, bad])
        with pytest.raises(TypeError, match="numbers"):
            metric(["a"], ["b"])
        with pytest.raises(TypeError, match=r"^target is "):
            metric(["a"], [1.0])
        with pytest.raises(TypeError, match=r"^prediction is "):
            metric([1.0], [None])
        with pytest.raises(ValueError, match=r"^target is infinite"):
            metric([np.inf], [1.0])
    for metric in CLASSIFICATION.values():
        with pytest.raises(ValueError, match=r"^labels hold \[0. 1. 2.\]; 0, 1, NaN \(missing\)"):
            metric([0, 1, 2, np.nan], [0, 1, 1, 1])
        with pytest.raises(ValueError, match=r"hold \[2. 3. 4. 5. 6.\]; 0"):  # the first five
            metric(np.arange(2, 9), np.zeros(7))


def test_thresholds_are_strict_and_one_half_by_default():
    labels, scores = [1, 0, 1, 0, 1], [0.5, 0.5, 1.0, 0.25, 1.25]
    for metric, want in ((ev.f1, 0.8), (ev.accuracy, 0.8), (ev.balanced_accuracy, 5 / 6)):
        assert metric(labels, scores) == pytest.approx(want)
        assert metric(labels, scores, 0.5) == pytest.approx(want)
    for metric, want in ((ev.f1, 0.5), (ev.accuracy, 0.6), (ev.balanced_accuracy, 2 / 3)):
        assert metric(labels, scores, 1.0) == pytest.approx(want)


# ---- intervals ----

def test_bootstrap_equals_its_loop():
    rng = np.random.default_rng(0)
    y, p = rng.standard_normal((2, 30, 2))
    got = ev.bootstrap(ev.mae, y, p, np.random.default_rng(5), rounds=40, level=0.8)
    again, draws = np.random.default_rng(5), []
    for _ in range(40):
        rows = again.integers(30, size=30)
        draws.append([np.mean([abs(y[r, c] - p[r, c]) for r in rows]) for c in range(2)])
    assert_close("value", got.value, np.abs(y - p).mean(axis=0), rtol=1e-12)
    assert_close("low", got.low, np.quantile(draws, 0.1, axis=0), rtol=1e-12)
    assert_close("high", got.high, np.quantile(draws, 0.9, axis=0), rtol=1e-12)


def test_bootstrap_covers_the_truth():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(100):  # the mean |n| of a standard normal is sqrt(2 / pi)
        n = rng.standard_normal(60)
        got = ev.bootstrap(lambda y, p: np.abs(y - p).mean(), n, np.zeros(60), rng, rounds=100,
                           level=0.9)
        hits += got.low <= math.sqrt(2 / math.pi) <= got.high
    assert 78 <= hits <= 97


def test_bootstrap_difference_is_paired():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(50)
    close, far = y + 0.5, y + 0.75
    got = ev.bootstrap_difference(ev.mae, y, far, close, rng, rounds=50)
    assert_close("every resample agrees", list(got), [0.25] * 3, rtol=1e-12)  # unpaired: a spread
    noisy, again, draws = y + rng.standard_normal(50), np.random.default_rng(5), []
    offset = np.linspace(1, 3, 50)
    got = ev.bootstrap_difference(ev.mae, y, noisy, y + offset, np.random.default_rng(5), 30, 0.8)
    for _ in range(30):
        rows = again.integers(50, size=50)
        draws.append(np.mean([abs(y[r] - noisy[r]) - offset[r] for r in rows]))
    want = [np.abs(y - noisy).mean() - 2, *np.quantile(draws, [0.1, 0.9])]
    assert_close("interval", list(got), want, rtol=1e-9)


def test_bootstrap_defaults():
    def bias(y, p):
        return (y - p).mean()

    y = np.random.default_rng(0).standard_normal(20)
    for function, extra in ((ev.bootstrap, ()), (ev.bootstrap_difference, (y**2 - 1,))):
        got = function(bias, y, 0 * y, *extra, np.random.default_rng(1))
        want = function(bias, y, 0 * y, *extra, np.random.default_rng(1), 1000, 0.95)
        assert_equal(function.__name__, list(got), list(want))


def test_bootstrap_of_a_metric_in_single_precision():
    def bias(y, p):
        return (y - p).mean(axis=0).astype(np.float32)

    rng, rounds = np.random.default_rng(0), 20
    y, p = rng.standard_normal((2, 9, 3))
    got = ev.bootstrap(bias, y, p, np.random.default_rng(1), rounds)
    again, draws = np.random.default_rng(1), []
    for _ in range(rounds):
        rows = again.integers(9, size=9)
        draws.append([float(v) for v in bias(y[rows], p[rows])])
    assert {v.dtype for v in got} == {np.dtype(np.float64)}
    assert_close("low", got.low, np.quantile(draws, 0.025, axis=0), rtol=1e-14)
    assert_close("high", got.high, np.quantile(draws, 0.975, axis=0), rtol=1e-14)


def test_bootstrap_of_a_metric_that_answers_yes_or_no():
    y = np.stack([np.ones(6), np.arange(6.0), np.zeros(6)], axis=1)
    got = ev.bootstrap(lambda y, p: (y > p).all(axis=0), y, 0 * y, np.random.default_rng(1), 50)
    assert_equal("interval", np.stack(got), [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])


def test_bootstrap_of_rare_classes():
    labels = np.array([[1.0, 0, np.nan]] + [[0.0, 0, np.nan]] * 5)
    scores = np.tile(np.arange(6.0)[::-1, None], (1, 3))
    got = ev.bootstrap(ev.auroc, labels, scores, np.random.default_rng(0), rounds=60)
    assert got.value[0] == got.low[0] == got.high[0] == 1.0  # resamples without it are left out
    assert np.isnan([got.low[1:], got.high[1:]]).all()
    single = ev.bootstrap(ev.auroc, labels[:, 0], scores[:, 0], np.random.default_rng(0), rounds=9)
    assert all(isinstance(v, float) for v in single)


def test_bootstrap_refuses():
    y, rng = np.zeros(3), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"\[3, 4\] rows"):
        ev.bootstrap(ev.mae, y, np.zeros(4), rng)
    for rounds, level in ((0, 0.9), (5, 0.0), (5, 1.0)):
        with pytest.raises(ValueError, match=f"rounds={rounds}, level={level}"):
            ev.bootstrap(ev.mae, y, y, rng, rounds, level)
    for target, rows in ((np.zeros(0), r"\[0\]"), (np.float64(1), r"\[0\]")):
        with pytest.raises(ValueError, match=f"inputs have {rows} rows; one common number >= 1"):
            ev.bootstrap(ev.mae, target, target, rng)
    with pytest.raises(TypeError, match=r"^input is "):
        ev.bootstrap(ev.mae, ["a"], ["b"], rng)
    one = ev.bootstrap(ev.mae, y + 2, y, rng, rounds=1)  # one resample is an interval of length 0
    assert list(one) == [2.0] * 3
