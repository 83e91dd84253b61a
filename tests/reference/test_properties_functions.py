"""Properties of losses, metrics, masks and maps: order, rotation, scale, dtype, duplicates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import contrastive_loss as cl
from reference import evaluation as ev
from reference import localisation as loc
from reference import retrieval as rt
from reference.masked_modelling import negative_cosine, normalised_cross_correlation
from reference.masking import gather_tokens, random_mask
from tests.support.helpers import assert_close, assert_equal
from tests.support.strategies import embedding_pairs, seeds, sizes

FEW = settings(max_examples=15)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


def rotation(seed: int, dim: int) -> torch.Tensor:
    """Orthogonal, random."""
    return torch.linalg.qr(normal(seed, dim, dim))[0]


def permutation(seed: int, count: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).permutation(count))


def losses(a: torch.Tensor, b: torch.Tensor, s: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every loss that sees directions alone."""
    return {"clip": cl.clip_loss(a, b, 0.2, 0.3), "nt_xent": cl.nt_xent_loss(a, b, 0.2),
            "soft": cl.soft_positive_loss(a, b, s, 0.5, 0.2),
            "removal": cl.false_negative_removal_loss(a, b, s, 0.5, 0.2),
            "byol": cl.byol_loss(a, b, b, a), "negative cosine": negative_cosine(a, b)}


# ---- losses ----

@given(embedding_pairs(), seeds())
@FEW
def test_losses_see_neither_order_nor_rotation_nor_length_nor_dtype(pair, seed):
    a, b = map(torch.tensor, pair)
    s = torch.tensor(np.random.default_rng(seed).random((len(a), len(a))))
    want, order, turn = losses(a, b, s), permutation(seed, len(a)), rotation(seed, a.shape[1])
    lengths = normal(seed, 2, len(a), 1).exp()
    others = {"order": losses(a[order], b[order], s[order][:, order]),
              "rotation": losses(a @ turn, b @ turn, s),
              "length": losses(a * lengths[0], b * lengths[1], s)}
    for what, got in others.items():
        for name, value in got.items():
            assert_close(f"{name}, {what}", value, want[name], rtol=1e-9, atol=1e-9)
    for name, value in losses(a.float(), b.float(), s.float()).items():
        assert_close(f"{name}, float32", value, want[name], rtol=2e-5, atol=2e-5)


@given(embedding_pairs(3), seeds())
@FEW
def test_barlow_twins_sees_neither_shift_nor_order_of_subjects_and_dimensions(pair, seed):
    a, b = map(torch.tensor, pair)
    want, dims = cl.barlow_twins_loss(a, b, 0.1), permutation(seed, a.shape[1])
    shift = normal(seed, 2, a.shape[1])
    for what, got in {"shift": (a + shift[0], b + shift[1]), "dimensions": (a[:, dims], b[:, dims]),
                      "views": (b, a), "sign": (-a, -b)}.items():
        assert_close(what, cl.barlow_twins_loss(*got, 0.1), want, rtol=1e-8, atol=1e-9)


@given(sizes(2), st.integers(1, 3), seeds(), st.floats(0.1, 10), st.floats(-5, 5))
@FEW
def test_correlation_is_symmetric_and_sees_neither_gain_nor_offset(T, B, seed, gain, offset):
    x, y = normal(seed, 2, B, T + 1)
    want = normalised_cross_correlation(x, y)
    assert (want.abs() <= 1 + 1e-12).all()
    for what, got in {"swapped": normalised_cross_correlation(y, x),
                      "affine": normalised_cross_correlation(gain * x + offset, y),
                      "negated": -normalised_cross_correlation(x, -y),
                      "reversed": normalised_cross_correlation(x.flip(-1), y.flip(-1))}.items():
        assert_close(what, got, want, atol=1e-7)  # variances carry 1e-12


# ---- masks ----

@given(st.integers(2, 5), sizes(2), seeds(), st.floats(0, 0.5))
@FEW
def test_masks_follow_their_records_and_the_order_of_the_noise_alone(B, L, seed, ratio):
    noise = torch.tensor(np.random.default_rng(seed).permutation(B * L).reshape(B, L) / (B * L))
    want, order = random_mask(noise, ratio), permutation(seed, B)
    for name, got in random_mask(noise[order], ratio)._asdict().items():
        assert_equal(f"{name}, permuted", got, getattr(want, name)[order])
    for name, got in random_mask(noise[1:2], ratio)._asdict().items():
        assert_equal(f"{name}, alone", got, getattr(want, name)[1:2])
    for other in (noise.float(), noise.exp(), 3 * noise - 7):
        for name, got in random_mask(other, ratio)._asdict().items():
            assert_equal(f"{name}, monotone", got, getattr(want, name))
    tokens = normal(seed, B, L, 3)
    picked = gather_tokens(tokens, want.keep)
    assert_equal("records", gather_tokens(tokens[order], want.keep[order]), picked[order])


# ---- maps ----

