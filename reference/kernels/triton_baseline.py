"""Baselines in Triton, behind fused.py; importing this file needs Triton.

    rows  v_i = d_i - s_{i-1} e_{i-1}^2 - s_{i-2},  s = 1 / v,  e_i = f_i - q_{i-1},  q = e s
          g_i = w_i y_i / lam - q_{i-1} g_{i-1} - s_{i-2} g_{i-2}
          x_i = s_i (g_i - x_{i+2}) - q_i x_{i+1}

A program owns a block of lanes, one thread each; scratch is [T, lanes], so neighbours read
neighbours, and what a row needs is read AHEAD rows before, for memory takes longer than a row.

Glossary: T samples, d f diagonals of W / lam + D'D, w weights, y signal, x baseline.
Source: fused.py.
"""

# The language of the kernels has no unpacking, and its tuples grow:
# ruff: noqa: RUF005
# mypy: disable-error-code="assignment,var-annotated"

from __future__ import annotations

import os

import torch
import triton  # type: ignore[import]
import triton.language as tl  # type: ignore[import]
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
FMA = {"enable_fp_fusion": True}  # a product and its sum in one step; Triton will have to be asked
NATIVE = tl.constexpr(not INTERPRETED)  # instructions of the card
LANES = 32  # lanes of a program: one warp
AHEAD = 8  # rows between reading and use
LANES_AT_ONCE = 2**16  # 10.5 GB at 5,000 samples
MOST = 2**31  # offsets are 32-bit numbers


