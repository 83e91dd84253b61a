"""The Triton kernels behind kernels.py; importing this file needs Triton.

    sums       S_i  = sum_j E_ij,                        E_ij = exp((z_i . z'_j r_i r'_j - 1) / T)
    products   P_id = sum_j E_ij (a_i + b_j) r'_j z'_jd
    rows       v_i = d_i - q_{i-1} e_{i-1} - s_{i-2},  s = 1 / v,  e_i = f_i - q_{i-1},  q = e s
               g_i = w_i y_i / lam - q_{i-1} g_{i-1} - s_{i-2} g_{i-2}
               x_i = s_i (g_i - x_{i+2}) - q_i x_{i+1}

A program of the first two owns a tile of rows i and runs over tiles of j; whatever lies outside B
or D is masked, so B and D may be any numbers. A program of the third owns a block of lanes, one
thread each; scratch is [T, lanes], so neighbours read neighbours.

Glossary: z z' embeddings of the two sides, r r' their inverse lengths, T temperature (for the
baseline: samples), a b weights over sums, d f diagonals of W / lam + D'D, y signal, x baseline.
Source: kernels.py.
"""

from __future__ import annotations

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
TILE = 64  # rows, and columns, of a tile of logits
LANES = 32  # lanes of a program: one warp
# of the operands of products; the interpreter multiplies float32 only, which holds both halves
DTYPES = {torch.float32: tl.float32,
          torch.bfloat16: tl.float32 if INTERPRETED else tl.bfloat16,
          torch.float16: tl.float32 if INTERPRETED else tl.float16}


def exponential_sums(one: tuple[Tensor, Tensor], two: tuple[Tensor, Tensor], temperature: float,
                     precision: str) -> Tensor:
    """S of the first side.

    Args:
        one, two: embeddings [B, D] contiguous and inverse lengths [B] float32 of each side.
        temperature: T.
        precision: of float32 products.
    Returns:
        [B] float32.
    Source: kernels.py.
    """
    (z, r), (other, s) = one, two
    B, D = z.shape
    sums = torch.empty(B, dtype=torch.float32, device=z.device)
    _sums_kernel[(triton.cdiv(B, TILE),)](z, other, r, s, sums, B, D, 1.0 / temperature, TILE,
                                          _width(D), DTYPES[z.dtype],
                                          precision)
    return sums


def gradient_products(one: tuple[Tensor, Tensor, Tensor], two: tuple[Tensor, Tensor, Tensor],
                      temperature: float, precision: str) -> Tensor:
    """P of the first side.

    Args:
        one, two: embeddings [B, D] contiguous, inverse lengths [B], weights over sums [B].
        temperature: T.
        precision: of float32 products.
    Returns:
        [B, D] float32.
    Source: kernels.py.
    """
    (z, r, a), (other, s, b) = one, two
    B, D = z.shape
    products = torch.empty(B, D, dtype=torch.float32, device=z.device)
    _products_kernel[(triton.cdiv(B, TILE),)](z, other, r, s, a, b, products, B, D,
                                              1.0 / temperature, TILE, _width(D),
                                              DTYPES[z.dtype], precision)
    return products


def least_squares(lanes: Tensor, lam: float, p: float, iterations: int) -> Tensor:
    """Baseline of [lanes, T] float64: [lanes, T] float64.

    Source: kernels.py.
    """
    count, T = lanes.shape
    y = lanes.T.contiguous()  # [T, lanes]
    x, s, q = torch.empty_like(y), torch.empty_like(y), torch.empty_like(y)
    # the scalars in memory: a Python number would reach the kernel in float32
    numbers = torch.empty(2, dtype=torch.float64, device=y.device)
    numbers[0].fill_(1.0 / lam)
    numbers[1].fill_(p)
    ties = torch.zeros(count, dtype=torch.int32, device=y.device)
    if count:
        _rows_kernel[(triton.cdiv(count, LANES),)](y, x, s, q, numbers, ties, T, count, iterations,
                                                   LANES, num_warps=1)
    own = (ties > T - 2) | (y == y[0]).all(dim=0)  # singular: the signal is its own baseline
    return torch.where(own, y, x).T.contiguous()


def _width(D: int) -> int:
    return max(16, triton.next_power_of_2(D))  # a product needs at least 16


