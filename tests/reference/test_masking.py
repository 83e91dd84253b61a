"""Random masking: the float-product count, loops over scalars, ties, partition, uniformity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference.masking import Mask, gather_tokens, kept_tokens, random_mask, random_mask_explicit
from tests.support.helpers import assert_close, assert_equal, assert_shape
from tests.support.strategies import normal_arrays, seeds, sizes


def oracle(noise: np.ndarray, keep: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Selection, one token at a time: the smallest noise not yet taken, the lowest index first."""
    B, L = noise.shape
    order, restore, mask = (np.zeros((B, L), int) for _ in range(3))
    for b in range(B):
        left = list(range(L))
        for place in range(L):
            best = left[0]
            for token in left[1:]:
                if noise[b, token] < noise[b, best]:
                    best = token
            left.remove(best)
            order[b, place], restore[b, best] = best, place
            mask[b, best] = int(place >= keep)
    return order[:, :keep], restore, mask


@pytest.mark.parametrize("tokens, ratio, want", [
    (300, 0.8, 59),  # exact arithmetic: 60
    (120, 0.8, 23), (10, 0.8, 1), (300, 0.75, 75), (10, 0.5, 5), (7, 0.0, 7), (7, 0.5, 3),
    (4, 0.75, 1), (1, 0.0, 1), (1000, 0.999, 1)])
def test_kept_tokens(tokens, ratio, want):
    assert_equal("kept", kept_tokens(tokens, ratio), want, f"kept_tokens({tokens}, {ratio})")
    assert_shape("keep", random_mask(torch.rand(2, tokens), ratio).keep, (2, want))


@pytest.mark.parametrize("tokens, ratio", [(300, -0.1), (300, 1.0), (300, 1.5), (300, float("nan")),
                                           (300, float("-inf"))])
def test_kept_tokens_refuses_a_ratio_outside(tokens, ratio):
    with pytest.raises(ValueError, match=rf"\[0, 1\), got {ratio}"):
        kept_tokens(tokens, ratio)


def test_kept_tokens_refuses_to_keep_none():
    with pytest.raises(ValueError, match="keeps 0 of 4"):
        kept_tokens(4, 0.8)


@pytest.mark.parametrize("function", [random_mask, random_mask_explicit])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("B, L, ratio", [(1, 1, 0.0), (2, 5, 0.4), (3, 17, 0.8), (2, 30, 0.0)])
def test_random_mask_equals_its_loops(function, dtype, B, L, ratio):
    noise = torch.tensor(np.random.default_rng(L).random((B, L))).to(dtype)
    got = function(noise, ratio)
    assert isinstance(got, Mask)
    assert got.keep.dtype == got.restore.dtype == torch.int64 and got.mask.dtype == dtype
    want = oracle(noise.double().numpy(), kept_tokens(L, ratio))
    for name, value, expected in zip(Mask._fields, got, want, strict=True):
        assert_shape(name, value, expected.shape)
        assert_equal(name, value, expected, f"{function.__name__} {B, L, ratio}")


@given(normal_arrays(sizes(1, 4), sizes(2)), st.floats(0.0, 0.5))
def test_random_mask_equals_the_explicit_path_with_ties(noise, ratio):
    noise = torch.tensor(noise.round(0))  # few distinct values: most tokens are tied
    for name, got, want in zip(Mask._fields, random_mask(noise, ratio),
                               random_mask_explicit(noise, ratio), strict=True):
        assert_equal(name, got, want)


def test_ties_go_to_the_lower_index():
    mask = random_mask(torch.zeros(1, 300), 0.8)
    assert_equal("keep", mask.keep, np.arange(59)[None])
    assert_equal("restore", mask.restore, np.arange(300)[None])


@given(seeds(), sizes(1, 4), sizes(2), st.floats(0.0, 0.5))
def test_kept_and_removed_tokens_partition_the_record(seed, B, L, ratio):
    noise = torch.tensor(np.random.default_rng(seed).random((B, L)))
    keep, restore, mask = random_mask(noise, ratio)
    for b in range(B):
        removed = {token for token in range(L) if mask[b, token] == 1}
        assert set(keep[b].tolist()) | removed == set(range(L))
        assert set(keep[b].tolist()).isdisjoint(removed)
        assert len(removed) == L - kept_tokens(L, ratio)
        assert sorted(restore[b].tolist()) == list(range(L))


@given(seeds(), sizes(2))
def test_restore_undoes_the_shuffle(seed, L):
    noise = torch.tensor(np.random.default_rng(seed).random((2, L)))
    keep, restore, _ = random_mask(noise, 0.0)  # all kept: keep is the whole shuffled order
    tokens = torch.arange(2 * L * 3, dtype=torch.float64).reshape(2, L, 3)
    assert_equal("tokens", gather_tokens(gather_tokens(tokens, keep), restore), tokens)


def test_shuffled_tokens_shuffle_the_mask():
    noise = torch.tensor(np.random.default_rng(5).random((1, 40)))
    order = torch.tensor(np.random.default_rng(6).permutation(40))
    want = random_mask(noise, 0.7).mask[:, order]
    assert_equal("mask", random_mask(noise[:, order], 0.7).mask, want)


def test_every_token_is_kept_equally_often():
    B, L, p = 4000, 20, 0.5
    mask = random_mask(torch.tensor(np.random.default_rng(3).random((B, L))), p).mask
    kept = B - mask.sum(dim=0).numpy()
    statistic = ((kept - B * p) ** 2).sum() / (B * p * (1 - p)) * (L - 1) / L
    assert statistic < 63.7, statistic  # chi-square, 19 degrees of freedom, false alarm 1e-6


@pytest.mark.parametrize("noise, error, words", [
    ([[0.1, 0.2]], TypeError, "list"), (np.zeros((1, 2)), TypeError, "ndarray"),
    (torch.zeros(1, 2, dtype=torch.int64), TypeError, "int64"),
    (torch.zeros(5), ValueError, r"\[B, L\], got shape \(5,\)"),
    (torch.zeros(1, 2, 3), ValueError, r"\(1, 2, 3\)"),
    (torch.zeros(1, 2), ValueError, "keeps 0 of 2")])
def test_random_mask_refuses(noise, error, words):
    with pytest.raises(error, match=words):
        random_mask(noise, 0.8)


def test_gather_tokens_equals_its_loops():
    rng = np.random.default_rng(4)
    tokens, keep = rng.standard_normal((3, 7, 2)), rng.integers(0, 7, (3, 4))
    want = np.zeros((3, 4, 2))
    for b in range(3):
        for k in range(4):
            for d in range(2):
                want[b, k, d] = tokens[b, keep[b, k], d]
    assert_close("tokens", gather_tokens(torch.tensor(tokens), torch.tensor(keep)), want)
