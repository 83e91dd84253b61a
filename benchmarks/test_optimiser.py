"""One step of AdamW on all parameters of a network, as stage 1 takes it.

    flops  14 a parameter: decay 1, first moment 3, second moment 4, its bias and root 2, quotient
           and step 4
    bytes  28 a parameter: read it, its gradient and both moments, write all but the gradient

`foreach` goes through lists of tensors, `fused` is one kernel (or loop) for many, `for-loop` takes
tensor by tensor. What comes back for the check is the last tensor, copied: one launch of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from benchmarks.harness.counts import ADAM_BYTES
from benchmarks.harness.measure import Draw
from benchmarks.harness.networks import both_encoders
from benchmarks.harness.roofline import Work
from reference.encoders import ProjectionHead
from reference.masked_modelling import MaskedAutoencoder

RATE, BETAS, EPS, DECAY = 3.2e-4, (0.9, 0.95), 1e-8, 0.15
# a network whose parameters are stepped
SHAPES = {"head": lambda: ProjectionHead(384, 512, 128), "mdm": MaskedAutoencoder,
          "mmcl-resnet18": lambda: both_encoders("resnet18"),
          "mmcl-resnet50": lambda: both_encoders("resnet50")}
CPU_SHAPES = ("head", "mdm")
PAPER = ("mdm", "mmcl-resnet50")
AXES = ("step",)
IMPLEMENTATIONS = ("for-loop", "foreach", "fused")


def parameters(shape: str) -> list[nn.Parameter]:
    """The network's trainable parameters, the same at each call."""
    torch.manual_seed(0)
    return [p for p in SHAPES[shape]().parameters() if p.requires_grad]


def work(count: int) -> Work:
    """Counted work of one step on so many parameters."""
    return Work(14 * count, ADAM_BYTES * count)


def update(theta, g, m, v, step: int) -> tuple:
    """One parameter's new value and moments, written out.

    Args:
        theta, g, m, v: parameter, gradient, moments; numbers or tensors.
        step: 1, 2, ...
    Returns:
        theta, m, v.
    """
    first, second = BETAS
    correction, root = 1 - first**step, (1 - second**step) ** 0.5
    m = first * m + (1 - first) * g
    v = second * v + (1 - second) * (g * g)
    theta = theta * (1 - RATE * DECAY)
    return theta - RATE / correction * (m / (v**0.5 / root + EPS)), m, v


def explicit(initial: Sequence[torch.Tensor]) -> Callable:
    """A callable (*gradients) -> last parameter, that steps copies by `update`."""
    state = [(p.detach().to(torch.float64), 0.0, 0.0) for p in initial]
    count = iter(range(1, 10**9))

    def step(*gradients: torch.Tensor) -> torch.Tensor:
        t = next(count)
        state[:] = [update(theta, g, m, v, t) for (theta, m, v), g
                    in zip(state, gradients, strict=True)]
        return state[-1][0]

    return step


def stepper(leaves: list[nn.Parameter], implementation: str, device: torch.device) -> Callable:
    """A callable (*gradients) -> last parameter, that steps the leaves by torch's AdamW."""
    way = {} if implementation == "for-loop" else {implementation: True}
    optimiser = torch.optim.AdamW(leaves, lr=RATE, betas=BETAS, eps=EPS, weight_decay=DECAY,
                                  **{"foreach": False, **way}, capturable=device.type == "cuda")

    def step(*gradients: torch.Tensor) -> torch.Tensor:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
        optimiser.step()
        return leaves[-1].detach().clone()

    return step


def inputs(leaves: list[nn.Parameter], draw: Draw) -> tuple[torch.Tensor, ...]:
    """A gradient for each."""
    return tuple(draw.normal(*p.shape) for p in leaves)


def test_optimiser(measure, device, shape, implementation, axis):
    leaves = [nn.Parameter(p.detach().to(device)) for p in parameters(shape)]
    measure(stepper(leaves, implementation, device), lambda draw: inputs(leaves, draw),
            work(sum(p.numel() for p in leaves)), explicit(leaves), 1e-6)
