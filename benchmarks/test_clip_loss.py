"""CLIP loss of stage 2: z_cmr, z_ecg [B, 128] -> scalar.

    flops  forward 2 B^2 D (the logits once); backward 4 B^2 D (one product for each gradient, the
           logits kept). A form that keeps no logits needs 2 B^2 D more in the backward pass.
    exps   B^2 in each pass: |logit| <= 1 / T = 10 needs no maximum, so rows and columns share them
    bytes  forward reads 8 B D; backward reads 8 B D and writes 8 B D. The [B, B] logits are traffic
           that a fused kernel avoids, so they are no part of the floor.

`compiled` is ours through torch.compile; `open_clip` weighs both directions alike.
"""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

from benchmarks.harness.alternatives import alternative
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import compiled, need_triton
from reference.contrastive_loss import clip_loss
from reference.kernels.fused import clip_loss_chunked, clip_loss_fused

D, TEMPERATURE, WEIGHT = 128, 0.1, 0.75
SHAPES = {"B256": 256, "B257": 257, "B1000": 1000, "B2048": 2048, "B4096": 4096, "B8192": 8192,
          "B16384": 16384, "B32768": 32768, "B65536": 65536, "B262144": 262144}
CPU_SHAPES = ("B256", "B257", "B1000")
PAPER = ("B256", "B32768", "B262144")
AXES = ("inference", "forward", "backward")
# "fused bf16" takes bfloat16 embeddings; the others float32
IMPLEMENTATIONS = ("ours", "compiled", "chunked", "fused", "fused bf16", "open_clip")
CPU_IMPLEMENTATIONS = ("ours", "chunked", "open_clip")
FORMS = {"ours": clip_loss, "chunked": clip_loss_chunked, "fused": clip_loss_fused,
         "fused bf16": clip_loss_fused}
ROWS = 2048  # of the float64 check


def work(B: int, axis: str) -> Work:
    """Counted work of one call on B pairs."""
    times = 2 if axis == "backward" else 1
    return Work(times * 2 * B**2 * D, times * 8 * B * D, B**2)


def form(implementation: str):
    """(z_cmr, z_ecg) -> loss, with the method's temperature and weight."""
    if implementation == "open_clip":
        return alternative("open_clip")
    if implementation == "compiled":
        return compiled(lambda u, v: clip_loss(u, v, TEMPERATURE, WEIGHT))
    return lambda u, v: FORMS[implementation](u, v, TEMPERATURE, WEIGHT)


def explicit(z_cmr: torch.Tensor, z_ecg: torch.Tensor, weight: float = WEIGHT) -> torch.Tensor:
    """The same from sums of exponentials, some rows at a time so that float64 fits."""
    u, v = (z / z.square().sum(-1, keepdim=True).sqrt() for z in (z_cmr, z_ecg))

    def sums(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        E = (part @ v.T / TEMPERATURE).exp()  # [rows, B]
        return E.sum(1), E.sum(0)

    rows, columns = zip(*(checkpoint(sums, part, use_reentrant=False) for part in u.split(ROWS)),
                        strict=True)
    own = (u * v).sum(1) / TEMPERATURE
    return (weight * torch.cat(rows).log() + (1 - weight) * sum(columns).log() - own).mean()


def test_clip_loss(measure, device, shape, implementation, axis):
    if implementation.startswith("fused"):
        need_triton(device)
    half = implementation == "fused bf16"
    dtype = torch.bfloat16 if half else torch.float32
    weight = 0.5 if implementation == "open_clip" else WEIGHT  # it has no other
    B = SHAPES[shape]
    counted = work(B, axis)._replace(precision="bfloat16") if half else work(B, axis)
    if half:
        counted = counted._replace(bytes=counted.bytes / 2)
    measure(form(implementation),
            lambda draw: (draw.normal(B, D, dtype=dtype), draw.normal(B, D, dtype=dtype)), counted,
            lambda u, v: explicit(u, v, weight), 1e-2 if half else 1e-5, differentiable=(0, 1))
