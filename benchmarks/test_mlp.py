"""Feed-forward part of a transformer block, W_2 GELU(W_1 z): [B, N, D] -> [B, N, D].

    flops  16 B N D^2 (two products of 8 B N D^2); backward twice that
    bytes  forward reads z and 8 D^2 + 5 D parameters, writes 4 B N D; backward reads z, the
           output's gradient and parameters, writes both gradients. The hidden layer, four times as
           wide, is traffic that a fused kernel avoids, so it is no part of the floor.
"""

from __future__ import annotations

import torch

from benchmarks.harness.measure import wide
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import TOLERANCE, WAYS, WAYS_CPU, itemsize, precision, variant
from reference.transformer import MLP

# B, N, D
SHAPES = {"encoder60-B128": (128, 60, 384), "decoder301-B128": (128, 301, 256),
          "encoder301-B256": (256, 301, 384), "encoder60-B16": (16, 60, 384),
          "decoder301-B4": (4, 301, 256)}
CPU_SHAPES = ("encoder60-B16", "decoder301-B4")
PAPER = ("encoder60-B128", "decoder301-B128", "encoder301-B256")
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = WAYS, WAYS_CPU


def work(B: int, N: int, D: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call."""
    parameters, backward = 8 * D**2 + 5 * D, axis == "backward"
    elements = 3 * B * N * D + 2 * parameters if backward else 2 * B * N * D + parameters
    return Work((2 if backward else 1) * 16 * B * N * D**2, itemsize(computed) * elements,
                precision=computed)


def build(D: int) -> MLP:
    """The module on the CPU."""
    torch.manual_seed(0)
    return MLP(D, 4 * D)


def test_mlp(measure, device, shape, implementation, axis):
    B, N, D = SHAPES[shape]
    network, computed = build(D).to(device), precision(implementation)
    exact = wide(network)
    measure(variant(network, implementation), lambda draw: (draw.normal(B, N, D),),
            work(B, N, D, axis, computed), exact, TOLERANCE[computed], differentiable=(0,))
