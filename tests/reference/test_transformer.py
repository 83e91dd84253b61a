"""Position tables, patches, attention and blocks: parity, loops over scalars, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

from reference import transformer as vit
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    larger_golden,
)
from tests.support.strategies import sizes


def position_oracle(dim: int, leads: int, steps: int) -> np.ndarray:
    table = np.zeros((1 + leads * steps, dim))
    for lead in range(leads):
        for step in range(steps):
            row = table[1 + lead * steps + step]
            for k in range(dim // 4):
                frequency = 10000.0 ** (-4.0 * k / dim)
                row[k] = math.sin(step * frequency)
                row[dim // 4 + k] = math.cos(step * frequency)
                row[dim // 2 + k] = math.sin(lead * frequency)
                row[3 * dim // 4 + k] = math.cos(lead * frequency)
    return table


@pytest.mark.parametrize("key, dim, grid", [("g12x25_d384", 384, (12, 25)),
                                            ("g12x25_d256", 256, (12, 25)),
                                            ("g3x5_d16", 16, (3, 5))])
def test_sincos_position_embedding_larger(key, dim, grid):
    want = larger_golden("pos_embed")[key]
    assert_parity(f"position embedding {key}", vit.sincos_position_embedding(dim, grid), want, 1e-5,
                  "larger set")


@pytest.mark.parametrize("dim, leads, steps", [(4, 1, 1), (8, 3, 5), (16, 12, 10), (384, 12, 25)])
def test_sincos_position_embedding_equals_its_loops(dim, leads, steps):
    got = vit.sincos_position_embedding(dim, (leads, steps))
    assert got.dtype == torch.float32
    assert_shape("table", got, (1 + leads * steps, dim))
    assert_close("table", got, position_oracle(dim, leads, steps), atol=3e-6)  # float32 angles
    assert_equal("class token row", got[0], np.zeros(dim))


@pytest.mark.parametrize("dim, grid, words", [
    (6, (12, 25), "multiple of 4, got 6"), (0, (12, 25), "got 0"), (-4, (1, 1), "got -4"),
    (8, (0, 5), r"got \(0, 5\)"), (8, (5, 0), r"got \(5, 0\)")])
def test_sincos_position_embedding_refuses(dim, grid, words):
    with pytest.raises(ValueError, match=words):
        vit.sincos_position_embedding(dim, grid)


def cubic_oracle(row: np.ndarray, steps: int) -> np.ndarray:
    """Cubic convolution (a = -0.75), half-pixel centres, edge samples repeated."""
    old, a = len(row), -0.75

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    out = np.zeros(steps)
    for i in range(steps):
        centre = (i + 0.5) * old / steps - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            out[i] += kernel(centre - j) * row[min(max(j, 0), old - 1)]
    return out


@pytest.mark.parametrize("old, steps", [(5, 8), (8, 5), (25, 50), (4, 1), (1, 3)])
def test_interpolate_position_embedding_equals_its_loops(old, steps):
    leads, D = 3, 4
    table = np.random.default_rng(old).standard_normal((1, 1 + leads * old, D))
    got = vit.interpolate_position_embedding(torch.tensor(table), (leads, old), steps)
    want = np.zeros((1, 1 + leads * steps, D))
    want[0, 0] = table[0, 0]
    for lead in range(leads):
        for d in range(D):
            row = table[0, 1 + lead * old:1 + (lead + 1) * old, d]
            want[0, 1 + lead * steps:1 + (lead + 1) * steps, d] = cubic_oracle(row, steps)
    assert_shape("table", got, want.shape)
    assert_close("table", got, want, atol=1e-12)


def test_interpolate_position_embedding_same_length_is_the_identity():
    table = vit.sincos_position_embedding(16, (12, 25))[None]
    assert_equal("table", vit.interpolate_position_embedding(table, (12, 25), 25), table)


def test_interpolate_position_embedding_keeps_class_row_and_leads_apart():
    leads, old, steps, D = 12, 5, 9, 8
    table = torch.tensor(np.random.default_rng(0).standard_normal((1, 1 + leads * old, D)))
    first = vit.interpolate_position_embedding(table, (leads, old), steps)
    assert_equal("class row", first[:, 0], table[:, 0])
    table[:, 1 + 3 * old:1 + 4 * old] += 1.0  # lead 3 only
    second = vit.interpolate_position_embedding(table, (leads, old), steps)
    moved = (first != second).any(dim=2)[0, 1:].reshape(leads, steps)
    assert_equal("moved leads", moved.any(dim=1), np.arange(leads) == 3)


@pytest.mark.parametrize("grid, steps, words", [((12, 24), 30, "301 rows.*needs 289"),
                                                ((12, 25), 0, "got 0")])
def test_interpolate_position_embedding_refuses(grid, steps, words):
    with pytest.raises(ValueError, match=words):
        vit.interpolate_position_embedding(torch.zeros(1, 301, 8), grid, steps)


def test_patch_embedding_equals_its_loops():
    torch.manual_seed(0)
    C, V, T, pv, pt, D = 2, 6, 12, 2, 3, 5
    patches = vit.PatchEmbedding((C, V, T), (pv, pt), D).double()
    x = np.random.default_rng(0).standard_normal((2, C, V, T))
    weight, bias = patches.proj.weight.detach().numpy(), patches.proj.bias.detach().numpy()
    want = np.zeros((2, (V // pv) * (T // pt), D))
    for index in np.ndindex(*want.shape):
        b, token, d = index
        row, step = divmod(token, T // pt)
        want[index] = bias[d]
        for c, i, j in np.ndindex(C, pv, pt):
            want[index] += weight[d, c, i, j] * x[b, c, row * pv + i, step * pt + j]
    got = patches(torch.tensor(x))
    assert_equal("grid", patches.grid, (3, 4))
    assert_shape("tokens", got, want.shape)
    assert_close("tokens", got, want, rtol=1e-12, atol=1e-12)


def test_patch_embedding_refuses():
    with pytest.raises(ValueError, match="12 x 250 is not a multiple of the patch 1 x 100"):
        vit.PatchEmbedding((1, 12, 250), (1, 100), 8)
    with pytest.raises(ValueError, match="12 x 200 is not a multiple of the patch 5 x 100"):
        vit.PatchEmbedding((1, 12, 200), (5, 100), 8)
    patches = vit.PatchEmbedding((1, 12, 200), (1, 100), 8)
    for shape in ((12, 200), (2, 12, 200), (2, 1, 12, 300), (2, 1, 11, 200)):
        with pytest.raises(ValueError, match=r"\[B, 1, 12, 200\], got"):
            patches(torch.zeros(shape))


def linear_oracle(layer: nn.Linear, z: np.ndarray) -> np.ndarray:
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    out = np.zeros((len(z), len(bias)))
    for n, o in np.ndindex(*out.shape):
        out[n, o] = bias[o] + sum(weight[o, i] * z[n, i] for i in range(z.shape[1]))
    return out


def attention_oracle(attention: vit.Attention, z: np.ndarray) -> np.ndarray:
    """One record [N, D]: rows of qkv are q, then k, then v, each split into heads."""
    (N, D), H = z.shape, attention.heads
    d, mixed = D // H, linear_oracle(attention.qkv, z)
    out = np.zeros((N, D))
    for h in range(H):
        for n in range(N):
            scores = [sum(mixed[n, h * d + i] * mixed[m, D + h * d + i] for i in range(d))
                      / math.sqrt(d) for m in range(N)]
            total = sum(math.exp(s) for s in scores)
            for m in range(N):
                for i in range(d):
                    out[n, h * d + i] += math.exp(scores[m]) / total * mixed[m, 2 * D + h * d + i]
    return linear_oracle(attention.proj, out)


def norm_oracle(norm: nn.LayerNorm, z: np.ndarray) -> np.ndarray:
    out, weight, bias = np.zeros_like(z), norm.weight.detach().numpy(), norm.bias.detach().numpy()
    for n in range(len(z)):
        mean = sum(z[n]) / len(z[n])
        variance = sum((v - mean) ** 2 for v in z[n]) / len(z[n])
        for i, v in enumerate(z[n]):
            out[n, i] = (v - mean) / math.sqrt(variance + 1e-6) * weight[i] + bias[i]
    return out


def randomised(module: nn.Module) -> nn.Module:
    """Every parameter N(0, 0.3), so that no bias is zero and no norm is the identity."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module.double()


