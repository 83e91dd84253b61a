"""Closed-form probes: normal equations, zero gradient, brute force, missing targets, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from reference import probes
from reference.evaluation import auroc, r2
from tests.support.helpers import assert_close, assert_equal, assert_shape
from tests.support.strategies import seeds


def regression(seed: int, count: int = 40, dim: int = 5, columns: int = 3, noise: float = 0.5):
    """x, y, x_val, y_val with features of unlike scale and a linear truth."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2 * count, dim)) * 10.0 ** rng.integers(-2, 3, dim) + 3
    w = rng.standard_normal((dim, columns)) / x.std(axis=0)[:, None]
    y = 7 + x @ w + noise * rng.standard_normal((2 * count, columns))
    return x[:count], y[:count], x[count:], y[count:]


def classification(seed: int, count: int = 60, dim: int = 3, slope: float = 1.5):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2 * count, dim)) * 4 + 1
    y = (rng.random(2 * count) < 1 / (1 + np.exp(-slope * (x[:, 0] - 1) / 4))).astype(float)
    y[:2] = y[count:count + 2] = (0, 1)
    return x[:count], y[:count], x[count:], y[count:]


def normal_equations(x, y, penalty):
    """Ridge in the standardised features, an explicit column of ones for the bias."""
    u = (x - x.mean(axis=0)) / x.std(axis=0)
    design = np.hstack([u, np.ones((len(u), 1))])
    damping = penalty * np.diag([1.0] * u.shape[1] + [0.0])
    theta = np.linalg.solve(design.T @ design + damping, design.T @ y)
    return lambda z: np.hstack([(z - x.mean(axis=0)) / x.std(axis=0), np.ones((len(z), 1))]) @ theta


# ---- ridge ----

@pytest.mark.parametrize("shape", [(40, 5), (12, 30), (7, 7)])
@pytest.mark.parametrize("penalty", [0.1, 3.0, 1e4])
def test_ridge_fit_solves_the_normal_equations(shape, penalty):
    x, y, x_val, y_val = regression(0, *shape)
    probe = probes.ridge_fit(x, y, x_val, y_val, [penalty])
    got = probe.predict(x_val)
    assert got.dtype == np.float64
    assert_shape("prediction", got, y_val.shape)
    assert_close("prediction", got, normal_equations(x, y, penalty)(x_val), rtol=1e-7, atol=1e-7)
    assert_equal("penalty", probe.penalty, [penalty] * 3)


def test_ridge_fit_chooses_by_validation_r2_per_column():
    x, y, x_val, y_val = regression(1, 30, 20)
    y[:, 2] = np.random.default_rng(2).standard_normal(30)  # nothing to learn
    y_val[:, 2] = np.random.default_rng(3).standard_normal(30)
    penalties = [0.1, 1e5, 10.0]
    scores = np.array([r2(y_val, normal_equations(x, y, a)(x_val)) for a in penalties])
    probe = probes.ridge_fit(x, y, x_val, y_val, penalties)
    assert_equal("penalty", probe.penalty, np.array(penalties)[scores.argmax(axis=0)])
    assert len(set(probe.penalty)) > 1
    assert_close("r2", r2(y_val, probe.predict(x_val)), scores.max(axis=0), rtol=1e-7)


def test_ridge_fit_with_missing_targets_uses_the_observed_rows():
    x, y, x_val, y_val = regression(4)
    y[:9, 1] = y[5:20, 2] = y_val[3:8, 0] = np.nan
    probe = probes.ridge_fit(x, y, x_val, y_val, [5.0])
    u, u_val = ((z - x.mean(axis=0)) / x.std(axis=0) for z in (x, x_val))
    for c in range(3):
        seen = ~np.isnan(y[:, c])
        design = np.hstack([u[seen], np.ones((seen.sum(), 1))])
        damping = np.diag([5.0] * 5 + [0.0])
        theta = np.linalg.solve(design.T @ design + damping, design.T @ y[seen, c])
        want = np.hstack([u_val, np.ones((40, 1))]) @ theta
        assert_close(f"column {c}", probe.predict(x_val)[:, c], want, rtol=1e-9)


