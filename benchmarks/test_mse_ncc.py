"""Loss of stage 1, 0.9 MSE + 0.1 (1 - NCC): [B, 1, 12, 2500] and [B, 300, 100] -> scalar.

    flops  forward 13 an element: MSE 3, two means 2, centring 2, three products and sums 6;
           backward 7: a (y - x) + b x_0 + c y_0, x_0 and y_0 centred anew
    bytes  forward reads input and prediction, 8 an element; backward reads both and writes the
           prediction's gradient, 12 an element

`compiled` is ours through torch.compile; `fused` is one Triton kernel a pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.harness.measure import Draw
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import compiled, need_triton
from reference.kernels.fused import reconstruction_loss_fused
from reference.masked_modelling import MaskedAutoencoder

V, T, P = 12, 2500, 100
SHAPES = {"B16": 16, "B128": 128, "B512": 512}
CPU_SHAPES = ("B16", "B128")
PAPER = ("B128",)
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS = ("ours", "compiled", "fused")
CPU_IMPLEMENTATIONS = ("ours",)


def work(B: int, axis: str) -> Work:
    """Counted work of one call on B records."""
    elements = B * V * T
    return Work(7 * elements, 12 * elements) if axis == "backward" else \
        Work(13 * elements, 8 * elements)


def loss(implementation: str) -> Callable:
    """The method's loss; the network is as small as it can be, for it has no part in this."""
    if implementation == "fused":
        return lambda x, prediction, removed: reconstruction_loss_fused(x, prediction)
    plain = MaskedAutoencoder(dim=4, depth=0, heads=1, decoder_dim=4, decoder_depth=0,
                              decoder_heads=1).loss
    return compiled(plain) if implementation == "compiled" else plain


def explicit(x: torch.Tensor, prediction: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """The same from raw moments, lead by lead."""
    x = x[:, 0]  # [B, V, T]
    y = prediction.reshape(len(x), V, T)  # patches of one lead, in the order of time
    mse = ((x - y) ** 2).sum() / P / (removed.numel() + 1e-5)
    covariance = (x * y).sum(-1) - x.sum(-1) * y.sum(-1) / T
    variances = [((z * z).sum(-1) - z.sum(-1) ** 2 / T) / (T - 1) + 1e-12 for z in (x, y)]
    ncc = covariance / (T - 1) / (variances[0] * variances[1]).sqrt()
    return 0.9 * mse + 0.1 * (1 - ncc.mean())


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Input, a prediction that correlates with it, and which patches were removed."""
    x = draw.normal(B, 1, V, T)
    prediction = x.reshape(B, V * T // P, P) + draw.normal(B, V * T // P, P)
    return x, prediction, (draw.uniform(B, V * T // P) < 0.8).to(x.dtype)


def test_mse_ncc(measure, device, shape, implementation, axis):
    if implementation == "fused":
        need_triton(device)
    B = SHAPES[shape]
    measure(loss(implementation), lambda draw: inputs(B, draw), work(B, axis), explicit, 1e-5,
            differentiable=(1,))
