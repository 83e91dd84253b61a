"""The other contrastive losses: embeddings [B, 128] of two views or modalities -> scalar.

    nt_xent          flops forward 8 B^2 D, backward 16 B^2 D: both operands of the product are the
                     same 2 B views, and each gets its gradient; exps 4 B^2
    soft_positive,   flops forward 2 B^2 D, backward 4 B^2 D; exps B^2 (rows and columns share them)
    false_negative   bytes as below and the similarities, 4 B^2, in each pass
    barlow_twins     flops forward 2 B D^2, backward 4 B D^2; no exps
    bytes            forward reads both embeddings, 8 B D; backward reads them and writes two
                     gradients, 16 B D

The name of a shape says which loss. Similarities are standard normal, the threshold 2.5, so that
0.6 % of the pairs count as alike. `lightly` is the NT-Xent loss of that package.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks.harness.alternatives import alternative
from benchmarks.harness.measure import Draw, no_graph
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import compiled
from reference.contrastive_loss import (
    barlow_twins_loss,
    false_negative_removal_loss,
    nt_xent_loss,
    soft_positive_loss,
)

D, TEMPERATURE, THRESHOLD = 128, 0.1, 2.5
# loss, B
SHAPES = {f"{name}-B{B}": (name, B) for name, sizes in (
    ("nt_xent", (256, 1000, 4096)), ("soft_positive", (256, 1000, 4096)),
    ("false_negative", (256, 4096)), ("barlow_twins", (256, 4096))) for B in sizes}
CPU_SHAPES = tuple(s for s in SHAPES if s.endswith("B256"))
PAPER = CPU_SHAPES
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = ("ours", "compiled"), ("ours",)


def work(name: str, B: int, axis: str) -> Work:
    """Counted work of one call on B pairs."""
    backward = axis == "backward"
    product = {"nt_xent": 8 * B**2 * D, "barlow_twins": 2 * B * D**2}.get(name, 2 * B**2 * D)
    similarities = 4 * B**2 if name in ("soft_positive", "false_negative") else 0
    exps = {"nt_xent": 4 * B**2, "barlow_twins": 0}.get(name, B**2)
    return Work((2 if backward else 1) * product,
                (2 if backward else 1) * 8 * B * D + similarities, exps)


def loss(name: str) -> Callable:
    """(z0, z1[, similarity]) -> scalar, ours."""
    return {"nt_xent": lambda u, v: nt_xent_loss(u, v, TEMPERATURE),
            "soft_positive": lambda u, v, s: soft_positive_loss(u, v, s, THRESHOLD, TEMPERATURE),
            "false_negative": lambda u, v, s: false_negative_removal_loss(u, v, s, THRESHOLD,
                                                                          TEMPERATURE),
            "barlow_twins": barlow_twins_loss}[name]


def explicit(name: str) -> Callable:
    """The same from sums of exponentials or moments."""
    def logits(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        u, v = (z / z.square().sum(-1, keepdim=True).sqrt() for z in (u, v))
        return u @ v.T / TEMPERATURE

    def nt_xent(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        views, B = torch.cat([u, v]), len(u)
        every = logits(views, views)
        candidates = every.exp().sum(1) - every.diagonal().exp()
        return (candidates.log() - torch.cat([every.diagonal(B), every.diagonal(-B)])).mean()

    def alike(s: torch.Tensor) -> torch.Tensor:
        return (s > THRESHOLD) | torch.eye(len(s), dtype=torch.bool, device=s.device)

    def soft_positive(u: torch.Tensor, v: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        pairs, share = logits(u, v), alike(s) / alike(s).sum(1, keepdim=True)
        return sum((x.exp().sum(1).log() - (share * x).sum(1)).mean() for x in (pairs, pairs.T)) / 2

    def false_negative(u: torch.Tensor, v: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        pairs = logits(u, v)
        stay = ~(s > THRESHOLD) | torch.eye(len(s), dtype=torch.bool, device=s.device)
        return sum(((x.exp() * stay).sum(1).log() - pairs.diagonal()).mean()
                   for x in (pairs, pairs.T)) / 2

    def barlow_twins(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        u, v = ((z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() for z in (u, v))
        c = u.T @ v / len(u)
        own = c.diagonal()
        return ((1 - own) ** 2).sum() + 5e-3 * (c.square().sum() - own.square().sum())

    return {"nt_xent": nt_xent, "soft_positive": soft_positive, "false_negative": false_negative,
            "barlow_twins": barlow_twins}[name]


def inputs(name: str, B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Two embeddings that agree in part, and similarities where they are needed."""
    u = draw.normal(B, D)
    pair = u, u + draw.normal(B, D)
    return (*pair, draw.normal(B, B)) if name in ("soft_positive", "false_negative") else pair


def test_losses(measure, shape, implementation, axis):
    name, B = SHAPES[shape]
    function = compiled(loss(name)) if implementation == "compiled" else loss(name)
    measure(function, lambda draw: inputs(name, B, draw), work(name, B, axis), explicit(name),
            1e-4, differentiable=(0, 1))


@no_graph("boolean indexing waits for the device")
@pytest.mark.parametrize("implementation", ("lightly",))
@pytest.mark.parametrize("shape", ("nt_xent-B256", "nt_xent-B1000", "nt_xent-B4096"))
def test_losses_alternatives(measure, shape, implementation, axis):
    name, B = SHAPES[shape]
    measure(alternative("lightly"), lambda draw: inputs(name, B, draw), work(name, B, axis),
            explicit(name), 1e-4, differentiable=(0, 1))