@pytest.mark.parametrize("N, D, H", [(1, 4, 1), (5, 6, 3), (7, 8, 2)])
def test_attention_equals_its_loops_and_the_explicit_path(N, D, H):
    attention = randomised(vit.Attention(D, H))
    z = torch.tensor(np.random.default_rng(N).standard_normal((2, N, D)))
    got = attention(z)
    want = np.stack([attention_oracle(attention, record.numpy()) for record in z])
    assert_close("fused", got, want, rtol=1e-11, atol=1e-12)
    assert_close("explicit", attention(z, explicit=True), want, rtol=1e-11, atol=1e-12)
    weights = attention.weights(z)
    assert_shape("weights", weights, (2, H, N, N))
    assert_close("sum over keys", weights.sum(dim=-1), np.ones((2, H, N)), atol=1e-12)


@given(sizes(1, 12), sizes(1, 3))
def test_attention_explicit_equals_fused_in_float32(N, H):
    torch.manual_seed(N)
    attention, z = vit.Attention(4 * H, H), torch.randn(3, N, 4 * H)
    assert_close("fused", attention(z), attention(z, explicit=True), rtol=1e-5, atol=1e-6)


def test_attention_is_fused_unless_asked(monkeypatch):
    attention, calls, fused = vit.Attention(4, 2), [], vit.F.scaled_dot_product_attention
    monkeypatch.setattr(vit.F, "scaled_dot_product_attention",
                        lambda *a: calls.append(a) or fused(*a))
    for options, want in (({}, 1), ({"explicit": True}, 1), ({"explicit": False}, 2)):
        attention(torch.zeros(1, 3, 4), **options)
        assert len(calls) == want


