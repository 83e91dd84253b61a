"""The loss of stage 1 in Triton, behind fused.py; importing this file needs Triton.

    errors  of lead i: means m m', variances v v' (each + 1e-12), c = sum_t x_0 y_0 / (T - 1),
            loss = sum_i ((1 - w) a sum_t (y - x)^2 + w / N (1 - c / sqrt(v v')))
    slopes  d loss / d y_t = (1 - w) 2 a (y - x)
                             - w / N (x_0 / sqrt(v v') - c y_0 / (v' sqrt(v v'))) / (T - 1)

A program owns a lead in the forward pass, a part of one in the backward pass; each pass reads input
and prediction from memory once.

Glossary: x input and y prediction of a lead, x_0 y_0 the same without their means, T samples,
N leads of all records, w weight of the correlation, a = 1 / (P (L + 1e-5)) for L patches of P
samples.
Source: fused.py.
"""

from __future__ import annotations

import os

import torch
import triton  # type: ignore[import]
import triton.language as tl  # type: ignore[import]
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
FMA = {"enable_fp_fusion": True}  # a product and its sum in one step; Triton will have to be asked
SAMPLES = 1024  # of a lead that a program holds at once


def errors(x: Tensor, y: Tensor, weight: float, scale: float) -> tuple[Tensor, Tensor]:
    """Forward pass of the reconstruction loss.

    Args:
        x, y: [leads, T] contiguous, input and prediction.
        weight: w of the correlation.
        scale: a, of the squared error.
    Returns:
        Loss, scalar, and what the backward pass needs of each lead, [leads, 4]; both float32.
    Source: fused.py.
    """
    N, T = x.shape
    parts, kept = (torch.empty(shape, dtype=torch.float32, device=x.device)
                   for shape in ((N,), (N, 4)))
    _errors_kernel[(N,)](x, y, parts, kept, N, T, float(weight), scale, SAMPLES, **FMA)
    return parts.sum(), kept


def slopes(cotangent: Tensor, x: Tensor, y: Tensor, kept: Tensor, weight: float,
           scale: float) -> Tensor:
    """Backward pass of the reconstruction loss.

    Args:
        cotangent: scalar float32, of the loss.
        x, y, weight, scale: as above.
        kept: as `errors` returns it.
    Returns:
        Gradient by y, [leads, T] in its dtype.
    Source: fused.py.
    """
    N, T = x.shape
    by = torch.empty_like(y, dtype=torch.float32 if INTERPRETED else y.dtype)
    grid = N, triton.cdiv(T, SAMPLES)
    _slopes_kernel[grid](x, y, kept, cotangent, by, N, T, float(weight), scale, SAMPLES, **FMA)
    return by.to(y.dtype)


@triton.jit
def _errors_kernel(x, y, parts, kept, N, T, weight, scale, SAMPLES: tl.constexpr):
    lead = tl.program_id(0).to(tl.int64)
    x_sum, y_sum = tl.zeros([SAMPLES], tl.float32), tl.zeros([SAMPLES], tl.float32)
    for start in range(0, T, SAMPLES):
        t = start + tl.arange(0, SAMPLES)
        x_sum += tl.load(x + lead * T + t, mask=t < T, other=0.0).to(tl.float32)
        y_sum += tl.load(y + lead * T + t, mask=t < T, other=0.0).to(tl.float32)
    m, m2 = tl.sum(x_sum) / T, tl.sum(y_sum) / T
    xx, yy, xy, squares = tl.zeros([SAMPLES], tl.float32), tl.zeros([SAMPLES], tl.float32), \
        tl.zeros([SAMPLES], tl.float32), tl.zeros([SAMPLES], tl.float32)
    for start in range(0, T, SAMPLES):  # from the cache
        t = start + tl.arange(0, SAMPLES)
        a = tl.load(x + lead * T + t, mask=t < T, other=0.0).to(tl.float32)
        b = tl.load(y + lead * T + t, mask=t < T, other=0.0).to(tl.float32)
        squares += (b - a) * (b - a)
        a, b = tl.where(t < T, a - m, 0.0), tl.where(t < T, b - m2, 0.0)
        xx += a * a
        yy += b * b
        xy += a * b
    n = T - 1.0
    v, v2, c = tl.sum(xx) / n + 1e-12, tl.sum(yy) / n + 1e-12, tl.sum(xy) / n
    inverse = 1.0 / (tl.sqrt_rn(v) * tl.sqrt_rn(v2))
    tl.store(parts + lead, (1.0 - weight) * scale * tl.sum(squares)
             + weight * (1.0 - c * inverse) / N)
    tl.store(kept + 4 * lead, m)
    tl.store(kept + 4 * lead + 1, m2)
    tl.store(kept + 4 * lead + 2, inverse / n)
    tl.store(kept + 4 * lead + 3, c * inverse / v2 / n)


@triton.jit
def _slopes_kernel(x, y, kept, cotangent, by, N, T, weight, scale, SAMPLES: tl.constexpr):
    lead = tl.program_id(0).to(tl.int64)
    t = tl.program_id(1) * SAMPLES + tl.arange(0, SAMPLES)
    a = tl.load(x + lead * T + t, mask=t < T, other=0.0).to(tl.float32)
    b = tl.load(y + lead * T + t, mask=t < T, other=0.0).to(tl.float32)
    m, m2 = tl.load(kept + 4 * lead), tl.load(kept + 4 * lead + 1)
    along, across = tl.load(kept + 4 * lead + 2), tl.load(kept + 4 * lead + 3)
    slope = 2.0 * (1.0 - weight) * scale * (b - a) \
        - weight / N * ((a - m) * along - (b - m2) * across)
    slope *= tl.load(cotangent)
    tl.store(by + lead * T + t, slope.to(by.dtype.element_ty), mask=t < T)