@given(seeds())
@settings(max_examples=20)
def test_ridge_fit_is_equivariant(seed):
    x, y, x_val, y_val = regression(seed)
    want = probes.ridge_fit(x, y, x_val, y_val).predict(x_val)
    scaled = probes.ridge_fit(5 - 3 * x, y, 5 - 3 * x_val, y_val).predict(5 - 3 * x_val)
    assert_close("features rescaled", scaled, want, rtol=1e-7, atol=1e-7)
    moved = probes.ridge_fit(x, 2 * y - 9, x_val, 2 * y_val - 9).predict(x_val)
    assert_close("targets rescaled", moved, 2 * want - 9, rtol=1e-7, atol=1e-7)
    alone = probes.ridge_fit(x, y[:, 1:2], x_val, y_val[:, 1:2]).predict(x_val)
    assert_close("one column alone", alone, want[:, 1:2], rtol=1e-9)


def test_ridge_fit_ends():
    x, y, x_val, y_val = regression(5, noise=0.0)
    exact = probes.ridge_fit(x, y, x_val, y_val, [1e-8]).predict(x_val)
    assert_close("noise-free", exact, y_val, rtol=1e-6)
    flat = probes.ridge_fit(x, y, x_val, y_val, [1e14]).predict(x_val)
    assert_close("mean", flat, np.tile(y.mean(axis=0), (40, 1)), rtol=1e-8)
    undefined = probes.ridge_fit(x, y, x_val, y_val * np.nan, [1.0, 100.0, 10.0])
    assert_equal("strongest where R2 is undefined", undefined.penalty, [100.0] * 3)


def test_constant_features_are_harmless():
    x, y, x_val, y_val = regression(6)
    wobble = 0.3 + 1e-9 * np.random.default_rng(0).standard_normal((80, 1))
    z, z_val = np.hstack([x, wobble[:40]]), np.hstack([x_val, wobble[40:]])
    want = probes.ridge_fit(x, y, x_val, y_val, [1.0]).predict(x_val)
    got = probes.ridge_fit(z, y, z_val, y_val, [1.0]).predict(z_val)
    assert_close("prediction", got, want, rtol=1e-6)
    zeros = probes.ridge_fit(0 * x, y, 0 * x_val, y_val).predict(x_val)
    assert_close("mean", zeros, np.tile(y.mean(axis=0), (40, 1)), rtol=1e-12)


# ---- logistic ----

def objective(theta, u, y, penalty) -> float:
    total = penalty / 2 * sum(w * w for w in theta[:-1])
    for row, label in zip(u, y, strict=True):
        z = sum(a * w for a, w in zip(row, theta[:-1], strict=True)) + theta[-1]
        total += math.log(1 + math.exp(-z if label == 1 else z))
    return total


@pytest.mark.parametrize("shape", [(60, 3), (10, 25)])
@pytest.mark.parametrize("penalty", [0.05, 1.0, 50.0])
def test_logistic_fit_is_stationary_and_minimal(shape, penalty):
    x, y, x_val, y_val = classification(0, *shape)
    probe = probes.logistic_fit(x, y, x_val, y_val, [penalty])
    u = (x - x.mean(axis=0)) / x.std(axis=0)
    p = probe.predict(x)
    assert_close("weights' gradient", u.T @ (p - y) + penalty * probe.weight, np.zeros(shape[1]),
                 atol=1e-6)
    assert_close("bias' gradient", np.sum(p - y), 0.0, atol=1e-6)
    theta = np.append(probe.weight, probe.bias)
    here, rng = objective(theta, u, y, penalty), np.random.default_rng(1)
    for size in (1e-3, 1e-1):
        for _ in range(20):
            assert objective(theta + size * rng.standard_normal(len(theta)), u, y, penalty) > here


def test_logistic_fit_equals_a_brute_search():
    x, y, x_val, y_val = classification(2, dim=1)
    probe = probes.logistic_fit(x, y, x_val, y_val, [2.0])
    u = (x - x.mean(axis=0)) / x.std(axis=0)
    centre, width = np.zeros(2), 4.0
    for _ in range(12):
        grid = [centre + width * np.array([i, j]) / 5 for i in range(-5, 6) for j in range(-5, 6)]
        centre, width = min(grid, key=lambda t: objective(t, u, y, 2.0)), width / 3
    assert_close("theta", [probe.weight[0], probe.bias], centre, atol=1e-4)


def test_logistic_fit_balanced_groups_closed_form():
    """One binary feature, almost no penalty: log odds are those of the two groups."""
    x = np.repeat([[0.0], [1.0]], 10, axis=0)
    y = np.array([1.0] * 2 + [0] * 8 + [1] * 7 + [0] * 3)
    probe = probes.logistic_fit(x, y, x, y, [1e-9])
    assert_close("probability", probe.predict([[0.0], [1.0]]), [0.2, 0.7], rtol=1e-6)
    assert_close("logits", probe.logits([[0.0]]), [math.log(0.2 / 0.8)], rtol=1e-6)


