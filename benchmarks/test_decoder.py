"""The decoder of stage 1: tokens [B, 60, 384] and where they belong -> patches [B, 300, 100].

    flops  B (2 (K + 1) D D' + depth (24 N D'^2 + 4 N^2 D') + 2 N D' P), N = 301; backward twice
    bytes  a model, not a minimum: 39 reads or writes of a token's width a layer (`counts`), and
           parameters read once; backward twice that
    exps   B H N^2 a layer
"""

from __future__ import annotations

import torch

from benchmarks.harness import counts
from benchmarks.harness.measure import Draw, wide
from benchmarks.harness.networks import MDM_SIZE, RATIO, D, Half, K
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import TOLERANCE, WAYS, WAYS_CPU, itemsize, precision, variant
from reference.masking import Mask, random_mask

WIDTH, DEPTH, H = MDM_SIZE[3:]
N, PARAMETERS = counts.PATCHES + 1, 1_700_000
SHAPES = {"B4": 4, "B32": 32, "B128": 128, "B256": 256, "B512": 512}
CPU_SHAPES = ("B4",)
PAPER = ("B128",)
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = WAYS, WAYS_CPU


class Decoder(Half):
    """(tokens, keep, restore, mask) -> patches."""

    def forward(self, latent: torch.Tensor, *mask: torch.Tensor) -> torch.Tensor:
        return self.whole.decode(latent, Mask(*mask))


def work(B: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call."""
    flops = 2 * (K + 1) * D * WIDTH + counts.blocks(N, WIDTH, DEPTH) + 2 * N * WIDTH * counts.PATCH
    moved = B * counts.block_traffic(N, WIDTH, DEPTH) + PARAMETERS
    times = 2 if axis == "backward" else 1
    return Work(times * B * flops, times * itemsize(computed) * moved, B * H * N**2 * DEPTH,
                computed)


def build() -> Decoder:
    """The module on the CPU."""
    torch.manual_seed(0)
    return Decoder(decoder=True)


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Encoded tokens and a random mask."""
    return draw.normal(B, K + 1, D), *random_mask(draw.uniform(B, counts.PATCHES), RATIO)


def test_decoder(measure, device, shape, implementation, axis):
    network, B, computed = build().to(device), SHAPES[shape], precision(implementation)
    exact = wide(network)
    measure(variant(network, implementation), lambda draw: inputs(B, draw),
            work(B, axis, computed), exact, TOLERANCE[computed], differentiable=(0,))
