"""Retrieval, intervals and monitors: loops over scalars, closed forms, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import evaluation as ev
from tests.support.helpers import assert_close, assert_equal
from tests.support.strategies import seeds, sizes

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
    for query, target in ((z, z * np.nan), (z * np.inf, z)):
        with pytest.raises(ValueError, match="^embeddings hold NaN or infinity; finite numbers"):
            ev.retrieval(query, target, generator=rng)
    with pytest.raises(ValueError, match="candidates=0"):
        ev.retrieval(z, z, 0, generator=rng)
    for shape in ((4,), (0, 3), (4, 0)):
        with pytest.raises(ValueError, match="one .N, D. is needed"):
            ev.retrieval(np.ones(shape), np.ones(shape), generator=rng)
    with pytest.raises(TypeError, match="^z_query is "):
        ev.retrieval([["a"]], z, generator=rng)
    with pytest.raises(TypeError, match="^z_target is "):
        ev.retrieval(z, [["a"]], generator=rng)


def test_retrieval_takes_256_candidates_by_default():
    z = np.random.default_rng(0).standard_normal((258, 3))
    got = ev.retrieval(z, -z, generator=np.random.default_rng(1))
    assert got == ev.retrieval(z, -z, 256, generator=np.random.default_rng(1))
    assert got["candidates"] == got["median_rank"] == 256


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
    with pytest.raises(TypeError, match="^input is "):
        ev.bootstrap(ev.mae, ["a"], ["b"], rng)
    one = ev.bootstrap(ev.mae, y + 2, y, rng, rounds=1)  # one resample is an interval of length 0
    assert list(one) == [2.0] * 3


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
    for shape in ((1, 4), (4,), (2, 3, 4)):
        with pytest.raises(ValueError, match=rf"^z is \({shape[0]}, ?.*; .N, D. with N >= 2"):
            ev.collapse(np.ones(shape))
    with pytest.raises(TypeError, match="^z is "):
        ev.collapse([["a"]])
    small = ev.collapse([[3e-13, 0.0], [3e-13, 0.0]])  # shorter than 1e-12: length 0.3
    assert small["mean_cosine"] == pytest.approx(0.09)
    assert ev.collapse([[1.0, 0.0], [0.0, 0.0]]) == pytest.approx(
        {"mean_cosine": 0.0, "spread": 0.5})


def test_on_plateau():
    level = math.log(256)
    assert ev.on_plateau([level - 0.004, level + 0.004, level + 0.004], 256)
    assert not ev.on_plateau([level - 0.006], 256)
    assert not ev.on_plateau([level + 0.006], 256)
    assert ev.on_plateau(torch.tensor([level - 0.04]), 256, tolerance=0.05)
    assert not ev.on_plateau([level], 128)
    assert ev.on_plateau([0.0], 1) and not ev.on_plateau([0.25], 1, 0.25)  # strictly within
    for losses, size in (([], 256), ([1.0], 0)):
        with pytest.raises(ValueError, match=f"^{len(losses)} losses, batch={size}; at least 1"):
            ev.on_plateau(losses, size)
    with pytest.raises(TypeError, match="^losses is "):
        ev.on_plateau(["a"], 2)
