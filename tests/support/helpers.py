"""Assertion helpers shared by all tests, and the table of measured parity errors.

Every helper fails on NaN, names the value that is wrong, and prints what came beside what was
wanted: ``name=got, but should be want [call]``.
"""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
AUTHORS = ROOT / "tests" / "golden" / "authors"
SHARED = ROOT.parent / "shared"

PARITY: list[tuple[str, str, float, float]] = []  # component, source, error, tolerance


def to_numpy(value) -> np.ndarray:
    """A NumPy view or copy of an array, tensor (any device, with or without gradient) or number."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def relative_error(got, want) -> float:
    """Norm of the difference over that of the reference, in float64; NaN where either has NaN."""
    got, want = to_numpy(got).astype(np.float64), to_numpy(want).astype(np.float64)
    if got.shape != want.shape:
        raise AssertionError(f"shape={got.shape}, but should be {want.shape}")
    scale = np.linalg.norm(want.ravel())
    difference = np.linalg.norm((got - want).ravel())
    return float(difference / scale) if scale > 0 else float(difference)


def assert_shape(name: str, got, want: tuple[int, ...], call: str = "") -> None:
    """Exact shape."""
    shape = tuple(got.shape)
    assert shape == tuple(want), f"{name}.shape={shape}, but should be {tuple(want)} [{call}]"


def assert_equal(name: str, got, want, call: str = "") -> None:
    """Equality of a scalar or bit-identity of arrays (NaN is never equal)."""
    got_array, want_array = to_numpy(got), to_numpy(want)
    same = got_array.shape == want_array.shape and bool(np.all(got_array == want_array))
    assert same, f"{name}={_short(got_array)}, but should be {_short(want_array)} [{call}]"


def assert_close(name: str, got, want, rtol: float = 0.0, atol: float = 0.0,
                 call: str = "") -> None:
    """Elementwise |got - want| <= atol + rtol |want|; the worst element is printed."""
    got_array, want_array = to_numpy(got).astype(np.float64), to_numpy(want).astype(np.float64)
    assert got_array.shape == want_array.shape, (
        f"{name}.shape={got_array.shape}, but should be {want_array.shape} [{call}]")
    slack = atol + rtol * np.abs(want_array)
    fine = np.abs(got_array - want_array) <= slack  # NaN compares false
    if not np.all(fine):
        excess = np.where(fine, -np.inf, np.nan_to_num(np.abs(got_array - want_array), nan=np.inf))
        index = np.unravel_index(int(np.argmax(excess)), got_array.shape)
        raise AssertionError(
            f"{name}{list(map(int, index))}={got_array[index]!r}, but should be "
            f"{want_array[index]!r} (rtol {rtol}, atol {atol}; {np.sum(~fine)} of {fine.size} "
            f"elements are off) [{call}]")


def assert_parity(component: str, got, want, tolerance: float, source: str) -> float:
    """Relative error (norm over norm) within tolerance; recorded for the printed parity table."""
    error = relative_error(got, want)
    PARITY.append((component, source, error, tolerance))
    print(f"parity {component}: relative error {error:.2e}, tolerance {tolerance:.0e} [{source}]")
    assert error <= tolerance, (
        f"{component}: relative error={error:.3e}, but should be at most {tolerance:.0e} "
        f"[{source}]")
    return error


def authors(name: str) -> dict[str, np.ndarray]:
    """One vector file that the repository carries (tests/golden/authors)."""
    with np.load(AUTHORS / f"{name}.npz") as file:
        return dict(file)


def larger_golden(name: str) -> dict[str, np.ndarray]:
    """One file of the larger golden set; skips the test, naming the file, where it is absent."""
    path = SHARED / "golden" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"larger golden set not available: {name}.npz")
    with np.load(path) as file:
        return dict(file)


def portable_weights(shapes: dict[str, list], seed: int, convolutional: bool = False) -> dict:
    """Weights by formula, as the portable vectors define them.

    Floating entries in sorted-name order, position embeddings skipped; n = standard normal float32;
    4-D in a ResNet n * sqrt(2 / prod(shape[1:])); ``running_var`` 1 + 0.1 |n|; 1-D names ending in
    ``weight`` 1 + 0.1 n; everything else 0.05 n.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for name in sorted(shapes):
        shape, floating = shapes[name]
        if not floating or name.endswith("pos_embed"):
            continue
        n = rng.standard_normal(tuple(shape)).astype(np.float32)
        if convolutional and len(shape) == 4:
            n = n * np.float32(np.sqrt(2.0 / np.prod(shape[1:])))
        elif name.endswith("running_var"):
            n = 1 + np.float32(0.1) * np.abs(n)
        elif len(shape) == 1 and name.endswith("weight"):
            n = 1 + np.float32(0.1) * n
        else:
            n = np.float32(0.05) * n
        weights[name] = n.astype(np.float32)
    return weights


def _short(array: np.ndarray) -> str:
    return np.array2string(array, threshold=8, edgeitems=2)


def heed_interrupts() -> None:
    """In a child before it starts: Ctrl-C ends it, even where the parent's parent ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