def test_logistic_fit_of_separable_data_is_finite():
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    y = np.array([0.0, 0, 1, 1])
    probe = probes.logistic_fit(x, y, x, y, [1e-8, 1e-4])
    assert np.isfinite(probe.weight).all() and probe.weight[0] > 1
    assert auroc(y, probe.predict(x)) == 1.0
    assert probe.penalty == 1e-4  # of equals, the strongest


def test_logistic_fit_where_a_full_newton_step_climbs():
    rng = np.random.default_rng(468)
    count, dim = int(rng.integers(20, 200)), int(rng.integers(1, 4))
    x = np.exp(2 * rng.standard_normal((count, dim)))  # long tails
    y = (rng.random(count) < 1 / (1 + np.exp(4 - 3 * x[:, 0]))).astype(float)
    probe = probes.logistic_fit(x, y, x, y, [1e-6])
    u = (x - x.mean(axis=0)) / x.std(axis=0)
    gradient = u.T @ (probe.predict(x) - y) + 1e-6 * probe.weight
    assert_close("gradient", gradient, np.zeros(dim), atol=1e-7)


def test_default_penalties():
    x, y, x_val, y_val = regression(5, noise=0.0)
    assert_equal("weakest", probes.ridge_fit(x, y, x_val, y_val).penalty, [1e-2] * 3)
    assert_equal("strongest", probes.ridge_fit(x, y, x_val, y_val * np.nan).penalty, [1e5] * 3)


def test_logistic_fit_chooses_by_validation_auroc():
    x, y, x_val, y_val = classification(5, 25, 20)
    penalties = [100.0, 1e-3, 1.0]
    fits = [probes.logistic_fit(x, y, x_val, y_val, [a]) for a in penalties]
    scores = [auroc(y_val, fit.logits(x_val)) for fit in fits]
    assert len(set(scores)) == 3
    chosen = probes.logistic_fit(x, y, x_val, y_val, penalties)
    assert chosen.penalty == penalties[int(np.argmax(scores))]
    assert_close("weight", chosen.weight, fits[int(np.argmax(scores))].weight, atol=1e-5)
    undefined = probes.logistic_fit(x, y, x_val, 0 * y_val, penalties)
    assert undefined.penalty == 100.0


def test_logistic_fit_leaves_out_missing_labels():
    x, y, x_val, y_val = classification(6)
    holes = y.copy()
    holes[10:20] = np.nan
    got = probes.logistic_fit(torch.tensor(x), torch.tensor(holes), x_val, y_val)
    kept = np.delete(np.arange(60), range(10, 20))
    want = probes.logistic_fit(x[kept], y[kept], x_val, y_val)
    assert_equal("weight", got.weight, want.weight)
    assert_equal("bias", got.bias, want.bias)


# ---- refusals ----

def test_probes_refuse():
    x, y, x_val, y_val = regression(0)
    with pytest.raises(ValueError, match=r"\(39, 3\)"):
        probes.ridge_fit(x, y[1:], x_val, y_val)
    with pytest.raises(ValueError, match=r"\(40, 4\)"):
        probes.ridge_fit(x, y, x_val[:, 1:], y_val)
    with pytest.raises(ValueError, match=r"\[N, C\]"):
        probes.ridge_fit(x, y[:, 0], x_val, y_val[:, 0])
    with pytest.raises(ValueError, match="finite"):
        probes.ridge_fit(x * np.nan, y, x_val, y_val)
    with pytest.raises(ValueError, match=r"targets \[1\]"):
        probes.ridge_fit(x, y * [1, np.nan, 1], x_val, y_val)
    for bad in ([], [0.0], [1.0, -1.0], [np.inf]):
        with pytest.raises(ValueError, match="penalties="):
            probes.ridge_fit(x, y, x_val, y_val, bad)
    with pytest.raises(ValueError, match=r"\[N, 5\]"):
        probes.ridge_fit(x, y, x_val, y_val).predict(x[:, 1:])
    x, y, x_val, y_val = classification(0)
    for labels in (0 * y, 2 * y, y * np.nan):
        with pytest.raises(ValueError, match="training labels"):
            probes.logistic_fit(x, labels, x_val, y_val)
