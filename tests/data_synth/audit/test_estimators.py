"""Estimators of dependence: closed forms, loops over scalars, and what they see in known pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data_synth.audit import estimators as estimate
from tests.support.audits import rng
from tests.support.helpers import assert_close, assert_equal, assert_shape


def test_standardise():
    x = np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])
    spread = math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 3)
    assert_close("z", estimate.standardise(x),
                 [[-2 / spread, 0], [-1 / spread, 0], [3 / spread, 0]], atol=1e-12)
    lone = np.r_[np.zeros(99), 1.0]  # (1 - .01) / .0995 = 9.9 SD
    assert_equal("clipped", estimate.standardise(lone).max(), 4.0)


def test_quadratic_holds_all_products_cut():
    x = rng().standard_normal((40, 3))
    z, got = estimate.standardise(x), estimate.quadratic(x)
    assert_shape("quadratic", got, (40, 3 + 6))
    for row in range(40):
        cut = [min(max(value, -2.5), 2.5) for value in z[row]]
        want = [*z[row], *(cut[i] * cut[j] for i in range(3) for j in range(i, 3))]
        assert_close("row", got[row], want, atol=1e-12)


@pytest.mark.parametrize("penalty", [1.0, 50.0])
def test_predict_is_ridge_of_the_other_folds(penalty):
    g = rng()
    basis, y = g.standard_normal((23, 2)), g.standard_normal((23, 3))
    got, z = estimate.predict(basis, y, penalty), estimate.standardise(basis)
    for row in range(23):
        others = [k for k in range(23) if k % 5 != row % 5]
        x = np.c_[z, np.ones(23)]
        # the penalty as two more rows of data that ask for weight zero
        more = np.c_[math.sqrt(penalty) * np.eye(2), np.zeros(2)]
        weight = np.linalg.lstsq(np.r_[x[others], more], np.r_[y[others], np.zeros((2, 3))],
                                 rcond=None)[0]
        assert_close("row", got[row], x[row] @ weight, atol=1e-6)
    assert_shape("vector", estimate.predict(basis, y[:, 0]), (23,))


def test_residual_keeps_what_the_basis_does_not_explain():
    g = rng()
    basis, own = g.standard_normal((2000, 3)), g.standard_normal(2000)
    left = estimate.residual(5 * basis[:, 1] + own, basis)
    assert_shape("residual", left, (2000, 1))
    assert estimate.correlation(left[:, 0], own) > .99
    assert abs(estimate.correlation(left[:, 0], basis[:, 1])) < 4 / math.sqrt(2000)


def test_even_spread_takes_the_size_and_leaves_the_rest():
    g = rng()
    basis, noise = g.standard_normal((4000, 1)), g.standard_normal((4000, 1))
    uneven = estimate.standardise(noise * np.exp(.4 * basis))
    even = estimate.even_spread(uneven, basis)
    def size(y):
        return estimate.correlation(np.log(np.abs(y[:, 0]) + .05), basis[:, 0])
    assert size(uneven) > .3 and abs(size(even)) < size(uneven) / 5  # the ridge leaves .066 of .40
    assert estimate.correlation(even[:, 0], noise[:, 0]) > .98


def test_correlation():
    g = rng()
    a, b = g.uniform(size=50), g.uniform(size=50)  # uniform: nothing is clipped
    assert_close("r", estimate.correlation(a, b), np.corrcoef(a, b)[0, 1], atol=1e-12)
    assert_equal("constant", estimate.correlation(a, np.ones(50)), 0.0)


@pytest.mark.parametrize("test", [estimate.largest_correlation, estimate.total_correlation,
                                  estimate.hsic])
def test_permutation_tests(test):
    """Silent on independent columns, sure of one shared number."""
    g = rng()
    x, y = g.standard_normal((500, 4)), g.standard_normal((500, 3))
    number, p = test(x, y, rng(), 199)
    assert p > .01 and 0 <= number < .05
    y[:, 2] += x[:, 1]
    number, p = test(x, y, rng(), 199)
    assert_close("p", p, 1 / 200, atol=1e-12)
    assert number > .01


def test_largest_correlation_is_that_of_the_best_pair_beyond_its_null():
    g = rng()
    x = g.uniform(size=(300, 3))
    number, _ = estimate.largest_correlation(x, x[:, [2]] + .0, rng(), 199)
    assert .95 < number < 1.0  # R2 = 1, less the median of the permutations, about .01


def test_hsic_sees_a_dependence_without_correlation():
    x = rng().standard_normal((400, 1))
    assert abs(estimate.correlation(x[:, 0], x[:, 0] ** 2)) < .25
    number, p = estimate.hsic(x, x ** 2, rng(), 199)
    assert p == 1 / 200 and number > .05


def test_cca_finds_the_shared_number_and_nothing_else():
    g = rng()
    shared = g.standard_normal(4000)
    x, y = g.standard_normal((4000, 6)), g.standard_normal((4000, 5))
    x[:, 2], y[:, 4] = shared + .5 * x[:, 2], shared + .5 * y[:, 4]  # r = 1 / 1.25
    pairs = estimate.cca(x, y, count=4)
    assert_shape("u", pairs.u, (1000, 4))
    assert_close("rho", pairs.rho, [.8, 0, 0, 0], atol=4 * .6 / math.sqrt(1000))
    r = estimate.correlation(pairs.u[:, 0], shared[3::4])
    assert_close("shared", abs(r), 1 / math.sqrt(1.25), atol=.02)
    assert (estimate.cca(x, g.standard_normal((4000, 5)), count=4).rho < .1).all()


def test_scores_against_a_loop():
    g = rng()
    pairs = estimate.Pairs(g.standard_normal((4, 2)), g.standard_normal((4, 2)),
                           np.array([.7, .2]))
    got = estimate.scores(pairs)
    for i in range(4):
        for j in range(4):
            want = sum((r * u * v - r * r * (u * u + v * v) / 2) / (1 - r * r)
                       for r, u, v in zip(pairs.rho, pairs.u[i], pairs.v[j], strict=True))
            assert_close("score", got[i, j], want, atol=1e-12)


def test_infonce():
    assert_close("nothing shared", estimate.infonce(np.zeros((7, 7)))[0], 0.0, atol=1e-12)
    score = rng().standard_normal((5, 5))
    losses = []
    for i in range(5):
        row, column = (math.log(sum(math.exp(x) for x in line)) for line in (score[i], score[:, i]))
        losses.append((row + column) / 2 - score[i, i] - math.log(5))
    loss, error = estimate.infonce(score)
    assert_close("loss", loss, np.mean(losses), atol=1e-12)
    assert_close("error", error, np.std(losses) / math.sqrt(5), atol=1e-12)
    assert_close("all shared", estimate.infonce(1e3 * np.eye(5))[0], -math.log(5), atol=1e-9)
    assert_close("shifted", estimate.infonce(score + 500)[0], loss, atol=1e-9)


def test_pairwise_against_a_loop():
    g = rng()
    score, allowed = g.integers(0, 4, (9, 9)).astype(float), g.random((9, 9)) < .5
    allowed[3] = False
    shares = []
    for i in range(9):
        rivals = [score[i, j] for j in range(9) if allowed[i, j]]
        if rivals:
            shares.append(np.mean([1.0 if score[i, i] > rival else .5 * (score[i, i] == rival)
                                   for rival in rivals]))
    share, error, negatives = estimate.pairwise(score, allowed)
    assert_close("share", share, np.mean(shares), atol=1e-12)
    assert_close("error", error, np.std(shares) / math.sqrt(len(shares)), atol=1e-12)
    assert_close("negatives", negatives, allowed.sum() / 9, atol=1e-12)
    assert_equal("ties", estimate.pairwise(np.ones((6, 6)))[0], .5)
    assert_equal("all", estimate.pairwise(np.eye(6)), (1.0, 0.0, 5.0))
    assert math.isnan(estimate.pairwise(score, np.zeros((9, 9), bool))[0])


def test_bootstrap_and_null():
    g = rng()
    target = g.standard_normal(1500)
    values = np.stack([target + g.standard_normal(1500), g.standard_normal(1500)], axis=1)
    drawn = estimate.bootstrap(values, target, rng(), 200)
    assert_shape("drawn", drawn, (200, 2))
    r = [estimate.correlation(column, target) for column in values.T]
    assert_close("mean", drawn.mean(0), r, atol=.01)
    assert_close("SE", drawn.std(0), [(1 - k * k) / math.sqrt(1500) for k in r], rtol=.25)
    weights = estimate.predict(g.standard_normal((300, 5)), np.eye(300))
    null = estimate.null_correlations(weights, target[:300], rng(), 200)
    assert_shape("null", null, (200,))
    assert abs(null.mean()) < .2 and .02 < null.std() < .12