@given(st.integers(1, 3), st.integers(2, 5), seeds())
@FEW
def test_maps_follow_their_subjects_and_see_no_rotation(B, D, seed):
    given = [normal(seed + i, *shape) for i, shape in enumerate(
        ((B, D), (B, D), (B, 2, 3, D), (B, 8, D)))]
    want, order, turn = loc.similarity_maps(*given, (2, 4)), permutation(seed, B), rotation(seed, D)
    permuted = loc.similarity_maps(*(z[order] for z in given), (2, 4))
    turned = loc.similarity_maps(*(z @ turn for z in given), (2, 4))
    alone = loc.similarity_maps(*(z[:1] for z in given), (2, 4))
    for name in want._fields:
        assert_close(f"{name}, permuted", getattr(permuted, name), getattr(want, name)[order],
                     atol=1e-12)
        assert_close(f"{name}, turned", getattr(turned, name), getattr(want, name), atol=1e-9)
        assert_close(f"{name}, alone", getattr(alone, name), getattr(want, name)[:1], atol=1e-12)
    assert_close("cells under ECG", want.pairwise.mean(dim=(1, 2, 3)) * 0.6,
                 (cl.unit_rows(given[3]).mean(1) * cl.unit_rows(given[2]).mean((1, 2))).sum(1),
                 atol=1e-12)


@given(seeds(), st.floats(-3, 3), st.integers(3, 20))
@FEW
def test_upsampling_is_linear_and_keeps_constants_and_mirrors(seed, gain, size):
    for function, target, shape in ((loc.upsample_cmr, (size, size + 3), (2, 3, 4)),
                                    (loc.upsample_ecg, size, (2, 3, 4))):
        x, y = normal(seed, *shape), normal(seed + 1, *shape)
        want = function(x, target) + gain * function(y, target)
        assert_close("linear", function(x + gain * y, target), want, atol=1e-12)
        assert_close("mirror", function(x.flip(-1), target), function(x, target).flip(-1),
                     atol=1e-12)
        constant = function(torch.full(shape, gain, dtype=torch.float64), target)
        assert_close("constant", constant, torch.full_like(constant, gain), atol=1e-12)


# ---- metrics ----

CLASSIFICATION = (ev.auroc, ev.average_precision, ev.f1, ev.accuracy, ev.balanced_accuracy)
REGRESSION = (ev.r2, ev.pearson, ev.mae, ev.rmse)


@given(sizes(4), seeds())
@FEW
def test_metrics_see_neither_order_nor_duplicates_nor_missing_rows(count, seed):
    rng = np.random.default_rng(seed)
    labels, scores = rng.permutation(np.arange(count) % 2), rng.integers(0, 6, count) / 4
    target, prediction = rng.standard_normal((2, count))
    order, missing = rng.permutation(count), np.full(3, np.nan)
    for metric in CLASSIFICATION + REGRESSION:
        y, p = (labels, scores) if metric in CLASSIFICATION else (target, prediction)
        want = metric(y, p)
        for what, got in {"order": metric(y[order], p[order]),
                          "duplicates": metric(np.tile(y, 3), np.tile(p, 3)),
                          "missing": metric([*y, *missing], [*p, 7.0, 8.0, np.nan])}.items():
            assert_close(f"{metric.__name__}, {what}", got, want, rtol=1e-10, atol=1e-10)


@given(sizes(3), seeds(), st.floats(0.1, 10), st.floats(-5, 5))
@FEW
def test_regression_metrics_under_change_of_unit(count, seed, gain, offset):
    y, p = np.random.default_rng(seed).standard_normal((2, count))
    Y, P = gain * y + offset, gain * p + offset
    assert_close("r2", ev.r2(Y, P), ev.r2(y, p), rtol=1e-8, atol=1e-8)
    assert_close("pearson", ev.pearson(y, P), ev.pearson(y, p), atol=1e-9)
    assert_close("pearson negated", ev.pearson(y, -p), -ev.pearson(y, p), atol=1e-12)
    assert_close("pearson symmetric", ev.pearson(p, y), ev.pearson(y, p), atol=1e-12)
    assert_close("mae", ev.mae(Y, P), gain * ev.mae(y, p), rtol=1e-9)
    assert_close("rmse", ev.rmse(Y, P), gain * ev.rmse(y, p), rtol=1e-9)
    assert ev.mae(y, p) <= ev.rmse(y, p) * (1 + 1e-12)
    # the best affine prediction explains the square of the correlation
    best = np.polyval(np.polyfit(p, y, 1), p)
    assert_close("r2 of the fit", ev.r2(y, best), ev.pearson(y, p) ** 2, atol=1e-8)


@given(sizes(2), seeds())
@FEW
def test_auroc_is_the_chance_of_the_right_order_and_averages_over_positives(count, seed):
    rng = np.random.default_rng(seed)
    negative, positive = rng.integers(0, 5, count), rng.integers(0, 5, count + 1)
    labels = np.r_[np.zeros(count), np.ones(count + 1)]
    gap = positive[:, None] - negative[None, :]
    want = ((gap > 0) + 0.5 * (gap == 0)).mean()
    assert_close("auroc", ev.auroc(labels, np.r_[negative, positive]), want, atol=1e-12)
    each = [ev.auroc(np.r_[np.zeros(count), 1], np.r_[negative, s]) for s in positive]
    assert_close("mean over positives", np.mean(each), want, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_retrieval_sees_no_rotation_and_nested_intervals(seed):
    a, b = normal(seed, 2, 40, 5)
    turn = rotation(seed, 5)
    want = rt.retrieval(a, b, 16, generator=np.random.default_rng(1))
    assert rt.retrieval(3 * a @ turn, b @ turn, 16, generator=np.random.default_rng(1)) == want
    wide, narrow = (ev.bootstrap(ev.mae, a[:, 0], b[:, 0], np.random.default_rng(2), 60, level)
                    for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
