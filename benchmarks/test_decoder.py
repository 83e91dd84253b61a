"""The decoder of stage 1: tokens [B, 60, 384] and where they belong -> patches [B, 300, 100].

    flops  B (2 (K + 1) D D' + depth (24 N D'^2 + 4 N^2 D') + 2 N D' P), N = 301; backward twice
    bytes  a model, not a minimum: 39 reads or writes of a token's width a layer in the forward
           pass, 78 in the backward pass, pointwise work fused, and parameters once (forward) or
           read and their gradients written (backward)
    exps   B H N^2 a layer
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.harness import counts
from benchmarks.harness.measure import Draw, wide
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import (
    NETWORK,
    NETWORK_CPU,
    TOLERANCE,
    itemsize,
    precision,
    variant,
)
from reference.masked_modelling import MDM_SIZES, MaskedAutoencoder
from reference.masking import Mask, kept_tokens, random_mask

D, _, _, WIDTH, DEPTH, H = MDM_SIZES["tiny"]
RATIO, VECTORS, PARAMETERS = 0.8, 39, 1_700_000
N, K = counts.PATCHES + 1, kept_tokens(counts.PATCHES, RATIO)
SHAPES = {"B4": 4, "B32": 32, "B128": 128, "B256": 256, "B512": 512}
CPU_SHAPES = ("B4",)
PAPER = ("B128",)
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = NETWORK, NETWORK_CPU


class Decoder(nn.Module):
    """(tokens, keep, restore, mask) -> patches."""

    def __init__(self):
        super().__init__()
        self.whole = MaskedAutoencoder()
        self.whole.requires_grad_(False)
        used = (self.whole.decoder_embed, self.whole.decoder_blocks, self.whole.decoder_norm,
                self.whole.decoder_pred)
        for part in used:
            part.requires_grad_(True)
        self.whole.mask_token.requires_grad_(True)

    def forward(self, latent: torch.Tensor, *mask: torch.Tensor) -> torch.Tensor:
        return self.whole.decode(latent, Mask(*mask))

    def parameters(self, recurse: bool = True):
        """Those that the decoder uses."""
        return (p for p in super().parameters(recurse) if p.requires_grad)


def work(B: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call."""
    flops = 2 * (K + 1) * D * WIDTH + counts.blocks(N, WIDTH, DEPTH) + 2 * N * WIDTH * counts.PATCH
    moved = VECTORS * B * N * WIDTH * DEPTH + PARAMETERS
    times = 2 if axis == "backward" else 1
    return Work(times * B * flops, times * itemsize(computed) * moved, B * H * N**2 * DEPTH,
                computed)


def build() -> Decoder:
    """The module on the CPU."""
    torch.manual_seed(0)
    return Decoder()


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Encoded tokens and a random mask."""
    return draw.normal(B, K + 1, D), *random_mask(draw.uniform(B, counts.PATCHES), RATIO)


def test_decoder(measure, device, shape, implementation, axis):
    network, B, computed = build().to(device), SHAPES[shape], precision(implementation)
    exact = wide(network)
    measure(variant(network, implementation), lambda draw: inputs(B, draw),
            work(B, axis, computed), exact, TOLERANCE[computed], differentiable=(0,))
