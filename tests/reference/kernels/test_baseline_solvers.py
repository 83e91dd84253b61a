"""reference.kernels.baseline_solvers: lanes in parts, chunks, ties, and one result from all."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import baseline
from reference.baseline import asymmetric_least_squares
from reference.kernels import baseline_solvers
from tests.support.helpers import assert_close, assert_equal, assert_shape, relative_error
from tests.support.signals import dense_baseline, wandering
from tests.support.strategies import seeds

METHODS = ("rows", "chunks", "reduction")


def test_als_rows_where_signal_and_baseline_meet():
    """Weights are 0 at ties; a lane with fewer than two other samples is reported."""
    y = np.array([[1.0, 1.0, 5.0], [2.0, 2.0, 5.0], [3.0, 3.0, 5.0], [4.0, 9.0, 5.0]])  # [T, 3]
    z = np.array([[1.0, 0.0, 6.0], [2.0, 2.0, 5.0], [3.0, 4.0, 4.0], [4.0, 9.0, 5.0]])
    for p in (0.3, 0.8):
        w, spare = np.empty((4, 3)), np.empty((4, 3))
        ties = baseline_solvers._weights(y, z, 2.0, p, w, spare)
        assert_equal("ties", ties, [4, 2, 2])
        want = [[0.0, p, 1 - p], [0.0, 0.0, 0.0], [0.0, 1 - p, p], [0.0, 0.0, 0.0]]
        assert_close("w / lam", w, np.array(want) / 2, atol=1e-15)
    z[1:, 1:] = y[1:, 1:]  # one sample left in lanes 1 and 2
    z[3, 2] = 7.0  # two in lane 2
    with np.errstate(all="ignore"):
        met = baseline_solvers._reweighted_rows(y, z, 1.0, 0.3, 1)
    assert_equal("met", met, [True, True, False])


def test_als_lanes_do_not_meet(monkeypatch):
    """Each lane alone, together, across the borders of solver blocks: the same bits."""
    y = wandering(2, 5, 131)
    for method in METHODS:
        together = asymmetric_least_squares(y, method=method)
        assert_shape("baseline", together, (2, 5, 131))
        monkeypatch.setattr(baseline_solvers, "ROW_LANES", 3)
        monkeypatch.setattr(baseline_solvers, "CHUNK_LANES", 3)
        split = asymmetric_least_squares(y, method=method)
        monkeypatch.undo()
        assert_equal("split", split, together, method)
        alone = asymmetric_least_squares(y[1, 3], method=method)
        assert_close("alone", alone, together[1, 3], atol=1e-10, call=method)


def test_als_methods_agree_on_a_full_record():
    y = wandering(12, 5000)
    rows = asymmetric_least_squares(y, method="rows")
    for method in ("plain", "chunks", "reduction"):
        assert relative_error(asymmetric_least_squares(y, method=method), rows) < 1e-7, method
    for part, method in ((y, "chunks"), (np.repeat(y[:, :300], 20, axis=0), "rows")):
        assert_equal("auto", asymmetric_least_squares(part),
                     asymmetric_least_squares(part, method=method), method)


@settings(max_examples=60)
@given(T=st.integers(3, 70), chunk=st.integers(2, 24), lanes=st.integers(1, 4), seed=seeds(),
       p=st.sampled_from([0.05, 0.3, 0.8]))
def test_als_chunks_of_any_size_are_the_dense_solution(T, chunk, lanes, seed, p):
    """Few and many chunks, the last one full or filled up with samples of no weight."""
    y = wandering(lanes, T, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline_solvers, "CHUNK", chunk)
        got = asymmetric_least_squares(y, 100.0, p, 4, method="chunks")
    assert_close("baseline", got, dense_baseline(y, 100.0, p, 4), atol=1e-9)


@pytest.mark.parametrize("off, y", [
    (2, [1.0, 0.0, 2.0, 4.0, 0.0, 9.0]),  # two samples keep a weight: the line through them
    (1, [-2.0, 0.0, 2.0, 4.0, 6.0, 8.0]),  # one: singular, the line is its own baseline
])
@pytest.mark.parametrize("method", ["dense", "plain", "reduction"])
def test_als_weights_vanish_where_signal_and_baseline_meet(method, off, y, monkeypatch):
    y = np.array(y)
    met = y.copy()
    met[2:2 + off] += (1.0, -1.0)[:off]  # the first solution; samples 2 and 3 are off it
    owner, name = {"dense": (np.linalg, "solve"), "plain": (baseline, "_solve"),
                   "reduction": (baseline_solvers, "_solve_blocks")}[method]
    solve, calls = getattr(owner, name), []

    def first_given(*arguments):
        calls.append(arguments)
        return met.reshape(np.shape(arguments[1])) if len(calls) == 1 else solve(*arguments)

    monkeypatch.setattr(owner, name, first_given)
    got = dense_baseline(y, 2.0, iterations=2) if method == "dense" else \
        asymmetric_least_squares(y, 2.0, iterations=2, method=method)
    assert_close("baseline", got, 2.0 * np.arange(6) - 2.0, atol=1e-9)


@pytest.mark.parametrize("off", [1, 2])
@pytest.mark.parametrize("chunk", [2, 3, 9])
def test_als_chunks_where_weights_vanish(chunk, off, monkeypatch):
    """The first solution is given, so that ties are exact and lie in several chunks."""
    given = np.array([-2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0])
    y = given.copy()
    y[3:3 + off] += (1.0, -1.0)[:off]
    solve, calls = baseline_solvers._solve_chunks, []

    def first_given(a, b, z, buffers):
        calls.append(a.shape)
        solve(a, b, z, buffers)
        if len(calls) == 1:
            count, flat = a.shape[1], np.zeros(a.size)
            flat[:7] = given
            z[...] = flat.reshape(count, -1).T

    monkeypatch.setattr(baseline_solvers, "_solve_chunks", first_given)
    monkeypatch.setattr(baseline_solvers, "CHUNK", chunk)
    got = asymmetric_least_squares(y, 2.0, iterations=2, method="chunks")
    if off == 1:  # one sample keeps a weight: singular, the signal is its own baseline
        assert_close("baseline", got, y, atol=1e-12)
    else:  # two: the line through them
        assert_close("baseline", got, np.full(7, 5.0), atol=1e-9)
    assert len(calls) == 2 and calls[0][0] >= 4


def test_als_rows_counts_ties_over_blocks_and_iterations():
    """One row more than a block; z is given, so that the ties are exact."""
    T = baseline_solvers.ROW_BLOCK + 2
    y = np.repeat(wandering(T)[:, None], 3, axis=1)
    z = y.copy()
    z[-1, 0] += 1.0  # one sample off in the last block, all ties before
    z[0, 1] += 1.0  # one sample off in the first block
    z[-2:, 2] += (1.0, -1.0)  # two samples off
    for times in (1, 2):  # a singular lane has no ties any more, and stays reported
        with np.errstate(all="ignore"):
            met = baseline_solvers._reweighted_rows(y, z.copy(), 1.0, 0.3, times)
        assert_equal("met", met, [True, True, False], f"times={times}")
    with np.errstate(all="ignore"):
        alone = baseline_solvers._reweighted_rows(y[:, 2:], z[:, 2:].copy(), 1.0, 0.3, 1)
    assert_equal("a last block without ties", alone, [False])


@pytest.mark.parametrize("shape", [(9,), (50,), (2, 3, 50), (3, 2, 2, 33)])
def test_als_reduction_of_tensors_of_any_rank(shape):
    y = wandering(*shape)
    y[..., :3] += 1.0
    got = asymmetric_least_squares(torch.from_numpy(y), 100.0, method="reduction")
    assert_shape("baseline", got, shape)
    assert_close("baseline", got, dense_baseline(y, 100.0), atol=1e-9)
    constant = torch.full(shape, 0.1, dtype=torch.float64)
    assert_equal("constant", asymmetric_least_squares(constant, method="reduction"), constant)


def test_als_parts_and_solvers(monkeypatch):
    """Which solver gets which part of the lanes, in which library and precision."""
    calls = []

    def spied(name):
        solve = getattr(baseline_solvers, name)

        def spy(part, *arguments):
            kind = "tensor" if isinstance(part, torch.Tensor) else "array"
            calls.append((name, kind, str(part.dtype).removeprefix("torch."), tuple(part.shape)))
            return solve(part, *arguments)
        return spy

    for name, value in (("by_rows", spied("by_rows")), ("ROW_LANES", 4), ("ROWS_FROM", 6),
                        ("by_chunks", spied("by_chunks")), ("CHUNK_LANES", 2),
                        ("by_reduction", spied("by_reduction"))):
        monkeypatch.setattr(baseline_solvers, name, value)
    y = wandering(5, 10).astype(np.float32)
    few = [(lanes, 10) for lanes in (2, 2, 1)]
    chunks = [("by_chunks", "array", "float64", shape) for shape in few]
    reduction = [("by_reduction", "array", "float64", shape) for shape in few]
    rows = [("by_rows", "array", "float64", (lanes, 10)) for lanes in (4, 1)]
    whole = [("by_reduction", "tensor", "float64", (5, 10))]
    for convert in (np.asarray, torch.from_numpy):
        for method, want in (("auto", chunks), ("chunks", chunks), ("rows", rows), ("plain", []), (
                "reduction", reduction if convert is np.asarray else whole)):
            calls.clear()
            asymmetric_least_squares(convert(y), method=method)
            assert calls == want, (convert, method)
    calls.clear()
    asymmetric_least_squares(np.zeros((6, 5)))
    assert [(name, shape) for name, _, _, shape in calls] == [("by_rows", (4, 5)),
                                                              ("by_rows", (2, 5))]


@pytest.mark.parametrize("method", ["rows", "chunks", "reduction"])
def test_als_of_huge_values_does_not_warn(method):
    y = np.array([[1.7e308, -1.7e308] * 10, np.arange(20.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = asymmetric_least_squares(y, 1.0, method=method)
    assert_close("its neighbour", got[1], y[1], atol=1e-9)
