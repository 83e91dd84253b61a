"""Stages of the residual networks at 210 pixels, one by one: [B, C, h, w] -> [B, C', h', w'].

    flops  2 C_in k^2 C_out h w a convolution; backward twice that
    bytes  as in test_resnet.py: each convolution reads input and weights and writes its output
           once; norms and activations free

A name gives network, stage (1 is the first after the stem; "stem" is the first convolution with its
norm and pooling) and batch. Layout and dtype are the implementation. Training mode except on the
axis inference; see test_resnet.py for the tolerances.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.harness.counts import Convolution, convolutions, traffic
from benchmarks.harness.measure import wide
from benchmarks.harness.roofline import Work, convolution_precision
from benchmarks.harness.variants import itemsize, layout, precision, tolerance_of_resnet, variant
from reference.encoders import CMR_SIZES, CMREncoder

# arch, stage (0 = stem), pixels of the image, B
SHAPES = {"resnet50-stem-B64": ("resnet50", 0, 210, 64),
          **{f"resnet50-stage{i}-B64": ("resnet50", i, 210, 64) for i in (1, 2, 3, 4)},
          **{f"resnet18-stage{i}-B64": ("resnet18", i, 210, 64) for i in (1, 2, 3, 4)},
          "resnet18-stage2-78px-B2": ("resnet18", 2, 78, 2)}
CPU_SHAPES = ("resnet18-stage2-78px-B2",)
PAPER = tuple(shape for shape in SHAPES if shape.startswith("resnet50"))
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS = ("nchw-float32", "nhwc-float32", "nchw-bfloat16", "nhwc-bfloat16",
                   "nhwc-float16", "nhwc-bfloat16-compiled")
CPU_IMPLEMENTATIONS = ("nchw-float32", "nhwc-float32")


def layers(arch: str, stage: int, size: int) -> Iterator[Convolution]:
    """The stage's convolutions."""
    shape, every = CMR_SIZES[arch], list(convolutions(arch, size))
    if stage == 0:
        yield every[0]
        return
    each = 2 if shape.block == "basic" else 3
    counts = [each * n for n in shape.layers]
    for i in range(4):  # a shortcut with a convolution wherever the width changes
        counts[i] += 1 if i or shape.block == "bottleneck" else 0
    start = 1 + sum(counts[:stage - 1])
    yield from every[start:start + counts[stage - 1]]


def work(arch: str, stage: int, size: int, B: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call on B images."""
    parts = list(layers(arch, stage, size))
    flops = B * sum(c.flops for c in parts) * (2 if axis == "backward" else 1)
    return Work(flops, traffic(parts, B, axis, itemsize(computed)), precision=computed)


def build(arch: str, stage: int) -> nn.Module:
    """The stage as a module."""
    torch.manual_seed(0)
    network = CMREncoder(arch)
    if stage:
        return getattr(network, f"layer{stage}")
    return nn.Sequential(network.conv1, network.bn1, nn.ReLU(), nn.MaxPool2d(3, 2, 1))


def input_shape(arch: str, stage: int, size: int, B: int) -> tuple[int, ...]:
    """[B, C, h, w] of what goes in."""
    first = next(layers(arch, stage, size))
    return B, first.inputs, first.size_in, first.size_in


def test_resnet_stage(measure, device, shape, implementation, axis):
    size = SHAPES[shape]
    network = build(*size[:2]).to(device)
    network.train(axis != "inference")
    exact = wide(network)
    computed = precision(implementation, convolution_precision(device))
    measure(variant(network, implementation),
            lambda draw: (draw.normal(*input_shape(*size)).to(
                memory_format=layout(implementation)),),
            work(*size, axis, computed), exact, tolerance_of_resnet(computed, axis),
            differentiable=(0,))
