"""The whole ECG encoder: [B, 1, 12, 2500] -> tokens [B, 60, 384] if masked, else features [B, 384].

    flops  2 B L P D + B depth (24 N D^2 + 4 N^2 D), N = 60 or 301; backward twice that without the
           signal's gradient
    bytes  a model, not a minimum: 39 reads or writes of a token's width a layer (`counts`), and
           parameters read once; backward twice that
    exps   B H N^2 a layer
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.harness import counts
from benchmarks.harness.measure import Draw, wide
from benchmarks.harness.networks import DEPTH, RATIO, D, H, Half, K, ecg_encoder
from benchmarks.harness.roofline import Work, convolution_precision
from benchmarks.harness.variants import TOLERANCE, WAYS, WAYS_CPU, itemsize, precision, variant

PARAMETERS = 5_480_000
# masked or not, B
SHAPES = {"masked60-B128": (True, 128), "all301-B128": (False, 128), "all301-B256": (False, 256),
          "masked60-B512": (True, 512), "masked60-B4": (True, 4), "all301-B2": (False, 2)}
CPU_SHAPES = ("masked60-B4", "all301-B2")
PAPER = ("masked60-B128", "all301-B256")
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = WAYS, WAYS_CPU


class Masked(Half):
    """The encoder of stage 1: (x, noise) -> tokens that stay and the class token."""

    def forward(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self.whole.encode(x, noise, RATIO)[0]


def tokens(masked: bool) -> int:
    """N, with the class token."""
    return 1 + (K if masked else counts.PATCHES)


def work(masked: bool, B: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call."""
    N, backward = tokens(masked), axis == "backward"
    embedding, layers = counts.patch_embedding(D), counts.blocks(N, D, DEPTH)
    flops = B * (embedding + 2 * layers if backward else embedding + layers)
    moved = (2 if backward else 1) * (B * counts.block_traffic(N, D, DEPTH) + PARAMETERS)
    return Work(flops, itemsize(computed) * moved, B * H * N**2 * DEPTH, computed)


def build(masked: bool) -> nn.Module:
    """The module on the CPU."""
    torch.manual_seed(0)
    return Masked(decoder=False) if masked else ecg_encoder()


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
