"""reference.baseline: the dense end of the block cyclic reduction (the rest: test_preprocessing)."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import assert_close, assert_equal
from reference import baseline


def blocks(n: int, lanes: int, seed: int = 0) -> tuple:
    """D, U, f of a diagonally dominant system of n blocks, and its dense matrices."""
    rng = np.random.default_rng(seed)
    D = tuple(rng.uniform(0, 1, (lanes, n)) + shift for shift in (8.0, 0.0, 9.0))
    U = tuple(rng.uniform(-1, 1, (lanes, n - 1)) for _ in range(4))
    f = tuple(rng.normal(size=(lanes, n)) for _ in range(2))
    matrix = np.zeros((lanes, 2 * n, 2 * n))
    for lane in range(lanes):
        for k in range(n):
            a, b, c = (d[lane, k] for d in D)
            matrix[lane, 2 * k:2 * k + 2, 2 * k:2 * k + 2] = [[a, b], [b, c]]
        for k in range(n - 1):
            u = np.array([x[lane, k] for x in U]).reshape(2, 2)
            matrix[lane, 2 * k:2 * k + 2, 2 * k + 2:2 * k + 4] = u
            matrix[lane, 2 * k + 2:2 * k + 4, 2 * k:2 * k + 2] = u.T
    return D, U, f, matrix


@pytest.mark.parametrize("dense", (0, 2, 5, 20))
@pytest.mark.parametrize("n", (1, 2, 3, 4, 5, 7, 16, 20, 21, 45))
def test_reduce(n, dense, monkeypatch):
    monkeypatch.setattr(baseline, "DENSE_BLOCKS", dense)
    D, U, f, matrix = blocks(n, 3)
    x = baseline._reduce(D, U, f)
    for lane in range(3):
        got, right = (np.stack([part[lane] for part in pair], axis=1).ravel() for pair in (x, f))
        assert_close("x", got, np.linalg.solve(matrix[lane], right), atol=1e-13, rtol=0,
                     call=f"n={n}, dense={dense}, lane {lane}")


def test_reduce_takes_a_shared_matrix():
    D, U, f, _ = blocks(12, 3)
    one = [tuple(np.broadcast_to(x[:1], x.shape) for x in part) for part in (D, U)]
    shared = [tuple(x[:1] for x in part) for part in (D, U)]
    for name, got, want in zip("01", baseline._reduce(*shared, f), baseline._reduce(*one, f)):
        assert_close(f"x{name}", got, want, atol=1e-14, rtol=0)


def test_reduce_of_a_singular_lane_leaves_the_others():
    D, U, f, _ = blocks(6, 3)
    want = baseline._reduce(*(tuple(x[::2] for x in part) for part in (D, U, f)))
    for part in (D, U):
        for x in part:
            x[1] = 0.0
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        got = baseline._reduce(D, U, f)
    for g, w in zip(got, want):
        assert_equal("finite", np.isfinite(g).all(axis=1), np.array([True, False, True]))
        assert_close("the others", g[::2], w, atol=1e-13, rtol=0)
