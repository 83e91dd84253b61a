"""Similarity and attention maps: parity, loops over scalars, interpolation by hand, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reference import localisation as loc
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    larger_golden,
)

B, D, LEADS, STEPS, H, W = 2, 5, 3, 4, 6, 7


def inputs(dtype=torch.float64):
    rng = np.random.default_rng(0)
    shapes = (B, D), (B, D), (B, H, W, D), (B, LEADS * STEPS, D)
    return [torch.tensor(rng.standard_normal(s)).to(dtype) for s in shapes]


def cosine(a, b) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    lengths = [math.sqrt(sum(float(x) ** 2 for x in row)) for row in (a, b)]
    return dot / (lengths[0] * lengths[1])


def test_similarity_maps_larger():
    golden = larger_golden("localisation")
    z_cmr, z_ecg, cells, tokens = (torch.tensor(golden[k]) for k in
                                   ("z_cmr", "z_ecg", "z_cmr_local", "z_ecg_local"))
    got = loc.similarity_maps(z_cmr, z_ecg, cells, tokens, (12, 25), float(golden["temp"]))
    for name in ("cmr", "ecg", "pairwise"):
        want = golden[f"{name}_map"]
        assert_parity(f"similarity_maps {name}", getattr(got, name), want, 1e-5, "larger set")


def test_similarity_maps_equal_their_loops():
    z_cmr, z_ecg, cells, tokens = inputs()
    got = loc.similarity_maps(z_cmr, z_ecg, cells, tokens, (LEADS, STEPS), 0.4)
    assert_shape("cmr", got.cmr, (B, H, W))
    assert_shape("ecg", got.ecg, (B, LEADS, STEPS))
    assert_shape("pairwise", got.pairwise, (B, STEPS, H, W))
    cmr, ecg, pairwise = (np.zeros(m.shape) for m in got)
    for b in range(B):
        for lead in range(LEADS):
            for s in range(STEPS):
                token = tokens[b, lead * STEPS + s]
                ecg[b, lead, s] = cosine(token, z_cmr[b]) / 0.4
                for h in range(H):
                    for w in range(W):
                        pairwise[b, s, h, w] += cosine(token, cells[b, h, w]) / 0.4 / LEADS
        for h in range(H):
            for w in range(W):
                cmr[b, h, w] = cosine(cells[b, h, w], z_ecg[b]) / 0.4
    for name, want in (("cmr", cmr), ("ecg", ecg), ("pairwise", pairwise)):
        assert_close(name, getattr(got, name), want, rtol=1e-11, atol=1e-12)


def test_similarity_maps_default_temperature_scale_and_half():
    z_cmr, z_ecg, cells, tokens = inputs()
    got = loc.similarity_maps(z_cmr, z_ecg, cells, tokens, (LEADS, STEPS))
    want = loc.similarity_maps(3 * z_cmr, 4 * z_ecg, 5 * cells, 6 * tokens, (LEADS, STEPS), 0.6)
    half = loc.similarity_maps(*inputs(torch.float16), (LEADS, STEPS))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = loc.similarity_maps(*inputs(torch.float16), (LEADS, STEPS))
    for name in ("cmr", "ecg", "pairwise"):
        assert_close(name, getattr(got, name), getattr(want, name), rtol=1e-11, atol=1e-12)
        assert getattr(half, name).dtype == torch.float32
        assert_close(name, getattr(half, name), getattr(got, name), atol=5e-3)
        assert_equal(f"{name} under autocast", getattr(cast, name), getattr(half, name))


def test_similarity_maps_ends():
    z = torch.ones(B, D)
    cells, tokens = torch.ones(B, H, W, D), torch.ones(B, LEADS * STEPS, D)
    cells[0, 1, 2] *= -1
    tokens[1, 5] = 0
    got = loc.similarity_maps(z, z, cells, tokens, (LEADS, STEPS), 0.5)
    want = np.full((B, H, W), 2.0)
    want[0, 1, 2] = -2
    assert_close("cmr", got.cmr, want, rtol=1e-6)
    want = np.full((B, LEADS, STEPS), 2.0)
    want[1, 1, 1] = 0  # token 5 is lead 1, step 1
    assert_close("ecg", got.ecg, want, rtol=1e-6)
    assert_close("pairwise", got.pairwise[1, 1], np.full((H, W), 4 / 3), rtol=1e-6)
    assert_close("pairwise", got.pairwise[0, :, 1, 2], [-2.0] * STEPS, rtol=1e-6)


@pytest.mark.parametrize("class_token", [0, 1])
def test_attention_map(class_token):
    tokens = LEADS * STEPS + class_token
    attention = torch.tensor(np.random.default_rng(0).random((B, 2, tokens, tokens)))
    got = loc.attention_map(attention, (LEADS, STEPS))
    assert_shape("map", got, (B, LEADS, STEPS))
    for b, lead, s in ((0, 0, 0), (1, 2, 1), (0, 1, 3)):
        key = class_token + lead * STEPS + s
        total = sum(float(attention[b, h, q, key]) for h in range(2)
                    for q in range(class_token, tokens))
        assert_close("cell", got[b, lead, s], total / (2 * LEADS * STEPS), rtol=1e-12)


def test_attention_map_refuses():
    for shape in ((B, 2, 14, 14), (B, 2, 11, 11), (B, 2, 12, 13), (B, 12, 12)):
        with pytest.raises(ValueError, match="N = 12 or 13"):
            loc.attention_map(torch.zeros(shape), (LEADS, STEPS))


def test_upsample_ecg():
    got = loc.upsample_ecg(torch.tensor([[[0.0, 4.0]]]), 4)
    assert_close("trace", got, [[[0.0, 1.0, 3.0, 4.0]]], atol=1e-6)  # centres at 0.5 and 2.5
    assert_shape("trace", loc.upsample_ecg(torch.zeros(B, 12, 25), 2500), (B, 12, 2500))
    assert_close("one sample", loc.upsample_ecg(torch.tensor([[[1.0, 2.0, 6.0]]]), 1), [[[2.0]]])


def test_upsample_cmr():
    cells = torch.tensor([[[0.0, 4.0], [8.0, 12.0]]])
    column, row = np.array([0.0, 1, 3, 4]), np.array([0.0, 8])
    got = loc.upsample_cmr(cells, (2, 4))
    assert_close("image", got, [row[:, None] + column], atol=1e-6)
    assert_shape("image", loc.upsample_cmr(torch.zeros(B, 7, 7), (210, 208)), (B, 210, 208))
    assert_close("constant", loc.upsample_cmr(torch.full((1, 7, 7), 2.5), (78, 78)),
                 np.full((1, 78, 78), 2.5), rtol=1e-6)


def test_bad_input_is_refused():
    z_cmr, z_ecg, cells, tokens = inputs()
    grid = (LEADS, STEPS)
    bad = [((z_cmr[0], z_ecg, cells, tokens, grid), r"z_cmr is \(5,\)"),
           ((z_cmr, z_ecg[:1], cells, tokens, grid), r"z_ecg is \(1, 5\); \(2, 5\)"),
           ((z_cmr, z_ecg, cells[..., :4], tokens, grid), r"cmr_cells is \(2, 6, 7, 4\)"),
           ((z_cmr, z_ecg, cells[:, 0], tokens, grid),
            r"cmr_cells is \(2, 7, 5\); \(2, 'h', 'w', 5\) is needed"),
           ((z_cmr, z_ecg, cells, tokens, (3, 5)), r"ecg_tokens is \(2, 12, 5\); \(2, 15, 5\)")]
    for arguments, message in bad:
        with pytest.raises(ValueError, match=message):
            loc.similarity_maps(*arguments)
    with pytest.raises(TypeError, match=r"z_ecg is torch.int64"):
        loc.similarity_maps(z_cmr, z_ecg.long(), cells, tokens, grid)
    with pytest.raises(TypeError, match=r"^z_cmr is torch.int64; a floating dtype is needed"):
        loc.similarity_maps(z_cmr.long(), z_ecg, cells, tokens, grid)
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"temperature={temperature}"):
            loc.similarity_maps(z_cmr, z_ecg, cells, tokens, grid, temperature)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        loc.upsample_ecg(torch.zeros(2, 3), 10)
    with pytest.raises(ValueError, match=r"size=\(0,\)"):
        loc.upsample_ecg(torch.zeros(2, 3, 4), 0)
    with pytest.raises(ValueError, match=r"size=\(5, 0\)"):
        loc.upsample_cmr(torch.zeros(2, 3, 4), (5, 0))
