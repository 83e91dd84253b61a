"""Preprocessing and baseline at their borders: ties, defaults, copies, chunks, messages."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from helpers import assert_close, assert_equal, assert_shape
from reference import baseline, preprocessing
from reference.preprocessing import (asymmetric_least_squares, asymmetric_least_squares_explicit,
                                     clean_ecg, normalise, prepare_cine)
from test_preprocessing import clean_explicit, wandering

# --- baseline --------------------------------------------------------------------------------


def test_als_defaults(monkeypatch):
    y, matrices, calls = wandering(2, 90), [], []
    solve, reduction = np.linalg.solve, baseline._by_reduction
    monkeypatch.setattr(np.linalg, "solve",
                        lambda *system: matrices.append(system[0]) or solve(*system))
    monkeypatch.setattr(baseline, "_by_reduction",
                        lambda *given: calls.append(given[1:]) or reduction(*given))
    asymmetric_least_squares(y)
    assert calls == [(1e7, 0.3, 5)]
    matrices.clear()  # those of the end of the reduction
    assert_equal("default", asymmetric_least_squares_explicit(y),
                 asymmetric_least_squares_explicit(y, 1e7, 0.3, 5))
    assert len(matrices) == 2 * 2 * 5
    assert matrices[0][0, 2] == 1e7  # the far corner of lam D'D


def test_als_explicit_takes_whole_numbers_and_constants():
    whole = np.array([[0, 3, 0, 5, 1], [7, 7, 7, 7, 7]])
    got = asymmetric_least_squares_explicit(whole, 2.0)
    assert got.dtype == np.float64
    assert_close("whole", got, asymmetric_least_squares_explicit(whole.astype(float), 2.0),
                 atol=1e-15)
    constant = np.full((2, 40), 0.1)
    assert_equal("constant", asymmetric_least_squares_explicit(constant), constant)


@pytest.mark.parametrize("off, y", [
    (2, [1.0, 0.0, 2.0, 4.0, 0.0, 9.0]),  # two samples keep a weight: the line through them
    (1, [-2.0, 0.0, 2.0, 4.0, 6.0, 8.0]),  # one: singular, the line is its own baseline
])
@pytest.mark.parametrize("method", ["explicit", "reduction"])
def test_als_weights_vanish_where_signal_and_baseline_meet(method, off, y, monkeypatch):
    y = np.array(y)
    met = y.copy()
    met[2:2 + off] += (1.0, -1.0)[:off]  # the first solution; samples 2 and 3 are off it
    owner, name = {"explicit": (np.linalg, "solve"),
                   "reduction": (baseline, "_solve_blocks")}[method]
    solve, calls = getattr(owner, name), []

    def first_given(*arguments):
        calls.append(arguments)
        return met.reshape(np.shape(arguments[1])) if len(calls) == 1 else solve(*arguments)

    monkeypatch.setattr(owner, name, first_given)
    got = asymmetric_least_squares_explicit(y, 2.0, iterations=2) if method == "explicit" else \
        asymmetric_least_squares(y, 2.0, iterations=2, method=method)
    assert_close("baseline", got, 2.0 * np.arange(6) - 2.0, atol=1e-9)


@pytest.mark.parametrize("off", [1, 2])
@pytest.mark.parametrize("chunk", [2, 3, 9])
def test_als_chunks_where_weights_vanish(chunk, off, monkeypatch):
    """The first solution is given, so that ties are exact and lie in several chunks."""
    given = np.array([-2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0])
    y = given.copy()
    y[3:3 + off] += (1.0, -1.0)[:off]
    solve, calls = baseline._solve_chunks, []

    def first_given(a, b, z, buffers):
        calls.append(a.shape)
        solve(a, b, z, buffers)
        if len(calls) == 1:
            count, flat = a.shape[1], np.zeros(a.size)
            flat[:7] = given
            z[...] = flat.reshape(count, -1).T

    monkeypatch.setattr(baseline, "_solve_chunks", first_given)
    monkeypatch.setattr(baseline, "CHUNK", chunk)
    got = asymmetric_least_squares(y, 2.0, iterations=2, method="chunks")
    if off == 1:  # one sample keeps a weight: singular, the signal is its own baseline
        assert_close("baseline", got, y, atol=1e-12)
    else:  # two: the line through them
        assert_close("baseline", got, np.full(7, 5.0), atol=1e-9)
    assert len(calls) == 2 and calls[0][0] >= 4


def test_als_rows_counts_ties_over_blocks_and_iterations():
    """One row more than a block; z is given, so that the ties are exact."""
    T = baseline.ROW_BLOCK + 2
    y = np.repeat(wandering(T)[:, None], 3, axis=1)
    z = y.copy()
    z[-1, 0] += 1.0  # one sample off in the last block, all ties before
    z[0, 1] += 1.0  # one sample off in the first block
    z[-2:, 2] += (1.0, -1.0)  # two samples off
    for times in (1, 2):  # a singular lane has no ties any more, and stays reported
        with np.errstate(all="ignore"):
            met = baseline._reweighted_rows(y, z.copy(), 1.0, 0.3, times)
        assert_equal("met", met, [True, True, False], f"times={times}")
    with np.errstate(all="ignore"):
        alone = baseline._reweighted_rows(y[:, 2:], z[:, 2:].copy(), 1.0, 0.3, 1)
    assert_equal("a last block without ties", alone, [False])


@pytest.mark.parametrize("shape", [(9,), (50,), (2, 3, 50), (3, 2, 2, 33)])
def test_als_reduction_of_tensors_of_any_rank(shape):
    y = wandering(*shape)
    y[..., :3] += 1.0
    got = asymmetric_least_squares(torch.from_numpy(y), 100.0, method="reduction")
    assert_shape("baseline", got, shape)
    assert_close("baseline", got, asymmetric_least_squares_explicit(y, 100.0), atol=1e-9)
    constant = torch.full(shape, 0.1, dtype=torch.float64)
    assert_equal("constant", asymmetric_least_squares(constant, method="reduction"), constant)


def test_als_parts_and_solvers(monkeypatch):
    """Which solver gets which part of the lanes, in which library and precision."""
    calls = []

    def spied(name):
        solve = getattr(baseline, name)

        def spy(part, *arguments):
            kind = "tensor" if isinstance(part, torch.Tensor) else "array"
            calls.append((name, kind, str(part.dtype).removeprefix("torch."), tuple(part.shape)))
            return solve(part, *arguments)
        return spy

    for name, value in (("_by_rows", spied("_by_rows")), ("ROW_LANES", 4), ("ROWS_FROM", 6),
                        ("_by_chunks", spied("_by_chunks")), ("CHUNK_LANES", 2),
                        ("_by_reduction", spied("_by_reduction")), ("REDUCTION_SIZE", 30),
                        ("CHUNKS_FROM", 30)):
        monkeypatch.setattr(baseline, name, value)
    y = wandering(5, 10).astype(np.float32)
    reduction = [("_by_reduction", "array", "float64", (lanes, 10)) for lanes in (3, 2)]
    chunks = [("_by_chunks", "array", "float64", (lanes, 10)) for lanes in (2, 2, 1)]
    rows = [("_by_rows", "array", "float64", (lanes, 10)) for lanes in (4, 1)]
    whole = [("_by_reduction", "tensor", "float64", (5, 10))]
    for convert in (np.asarray, torch.from_numpy):
        for method, want in (("auto", chunks), ("chunks", chunks), ("rows", rows), (
                "reduction", reduction if convert is np.asarray else whole)):
            calls.clear()
            asymmetric_least_squares(convert(y), method=method)
            assert calls == want, (convert, method)
    for long, want in ((np.zeros((6, 5)), [("_by_rows", (4, 5)), ("_by_rows", (2, 5))]),
                       (np.zeros((5, 6)), [("_by_chunks", (lanes, 6)) for lanes in (2, 2, 1)]),
                       (np.zeros((1, 29)), [("_by_reduction", (1, 29))])):
        calls.clear()
        asymmetric_least_squares(long)
        assert [(name, shape) for name, _, _, shape in calls] == want
    calls.clear()
    asymmetric_least_squares(np.zeros((2, 31)), method="reduction")  # one lane is the least
    assert [shape for *_, shape in calls] == [(1, 31)] * 2


@pytest.mark.parametrize("method", ["rows", "chunks", "reduction"])
def test_als_of_huge_values_does_not_warn(method):
    y = np.array([[1.7e308, -1.7e308] * 10, np.arange(20.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = asymmetric_least_squares(y, 1.0, method=method)
    assert_close("its neighbour", got[1], y[1], atol=1e-9)


def test_als_names_what_it_refuses():
    for signal, words in (([1.0, 2.0, 3.0], "be a NumPy array or a tensor, got list"),
                          (torch.zeros(9, dtype=torch.complex64), "hold real numbers, got torch.c"),
                          (np.zeros(9, complex), "hold real numbers, got complex128$")):
        with pytest.raises(TypeError, match=f"^signal must {words}"):
            asymmetric_least_squares(signal)
    with pytest.raises(ValueError, match="^lam must be positive and finite, got inf$"):
        asymmetric_least_squares(np.zeros(9), np.inf)
    with pytest.raises(ValueError, match=r"^p must be in \(0, 1\), got 0.0$"):
        asymmetric_least_squares(np.zeros(9), p=0.0)


# --- normalise, clean_ecg --------------------------------------------------------------------


def test_clean_ecg_clips_both_sides():
    ecg = wandering(12, 90)
    ecg[1, 20], ecg[7, 60] = 40.0, -45.0
    want = clean_explicit(ecg)
    for x in (ecg, torch.from_numpy(ecg)):
        assert_close("clean", clean_ecg(x), want, atol=1e-6)


def test_clean_ecg_of_three_samples():
    ecg = wandering(12, 3)
    assert_close("clean", clean_ecg(ecg), clean_explicit(ecg), atol=1e-6)
    for shape in ((5, 12, 2), (2, 3, 12, 2)):
        with pytest.raises(ValueError, match=r"^ecg must be \[..., 12, T\] with T >= 3, got shape"):
            clean_ecg(np.zeros(shape))


@pytest.mark.parametrize("shape", [(5, 12, 40), (1, 5, 12, 40)])
def test_clean_ecg_takes_chunks_of_records(shape, monkeypatch):
    ecg, clean, shapes = wandering(*shape), preprocessing._clean, []

    def spy(records):
        shapes.append(tuple(records.shape))
        return clean(records)

    monkeypatch.setattr(preprocessing, "CHUNK", 2)
    monkeypatch.setattr(preprocessing, "_clean", spy)
    assert_shape("clean", clean_ecg(ecg), shape)
    assert shapes == [(2, 12, 40), (2, 12, 40), (1, 12, 40)]


@pytest.mark.parametrize("function", [normalise, clean_ecg])
def test_arithmetic_is_double_and_the_input_is_kept(function):
    single = wandering(2, 12, 60).astype(np.float32)
    double = single.astype(np.float64)
    whole = np.rint(100 * double).astype(np.int16)
    for convert in (np.asarray, torch.from_numpy):
        want = np.asarray(function(convert(double.copy())))
        got = function(convert(single))
        assert str(got.dtype).endswith("float32")
        assert_equal("single", got, want.astype(np.float32))
        kept = convert(double.copy())
        function(kept)
        assert_equal("the input", kept, double)
        rounded = function(convert(whole))
        assert str(rounded.dtype).endswith("float64")
        assert_equal("whole", rounded, function(convert(whole.astype(np.float64))))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e200])
def test_clean_ecg_refuses_what_has_no_deviation(value):
    ecg = wandering(12, 50)
    ecg[3, 4] = value
    words = "^ecg must be finite or NaN, got an infinite value or one beyond 1e150$"
    for x in (ecg, torch.from_numpy(ecg)):
        with warnings.catch_warnings(), pytest.raises(ValueError, match=words):
            warnings.simplefilter("error")
            clean_ecg(x)


def test_ecg_types_are_named():
    with pytest.raises(TypeError, match="^ecg must be a NumPy array or a tensor, got list$"):
        clean_ecg([[1.0]])
    with pytest.raises(TypeError, match="^ecg must hold real numbers, got torch.complex64$"):
        normalise(torch.zeros(12, 9, dtype=torch.complex64))


# --- prepare_cine ----------------------------------------------------------------------------


def test_prepare_cine_from_any_frame_to_the_first():
    cine = np.random.default_rng(3).gamma(2.0, 100.0, (30, 40, 8, 6))
    assert_equal("order", prepare_cine(cine, 3, 0), prepare_cine(cine[..., [3, 4, 0]], 0, 2))
    with pytest.raises(ValueError, match="^ed and es must be two different frames in 0..5, got"):
        prepare_cine(cine, 6, 0)


def test_prepare_cine_of_nothing_is_zero():
    assert_equal("image", prepare_cine(np.zeros((20, 20, 8, 4)), 0, 2), np.zeros((3, 210, 210)))


def test_prepare_cine_names_the_slice():
    cine = np.random.default_rng(0).random((20, 20, 9, 4))
    cine[3, 3, 4, 2] = np.inf
    with pytest.raises(ValueError, match="^cine must be finite.* frames 0, 1, 2 of slice 4$"):
        prepare_cine(cine, 0, 2)
