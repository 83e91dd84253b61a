"""One epoch of a linear probe by gradient descent: N records in batches of 256 -> last loss.

A linear layer from 384 features to 61 phenotypes, squared error, AdamW. `features` were computed
before; with `signals` the frozen encoder runs on every batch. The closed form is test_ridge.py.

    flops  4 N D C (product and gradient of the layer), and N encoder passes with `signals`
    bytes  read features or signals and targets once, and 28 bytes a parameter of the layer at each
           step; the encoder's traffic as in test_encoder.py

Checked over two epochs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.harness import counts
from benchmarks.harness.measure import Draw, wide
from benchmarks.harness.networks import DEPTH, D, H, ecg_encoder
from benchmarks.harness.roofline import Work, convolution_precision
from benchmarks.harness.variants import TOLERANCE, itemsize, precision, variant

BATCH, C, RATE = 256, 61, 1e-3
SIGNAL = 12 * 2500
# what comes in, N
SHAPES = {"features-N1024": ("features", 1024), "features-N28030": ("features", 28030),
          "signals-N8": ("signals", 8), "signals-N1024": ("signals", 1024)}
CPU_SHAPES = ("features-N1024", "signals-N8")
PAPER = ("features-N28030",)
AXES = ("step",)
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = ("eager", "bfloat16", "compiled"), ("eager",)


def work(kind: str, N: int, computed: str = "float32") -> Work:
    """Counted work of one epoch."""
    flops, steps = 4 * N * D * C, -(-N // BATCH)
    moved = 4 * N * (C + (D if kind == "features" else SIGNAL))
    moved += steps * counts.ADAM_BYTES * (D + 1) * C
    if kind == "signals":
        flops += N * counts.encoder(D, DEPTH)
        moved += itemsize(computed) * N * counts.block_traffic(counts.PATCHES + 1, D, DEPTH)
    exps = N * H * (counts.PATCHES + 1) ** 2 * DEPTH if kind == "signals" else 0
    return Work(flops, moved, exps, computed)


def epoch(layer: nn.Linear, encoder: Callable, device: torch.device) -> Callable:
    """A callable (x, y) -> loss of the last batch, that trains the layer for an epoch a call."""
    cuda = device.type == "cuda"
    optimiser = torch.optim.AdamW(layer.parameters(), lr=RATE, fused=cuda, capturable=cuda)

    def train(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for part, target in zip(x.split(BATCH), y.split(BATCH), strict=True):
            with torch.no_grad():
                h = encoder(part).to(target.dtype)  # [B, D]
            optimiser.zero_grad(set_to_none=True)
            loss = F.mse_loss(layer(h), target)
            loss.backward()
            optimiser.step()
        return loss.detach()

    return train


def inputs(kind: str, N: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Features or signals, and standardised targets."""
    x = draw.normal(N, D) if kind == "features" else draw.normal(N, 1, 12, 2500)
    return x, draw.normal(N, C)


def test_probe_epoch(measure, device, shape, implementation, axis):
    kind, N = SHAPES[shape]
    torch.manual_seed(0)
    encoder = (nn.Identity() if kind == "features" else ecg_encoder()).to(device)
    torch.manual_seed(1)
    layer = nn.Linear(D, C).to(device)
    exact = epoch(wide(layer), wide(encoder), device)
    frozen = encoder if kind == "features" else variant(encoder, implementation)
    computed = precision(implementation)
    looser = precision(implementation, convolution_precision(device))
    measure(epoch(layer, frozen, device), lambda draw: inputs(kind, N, draw),
            work(kind, N, computed), exact, TOLERANCE[looser])
