"""Training view of the heart box: [B, 3, 78, 78] -> [B, 3, 210, 210], by one affine resampling.

    flops  40 an output pixel and channel: coordinates and weights of four taps (shared by the
           channels) 7, interpolation 7, three blends and clamps 15, two grey values 10, choice 1
    bytes  read the box once, write the view once: 4 B 3 (78^2 + 210^2); the mean of the contrast
           needs the image a second time, which a cache may or may not give

one_by_one is the same recipe image by image, as per-sample transforms work. Correctness is held
against the same code in float64: its definition is tested elsewhere.
"""

from __future__ import annotations

import torch

from benchmarks.harness.measure import Draw, no_graph
from benchmarks.harness.roofline import Work
from reference.augmentation import ImageNoise, cmr_view
from reference.views import CMRView

BOX, SIZE, VIEW = 78, 210, CMRView()
SHAPES = {"B2": 2, "B8": 8, "B64": 64, "B256": 256}
CPU_SHAPES = ("B2", "B8")
PAPER = ("B256",)
IMPLEMENTATIONS = ("ours", "one_by_one")


def work(B: int) -> Work:
    """Counted work of one call on B images."""
    return Work(40 * B * 3 * SIZE**2, 4 * B * 3 * (BOX**2 + SIZE**2))


def ours(image: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The batch at once."""
    return cmr_view(image, ImageNoise(*uniforms), VIEW, SIZE)


def one_by_one(image: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Image by image."""
    return torch.cat([ours(image[i:i + 1], uniforms[:, i:i + 1]) for i in range(len(image))])


def inputs(B: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """Boxes [B, 3, 78, 78] in [0, 1], uniforms [11, B]."""
    return draw.uniform(B, 3, BOX, BOX), draw.uniform(len(ImageNoise._fields), B)


@no_graph("the grey weights are copied from the host at each call")
def test_cmr_view(measure, shape, implementation):
    B = SHAPES[shape]
    function = ours if implementation == "ours" else one_by_one
    measure(function, lambda draw: inputs(B, draw), work(B), ours, 1e-4)
