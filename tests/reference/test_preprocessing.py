"""reference.preprocessing: parity, oracles over scalars, invariances, borders, messages."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import preprocessing
from reference.preprocessing import clean_ecg, normalise, prepare_cine
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    authors,
    larger_golden,
)
from tests.support.signals import dense_baseline, portable_ecg, wandering
from tests.support.strategies import seeds, sizes

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
    ({"mode": "lead"}, "sample, channel, group, got 'lead'"),
    ({"groups": (3, 6)}, r"number of leads 12, got \(3, 6\)"),
    ({"groups": (6, 3, 12)}, r"got \(6, 3, 12\)"),
    ({"groups": ()}, r"got \(\)"),
    ({"groups": (0, 12)}, r"got \(0, 12\)"),
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
    flat = clipped - dense_baseline(clipped)
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
    monkeypatch.setattr(preprocessing, "RECORDS_AT_ONCE", 2)
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

    monkeypatch.setattr(preprocessing, "RECORDS_AT_ONCE", 2)
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
    with pytest.raises(TypeError, match=r"^ecg must be a NumPy array or a tensor, got list$"):
        clean_ecg([[1.0]])
    with pytest.raises(TypeError, match=r"^ecg must hold real numbers, got torch.complex64$"):
        normalise(torch.zeros(12, 9, dtype=torch.complex64))


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


def test_prepare_cine_from_any_frame_to_the_first():
    cine = np.random.default_rng(3).gamma(2.0, 100.0, (30, 40, 8, 6))
    assert_equal("order", prepare_cine(cine, 3, 0), prepare_cine(cine[..., [3, 4, 0]], 0, 2))
    with pytest.raises(ValueError, match=r"^ed and es must be two different frames in 0..5, got"):
        prepare_cine(cine, 6, 0)


def test_prepare_cine_of_nothing_is_zero():
    assert_equal("image", prepare_cine(np.zeros((20, 20, 8, 4)), 0, 2), np.zeros((3, 210, 210)))


def test_prepare_cine_names_the_slice():
    cine = np.random.default_rng(0).random((20, 20, 9, 4))
    cine[3, 3, 4, 2] = np.inf
    with pytest.raises(ValueError, match=r"^cine must be finite.* frames 0, 1, 2 of slice 4$"):
        prepare_cine(cine, 0, 2)
