"""reference.retrieval: ranks, retrieval, monitors; loops over scalars, closed forms, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import retrieval as rt
from tests.support.helpers import assert_equal
from tests.support.strategies import seeds, sizes

# ---- retrieval ----

def retrieval_oracle(query, target) -> list[float]:
    """Midrank of each partner among all targets."""
    ranks = []
    for i in range(len(query)):
        cosines = [sum(a * b for a, b in zip(query[i], target[j], strict=True))
                   / math.sqrt(sum(b * b for b in target[j])) for j in range(len(target))]
        above = sum(c > cosines[i] + 1e-12 for c in cosines)
        level = sum(abs(c - cosines[i]) <= 1e-12 for c in cosines)
        ranks.append(above + (level + 1) / 2)
    return ranks


@given(sizes(2), st.integers(1, 5), seeds())
@settings(max_examples=30)
def test_retrieval_among_all(count, dim, seed):
    rng = np.random.default_rng(seed)
    query, target = rng.standard_normal((2, count, dim))
    got = rt.retrieval(query, target, generator=rng)
    if dim == 1:
        target = np.sign(target)  # many ties
        got = rt.retrieval(query, target, generator=rng)
    ranks = retrieval_oracle(query, target)
    assert got["candidates"] == count
    assert got["median_rank"] == pytest.approx(np.median(ranks))
    if dim > 1:
        assert got["top1"] == pytest.approx(np.mean([r <= 1 for r in ranks]))
        assert got["top5"] == pytest.approx(np.mean([r <= 5 for r in ranks]))


def test_retrieval_of_perfect_and_opposite_embeddings():
    z = np.random.default_rng(0).standard_normal((70, 8))
    good = rt.retrieval(z, 5 * z, 32, generator=np.random.default_rng(1))
    assert good == {"top1": 1.0, "top5": 1.0, "median_rank": 1.0, "candidates": 32}
    bad = rt.retrieval(torch.tensor(z), torch.tensor(-z), 32, generator=np.random.default_rng(1))
    assert bad == {"top1": 0.0, "top5": 0.0, "median_rank": 32.0, "candidates": 32}


@pytest.mark.parametrize("count, size", [(70, 32), (64, 32), (5, 5), (300, 256), (3, 1)])
def test_collapsed_embeddings_are_at_chance(count, size):
    z = np.repeat(np.random.default_rng(0).standard_normal((1, 17)), count, axis=0)
    for query in (z, 0 * z):
        got = rt.retrieval(query, z, size, generator=np.random.default_rng(1))
        assert got["candidates"] == size
        assert got["median_rank"] == (size + 1) / 2
        assert got["top1"] == pytest.approx(1 / size)
        assert got["top5"] == pytest.approx(min(5 / size, 1))


def test_unrelated_embeddings_are_near_chance():
    query, target = np.random.default_rng(0).standard_normal((2, 1000, 16))
    got = rt.retrieval(query, target, 100, generator=np.random.default_rng(1))
    assert 45 < got["median_rank"] < 56
    assert 0.0 < got["top1"] < 0.02 and 0.03 < got["top5"] < 0.07


def test_retrieval_sets_cover_every_query_once():
    """Partners share a direction by subject parity: within a set, ranks follow its own members."""
    count, size = 11, 4
    angle = np.arange(count) / count
    target = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    query = np.repeat([[1.0, 0.0]], count, axis=0)  # subject i's rank: members of its set below i
    order = np.random.default_rng(3).permutation(count)
    sets = [order[0:4], order[4:8], order[7:11]]
    ranks = [1 + sum(j < i for j in s) for s, own in zip(sets, (s if k < 2 else s[1:]
             for k, s in enumerate(sets)), strict=True) for i in own]
    got = rt.retrieval(query, target, size, generator=np.random.default_rng(3))
    assert len(ranks) == count
    assert got["median_rank"] == np.median(ranks)
    assert got["top1"] == pytest.approx(np.mean(np.array(ranks) == 1))


def test_retrieval_refuses():
    z, rng = np.ones((4, 3)), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        rt.retrieval(z, z[:, :2], generator=rng)
    for query, target in ((z, z * np.nan), (z * np.inf, z)):
        with pytest.raises(ValueError, match=r"^embeddings hold NaN or infinity; finite numbers"):
            rt.retrieval(query, target, generator=rng)
    with pytest.raises(ValueError, match="candidates=0"):
        rt.retrieval(z, z, 0, generator=rng)
    for shape in ((4,), (0, 3), (4, 0)):
        with pytest.raises(ValueError, match=r"one .N, D. is needed"):
            rt.retrieval(np.ones(shape), np.ones(shape), generator=rng)
    with pytest.raises(TypeError, match=r"^z_query is "):
        rt.retrieval([["a"]], z, generator=rng)
    with pytest.raises(TypeError, match=r"^z_target is "):
        rt.retrieval(z, [["a"]], generator=rng)


def test_retrieval_takes_256_candidates_by_default():
    z = np.random.default_rng(0).standard_normal((258, 3))
    got = rt.retrieval(z, -z, generator=np.random.default_rng(1))
    assert got == rt.retrieval(z, -z, 256, generator=np.random.default_rng(1))
    assert got["candidates"] == got["median_rank"] == 256


# ---- monitors ----

@given(sizes(2), sizes(1), seeds())
@settings(max_examples=30)
def test_collapse_equals_its_loop(count, dim, seed):
    z = 1 + np.random.default_rng(seed).standard_normal((count, dim))
    unit = [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in z]
    cosines = [sum(a * b for a, b in zip(unit[i], unit[j], strict=True))
               for i in range(count) for j in range(count) if i != j]
    spread = 0.0
    for d in range(dim):
        column = [row[d] for row in unit]
        mean = sum(column) / count
        spread += math.sqrt(sum((v - mean) ** 2 for v in column) / (count - 1)) / dim
    got = rt.collapse(z)
    assert got["mean_cosine"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-10)
    assert got["spread"] == pytest.approx(math.sqrt(dim) * spread, abs=1e-10)


def test_collapse_at_its_ends():
    z = np.random.default_rng(0).standard_normal((500, 64))
    spread = rt.collapse(z)
    assert abs(spread["mean_cosine"]) < 0.01 and abs(spread["spread"] - 1) < 0.02
    point = rt.collapse(np.ones((9, 4)))
    assert point["mean_cosine"] == pytest.approx(1) and point["spread"] == pytest.approx(0)
    for shape in ((1, 4), (4,), (2, 3, 4)):
        with pytest.raises(ValueError, match=rf"^z is \({shape[0]}, ?.*; .N, D. with N >= 2"):
            rt.collapse(np.ones(shape))
    with pytest.raises(TypeError, match=r"^z is "):
        rt.collapse([["a"]])
    small = rt.collapse([[3e-13, 0.0], [3e-13, 0.0]])  # shorter than 1e-12: length 0.3
    assert small["mean_cosine"] == pytest.approx(0.09)
    assert rt.collapse([[1.0, 0.0], [0.0, 0.0]]) == pytest.approx(
        {"mean_cosine": 0.0, "spread": 0.5})


def test_on_plateau():
    level = math.log(256)
    assert rt.on_plateau([level - 0.004, level + 0.004, level + 0.004], 256)
    assert not rt.on_plateau([level - 0.006], 256)
    assert not rt.on_plateau([level + 0.006], 256)
    assert rt.on_plateau(torch.tensor([level - 0.04]), 256, tolerance=0.05)
    assert not rt.on_plateau([level], 128)
    assert rt.on_plateau([0.0], 1) and not rt.on_plateau([0.25], 1, 0.25)  # strictly within
    for losses, size in (([], 256), ([1.0], 0)):
        with pytest.raises(ValueError, match=f"^{len(losses)} losses, batch={size}; at least 1"):
            rt.on_plateau(losses, size)
    with pytest.raises(TypeError, match=r"^losses is "):
        rt.on_plateau(["a"], 2)


def test_in_batch_accuracy():
    cosines = torch.tensor([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.3, 0.2, 0.1]])
    above, level = rt.partner_ranks(cosines)
    assert_equal("above", above, [0, 1, 2])
    assert_equal("level", level, [1, 1, 1])
    rounded = torch.tensor([[0.5, 0.5 + 1e-7], [0.5 - 1e-7, 0.5]])
    assert_equal("level within rounding", rt.partner_ranks(rounded)[1], [2, 2])
    apart = rounded.double() + 1e-6 * torch.eye(2)
    assert_equal("not beyond it", rt.partner_ranks(apart)[1], [1, 1])
    target = torch.eye(3)
    query = torch.tensor([[1.0, 0.1, 0.2], [0.5, 0.4, 0.3], [0.3, 0.2, 0.1]])  # ranks 1, 2, 3
    for k, want in ((1, 1 / 3), (2, 2 / 3), (3, 1.0), (4, 1.0)):
        assert rt.in_batch_accuracy(query, target, k).item() == pytest.approx(want)


@pytest.mark.parametrize("batch, dim", [(3, 2), (64, 128), (50, 33)])
def test_collapsed_batches_are_at_chance(batch, dim):
    z = torch.tensor(np.random.default_rng(0).normal(size=(1, dim))).float().repeat(batch, 1)
    for k in (1, 2):
        got = rt.in_batch_accuracy(z, 3 * z, k).item()
        assert got == pytest.approx(k / batch, rel=1e-6)
    assert rt.in_batch_accuracy(z * math.nan, z).item() == 0.0
    with pytest.raises(ValueError, match="k=0"):
        rt.in_batch_accuracy(z, z, 0)


def test_partner_ranks_tie_up_to_sixteen_units():
    unit = torch.finfo(torch.float64).eps
    cosines = torch.tensor([[0.0, 16 * unit], [17 * unit, 0.0]], dtype=torch.float64)
    above, level = rt.partner_ranks(cosines)
    assert_equal("above", above, [0, 1])
    assert_equal("level", level, [2, 1])
