"""reference.preprocessing and reference.baseline: parity, oracles over scalars, invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import (assert_close, assert_equal, assert_parity, assert_shape, authors,
                     larger_golden, relative_error)
from reference import baseline, preprocessing
from reference.preprocessing import (asymmetric_least_squares, asymmetric_least_squares_explicit,
                                     clean_ecg, normalise, prepare_cine)
from strategies import seeds, sizes

METHODS = ("rows", "chunks", "reduction")


def portable_ecg() -> np.ndarray:
    """[12, 500]: the input of the portable vectors, a formula."""
    t, k = np.arange(500) / 500, np.arange(12)[:, None]
    return (0.3 * np.sin(2 * np.pi * (0.2 + 0.03 * k) * t + k)
            + (0.1 + 0.02 * k) * np.sin(2 * np.pi * (5 + k) * t)
            + 1.5 * np.exp(-(((t - 0.5 - 0.01 * k) / 0.01) ** 2)))


def wandering(*shape: int, seed: int = 0) -> np.ndarray:
    """Noise on a slow wave, as an ECG has it."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (*shape[:-1], 1))
    return np.sin(2 * np.pi * np.arange(shape[-1]) / shape[-1] + phase) + rng.normal(0, 0.2, shape)


# --- asymmetric_least_squares ----------------------------------------------------------------


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
    want = asymmetric_least_squares_explicit(y, lam, p, iterations)
    got = asymmetric_least_squares(torch.from_numpy(y) if tensor else y, lam, p, iterations,
                                   method=method)
    assert got.dtype == (torch.float64 if tensor else np.float64)
    assert_shape("baseline", got, (lanes, T))
    assert_close("baseline", got, want, atol=1e-8, call=f"{method} T={T}")


def test_als_explicit_by_hand():
    """T = 3 and lam = 1/6: with w = 1, z = y - (second difference) / 12 (1, -2, 1)."""
    y = np.array([0.0, 3.0, 0.0])
    z = asymmetric_least_squares_explicit(y, lam=1 / 6, iterations=1)
    assert_close("z", z, y + 6 / 12 * np.array([1.0, -2.0, 1.0]), atol=1e-12)
    w = np.where(y > z, 0.3, 0.7)
    stencil = np.array([1.0, -2.0, 1.0])
    again = asymmetric_least_squares_explicit(y, lam=1 / 6, iterations=2)
    assert_close("gradient", w * (again - y) + stencil * (stencil @ again) / 6, np.zeros(3),
                 atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("T", [3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 100, 101])
def test_als_odd_and_even_lengths(T, method):
    y = wandering(3, T, seed=T)
    assert_close("baseline", asymmetric_least_squares(y, 10.0, method=method),
                 asymmetric_least_squares_explicit(y, 10.0), atol=1e-10, call=f"T={T}")


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
    assert_close("baseline", got[1], asymmetric_least_squares_explicit(y[1], 1.0), atol=1e-12)


def test_als_rows_where_signal_and_baseline_meet():
    """Weights are 0 at ties; a lane with fewer than two other samples is reported."""
    y = np.array([[1.0, 1.0, 5.0], [2.0, 2.0, 5.0], [3.0, 3.0, 5.0], [4.0, 9.0, 5.0]])  # [T, 3]
    z = np.array([[1.0, 0.0, 6.0], [2.0, 2.0, 5.0], [3.0, 4.0, 4.0], [4.0, 9.0, 5.0]])
    for p in (0.3, 0.8):
        w, spare = np.empty((4, 3)), np.empty((4, 3))
        ties = baseline._weights(y, z, 2.0, p, w, spare)
        assert_equal("ties", ties, [4, 2, 2])
        want = [[0.0, p, 1 - p], [0.0, 0.0, 0.0], [0.0, 1 - p, p], [0.0, 0.0, 0.0]]
        assert_close("w / lam", w, np.array(want) / 2, atol=1e-15)
    z[1:, 1:] = y[1:, 1:]  # one sample left in lanes 1 and 2
    z[3, 2] = 7.0  # two in lane 2
    with np.errstate(all="ignore"):
        met = baseline._reweighted_rows(y, z, 1.0, 0.3, 1)
    assert_equal("met", met, [True, True, False])


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


def test_als_lanes_do_not_meet(monkeypatch):
    """Each lane alone, together, across the borders of solver blocks: the same bits."""
    y = wandering(2, 5, 131)
    for method in METHODS:
        together = asymmetric_least_squares(y, method=method)
        assert_shape("baseline", together, (2, 5, 131))
        monkeypatch.setattr(baseline, "ROW_LANES", 3)
        monkeypatch.setattr(baseline, "CHUNK_LANES", 3)
        monkeypatch.setattr(baseline, "REDUCTION_SIZE", 3 * 131)
        split = asymmetric_least_squares(y, method=method)
        monkeypatch.undo()
        assert_equal("split", split, together, method)
        alone = asymmetric_least_squares(y[1, 3], method=method)
        assert_close("alone", alone, together[1, 3], atol=1e-10, call=method)


def test_als_methods_agree_on_a_full_record():
    y = wandering(12, 5000)
    rows = asymmetric_least_squares(y, method="rows")
    for method in ("chunks", "reduction"):
        assert relative_error(asymmetric_least_squares(y, method=method), rows) < 1e-7, method
    for part, method in ((y, "chunks"), (y[:, :300], "reduction"),
                         (np.repeat(y[:, :300], 20, axis=0), "rows")):
        assert_equal("auto", asymmetric_least_squares(part),
                     asymmetric_least_squares(part, method=method), method)


@settings(max_examples=60)
@given(T=st.integers(3, 70), chunk=st.integers(2, 24), lanes=st.integers(1, 4), seed=seeds(),
       p=st.sampled_from([0.05, 0.3, 0.8]))
def test_als_chunks_of_any_size_are_the_dense_solution(T, chunk, lanes, seed, p):
    """Few and many chunks, the last one full or filled up with samples of no weight."""
    y = wandering(lanes, T, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline, "CHUNK", chunk)
        got = asymmetric_least_squares(y, 100.0, p, 4, method="chunks")
    assert_close("baseline", got, asymmetric_least_squares_explicit(y, 100.0, p, 4), atol=1e-9)


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
    (dict(signal=np.zeros((4, 2))), r"T >= 3, got shape \(4, 2\)"),
    (dict(signal=np.zeros(9), lam=0.0), "lam must be positive and finite, got 0.0"),
    (dict(signal=np.zeros(9), lam=float("nan")), "lam must be positive and finite, got nan"),
    (dict(signal=np.zeros(9), p=1.0), r"p must be in \(0, 1\), got 1.0"),
    (dict(signal=np.zeros(9), iterations=0), "at least 1, got 0"),
    (dict(signal=np.zeros(9), method="fast"), "one of auto, rows, chunks, reduction, got 'fast'"),
])
def test_als_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        asymmetric_least_squares(**arguments)