def test_attention_refuses_a_width_that_heads_do_not_divide():
    with pytest.raises(ValueError, match="10 is not a multiple of 4"):
        vit.Attention(10, 4)


def test_block_equals_its_loops():
    block = randomised(vit.Block(6, 3)).eval()
    x = np.random.default_rng(0).standard_normal((2, 5, 6))
    want = np.zeros_like(x)
    for b in range(2):
        z = x[b] + attention_oracle(block.attn, norm_oracle(block.norm1, x[b]))
        hidden = linear_oracle(block.mlp.fc1, norm_oracle(block.norm2, z))
        for index in np.ndindex(*hidden.shape):
            hidden[index] *= 0.5 * (1 + math.erf(hidden[index] / math.sqrt(2)))
        want[b] = z + linear_oracle(block.mlp.fc2, hidden)
    assert_close("block", block(torch.tensor(x)), want, rtol=1e-10, atol=1e-11)
    assert_equal("hidden width", block.mlp.fc1.out_features, 24)


def test_block_gradcheck():
    block = randomised(vit.Block(4, 2)).eval()
    z = torch.tensor(np.random.default_rng(2).standard_normal((1, 3, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(block, (z,))
    assert torch.autograd.gradcheck(lambda z: block.attn(z, explicit=True), (z,))


def test_stochastic_depth_drops_whole_records_and_keeps_the_mean():
    block = vit.Block(4, 2, drop_path=0.3)
    branch = torch.randn(20000, 2, 4, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    scale = block.train().skip(branch) / branch
    kept = scale[:, 0, 0]
    assert_close("one factor a record", scale, kept[:, None, None].expand_as(scale), rtol=1e-5)
    assert_close("factor", kept[kept > 0], np.full(int((kept > 0).sum()), 1 / 0.7), rtol=1e-5)
    # 5 standard deviations of a binomial share: false alarm below 1e-6
    assert_close("share kept", (kept > 0).double().mean(), 0.7, atol=5 * math.sqrt(0.21 / 20000))
    assert_equal("evaluation", block.eval().skip(branch), branch)
    half = vit.Block(4, 2, drop_path=0.5).train().skip(branch[:100]) / branch[:100]
    assert set(half.round(decimals=3).unique().tolist()) == {0.0, 2.0}
    assert_equal("no drop", vit.Block(4, 2).train().skip(branch), branch)


def test_initialise_transformer():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = vit.PatchEmbedding((1, 12, 400), (1, 100), 64)
            self.map = nn.Linear(64, 192)
            self.plain = nn.Linear(64, 8, bias=False)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, 4096))
            self.mask_token = nn.Parameter(torch.zeros(1, 1, 4096))

    torch.manual_seed(0)
    model = Model()
    nn.init.ones_(model.map.bias)
    vit.initialise_transformer(model)
    for weight, fan in ((model.map.weight, 64 + 192), (model.plain.weight, 64 + 8),
                        (model.embed.proj.weight, 64 + 100)):  # the patch map counts as [64, 100]
        bound = math.sqrt(6 / fan)
        assert 0.97 * bound < float(weight.detach().abs().max()) <= bound
        assert_close("spread", weight.std(), bound / math.sqrt(3), rtol=0.08)
    assert_equal("bias", model.map.bias, np.zeros(192))
    for token in (model.cls_token, model.mask_token):
        assert_close("token spread", token.std(), 0.02, rtol=0.06)
