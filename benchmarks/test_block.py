"""One transformer block, attention and MLP with their norms: [B, N, D] -> [B, N, D].

    flops  B (24 N D^2 + 4 N^2 D); backward twice that
    bytes  forward reads z and 12 D^2 + 13 D parameters, writes 4 B N D; backward reads z, the
           output's gradient and parameters, writes both gradients. What passes between its parts is
           traffic that one fused kernel would avoid, so it is no part of the floor.
    exps   B H N^2 of the attention, in the backward pass again

`timm` is the block of that package, with the same parameters.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.harness.alternatives import alternative
from benchmarks.harness.counts import blocks
from benchmarks.harness.measure import wide
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import TOLERANCE, WAYS, WAYS_CPU, itemsize, precision, variant
from reference.transformer import Block

# B, N, D, H
SHAPES = {"encoder60-B128": (128, 60, 384, 6), "decoder301-B128": (128, 301, 256, 8),
          "encoder301-B256": (256, 301, 384, 6), "encoder60-B16": (16, 60, 384, 6),
          "decoder301-B4": (4, 301, 256, 8)}
CPU_SHAPES = ("encoder60-B16", "decoder301-B4")
PAPER = ("encoder60-B128", "decoder301-B128", "encoder301-B256")
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = (*WAYS, "timm"), (*WAYS_CPU, "timm")


def work(B: int, N: int, D: int, H: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call."""
    parameters, backward = 12 * D**2 + 13 * D, axis == "backward"
    elements = 3 * B * N * D + 2 * parameters if backward else 2 * B * N * D + parameters
    return Work((2 if backward else 1) * B * blocks(N, D, 1), itemsize(computed) * elements,
                B * H * N**2, computed)


def build(D: int, H: int, implementation: str = "eager") -> nn.Module:
    """The module on the CPU."""
    torch.manual_seed(0)
    ours = Block(D, H)
    if implementation != "timm":
        return variant(ours, implementation)
    theirs = alternative("timm")(D, H)
    theirs.load_state_dict(ours.state_dict())
    return theirs


def test_block(measure, device, shape, implementation, axis):
    B, N, D, H = SHAPES[shape]
    network, exact = build(D, H, implementation).to(device), wide(build(D, H).to(device))
    computed = "float32" if implementation == "timm" else precision(implementation)
    measure(network, lambda draw: (draw.normal(B, N, D),), work(B, N, D, H, axis, computed),
            exact, TOLERANCE[computed], differentiable=(0,))
