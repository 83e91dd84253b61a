"""Metrics, retrieval, intervals, monitors: parity, loops over scalars, closed forms, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import assert_close, assert_equal, assert_parity, assert_shape, larger_golden
from reference import evaluation as ev
from strategies import seeds, sizes

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
    for y0, s0 in zip(labels, scores):
        for y1, s1 in zip(labels, scores):
            if y1 == 1 and y0 == 0:
                pairs += 1
                won += 1.0 if s1 > s0 else 0.5 if s1 == s0 else 0.0
    return won / pairs


def average_precision_oracle(labels, scores) -> float:
    total, recall_before, positives = 0.0, 0.0, sum(labels)
    for threshold in sorted(set(scores), reverse=True):
        called = [y for y, s in zip(labels, scores) if s >= threshold]
        recall = sum(called) / positives
        total += (recall - recall_before) * sum(called) / len(called)
        recall_before = recall
    return total


def confusion_oracle(labels, scores, threshold=0.5):
    tp = fp = fn = tn = 0
    for y, s in zip(labels, scores):
        tp += y == 1 and s > threshold
        fp += y == 0 and s > threshold
        fn += y == 1 and s <= threshold
        tn += y == 0 and s <= threshold
    return tp, fp, fn, tn


def regression_oracle(target, prediction) -> dict[str, float]:
    rows = [(float(y), float(p)) for y, p in zip(target, prediction) if not math.isnan(y)]
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
    assert ev.mae(y, y + [3, -3, 3, -3]) == 3.0 and ev.rmse(y, y + [1, -1, 7, -7]) == 5.0
    assert ev.r2(y + 1e9, y + 1e9 + 1) == pytest.approx(1 - 4 / 21, rel=1e-6)  # no cancellation
    assert ev.r2(np.array([0.0, 2.0]), np.array([2.0, 0.0])) == -3.0  # target first


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_torch_and_numpy_agree(dtype):
    labels = torch.tensor([1, 0, 1, 0, 1])
    scores = torch.tensor([0.5, 0.25, 0.75, 0.5, 0.0], dtype=dtype, requires_grad=True)
    for metric in (*CLASSIFICATION.values(), *REGRESSION.values()):
        got = metric(labels, scores)
        assert isinstance(got, float)
        assert got == metric(labels.numpy().astype(bool), scores.detach().numpy().tolist())


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
    for metric in CLASSIFICATION.values():
        with pytest.raises(ValueError, match="2"):
            metric([0, 1, 2], [0, 1, 1])


# ---- retrieval ----

def retrieval_oracle(query, target) -> list[float]:
    """Midrank of each partner among all targets."""
    ranks = []
    for i in range(len(query)):
        cosines = [sum(a * b for a, b in zip(query[i], target[j]))
                   / math.sqrt(sum(b * b for b in target[j])) for j in range(len(target))]
        above = sum(c > cosines[i] + 1e-12 for c in cosines)
        level = sum(abs(c - cosines[i]) <= 1e-12 for c in cosines)
        ranks.append(above + (level + 1) / 2)
    return ranks


@given(sizes(2), st.integers(1, 5), seeds())
@settings(max_examples=30)
def test_retrieval_among_all(count, dim, seed):
    rng = np.random.default_rng(seed)
    query, target = rng.standard_normal((2, count, dim))
    got = ev.retrieval(query, target, generator=rng)
    if dim == 1:
        target = np.sign(target)  # many ties
        got = ev.retrieval(query, target, generator=rng)
    ranks = retrieval_oracle(query, target)
    assert got["candidates"] == count
    assert got["median_rank"] == pytest.approx(np.median(ranks))
    if dim > 1:
        assert got["top1"] == pytest.approx(np.mean([r <= 1 for r in ranks]))
        assert got["top5"] == pytest.approx(np.mean([r <= 5 for r in ranks]))


def test_retrieval_of_perfect_and_opposite_embeddings():
    z = np.random.default_rng(0).standard_normal((70, 8))
    good = ev.retrieval(z, 5 * z, 32, generator=np.random.default_rng(1))
    assert good == {"top1": 1.0, "top5": 1.0, "median_rank": 1.0, "candidates": 32}
    bad = ev.retrieval(torch.tensor(z), torch.tensor(-z), 32, generator=np.random.default_rng(1))
    assert bad == {"top1": 0.0, "top5": 0.0, "median_rank": 32.0, "candidates": 32}


@pytest.mark.parametrize("count, size", [(70, 32), (64, 32), (5, 5), (300, 256), (3, 1)])
def test_collapsed_embeddings_are_at_chance(count, size):
    z = np.repeat(np.random.default_rng(0).standard_normal((1, 17)), count, axis=0)
    for query in (z, 0 * z):
        got = ev.retrieval(query, z, size, generator=np.random.default_rng(1))
        assert got["candidates"] == size
        assert got["median_rank"] == (size + 1) / 2
        assert got["top1"] == pytest.approx(1 / size)
        assert got["top5"] == pytest.approx(min(5 / size, 1))


def test_unrelated_embeddings_are_near_chance():
    query, target = np.random.default_rng(0).standard_normal((2, 1000, 16))
    got = ev.retrieval(query, target, 100, generator=np.random.default_rng(1))
    assert 45 < got["median_rank"] < 56
    assert 0.0 < got["top1"] < 0.02 and 0.03 < got["top5"] < 0.07


def test_retrieval_sets_cover_every_query_once():
    """Partners share a direction by subject parity: within a set, ranks follow its own members."""
    count, size = 11, 4
    angle = np.arange(count) / count
    target = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    query = np.repeat([[1.0, 0.0]], count, axis=0)  # subject i's rank: members of its set below i
    order = np.random.default_rng(3).permutation(count)
    sets = [order[0:4], order[4:8], order[7:11]]
    ranks = [1 + sum(j < i for j in s) for s, own in zip(sets, (s if k < 2 else s[1:]
             for k, s in enumerate(sets))) for i in own]
    got = ev.retrieval(query, target, size, generator=np.random.default_rng(3))
    assert len(ranks) == count
    assert got["median_rank"] == np.median(ranks)
    assert got["top1"] == pytest.approx(np.mean(np.array(ranks) == 1))


def test_retrieval_refuses():
    z, rng = np.ones((4, 3)), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        ev.retrieval(z, z[:, :2], generator=rng)
    with pytest.raises(ValueError, match="finite"):
        ev.retrieval(z, z * np.nan, generator=rng)
    with pytest.raises(ValueError, match="candidates=0"):
        ev.retrieval(z, z, 0, generator=rng)


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
        got = ev.bootstrap(ev.mae, n, np.zeros(60), rng, rounds=100, level=0.9)
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
    y = np.random.default_rng(0).standard_normal(20)
    for function, extra in ((ev.bootstrap, ()), (ev.bootstrap_difference, (y - 1,))):
        got = function(ev.rmse, y, 0 * y, *extra, np.random.default_rng(1))
        want = function(ev.rmse, y, 0 * y, *extra, np.random.default_rng(1), 1000, 0.95)
        assert_equal(function.__name__, list(got), list(want))


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


# ---- monitors ----

@given(sizes(2), sizes(1), seeds())
@settings(max_examples=30)
def test_collapse_equals_its_loop(count, dim, seed):
    z = 1 + np.random.default_rng(seed).standard_normal((count, dim))
    unit = [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in z]
    cosines = [sum(a * b for a, b in zip(unit[i], unit[j]))
               for i in range(count) for j in range(count) if i != j]
    spread = 0.0
    for d in range(dim):
        column = [row[d] for row in unit]
        mean = sum(column) / count
        spread += math.sqrt(sum((v - mean) ** 2 for v in column) / (count - 1)) / dim
    got = ev.collapse(z)
    assert got["mean_cosine"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-10)
    assert got["spread"] == pytest.approx(math.sqrt(dim) * spread, abs=1e-10)


def test_collapse_at_its_ends():
    z = np.random.default_rng(0).standard_normal((500, 64))
    spread = ev.collapse(z)
    assert abs(spread["mean_cosine"]) < 0.01 and abs(spread["spread"] - 1) < 0.02
    point = ev.collapse(np.ones((9, 4)))
    assert point["mean_cosine"] == pytest.approx(1) and point["spread"] == pytest.approx(0)
    with pytest.raises(ValueError, match=r"\(1, 4\)"):
        ev.collapse(np.ones((1, 4)))


def test_on_plateau():
    level = math.log(256)
    assert ev.on_plateau([level - 0.004, level + 0.004, level + 0.004], 256)
    assert not ev.on_plateau([level - 0.006], 256)
    assert not ev.on_plateau([level + 0.006], 256)
    assert ev.on_plateau(torch.tensor([level - 0.04]), 256, tolerance=0.05)
    assert not ev.on_plateau([level], 128)
    with pytest.raises(ValueError, match="0 losses"):
        ev.on_plateau([], 256)