@pytest.mark.parametrize("signal", [[1.0, 2.0, 3.0], np.zeros(9, complex), np.array(["a"] * 9),
                                    torch.zeros(9, dtype=torch.complex64)])
def test_als_refuses_types(signal):
    with pytest.raises(TypeError, match="signal must"):
        asymmetric_least_squares(signal)


# --- normalise -------------------------------------------------------------------------------


def normalise_explicit(ecg: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """Loops over scalars, one record."""
    out = np.zeros_like(ecg)
    for group in groups:
        values = [float(v) for lead in group for v in ecg[lead]]
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        for lead in group:
            for i in range(ecg.shape[1]):
                out[lead, i] = (ecg[lead, i] - mean) / (variance + 1e-12) ** 0.5
    return out


@pytest.mark.parametrize("mode", ["sample", "channel", "group"])
def test_normalise_parity(mode):
    golden = larger_golden("preprocessing")
    got = normalise(golden["raw"][0], mode)
    assert_parity(f"normalise, {mode}", got, golden[f"norm_{mode}_wise"], 1e-7, "larger set")


@settings(max_examples=30)
@given(seed=seeds(), T=sizes(1), mode=st.sampled_from(["sample", "channel", "group"]),
       tensor=st.booleans())
def test_normalise(seed, T, mode, tensor):
    ecg = np.random.default_rng(seed).normal(3, 2, (2, 12, T))
    groups = {"sample": [range(12)], "channel": [[k] for k in range(12)],
              "group": [range(3), range(3, 6), range(6, 12)]}[mode]
    got = normalise(torch.from_numpy(ecg) if tensor else ecg, mode)
    want = np.stack([normalise_explicit(record, groups) for record in ecg])
    assert_close("normalised", got, want, atol=1e-9)


def test_normalise_other_groups_and_dtypes():
    ecg = np.random.default_rng(0).normal(1, 3, (5, 40)).astype(np.float32)
    got = normalise(ecg, groups=(1, 5))
    assert got.dtype == np.float32
    assert_close("groups", got, normalise_explicit(ecg.astype(float), [[0], [1, 2, 3, 4]]),
                 atol=1e-6)
    assert normalise(torch.zeros(12, 4, dtype=torch.float16)).dtype == torch.float16
    assert normalise(np.arange(24).reshape(12, 2)).dtype == np.float64
    assert_equal("constant", normalise(np.full((12, 9), 7.0)), np.zeros((12, 9)))


@pytest.mark.parametrize("arguments, words", [
    (dict(mode="lead"), "sample, channel, group, got 'lead'"),
    (dict(groups=(3, 6)), r"number of leads 12, got \(3, 6\)"),
    (dict(groups=(6, 3, 12)), r"got \(6, 3, 12\)"),
    (dict(groups=()), r"got \(\)"),
    (dict(groups=(0, 12)), r"got \(0, 12\)"),
])
def test_normalise_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        normalise(np.zeros((12, 5)), **arguments)


# --- clean_ecg -------------------------------------------------------------------------------


def clean_explicit(ecg: np.ndarray) -> np.ndarray:
    """One record, step by step over scalars, dense baseline."""
    x = [[0.0 if v != v else float(v) for v in lead] for lead in ecg]
    values = [v for lead in x for v in lead]
    mean = sum(values) / len(values)
    s = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
    clipped = np.array([[min(max(v, -4 * s), 4 * s) for v in lead] for lead in x])
    flat = clipped - asymmetric_least_squares_explicit(clipped)
    return normalise_explicit(flat, [range(3), range(3, 6), range(6, 12)])


@pytest.mark.parametrize("tensor", [False, True])
def test_clean_ecg_parity(tensor):
    ecg = portable_ecg()
    got = clean_ecg(torch.from_numpy(ecg) if tensor else ecg)
    assert_parity(f"clean_ecg, {'torch' if tensor else 'NumPy'}", got,
                  authors("preprocessing")["processed"], 1e-7, "portable")


def test_clean_ecg_parity_larger():
    golden = larger_golden("preprocessing")
    assert np.isnan(golden["raw"]).any()
    assert_parity("clean_ecg with NaN", clean_ecg(golden["raw"]), golden["processed"], 1e-7,
                  "larger set")


def test_clean_ecg_is_the_explicit_one():
    ecg = wandering(2, 12, 90)
    ecg[0, 3, 10:14], ecg[1, 7, 20] = np.nan, 40.0  # missing, and a spike beyond 4 s
    want = np.stack([clean_explicit(record) for record in ecg])
    assert_close("clean", clean_ecg(ecg), want, atol=1e-6)
    assert_close("clean torch", clean_ecg(torch.from_numpy(ecg)), want, atol=1e-6)


def test_clean_ecg_dtypes_and_shapes():
    ecg = wandering(2, 3, 12, 60)
    got = clean_ecg(ecg)
    assert got.dtype == np.float64
    assert_shape("clean", got, ecg.shape)
    single = ecg.astype(np.float32)
    for x, dtype in ((single, np.float32), (torch.from_numpy(single), torch.float32)):
        assert clean_ecg(x).dtype == dtype
        assert_close("single", clean_ecg(x), clean_ecg(single.astype(np.float64)), atol=1e-6)
    with_gradient = torch.from_numpy(single).requires_grad_()
    assert not clean_ecg(with_gradient).requires_grad
    assert_equal("the input", single, ecg.astype(np.float32))
    assert_shape("none", clean_ecg(ecg[:0]), (0, 3, 12, 60))


@settings(max_examples=20)
@given(seed=seeds(), factor=st.sampled_from([1e-3, 0.5, 4.0, 1e3]))
def test_clean_ecg_does_not_know_the_unit(seed, factor):
    ecg = wandering(12, 120, seed=seed)
    got = clean_ecg(ecg)
    assert_close("scaled", clean_ecg(factor * ecg), got, atol=1e-5)
    for part in (slice(0, 3), slice(3, 6), slice(6, 12)):
        assert abs(got[part].mean()) < 1e-9 and abs(got[part].std() - 1) < 1e-6


def test_clean_ecg_records_do_not_meet(monkeypatch):
    ecg = wandering(5, 12, 80)
    together = clean_ecg(ecg)
    monkeypatch.setattr(preprocessing, "CHUNK", 2)
    assert_close("in chunks", clean_ecg(ecg), together, atol=1e-6)
    assert_close("alone", clean_ecg(ecg[3]), together[3], atol=1e-6)


@pytest.mark.parametrize("lead_rows", [[0], [0, 1, 2], list(range(12))])
@pytest.mark.parametrize("value", [0.0, 0.7, np.nan])
def test_clean_ecg_flat_leads(lead_rows, value):
    ecg = wandering(12, 200)
    ecg[lead_rows] = value
    for x in (ecg, torch.from_numpy(ecg), np.repeat(ecg[None], 7, axis=0)):
        got = clean_ecg(x)
        assert np.isfinite(np.asarray(got)).all()
    if len(lead_rows) == 12:
        assert_equal("flat", clean_ecg(ecg), np.zeros((12, 200)))


@pytest.mark.parametrize("ecg, words", [
    (np.zeros((11, 50)), r"\[..., 12, T\] with T >= 3, got shape \(11, 50\)"),
    (np.zeros((12, 2)), r"got shape \(12, 2\)"),
    (np.zeros(12), r"got shape \(12,\)"),
    (np.full((12, 50), np.inf), "finite or NaN"),
])
def test_clean_ecg_refuses(ecg, words):
    with pytest.raises(ValueError, match=words):
        clean_ecg(ecg)
    with pytest.raises(ValueError, match=words.replace(r"\(12,\)", ".*12")):
        clean_ecg(torch.from_numpy(ecg))


def test_clean_ecg_refuses_types():
    for ecg in ([[1.0]], np.zeros((12, 50), complex)):
        with pytest.raises(TypeError, match="ecg must"):
            clean_ecg(ecg)


# --- prepare_cine ----------------------------------------------------------------------------


def prepare_cine_explicit(cine: np.ndarray, frames: list[int]) -> np.ndarray:
    """Pixel by pixel."""
    size_x, size_y, slices, _ = cine.shape
    values = sorted(float(cine[i, j, slices // 2, f]) for i in range(size_x) for j in range(size_y)
                    for f in frames)

    def percentile(q):
        place = q / 100 * (len(values) - 1)
        k = int(place)
        return values[k] + (place - k) * (values[min(k + 1, len(values) - 1)] - values[k])

    low, high = percentile(1), percentile(99)
    out = np.zeros((3, 210, 210), np.float32)
    for c, f in enumerate(frames):
        for i in range(210):
            for j in range(210):
                x = i - (210 - size_x) // 2 if size_x < 210 else i + (size_x - 210) // 2
                y = j - (210 - size_y) // 2 if size_y < 210 else j + (size_y - 210) // 2
                if 0 <= x < size_x and 0 <= y < size_y:
                    v = min(max(float(cine[x, y, slices // 2, f]), low), high)
                    out[c, i, j] = (v - low) / (high - low)
    return out


@pytest.mark.parametrize("shape, ed, es, frames", [
    ((31, 26, 8, 10), 0, 4, [0, 2, 4]),
    ((20, 215, 9, 10), 0, 5, [0, 2, 5]),
    ((213, 17, 11, 12), 10, 3, [10, 0, 3]),
    ((5, 4, 12, 2), 0, 1, [0, 0, 1]),
])
def test_prepare_cine(shape, ed, es, frames):
    cine = np.random.default_rng(3).gamma(2.0, 100.0, shape)
    got = prepare_cine(cine, ed, es)
    assert got.dtype == np.float32
    assert_shape("image", got, (3, 210, 210))
    assert_close("image", got, prepare_cine_explicit(cine, frames), atol=1e-6)
    assert got.min() == 0.0 and got.max() == 1.0
    assert_equal("order", prepare_cine(cine, ed, es, "es-mid-ed"), got[::-1])


def test_prepare_cine_ignores_brightness_and_contrast():
    cine = np.random.default_rng(3).gamma(2.0, 100.0, (40, 50, 10, 6))
    assert_close("image", prepare_cine(3.0 * cine + 20.0, 0, 3), prepare_cine(cine, 0, 3),
                 atol=1e-6)
    whole = np.rint(cine).astype(np.int16)
    assert_equal("whole", prepare_cine(whole, 0, 3), prepare_cine(whole.astype(float), 0, 3))


def test_prepare_cine_of_a_constant_is_zero():
    assert_equal("image", prepare_cine(np.full((20, 20, 8, 4), 9), 0, 2), np.zeros((3, 210, 210)))


@pytest.mark.parametrize("shape, ed, es, order, words", [
    ((20, 20, 7, 4), 0, 2, "ed-mid-es", "at least 8 slices, got 7"),
    ((20, 20, 8), 0, 2, "ed-mid-es", r"got shape \(20, 20, 8\)"),
    ((20, 20, 8, 4), 0, 4, "ed-mid-es", "0..3, got ed=0, es=4"),
    ((20, 20, 8, 4), -1, 2, "ed-mid-es", "got ed=-1"),
    ((20, 20, 8, 4), 2, 2, "ed-mid-es", "two different frames"),
    ((20, 20, 8, 4), 0, 2, "es-ed-mid", "ed-mid-es, es-mid-ed, got 'es-ed-mid'"),
])
def test_prepare_cine_refuses(shape, ed, es, order, words):
    with pytest.raises(ValueError, match=words):
        prepare_cine(np.zeros(shape), ed, es, order)


def test_prepare_cine_refuses_nan():
    cine = np.random.default_rng(0).random((20, 20, 8, 4))
    cine[3, 3, 4, 2] = np.nan
    with pytest.raises(ValueError, match="finite, got 1 other values in frames 0, 1, 2 of slice 4"):
        prepare_cine(cine, 0, 2)
