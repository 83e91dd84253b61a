"""The whole ECG encoder: [B, 1, 12, 2500] -> tokens [B, 60, 384] if masked, else features [B, 384].

    flops  2 B L P D + B depth (24 N D^2 + 4 N^2 D), N = 60 or 301; backward twice that without the
           signal's gradient
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
from benchmarks.harness.roofline import Work, convolution_precision
from benchmarks.harness.variants import (
    NETWORK,
    NETWORK_CPU,
    TOLERANCE,
    itemsize,
    precision,
    variant,
)
from reference.encoders import ECG_SIZES, ECGEncoder
from reference.masked_modelling import MaskedAutoencoder
from reference.masking import kept_tokens

D, DEPTH, H = ECG_SIZES["tiny"]
RATIO, VECTORS, PARAMETERS = 0.8, 39, 5_480_000
# masked or not, B
SHAPES = {"masked60-B128": (True, 128), "all301-B128": (False, 128), "all301-B256": (False, 256),
          "masked60-B512": (True, 512), "masked60-B4": (True, 4), "all301-B2": (False, 2)}
CPU_SHAPES = ("masked60-B4", "all301-B2")
PAPER = ("masked60-B128", "all301-B256")
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = NETWORK, NETWORK_CPU


class Masked(nn.Module):
    """The encoder of stage 1: (x, noise) -> tokens that stay and the class token."""

    def __init__(self):
        super().__init__()
        whole = MaskedAutoencoder()
        self.whole = whole
        for part in (whole.decoder_embed, whole.decoder_blocks, whole.decoder_norm,
                     whole.decoder_pred):
            part.requires_grad_(False)
        whole.mask_token.requires_grad_(False)

    def forward(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self.whole.encode(x, noise, RATIO)[0]

    def parameters(self, recurse: bool = True):
        """Those that the encoder uses."""
        return (p for p in super().parameters(recurse) if p.requires_grad)


def tokens(masked: bool) -> int:
    """N, with the class token."""
    return 1 + (kept_tokens(counts.PATCHES, RATIO) if masked else counts.PATCHES)


def work(masked: bool, B: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call."""
    N, backward = tokens(masked), axis == "backward"
    embedding, layers = counts.patch_embedding(D), counts.blocks(N, D, DEPTH)
    flops = B * (embedding + 2 * layers if backward else embedding + layers)
    moved = (2 if backward else 1) * (VECTORS * B * N * D * DEPTH + PARAMETERS)
    return Work(flops, itemsize(computed) * moved, B * H * N**2 * DEPTH, computed)


def build(masked: bool) -> nn.Module:
    """The module on the CPU."""
    torch.manual_seed(0)
    return Masked() if masked else ECGEncoder(dim=D, depth=DEPTH, heads=H)


def inputs(masked: bool, B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Signals, and noise of the mask."""
    x = draw.normal(B, 1, 12, 2500)
    return (x, draw.uniform(B, counts.PATCHES)) if masked else (x,)


def test_encoder(measure, device, shape, implementation, axis):
    masked, B = SHAPES[shape]
    network = build(masked).to(device)
    exact = wide(network)
    computed = precision(implementation)
    looser = precision(implementation, convolution_precision(device))  # of the patch embedding
    measure(variant(network, implementation), lambda draw: inputs(masked, B, draw),
            work(masked, B, axis, computed), exact, TOLERANCE[looser])
