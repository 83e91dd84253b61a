"""reference.baseline: parity, the dense solution, invariances, what is refused."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.baseline import METHODS as ALL
from reference.baseline import asymmetric_least_squares
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    authors,
    larger_golden,
    relative_error,
)
from tests.support.signals import dense_baseline, portable_ecg, wandering
from tests.support.strategies import seeds, sizes

METHODS = ALL[1:]


@pytest.mark.parametrize("kind", [*METHODS, "torch"])
def test_als_parity(kind):
    ecg, want = portable_ecg(), authors("preprocessing")["baseline"]
    source = torch.from_numpy(ecg) if kind == "torch" else ecg
    got = asymmetric_least_squares(source, method="reduction" if kind == "torch" else kind)
    assert_parity(f"baseline, {kind}", got, want, 1e-7, "portable")


@pytest.mark.parametrize("method", METHODS)
def test_als_parity_larger(method):
    golden = larger_golden("preprocessing")
    got = asymmetric_least_squares(golden["raw"][0], float(golden["lam"]), float(golden["p"]),
                                   int(golden["niter"]), method=method)
    assert_parity(f"baseline, {method}", got, golden["baseline_als_sample0"], 1e-7, "larger set")


@settings(max_examples=60)
@given(lanes=sizes(1, 5), T=st.integers(3, 70), seed=seeds(), lam=st.sampled_from([0.5, 1e2, 1e5]),
       p=st.sampled_from([0.05, 0.3, 0.5, 0.8]), iterations=st.integers(1, 6),
       method=st.sampled_from(METHODS), tensor=st.booleans())
def test_als_is_the_dense_solution(lanes, T, seed, lam, p, iterations, method, tensor):
    y = wandering(lanes, T, seed=seed)
    want = dense_baseline(y, lam, p, iterations)
    got = asymmetric_least_squares(torch.from_numpy(y) if tensor else y, lam, p, iterations,
                                   method=method)
    assert got.dtype == (torch.float64 if tensor else np.float64)
    assert_shape("baseline", got, (lanes, T))
    assert_close("baseline", got, want, atol=1e-8, call=f"{method} T={T}")


def test_als_explicit_by_hand():
    """T = 3 and lam = 1/6: with w = 1, z = y - (second difference) / 12 (1, -2, 1)."""
    y = np.array([0.0, 3.0, 0.0])
    z = dense_baseline(y, lam=1 / 6, iterations=1)
    assert_close("z", z, y + 6 / 12 * np.array([1.0, -2.0, 1.0]), atol=1e-12)
    w = np.where(y > z, 0.3, 0.7)
    stencil = np.array([1.0, -2.0, 1.0])
    again = dense_baseline(y, lam=1 / 6, iterations=2)
    assert_close("gradient", w * (again - y) + stencil * (stencil @ again) / 6, np.zeros(3),
                 atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("T", [3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 100, 101])
def test_als_odd_and_even_lengths(T, method):
    y = wandering(3, T, seed=T)
    assert_close("baseline", asymmetric_least_squares(y, 10.0, method=method),
                 dense_baseline(y, 10.0), atol=1e-10, call=f"T={T}")


@pytest.mark.parametrize("method", METHODS)
def test_als_of_a_line_is_the_line(method):
    y = np.linspace(-2.0, 3.0, 801) * np.array([[1.0], [0.1], [1e-3]])
    assert_close("baseline", asymmetric_least_squares(y, method=method), y, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 1.0, -0.3, 1e-9])
def test_als_of_a_constant_is_exact(method, value):
    y = wandering(3, 257)
    y[1] = value
    got = asymmetric_least_squares(y, method=method)
    assert_equal("baseline of the constant", got[1], y[1])
    assert_close("its neighbours", got[[0, 2]], asymmetric_least_squares(y[[0, 2]], method=method),
                 atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_als_of_a_signal_that_meets_its_baseline(method):
    """T = 3, y = 0 1 2: the baseline meets it, every weight vanishes, and still it is the line."""
    y = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 0.0]])
    got = asymmetric_least_squares(y, 1.0, method=method)
    assert_close("baseline", got[0], y[0], atol=1e-12)
    assert_close("baseline", got[1], dense_baseline(y[1], 1.0), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_als_shift_and_scale(method):
    y, slope = wandering(2, 500), np.linspace(1.0, 4.0, 500)
    z = asymmetric_least_squares(y, method=method)
    assert_close("shifted", asymmetric_least_squares(y + slope, method=method), z + slope,
                 atol=1e-6)
    assert_close("scaled", asymmetric_least_squares(8.0 * y, method=method), 8.0 * z, atol=1e-6)
    assert_close("reversed", asymmetric_least_squares(y[:, ::-1], method=method), z[:, ::-1],
                 atol=1e-6)
    mirrored = asymmetric_least_squares(-y, p=0.7, method=method)
    assert_close("mirrored", mirrored, -z, atol=1e-6)


def test_als_lies_low():
    y = wandering(1, 2000)
    low, high = (asymmetric_least_squares(y, p=p).mean() for p in (0.05, 0.95))
    assert low < y.mean() < high


def test_als_keeps_what_it_is_given():
    y = wandering(80, 40).astype(np.float32)
    tensor, before = torch.from_numpy(y).requires_grad_(), y.copy()
    for method in METHODS:
        asymmetric_least_squares(y, method=method)
        got = asymmetric_least_squares(tensor, method=method)
        assert got.dtype == torch.float64 and not got.requires_grad
        assert got.device == tensor.device
    assert_equal("signal", y, before)


@pytest.mark.parametrize("method", METHODS)
def test_als_nan_stays_in_its_lane(method):
    y = wandering(3, 50)
    y[1, 7] = np.nan
    got = asymmetric_least_squares(y, method=method)
    assert np.isnan(got[1]).all()
    assert_close("others", got[[0, 2]], asymmetric_least_squares(y[[0, 2]], method=method),
                 atol=1e-12)


@pytest.mark.parametrize("arguments, words", [
    ({"signal": np.zeros((4, 2))}, r"T >= 3, got shape \(4, 2\)"),
    ({"signal": np.zeros(9), "lam": 0.0}, "lam must be positive and finite, got 0.0"),
    ({"signal": np.zeros(9), "lam": float("nan")}, "lam must be positive and finite, got nan"),
    ({"signal": np.zeros(9), "p": 1.0}, r"p must be in \(0, 1\), got 1.0"),
    ({"signal": np.zeros(9), "iterations": 0}, "at least 1, got 0"),
    ({"signal": np.zeros(9), "method": "fast"},
     "one of auto, plain, rows, chunks, reduction, got 'fast'"),
])
def test_als_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        asymmetric_least_squares(**arguments)


@pytest.mark.parametrize("signal", [[1.0, 2.0, 3.0], np.zeros(9, complex), np.array(["a"] * 9),
                                    torch.zeros(9, dtype=torch.complex64)])
def test_als_refuses_types(signal):
    with pytest.raises(TypeError, match="signal must"):
        asymmetric_least_squares(signal)


def test_als_defaults():
    defaults = {name: p.default for name, p in
                inspect.signature(asymmetric_least_squares).parameters.items()}
    del defaults["signal"]
    assert defaults == {"lam": 1e7, "p": 0.3, "iterations": 5, "method": "auto"}
    y = wandering(2, 600)
    named = asymmetric_least_squares(y, 1e7, 0.3, 5)
    for method in ALL:
        assert relative_error(asymmetric_least_squares(y, method=method), named) < 1e-7, method


def test_als_explicit_takes_whole_numbers_and_constants():
    whole = np.array([[0, 3, 0, 5, 1], [7, 7, 7, 7, 7]])
    got = dense_baseline(whole, 2.0)
    assert got.dtype == np.float64
    assert_close("whole", got, dense_baseline(whole.astype(float), 2.0),
                 atol=1e-15)
    constant = np.full((2, 40), 0.1)
    assert_equal("constant", dense_baseline(constant), constant)


def test_als_names_what_it_refuses():
    for signal, words in (([1.0, 2.0, 3.0], "be a NumPy array or a tensor, got list"),
                          (torch.zeros(9, dtype=torch.complex64), "hold real numbers, got torch.c"),
                          (np.zeros(9, complex), "hold real numbers, got complex128$")):
        with pytest.raises(TypeError, match=f"^signal must {words}"):
            asymmetric_least_squares(signal)
    with pytest.raises(ValueError, match=r"^lam must be positive and finite, got inf$"):
        asymmetric_least_squares(np.zeros(9), np.inf)
    with pytest.raises(ValueError, match=r"^p must be in \(0, 1\), got 0.0$"):
        asymmetric_least_squares(np.zeros(9), p=0.0)
