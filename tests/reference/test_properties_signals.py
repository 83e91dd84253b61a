"""Properties of cleaning and of views: time reversal, mirrors, round trips, distributions.

A statistic of random draws is held against its distribution with a false alarm of at most 1e-6:
4.9 standard errors of a mean (two-sided), or the chi-square quantile named beside it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import augmentation as aug
from reference import preprocessing as pre
from reference.evaluation import bootstrap
from reference.masked_modelling import patchify, unpatchify
from reference.masking import random_mask
from reference.transformer import Block
from reference.views import CMRView, ECGView
from tests.support.helpers import assert_close, assert_equal
from tests.support.strategies import seeds, sizes

FEW = settings(max_examples=12)
NORMAL_QUANTILE = 4.9  # two-sided 1e-6


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


def assert_mean(name: str, values, mean: float, deviation: float) -> None:
    """Mean of independent draws of the given expectation and standard deviation."""
    values = np.asarray(values, dtype=np.float64).ravel()
    z = (values.mean() - mean) / (deviation / np.sqrt(values.size))
    assert abs(z) < NORMAL_QUANTILE, f"{name}: mean {values.mean()}, wanted {mean}, z = {z:.2f}"


# ---- cleaning ----

@given(seeds(), st.integers(3, 60), st.sampled_from(["rows", "chunks", "reduction"]),
       st.floats(0.05, 0.95))
@FEW
def test_baseline_of_mirrored_signals(seed, T, method, p):
    x = normal(seed, 3, T).numpy()

    def baseline(signal, p):
        return pre.asymmetric_least_squares(signal, 100.0, p, 4, method=method)
    want = baseline(x, p)
    assert_close("reversed", baseline(x[:, ::-1], p)[:, ::-1], want, rtol=1e-8, atol=1e-9)
    assert_close("negated", -baseline(-x, 1 - p), want, rtol=1e-8, atol=1e-9)
    line = 3.0 - 0.25 * np.arange(T)
    assert_close("tilted", baseline(x + line, p) - line, want, rtol=1e-7, atol=1e-8)


@given(seeds())
@settings(max_examples=6)
def test_cleaning_commutes_with_time_reversal_and_order_and_normalises(seed):
    x = normal(seed, 2, 12, 80)
    want = pre.clean_ecg(x)
    assert_close("reversed", pre.clean_ecg(x.flip(-1)).flip(-1), want, atol=1e-6)
    assert_close("alone", pre.clean_ecg(x[1]), want[1], atol=1e-12)
    assert_close("order", pre.clean_ecg(x.flip(0)).flip(0), want, atol=1e-12)
    for start, stop in ((0, 3), (3, 6), (6, 12)):
        group = want[:, start:stop]
        assert_close("mean", group.mean((1, 2)), [0.0, 0.0], atol=1e-12)
        assert_close("variance", group.var((1, 2), unbiased=False), [1.0, 1.0], atol=1e-9)
    assert_close("normalised again", pre.normalise(want), want, atol=1e-9)


@given(seeds(), st.integers(8, 30), st.integers(8, 30), st.integers(2, 9))
@FEW
def test_cine_mirrors_and_turns_with_its_heart_cycle(seed, height, width, frames):
    cine = np.random.default_rng(seed).random((2 * height, 2 * width, 8, frames))
    want = pre.prepare_cine(cine, 0, frames // 2)
    assert_equal("transposed", pre.prepare_cine(cine.swapaxes(0, 1), 0, frames // 2),
                 want.swapaxes(1, 2))
    assert_equal("mirrored", pre.prepare_cine(cine[::-1], 0, frames // 2), want[:, ::-1])
    for shift in (1, frames - 1):
        turned = np.roll(cine, shift, axis=3)
        got = pre.prepare_cine(turned, shift % frames, (frames // 2 + shift) % frames)
        assert_equal("another first frame", got, want)
    assert_equal("order", pre.prepare_cine(cine, 0, frames // 2, "es-mid-ed"), want[::-1])


# ---- views ----

@given(seeds(), st.integers(3, 40), st.floats(-2, 2))
@FEW
def test_surrogate_is_linear_and_its_phases_add_and_undo(seed, T, gain):
    x, y = normal(seed, 2, 2, 3, T)
    u, v = torch.tensor(np.random.default_rng(seed).random((2, 2, (T - 1) // 2)))
    want = aug.fourier_surrogate(x, 0.7, u)
    both = aug.fourier_surrogate(x + gain * y, 0.7, u)
    assert_close("linear", both, want + gain * aug.fourier_surrogate(y, 0.7, u), atol=1e-10)
    assert_close("phases add", aug.fourier_surrogate(want, 0.7, v),
                 aug.fourier_surrogate(x, 0.7, u + v), atol=1e-10)
    assert_close("undone", aug.fourier_surrogate(want, 0.7, -u), x, atol=1e-10)
    assert_close("a whole turn", aug.fourier_surrogate(x, 1.0, torch.ones_like(u)), x, atol=1e-10)
    assert_close("energy", (want**2).sum(-1), (x**2).sum(-1), rtol=1e-9)
    order = torch.tensor([1, 0])
    assert_equal("order", aug.fourier_surrogate(x[order], 0.7, u[order]), want[order])


@given(seeds(), st.integers(2, 4), sizes(2))
@FEW
def test_views_follow_their_records(seed, B, T):
    x, order = normal(seed, B, 3, T + 4), torch.arange(B).flip(0)
    view = ECGView(time_flip=0.5, sign_flip=0.5)
    noise = aug.ecg_noise(x, view, T, torch.Generator().manual_seed(seed))
    want = aug.ecg_view_from(x, noise, view, T)
    permuted = aug.ECGNoise(*(n[order] for n in noise))
    assert_equal("permuted", aug.ecg_view_from(x[order], permuted, view, T), want[order])
    alone = aug.ECGNoise(*(n[:1] for n in noise))
    assert_close("alone", aug.ecg_view_from(x[:1], alone, view, T), want[:1], atol=1e-12)
    images = normal(seed, B, 3, 9, 11).sigmoid()
    noise = aug.image_noise(B, torch.Generator().manual_seed(seed))
    want = aug.cmr_view(images, noise, CMRView(), 8)
    permuted = aug.ImageNoise(*(n[order] for n in noise))
    assert_close("images", aug.cmr_view(images[order], permuted, CMRView(), 8), want[order],
                 atol=1e-12)
    assert (want >= 0).all() and (want <= 1).all()


@given(seeds(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
@FEW
def test_patches_keep_every_value_and_follow_their_records(seed, C, V, steps):
    x = normal(seed, 3, C, V, 4 * steps)
    patches = patchify(x, (1, 4))
    assert_equal("values", patches.flatten().sort()[0], x.flatten().sort()[0])
    assert_equal("order", patchify(x.flip(0), (1, 4)), patches.flip(0))
    assert_equal("patches again", patchify(unpatchify(patches, (1, 4), (C, V, 4 * steps)), (1, 4)),
                 patches)


# ---- distributions ----

def test_pairs_of_tokens_are_kept_together_as_often_as_chance_has_it():
    B, L, K = 20_000, 12, 6
    keep = random_mask(torch.rand(B, L, generator=torch.Generator().manual_seed(0)), 0.5).keep
    kept = torch.zeros(B, L, dtype=torch.float64).scatter_(1, keep, 1.0)
    p = K * (K - 1) / (L * (L - 1))
    together = kept.T @ kept / B  # [L, L]
    z = (together - p) / np.sqrt(p * (1 - p) / B)
    off = z[~torch.eye(L, dtype=torch.bool)]
    assert off.abs().max() < 5.7  # 66 pairs, 1e-8 each
    assert_close("alone", together.diagonal(), np.full(L, 0.5), atol=4.9 * 0.5 / np.sqrt(B))


def test_surrogates_of_full_phases_forget_the_record_and_keep_its_power():
    x = normal(0, 1, 1, 32).expand(8000, 1, 32)
    uniform = torch.rand(8000, 15, generator=torch.Generator().manual_seed(1))
    spectrum = torch.fft.rfft(aug.fourier_surrogate(x, 1.0, uniform))[:, 0, 1:16]
    phase = spectrum / spectrum.abs()
    for k in range(15):  # direction on the circle: mean 0, variance 1/2 of each part
        assert_mean(f"cosine {k}", phase[:, k].real, 0.0, np.sqrt(0.5))
        assert_mean(f"sine {k}", phase[:, k].imag, 0.0, np.sqrt(0.5))
    neighbours = (phase[:, 1:] * phase[:, :-1].conj()).real
    assert_mean("independent frequencies", neighbours, 0.0, np.sqrt(0.5))


def test_views_have_the_moments_of_their_recipe():
    B, T, sigma = 4000, 20, 0.25
    x = torch.ones(B, 1, T, dtype=torch.float64)
    recipe = {"surrogate": 0.0, "rate": 1.0}
    draw = torch.Generator().manual_seed(2)
    y = aug.ecg_view(x, ECGView(jitter=sigma, rescale=0.0, **recipe), T, draw)
    assert_mean("jitter", y, 1.0, 0.6 * sigma)
    assert_mean("its square", (y - 1) ** 2, (0.6 * sigma) ** 2, np.sqrt(2) * (0.6 * sigma) ** 2)
    assert_mean("its neighbours", (y[..., 1:] - 1) * (y[..., :-1] - 1), 0.0, (0.6 * sigma) ** 2)
    y = aug.ecg_view(x, ECGView(jitter=0.0, rescale=sigma, **recipe), T, draw)[:, 0]
    assert_equal("one factor a record", y, y[:, :1].expand(B, T))
    assert_mean("factor", y[:, 0], 1.0, sigma)
    assert_mean("its square", (y[:, 0] - 1) ** 2, sigma**2, np.sqrt(2) * sigma**2)


def test_starts_of_crops_are_uniform():
    x = torch.arange(30.0, dtype=torch.float64).expand(12_000, 1, 30)
    first = aug.ecg_view(x, ECGView(rate=0.0), 21, torch.Generator().manual_seed(3))[:, 0, 0]
    count = np.bincount(first.long().numpy(), minlength=10)
    assert count.size == 10
    assert ((count - 1200) ** 2 / 1200).sum() < 45.1  # 9 degrees of freedom, 1e-6: 45.08


def test_numbers_of_image_views_are_uniform_and_independent():
    noise = torch.stack(list(aug.image_noise(4000, torch.Generator().manual_seed(4)))).double()
    for name, u in zip(aug.ImageNoise._fields, noise, strict=True):
        assert_mean(name, u, 0.5, np.sqrt(1 / 12))
        gap = (u.sort()[0] - (torch.arange(4000) + 0.5) / 4000).abs().max()
        assert gap < 2.7 / np.sqrt(4000), name  # Kolmogorov: 2 exp(-2 2.7^2) = 9e-7
    centred = (noise - 0.5) * np.sqrt(12)
    z = (centred @ centred.T / np.sqrt(4000))[~torch.eye(11, dtype=torch.bool)]
    assert z.abs().max() < 5.7  # 55 pairs, 1e-8 each


def test_stochastic_depth_keeps_the_share_and_the_mean():
    block = Block(2, 1, drop_path=0.3).train()
    torch.manual_seed(5)
    kept = block.skip(torch.ones(20_000, 1, 2, dtype=torch.float64))[:, 0]
    assert_equal("whole records", kept[:, 0], kept[:, 1])
    assert_mean("mean", kept[:, 0], 1.0, np.sqrt(0.3 / 0.7))
    assert_equal("values", kept.unique(), torch.tensor([0.0, 1 / 0.7], dtype=torch.float64))


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_bootstrap_of_a_mean_has_the_width_of_the_normal_interval(level):
    y = np.random.default_rng(6).standard_normal(400)
    got = bootstrap(lambda y, p: y.mean(), y, y, np.random.default_rng(7), 4000, level)
    quantile = {0.5: 0.6745, 0.9: 1.6449}[level]
    width = 2 * quantile * y.std() / np.sqrt(400)
    assert_close("width", got.high - got.low, width, rtol=0.12)  # 4.9 standard errors: 0.1
    assert_close("centre", (got.high + got.low) / 2, y.mean(), atol=0.1 * width)
