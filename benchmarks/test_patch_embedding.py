"""Patch embedding of a 12-lead ECG: [B, 1, 12, 2500] -> [B, 300, 384].

    flops  2 B L P D; backward the same, for the signal needs no gradient
    bytes  forward reads signal 4 B L P and parameters 4 (P + 1) D, writes 4 B L D; backward reads
           the output's gradient and the signal, writes the parameters' gradient

`product` is the same map as patches times a matrix, `timm` the module of that package.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.harness.alternatives import alternative
from benchmarks.harness.measure import wide
from benchmarks.harness.roofline import Work, convolution_precision
from benchmarks.harness.variants import TOLERANCE, itemsize, precision, variant
from reference.masked_modelling import patchify
from reference.transformer import PatchEmbedding

V, T, P, D = 12, 2500, 100, 384
L = V * T // P
SHAPES = {"B4": 4, "B32": 32, "B128": 128, "B256": 256, "B1024": 1024}
CPU_SHAPES = ("B4", "B32")
PAPER = ("B128",)
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS = ("eager", "product", "compiled", "bfloat16", "timm")
CPU_IMPLEMENTATIONS = ("eager", "product", "timm")


class Product(nn.Module):
    """Patches [B, L, P] times the convolution's kernel as a matrix."""

    def __init__(self, embedding: PatchEmbedding):
        super().__init__()
        self.proj = embedding.proj

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(patchify(x, (1, P)), self.proj.weight.flatten(1),
                                    self.proj.bias)


def work(B: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call on B records."""
    return Work(2 * B * L * P * D, itemsize(computed) * (B * L * (P + D) + (P + 1) * D),
                precision=computed)


def build(implementation: str) -> nn.Module:
    """The module on the CPU."""
    torch.manual_seed(0)
    ours = PatchEmbedding((1, V, T), (1, P), D)
    if implementation == "timm":
        theirs = alternative("timm patches")((V, T), (1, P), D)
        theirs.load_state_dict(ours.state_dict())
        return theirs
    return Product(ours) if implementation == "product" else variant(ours, implementation)


def test_patch_embedding(measure, device, shape, implementation, axis):
    network, B = build(implementation).to(device), SHAPES[shape]
    exact = wide(build("eager").to(device))
    convolved = "float32" if implementation == "product" else convolution_precision(device)
    computed = precision(implementation, convolved)
    measure(network, lambda draw: (draw.normal(B, 1, V, T),), work(B, axis, computed), exact,
            TOLERANCE[computed])
