"""Jitter and rescaling of a training view: x [B, 12, 2500] and normal noise -> [B, 12, 2500].

    flops  4 an element: 0.6 sigma times x, times n, plus x, times the record's factor; 2 a record
    bytes  read x and its noise, write the result: 12 B V T, and 4 B of record noise
"""

from __future__ import annotations

import torch

from benchmarks.harness.measure import Draw
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import compiled
from reference.augmentation import jitter, rescale

V, T, JITTER, RESCALE = 12, 2500, 0.25, 0.5
SHAPES = {"B8": 8, "B64": 64, "B256": 256, "B1024": 1024}
CPU_SHAPES = ("B8", "B64", "B256")
PAPER = ("B256",)
IMPLEMENTATIONS = ("ours", "compiled")
CPU_IMPLEMENTATIONS = ("ours",)


def work(B: int) -> Work:
    """Counted work of one call on B records."""
    return Work(4 * B * V * T + 2 * B, 12 * B * V * T + 4 * B)


def jitter_rescale(x: torch.Tensor, sample: torch.Tensor, record: torch.Tensor) -> torch.Tensor:
    """Both, as a training view has them."""
    return rescale(jitter(x, JITTER, sample), RESCALE, record)


def explicit(x: torch.Tensor, sample: torch.Tensor, record: torch.Tensor) -> torch.Tensor:
    """The same as one product."""
    return x * (1 + 0.6 * JITTER * sample) * (1 + RESCALE * record.reshape(-1, 1, 1))


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Records, noise of every sample, noise of every record."""
    return draw.normal(B, V, T), draw.normal(B, V, T), draw.normal(B)


def test_jitter_rescale(measure, shape, implementation):
    B = SHAPES[shape]
    measure(compiled(jitter_rescale) if implementation == "compiled" else jitter_rescale,
            lambda draw: inputs(B, draw), work(B), explicit, 1e-6)