@triton.jit
def _sums_kernel(z, other, r, s, sums, B, D, sharpness, TILE: tl.constexpr, WIDTH: tl.constexpr,
                 DTYPE: tl.constexpr, PRECISION: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    d = tl.arange(0, WIDTH)
    here = tl.load(z + i[:, None] * D + d, mask=(i[:, None] < B) & (d < D), other=0.0).to(DTYPE)
    scale = tl.load(r + i, mask=i < B, other=0.0)
    total = tl.zeros([TILE], dtype=tl.float32)
    for start in range(0, B, TILE):
        j = start + tl.arange(0, TILE).to(tl.int64)
        there = tl.load(other + j[:, None] * D + d, mask=(j[:, None] < B) & (d < D), other=0.0)
        there = there.to(DTYPE)
        length = tl.load(s + j, mask=j < B, other=0.0)
        cosine = tl.dot(here, tl.trans(there), input_precision=PRECISION)
        cosine = cosine * scale[:, None] * length[None, :]
        E = tl.exp((cosine - 1.0) * sharpness)
        total += tl.sum(tl.where(j[None, :] < B, E, 0.0), axis=1)
    tl.store(sums + i, total, mask=i < B)


@triton.jit
def _products_kernel(z, other, r, s, a, b, products, B, D, sharpness, TILE: tl.constexpr,
                     WIDTH: tl.constexpr, DTYPE: tl.constexpr, PRECISION: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    d = tl.arange(0, WIDTH)
    here = tl.load(z + i[:, None] * D + d, mask=(i[:, None] < B) & (d < D), other=0.0).to(DTYPE)
    scale = tl.load(r + i, mask=i < B, other=0.0)
    row = tl.load(a + i, mask=i < B, other=0.0)
    total = tl.zeros([TILE, WIDTH], dtype=tl.float32)
    for start in range(0, B, TILE):
        j = start + tl.arange(0, TILE).to(tl.int64)
        there = tl.load(other + j[:, None] * D + d, mask=(j[:, None] < B) & (d < D), other=0.0)
        there = there.to(DTYPE)
        length = tl.load(s + j, mask=j < B, other=0.0)  # 0 outside: adds nothing below
        column = tl.load(b + j, mask=j < B, other=0.0)
        cosine = tl.dot(here, tl.trans(there), input_precision=PRECISION)
        cosine = cosine * scale[:, None] * length[None, :]
        E = tl.exp((cosine - 1.0) * sharpness)
        G = E * (row[:, None] + column[None, :]) * length[None, :]
        total += tl.dot(G.to(DTYPE), there, input_precision=PRECISION)
    tl.store(products + i[:, None] * D + d, total, mask=(i[:, None] < B) & (d < D))


@triton.jit
def _rows_kernel(y, x, s, q, numbers, ties, T, count, iterations, LANES: tl.constexpr):
    lane = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    live = lane < count
    inverse_lam, p = tl.load(numbers), tl.load(numbers + 1)
    zero = tl.zeros([LANES], dtype=tl.float64)
    worst = tl.zeros([LANES], dtype=tl.int32)
    for iteration in range(iterations):
        tied = tl.zeros([LANES], dtype=tl.int32)
        at, i = lane, tl.zeros([LANES], dtype=tl.int32)
        e1, q1, s1, s2, g1, g2 = zero, zero, zero, zero, zero, zero  # of rows i - 1 and i - 2
        for _ in range(T):
            signal = tl.load(y + at, mask=live, other=0.0)
            w = zero + 1.0
            if iteration > 0:
                old = tl.load(x + at, mask=live, other=0.0)
                w = tl.where(signal > old, p, tl.where(signal < old, 1.0 - p, signal - old))
                tied += (signal == old).to(tl.int32)
            w = w * inverse_lam
            # D'D: diagonal 1 5 6 .. 6 5 1, beside it -2 -4 .. -4 -2 0
            first = (i < T - 2).to(tl.float64)
            second = ((i >= 1) & (i < T - 1)).to(tl.float64)
            third = (i >= 2).to(tl.float64)
            v = w + first + 4.0 * second + third - q1 * e1 - s2
            s0 = 1.0 / v
            e0 = -2.0 * first - 2.0 * second - q1
            q0 = e0 * s0
            g0 = w * signal - q1 * g1 - s2 * g2
            tl.store(s + at, s0, mask=live)
            tl.store(q + at, q0, mask=live)
            tl.store(x + at, g0, mask=live)
            e1, q1, s2, s1, g2, g1 = e0, q0, s1, s0, g1, g0
            at, i = at + count, i + 1
        x1, x2 = zero, zero  # of rows i + 1 and i + 2
        for _ in range(T):
            at -= count
            s0 = tl.load(s + at, mask=live, other=0.0)
            q0 = tl.load(q + at, mask=live, other=0.0)
            x0 = (tl.load(x + at, mask=live, other=0.0) - x2) * s0 - q0 * x1
            tl.store(x + at, x0, mask=live)
            x2, x1 = x1, x0
        worst = tl.maximum(worst, tied)
    tl.store(ties + lane, worst, mask=live)
