"""Scaled dot-product attention at the method's token counts: q, k, v [B, H, N, d] -> [B, H, N, d].

    flops  forward 4 B H N^2 d (scores, values); backward 8 B H N^2 d (a fused one recomputes the
           scores: 2 more, not counted)
    exps   B H N^2, in the backward pass again
    bytes  forward reads q, k, v, writes the output: 4 B H N d elements; backward reads these and
           the gradient of the output, writes three gradients: 8 B H N d elements

Encoder while masked: 59 visible patches and the class token. Encoder in stage 2 and decoder: 301.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.harness.roofline import Work

# B, H, N, d
SHAPES = {"encoder60-B128": (128, 6, 60, 64), "decoder301-B128": (128, 8, 301, 32),
          "encoder301-B256": (256, 6, 301, 64), "encoder60-B16": (16, 6, 60, 64),
          "decoder301-B4": (4, 8, 301, 32), "encoder301-B4": (4, 6, 301, 64)}
CPU_SHAPES = ("encoder60-B16", "decoder301-B4", "encoder301-B4")
PAPER = ("encoder60-B128", "decoder301-B128", "encoder301-B256")
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS = ("fused", "explicit", "flash-bf16", "efficient-bf16", "cudnn-bf16")
CPU_IMPLEMENTATIONS = ("fused", "explicit")
BACKENDS = {"flash-bf16": "FLASH_ATTENTION", "efficient-bf16": "EFFICIENT_ATTENTION",
            "cudnn-bf16": "CUDNN_ATTENTION"}


def work(B: int, H: int, N: int, d: int, axis: str, dtype: torch.dtype = torch.float32) -> Work:
    """Counted work of one call."""
    times = 2 if axis == "backward" else 1
    return Work(times * 4 * B * H * N**2 * d, times * 4 * B * H * N * d * dtype.itemsize,
                B * H * N**2, str(dtype).removeprefix("torch."))


def explicit(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The softmax written out."""
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v


def backend(name: str, device: torch.device) -> Callable:
    """Attention by one backend of torch's fused function; skips where it cannot be had."""
    def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        with sdpa_kernel(getattr(SDPBackend, name)):
            return F.scaled_dot_product_attention(q, k, v)

    try:
        attention(*torch.ones(3, 1, 1, 60, 64, dtype=torch.bfloat16, device=device))
    except (AttributeError, RuntimeError) as error:
        pytest.skip(f"no {name}: {str(error).splitlines()[0]}")
    return attention


def test_attention(measure, device, shape, implementation, axis):
    size, half = SHAPES[shape], implementation in BACKENDS
    dtype = torch.bfloat16 if half else torch.float32
    functions = {"fused": F.scaled_dot_product_attention, "explicit": explicit}
    function = (backend(BACKENDS[implementation], device) if half
                else functions[implementation])
    measure(function, lambda draw: tuple(draw.normal(*size, dtype=dtype) for _ in range(3)),
            work(*size, axis, dtype), explicit, 2e-2 if half else 1e-5, differentiable=(0, 1, 2))
