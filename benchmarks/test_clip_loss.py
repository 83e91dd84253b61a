"""CLIP loss of stage 2: z_cmr, z_ecg [B, 128] -> scalar.

    flops  forward 2 B^2 D (the logits once); backward 4 B^2 D (one product for each gradient, the
           logits kept). A form that keeps no logits needs 2 B^2 D more in the backward pass.
    exps   B^2 in each pass: |logit| <= 1 / T = 10 needs no maximum, so rows and columns share them
    bytes  forward reads 8 B D; backward reads 8 B D and writes 8 B D. The [B, B] logits are traffic
           that a fused kernel avoids, so they are no part of the floor.
"""

from __future__ import annotations

import torch

from benchmarks.roofline import Work
from reference.contrastive_loss import clip_loss

D, TEMPERATURE, WEIGHT = 128, 0.1, 0.75
SHAPES = {"B256": 256, "B257": 257, "B512": 512, "B1000": 1000, "B1024": 1024, "B2048": 2048,
          "B4096": 4096}
CPU_SHAPES = ("B256", "B257", "B512", "B1024")
AXES = ("inference", "forward", "backward")


def work(B: int, axis: str) -> Work:
    """Counted work of one call on B pairs."""
    times = 2 if axis == "backward" else 1
    return Work(times * 2 * B**2 * D, times * 8 * B * D, B**2)


def loss(z_cmr: torch.Tensor, z_ecg: torch.Tensor) -> torch.Tensor:
    """With the method's temperature and weight."""
    return clip_loss(z_cmr, z_ecg, TEMPERATURE, WEIGHT)


def explicit(z_cmr: torch.Tensor, z_ecg: torch.Tensor) -> torch.Tensor:
    """The same from log-sum-exps."""
    u, v = (z / z.square().sum(-1, keepdim=True).sqrt() for z in (z_cmr, z_ecg))
    logits = u @ v.T / TEMPERATURE
    rows, columns = logits.exp().sum(1).log(), logits.exp().sum(0).log()
    return (WEIGHT * rows + (1 - WEIGHT) * columns - logits.diagonal()).mean()


def test_clip_loss(measure, shape, axis):
    B = SHAPES[shape]
    measure(loss, lambda draw: (draw.normal(B, D), draw.normal(B, D)), work(B, axis), explicit,
            1e-5, differentiable=(0, 1))
