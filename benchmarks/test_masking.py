"""Random masking and the gather of visible tokens: [B, 300], [B, 300, 384] -> [B, 59, 384].

    flops  0
    bytes  read noise 4 B L and kept rows 4 B K D; write keep 8 B K, restore 8 B L, mask 4 B L and
           tokens 4 B K D; backward reads 4 B K D and keep 8 B K, writes 4 B L D

two_sorts is the textbook form: the inverse permutation by a second argsort; compiled is ours
through torch.compile.
"""

from __future__ import annotations

import torch

from benchmarks.harness.measure import Draw
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import compiled
from reference.masking import gather_tokens, kept_tokens, random_mask

L, D, RATIO = 300, 384, 0.8
SHAPES = {"B32": 32, "B128": 128, "B512": 512, "B2048": 2048}
CPU_SHAPES = ("B32", "B128")
PAPER = ("B128",)
AXES = ("inference", "backward")
IMPLEMENTATIONS = ("ours", "compiled", "two_sorts")
CPU_IMPLEMENTATIONS = ("ours", "two_sorts")


def work(B: int, axis: str) -> Work:
    """Counted work of one call on B records."""
    K = kept_tokens(L, RATIO)
    if axis == "backward":
        return Work(0, 4 * B * K * D + 8 * B * K + 4 * B * L * D)
    return Work(0, 8 * B * L + 8 * B * (K + L) + 8 * B * K * D)


def ours(noise: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """keep, restore, mask, visible tokens."""
    mask = random_mask(noise, RATIO)
    return (*mask, gather_tokens(tokens, mask.keep))


def two_sorts(noise: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The same with two sorts and a gather of the mask."""
    K = kept_tokens(L, RATIO)
    order = noise.argsort(dim=1, stable=True)
    restore = order.argsort(dim=1)
    mask = torch.ones_like(noise)
    mask[:, :K] = 0
    visible = torch.gather(tokens, 1, order[:, :K, None].expand(-1, -1, D))
    return order[:, :K], restore, mask.gather(1, restore), visible


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Noise [B, L], tokens [B, L, D]."""
    return draw.uniform(B, L), draw.normal(B, L, D)


def test_masking(measure, shape, implementation, axis):
    B = SHAPES[shape]
    function, expected = (two_sorts, ours) if implementation == "two_sorts" else (ours, two_sorts)
    if implementation == "compiled":
        function = compiled(function)
    measure(function, lambda draw: inputs(B, draw), work(B, axis), expected, 0.0,
            differentiable=(1,))
