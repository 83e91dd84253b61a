"""The CLIP loss in Triton, behind fused.py; importing this file needs Triton.

    lengths    n_i = |z_i|, o_i = z_i . z'_i / (n_i n'_i)                   both sides in one launch
    sums       S_i = sum_j E_ij,  S'_j = sum_i E_ij,                        one launch, one product
               E_ij = exp((z_i . z'_j r_i r'_j - 1) / T),  r = 1 / max(n, 1e-12)
    finish     loss = mean_i (w log S_i + (1 - w) log S'_i + (1 - o_i) / T)
    gradients  P_i = sum_j E_ij (w / S_i + (1 - w) / S'_j) r'_j z'_j - r'_i z'_i,  and likewise P'
               dz_i = (P_i - u_i (u_i . P_i)) r_i / (B T),  u_i = r_i z_i   both sides in one launch

So a forward pass is three launches (four above B 1,024) and a backward pass one. A program owns a
tile of rows i and runs over tiles of j; whatever lies outside B or D is masked, so B and D may be
any numbers. Sums over columns are kept apart by program and added in order, so equal inputs give
equal bits.

Glossary: z z' embeddings of CMR and ECG, r r' their inverse lengths, T temperature, w weight of the
CMR -> ECG direction, B subjects, D embedding width, E exponentials.
Source: fused.py.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
import triton  # type: ignore[import]
import triton.language as tl  # type: ignore[import]
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
FMA = {"enable_fp_fusion": True}  # a product and its sum in one step; Triton will have to be asked
NATIVE = tl.constexpr(not INTERPRETED)  # instructions of the card
LOG2E = tl.constexpr(1.4426950408889634)
SHORTEST = tl.constexpr(1e-12)  # a length below counts as this, as in the plain form
WIDEST = 128  # numbers of an embedding that a program holds at once
PROGRAMS = 256  # of the sums: each keeps B sums over columns
FINISH, TOGETHER = 1024, 8  # columns that a program of the last step adds up, programs at a time
MOST = 2**31  # offsets are 32-bit numbers


class Tiles(NamedTuple):
    """How a kernel cuts its work: rows i, columns j and width d of a tile; warps; stages."""

    rows: int
    columns: int
    width: int
    warps: int
    stages: int


def tiles(B: int, D: int, dtype: torch.dtype) -> Tiles:
    """Small batches get small tiles, so that there are enough programs for a card.

    Args:
        B, D: shape of the embeddings.
        dtype: of the embeddings.
    Returns:
        Tiles.
    Source: none; the largest that fit registers and shared memory of every card from compute
        capability 8.0 on, as the compiler reports them (tests/support/compile_kernels.py).
    """
    width = min(WIDEST, max(16, triton.next_power_of_2(D)))
    if dtype != torch.bfloat16:
        return Tiles(16 if B <= 512 else 32, 64, width, 8, 2)
    if B <= 2048 or D > WIDEST:
        return Tiles(16 if B <= 512 else 32, 64, width, 4, 3)
    return Tiles(64, 64, width, 4, 3) if B <= 8192 else Tiles(128, 128, width, 8, 2)


class Plan(NamedTuple):
    """What both passes share."""

    B: int
    D: int
    sharpness: float  # 1 / T
    weight: float
    options: dict  # of a launch


def plan(z: Tensor, temperature: float, weight: float, precision: str) -> Plan:
    """Tiles and number formats of a launch.

    Args:
        z: [B, D], one of the embeddings.
        temperature, weight, precision: as `fused.clip_loss_fused`.
    Returns:
        Plan.
    Raises:
        ValueError: more numbers than 32-bit offsets reach.
    Source: fused.py.
    """
    B, D = z.shape
    if B * max(D, PROGRAMS) >= MOST:
        raise ValueError(f"embeddings are {B} x {D}; at most {MOST - 1} numbers, and "
                         f"{(MOST - 1) // PROGRAMS} rows, are allowed")
    if z.dtype == torch.float16:  # tf32 has its 11 bits and a wider range
        precision = "tf32"
    rows, columns, width, warps, stages = tiles(B, D, z.dtype)
    # the interpreter multiplies float32 only, which holds every bfloat16
    narrow = z.dtype == torch.bfloat16 and not INTERPRETED
    return Plan(B, D, 1.0 / temperature, float(weight), {
        "ROWS": rows, "COLUMNS": columns, "WIDTH": width, "WHOLE": width >= D,
        "DTYPE": tl.bfloat16 if narrow else tl.float32, "PRECISION": precision,
        "num_warps": warps, "num_stages": stages, **FMA})


def loss_and_weights(cmr: Tensor, ecg: Tensor, plan: Plan) -> tuple[Tensor, ...]:
    """Forward pass.

    Args:
        cmr, ecg: [B, D] contiguous.
        plan: of these embeddings.
    Returns:
        Loss, scalar; lengths n, inverses r, weights w / S and (1 - w) / S', all [2, B], of CMR and
        ECG; all float32.
    Source: fused.py.
    """
    B, D, sharpness, weight, options = plan
    turns = triton.cdiv(triton.cdiv(B, options["ROWS"]), PROGRAMS)
    programs = triton.cdiv(triton.cdiv(B, options["ROWS"]), turns)
    blocks = triton.cdiv(B, FINISH)
    n, r, weights, rows, columns, own, parts = (
        torch.empty(shape, dtype=torch.float32, device=cmr.device)
        for shape in ((2, B), (2, B), (2, B), (B,), (programs, B), (B,), (blocks,)))
    _lengths_kernel[(triton.cdiv(B, 16),)](cmr, ecg, n, r, own, B, D, 16, options["WIDTH"],
                                            **FMA)
    _sums_kernel[(programs,)](cmr, ecg, r, rows, columns, B, D, sharpness, turns, **options)
    _finish_kernel[(blocks,)](rows, columns, own, weights, parts, B, programs, sharpness, weight,
                              FINISH, TOGETHER, num_warps=8, **FMA)
    return parts.sum() if blocks > 1 else parts.reshape(()), n, r, weights


def gradients(cotangent: Tensor, cmr: Tensor, ecg: Tensor, n: Tensor, r: Tensor, weights: Tensor,
              plan: Plan) -> tuple[Tensor, Tensor]:
    """Backward pass.

    Args:
        cotangent: scalar float32, of the loss.
        cmr, ecg: [B, D] contiguous.
        n, r, weights: as `loss_and_weights` returns them.
        plan: of these embeddings.
    Returns:
        Gradients by both embeddings, [B, D] in their dtype.
    Source: fused.py.
    """
    B, D, sharpness, _, options = plan
    # the interpreter cuts off what does not fit a narrow number, where a card rounds
    dtype = torch.float32 if INTERPRETED else cmr.dtype
    by_cmr, by_ecg = (torch.empty_like(z, dtype=dtype) for z in (cmr, ecg))
    grid = triton.cdiv(B, options["ROWS"]), 2, triton.cdiv(D, options["WIDTH"])
    _gradients_kernel[grid](cmr, ecg, n, r, weights, cotangent, by_cmr, by_ecg, B, D, sharpness,
                            **options)
    return by_cmr.to(cmr.dtype), by_ecg.to(cmr.dtype)


@triton.jit
def _lengths_kernel(cmr, ecg, n, r, own, B, D, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    one, two, both = tl.zeros([ROWS], tl.float32), tl.zeros([ROWS], tl.float32), \
        tl.zeros([ROWS], tl.float32)
    for start in range(0, D, WIDTH):
        u = _tile(cmr, i, start + tl.arange(0, WIDTH), B, D).to(tl.float32)
        v = _tile(ecg, i, start + tl.arange(0, WIDTH), B, D).to(tl.float32)
        one += tl.sum(u * u, axis=1)
        two += tl.sum(v * v, axis=1)
        both += tl.sum(u * v, axis=1)
    one, two = tl.sqrt_rn(one), tl.sqrt_rn(two)
    by_one = tl.div_rn(1.0, tl.maximum(one, SHORTEST))
    by_two = tl.div_rn(1.0, tl.maximum(two, SHORTEST))
    tl.store(n + i, one, mask=i < B)
    tl.store(n + B + i, two, mask=i < B)
    tl.store(r + i, by_one, mask=i < B)
    tl.store(r + B + i, by_two, mask=i < B)
    tl.store(own + i, both * by_one * by_two, mask=i < B)


@triton.jit
def _sums_kernel(cmr, ecg, r, rows, columns, B, D, sharpness, turns, ROWS: tl.constexpr,
                 COLUMNS: tl.constexpr, WIDTH: tl.constexpr, WHOLE: tl.constexpr,
                 DTYPE: tl.constexpr, PRECISION: tl.constexpr):
    for turn in range(turns):
        i = (tl.program_id(0) * turns + turn) * ROWS + tl.arange(0, ROWS)
        scale = tl.load(r + i, mask=i < B, other=1.0) * sharpness * LOG2E
        shift = tl.where(i < B, sharpness * LOG2E, float("inf"))  # rows outside: E = 0
        here = _tile(cmr, i, tl.arange(0, WIDTH), B, D).to(DTYPE)
        total = tl.zeros([ROWS], dtype=tl.float32)
        for start in range(0, B, COLUMNS):
            j = start + tl.arange(0, COLUMNS)
            product, _ = _product(here, cmr, ecg, i, j, B, D, WIDTH, WHOLE, DTYPE, PRECISION)
            s = tl.load(r + B + j, mask=j < B, other=0.0)
            outside = tl.where(j < B, 0.0, float("-inf"))  # columns outside: E = 0
            E = _exp2((product * s[None, :] + outside[None, :]) * scale[:, None] - shift[:, None])
            total += tl.sum(E, axis=1)
            at = columns + tl.program_id(0) * B + j
            column = tl.sum(E, axis=0)
            if turn > 0:
                column += tl.load(at, mask=j < B, other=0.0)
            tl.store(at, column, mask=j < B)
        tl.store(rows + i, total, mask=i < B)


@triton.jit
def _finish_kernel(rows, columns, own, weights, parts, B, programs, sharpness, weight,
                   COLUMNS: tl.constexpr, TOGETHER: tl.constexpr):
    j = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    sums = tl.zeros([TOGETHER, COLUMNS], dtype=tl.float32)
    for start in range(0, programs, TOGETHER):
        program = start + tl.arange(0, TOGETHER)
        sums += tl.load(columns + program[:, None] * B + j[None, :],
                        mask=(program[:, None] < programs) & (j[None, :] < B), other=0.0)
    column = tl.where(j < B, tl.sum(sums, axis=0), 1.0)
    row = tl.load(rows + j, mask=j < B, other=1.0)
    tl.store(weights + j, weight / row, mask=j < B)
    tl.store(weights + B + j, (1.0 - weight) / column, mask=j < B)
    cosine = tl.load(own + j, mask=j < B, other=1.0)
    term = weight * tl.log(row) + (1.0 - weight) * tl.log(column) + (1.0 - cosine) * sharpness
    tl.store(parts + tl.program_id(0), tl.sum(tl.where(j < B, term, 0.0)) / B)


@triton.jit
def _gradients_kernel(cmr, ecg, n, r, weights, cotangent, by_cmr, by_ecg, B, D, sharpness,
                      ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr,
                      WHOLE: tl.constexpr, DTYPE: tl.constexpr, PRECISION: tl.constexpr):
    if tl.program_id(1) == 0:
        z, other, by, here_at, there_at = cmr, ecg, by_cmr, 0, B
    else:
        z, other, by, here_at, there_at = ecg, cmr, by_ecg, B, 0
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    d = tl.program_id(2) * WIDTH + tl.arange(0, WIDTH)  # which part of the gradients
    inverse = tl.load(r + here_at + i, mask=i < B, other=0.0)
    a = tl.load(weights + here_at + i, mask=i < B, other=0.0)
    shift = sharpness * LOG2E
    scale = inverse * shift
    here = _tile(z, i, tl.arange(0, WIDTH), B, D).to(DTYPE)
    total = tl.zeros([ROWS, WIDTH], dtype=tl.float32)
    along = tl.zeros([ROWS], dtype=tl.float32)  # z_i . P_i
    for start in range(0, B, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        product, there = _product(here, z, other, i, j, B, D, WIDTH, WHOLE, DTYPE, PRECISION)
        if not WHOLE:
            there = _tile(other, j, d, B, D).to(DTYPE)
        s = tl.load(r + there_at + j, mask=j < B, other=0.0)  # columns outside: G = 0
        b = tl.load(weights + there_at + j, mask=j < B, other=0.0) * s
        E = _exp2(product * s[None, :] * scale[:, None] - shift)
        G = E * (a[:, None] * s[None, :] + b[None, :])
        if not WHOLE:
            along += tl.sum(G * product, axis=1)
        total += tl.dot(G.to(DTYPE), there, input_precision=PRECISION)
    one = _tile(z, i, d, B, D).to(tl.float32) * inverse[:, None]
    s = tl.load(r + there_at + i, mask=i < B, other=0.0)
    total -= _tile(other, i, d, B, D).to(tl.float32) * s[:, None]
    if WHOLE:
        along = tl.sum(total * one, axis=1)
    else:
        along = (along - _own(z, other, i, B, D, WIDTH) * s) * inverse
    length = tl.load(n + here_at + i, mask=i < B, other=0.0)
    inward = tl.where(length > SHORTEST, tl.load(cotangent) * sharpness * inverse / B, 0.0)
    found = (total - one * along[:, None]) * inward[:, None]
    at, inside = by + i[:, None] * D + d[None, :], (i[:, None] < B) & (d[None, :] < D)
    tl.store(at, found.to(by.dtype.element_ty), mask=inside)


@triton.jit
def _tile(z, i, d, B, D):
    return tl.load(z + i[:, None] * D + d[None, :], mask=(i[:, None] < B) & (d[None, :] < D),
                   other=0.0)


@triton.jit
def _exp2(x):
    if NATIVE:  # results below 2^-126, which none is that counts, become 0
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x],
                                         dtype=tl.float32, is_pure=True, pack=1)
    return tl.exp2(x)


@triton.jit
def _product(here, one, two, i, j, B, D, WIDTH: tl.constexpr, WHOLE: tl.constexpr,
             DTYPE: tl.constexpr, PRECISION: tl.constexpr):
    """z_i . z'_j from the first width of z_i, which is at hand; also the first width of z'_j."""
    there = _tile(two, j, tl.arange(0, WIDTH), B, D).to(DTYPE)
    product = tl.dot(here, tl.trans(there), input_precision=PRECISION)
    if not WHOLE:
        for start in range(WIDTH, D, WIDTH):
            d = start + tl.arange(0, WIDTH)
            more, beside = _tile(one, i, d, B, D).to(DTYPE), _tile(two, j, d, B, D).to(DTYPE)
            product += tl.dot(more, tl.trans(beside), input_precision=PRECISION)
    return product, there


@triton.jit
def _own(one, two, i, B, D, WIDTH: tl.constexpr):
    """z_i . z'_i."""
    total = tl.sum(_tile(one, i, tl.arange(0, WIDTH), B, D).to(tl.float32)
                   * _tile(two, i, tl.arange(0, WIDTH), B, D).to(tl.float32), axis=1)
    for start in range(WIDTH, D, WIDTH):
        total += tl.sum(_tile(one, i, start + tl.arange(0, WIDTH), B, D).to(tl.float32)
                        * _tile(two, i, start + tl.arange(0, WIDTH), B, D).to(tl.float32), axis=1)
    return total