def least_squares(lanes: Tensor, lam: float, p: float, iterations: int) -> Tensor:
    """Baseline of [lanes, T] float64: [lanes, T] float64.

    Source: fused.py.
    """
    found = torch.empty_like(lanes)
    most = min(LANES_AT_ONCE, max(1, (MOST - 1) // (lanes.shape[1] + 2 * AHEAD)))
    for start in range(0, len(lanes), most):
        part = slice(start, start + most)
        found[part] = _least_squares(lanes[part], lam, p, iterations)
    return found


def _least_squares(lanes: Tensor, lam: float, p: float, iterations: int) -> Tensor:
    count, T = lanes.shape
    y = lanes.T.contiguous()  # [T, lanes]
    x, s, q = torch.empty_like(y), torch.empty_like(y), torch.empty_like(y)
    # the scalars in memory: a Python number would reach the kernel in float32
    numbers = torch.empty(2, dtype=torch.float64, device=y.device)
    numbers[0].fill_(1.0 / lam)
    numbers[1].fill_(p)
    ties = torch.zeros(count, dtype=torch.int32, device=y.device)
    _rows_kernel[(triton.cdiv(count, LANES),)](y, x, s, q, numbers, ties, T, count, iterations,
                                               LANES, AHEAD, num_warps=1, **FMA)
    own = (ties > T - 2) | (y == y[0]).all(dim=0)  # singular: the signal is its own baseline
    return torch.where(own, y, x).T


@triton.jit
def _rows_kernel(y, x, s, q, numbers, ties, T, count, iterations, LANES: tl.constexpr,
                 AHEAD: tl.constexpr):
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    live = lane < count
    inverse_lam, p = tl.load(numbers), tl.load(numbers + 1)
    zero, none = tl.zeros([LANES], dtype=tl.float64), tl.zeros([LANES], dtype=tl.int32)
    worst = none
    for iteration in range(iterations):
        later = live & (none + iteration > 0)  # the first time there is no baseline yet
        tied = _factor(y, x, s, q, lane, live, later, inverse_lam, p, T, count, zero, none, AHEAD)
        _substitute(x, s, q, lane, live, T, count, zero, none, AHEAD)
        worst = tl.maximum(worst, tied)
    tl.store(ties + lane, worst, mask=live)


@triton.jit
def _factor(y, x, s, q, lane, live, later, inverse_lam, p, T, count, zero, none,
            AHEAD: tl.constexpr):
    """s, q and, in place of x, g of all rows; returns the number of ties y = x."""
    signals, olds = (), ()
    for k in tl.static_range(AHEAD):
        signals = signals + (_row(y, lane, none + k, T, count, live),)
        olds = olds + (_row(x, lane, none + k, T, count, later),)
    tied = none
    e1, q1, s1, s2, g1, g2 = zero, zero, zero, zero, zero, zero  # of rows i - 1 and i - 2
    for block in range(tl.cdiv(T, AHEAD)):
        next_signals, next_olds = (), ()
        for k in tl.static_range(AHEAD):
            i = none + block * AHEAD + k
            signal, old = signals[k], olds[k]
            next_signals = next_signals + (_row(y, lane, i + AHEAD, T, count, live),)
            next_olds = next_olds + (_row(x, lane, i + AHEAD, T, count, later),)
            w = tl.where(signal > old, p, tl.where(signal < old, 1.0 - p, signal - old))
            w = tl.where(later, w, 1.0) * inverse_lam
            tied += (later & (signal == old) & (i < T)).to(tl.int32)
            # D'D: diagonal 1 5 6 .. 6 5 1, beside it -2 -4 .. -4 -2 0
            first, third = (i < T - 2).to(tl.int32), (i >= 2).to(tl.int32)
            second = ((i >= 1) & (i < T - 1)).to(tl.int32)
            v = w + (first + 4 * second + third).to(tl.float64) - s2 - e1 * e1 * s1
            s0 = _inverse(v)
            e0 = (-2 * first - 2 * second).to(tl.float64) - q1
            q0 = e0 * s0
            g0 = w * signal - q1 * g1 - s2 * g2
            at, inside = lane + i * count, live & (i < T)
            tl.store(s + at, s0, mask=inside)
            tl.store(q + at, q0, mask=inside)
            tl.store(x + at, g0, mask=inside)
            e1, q1, s2, s1, g2, g1 = e0, q0, s1, s0, g1, g0
        signals, olds = next_signals, next_olds
    return tied


@triton.jit
def _substitute(x, s, q, lane, live, T, count, zero, none, AHEAD: tl.constexpr):
    """x of all rows, from the last to the first, in place of g."""
    blocks = tl.cdiv(T, AHEAD)
    factors, slopes, sides = (), (), ()
    for k in tl.static_range(AHEAD):
        i = none + blocks * AHEAD - 1 - k
        factors = factors + (_row(s, lane, i, T, count, live),)
        slopes = slopes + (_row(q, lane, i, T, count, live),)
        sides = sides + (_row(x, lane, i, T, count, live),)
    x1, x2 = zero, zero  # of rows i + 1 and i + 2
    for block in range(blocks):
        next_factors, next_slopes, next_sides = (), (), ()
        for k in tl.static_range(AHEAD):
            i = none + (blocks - block) * AHEAD - 1 - k
            x0 = (sides[k] - x2) * factors[k] - slopes[k] * x1  # 0 outside
            next_factors = next_factors + (_row(s, lane, i - AHEAD, T, count, live),)
            next_slopes = next_slopes + (_row(q, lane, i - AHEAD, T, count, live),)
            next_sides = next_sides + (_row(x, lane, i - AHEAD, T, count, live),)
            tl.store(x + lane + i * count, x0, mask=live & (i < T))
            x2, x1 = x1, x0
        factors, slopes, sides = next_factors, next_slopes, next_sides


@triton.jit
def _row(numbers, lane, i, T, count, live):
    return tl.load(numbers + lane + i * count, mask=live & (i >= 0) & (i < T),
                   other=0.0)


@triton.jit
def _inverse(v):
    if NATIVE:
        return tl.inline_asm_elementwise("rcp.rn.f64 $0, $1;", "=d,d", [v], dtype=tl.float64,
                                         is_pure=True, pack=1)
    return 1.0 / v
