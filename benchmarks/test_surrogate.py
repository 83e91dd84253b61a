"""Fourier surrogate of a training view: x [B, 12, 2500], uniform [B, 1249] -> [B, 12, 2500].

    flops  two real transforms of 2.5 T log2 T each, and 6 a frequency for the rotation
    bytes  read x and the uniform numbers, write the result: 8 B V T + 4 B (T - 1) / 2
           (transform, product and transform back by themselves move three times as much)
"""

from __future__ import annotations

import math

import torch

from benchmarks.harness.measure import Draw
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import compiled
from reference.augmentation import fourier_surrogate

V, T, MAGNITUDE = 12, 2500, 0.1
SHAPES = {"B8": 8, "B64": 64, "B256": 256}
CPU_SHAPES = ("B8", "B64")
PAPER = ("B256",)
IMPLEMENTATIONS = ("ours", "compiled")
CPU_IMPLEMENTATIONS = ("ours",)


def work(B: int) -> Work:
    """Counted work of one call on B records."""
    return Work(B * V * (5 * T * math.log2(T) + 6 * (T // 2 + 1)),
                8 * B * V * T + 4 * B * ((T - 1) // 2))


def surrogate(x: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """With the magnitude of stage 2."""
    return fourier_surrogate(x, MAGNITUDE, uniform)


def explicit(x: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The same by the full complex transform with mirrored phases."""
    half = (T - 1) // 2
    angle = x.new_zeros(len(x), 1, T)
    angle[..., 1:half + 1] = 2 * math.pi * MAGNITUDE * uniform[:, None]
    angle[..., T - half:] = -angle[..., 1:half + 1].flip(-1)
    return torch.fft.ifft(torch.fft.fft(x) * torch.exp(1j * angle)).real


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Records [B, V, T], uniforms [B, (T - 1) / 2]."""
    return draw.normal(B, V, T), draw.uniform(B, (T - 1) // 2)


def test_surrogate(measure, shape, implementation):
    B = SHAPES[shape]
    measure(compiled(surrogate) if implementation == "compiled" else surrogate,
            lambda draw: inputs(B, draw), work(B), explicit, 1e-5)
