"""Brightness, contrast and saturation of a training view: [B, 3, 210, 210] -> the same.

    flops  25 an element: three blends of 4 and clamps of 2, two grey values of 10 a pixel (a third
           of it an element)
    bytes  read the image once, write it once: 24 B 210^2; the mean of the contrast needs the image
           a second time, which a cache may or may not give

What others do with one parameter set a batch or image by image: `torchvision` (functions of its
transforms, a loop over images, for their factors are numbers), `kornia` (batched).
"""

from __future__ import annotations

import torch

from benchmarks.harness.alternatives import alternative
from benchmarks.harness.measure import Draw, no_graph
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import compiled
from reference.augmentation import ImageNoise, colour_jitter
from reference.views import CMRView

SIZE, VIEW = 210, CMRView()
STRENGTHS = (VIEW.brightness, VIEW.contrast, VIEW.saturation)
SHAPES = {"B2": 2, "B8": 8, "B64": 64, "B256": 256}
CPU_SHAPES = ("B2", "B8")
PAPER = ("B256",)
IMPLEMENTATIONS = ("ours", "compiled", "torchvision", "kornia")
CPU_IMPLEMENTATIONS = ("ours", "torchvision", "kornia")


def work(B: int) -> Work:
    """Counted work of one call on B images."""
    return Work(25 * B * 3 * SIZE**2, 2 * 4 * B * 3 * SIZE**2)


def ours(image: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """With factors [3, B] instead of the uniform numbers behind them."""
    uniforms = [(factors[i] - 1) / (2 * s) + 0.5 for i, s in enumerate(STRENGTHS)]
    noise = ImageNoise(**{name: torch.zeros_like(factors[0]) for name in ImageNoise._fields})
    noise = noise._replace(brightness=uniforms[0], contrast=uniforms[1], saturation=uniforms[2])
    return colour_jitter(image, noise, VIEW)


def explicit(image: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """The definition, image by image."""
    done = []
    for x, (b, c, s) in zip(image, factors.T, strict=True):
        x = (b * x).clamp(0, 1)
        grey = 0.2989 * x[0] + 0.587 * x[1] + 0.114 * x[2]
        x = (c * x + (1 - c) * grey.mean()).clamp(0, 1)
        grey = 0.2989 * x[0] + 0.587 * x[1] + 0.114 * x[2]
        done.append((s * x + (1 - s) * grey).clamp(0, 1))
    return torch.stack(done)


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Images in [0, 1], factors [3, B] about 1."""
    strengths = torch.tensor(STRENGTHS, device=draw.device)[:, None]
    return draw.uniform(B, 3, SIZE, SIZE), 1 + strengths * (2 * draw.uniform(3, B) - 1)


@no_graph("the grey weights are copied from the host at each call")
def test_colour_jitter(measure, shape, implementation):
    B = SHAPES[shape]
    function = {"ours": lambda: ours, "compiled": lambda: compiled(ours)}.get(
        implementation, lambda: alternative(f"{implementation} colour"))()
    tolerance = 1e-3 if implementation == "kornia" else 1e-5  # its grey is 0.299, 0.587, 0.114
    measure(function, lambda draw: inputs(B, draw), work(B), explicit, tolerance)
