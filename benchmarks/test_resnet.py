"""Residual networks on three-frame images: [B, 3, size, size] -> features [B, C].

    flops  2 C_in k^2 C_out h w a convolution; backward twice that without the image's gradient
    bytes  each convolution reads input and weights and writes its output once; backward reads the
           output's gradient, input and weights, writes two gradients (norms, activations: free)

The precision is what convolutions are computed in: float32 means tf32 where cuDNN takes it.
Training mode except on the axis inference. A ReLU whose sign differs between precisions changes its
gradient outright: with a share e of such units, about the forward error, the gradient of n layers
is off by sqrt(n e). In a ResNet-50 at its usual initial weights, bfloat16 leaves nothing of the
gradient (cosine 0.1); so here the last norm of each block scales by 0.1, as a network near the
identity, where the check can tell right from wrong (cosine 0.96) and the time is the same.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.harness.alternatives import alternative
from benchmarks.harness.counts import convolutions, traffic
from benchmarks.harness.measure import wide
from benchmarks.harness.roofline import Work, convolution_precision
from benchmarks.harness.variants import itemsize, layout, precision, tolerance_of_resnet, variant
from reference.encoders import CMREncoder

# arch, pixels, B
SHAPES = {"resnet50-B64": ("resnet50", 210, 64), "resnet50-B256": ("resnet50", 210, 256),
          "resnet18-B64": ("resnet18", 210, 64), "resnet18-B256": ("resnet18", 210, 256),
          "resnet18-78px-B4": ("resnet18", 78, 4), "resnet50-B1": ("resnet50", 210, 1)}
CPU_SHAPES = ("resnet18-78px-B4", "resnet50-B1")
PAPER = ("resnet50-B256",)
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS = ("nchw-float32", "nhwc-float32", "nchw-bfloat16", "nhwc-bfloat16",
                   "nhwc-float16", "nhwc-bfloat16-compiled", "torchvision")
CPU_IMPLEMENTATIONS = ("nchw-float32", "nhwc-float32", "torchvision")
BRANCH = 0.1


def work(arch: str, size: int, B: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call on B images."""
    layers = list(convolutions(arch, size))
    forward = sum(c.flops for c in layers)
    flops = 2 * forward - layers[0].flops if axis == "backward" else forward
    return Work(B * flops, traffic(layers, B, axis, itemsize(computed)), precision=computed)


def build(arch: str, implementation: str) -> nn.Module:
    """The network on the CPU: ours, or torchvision's without its last layer."""
    torch.manual_seed(0)
    ours = implementation != "torchvision"
    network = CMREncoder(arch) if ours else alternative("torchvision")(arch)
    last = "bn3" if arch == "resnet50" else "bn2"
    for block in network.modules():
        if hasattr(block, last):
            nn.init.constant_(getattr(block, last).weight, BRANCH)
    return network


def test_resnet(measure, device, shape, implementation, axis):
    arch, size, B = SHAPES[shape]
    network = build(arch, implementation).to(device)
    way = "nchw" if implementation == "torchvision" else implementation
    network.train(axis != "inference")
    exact = wide(network)
    computed = precision(way, convolution_precision(device))
    measure(variant(network, way),
            lambda draw: (draw.uniform(B, 3, size, size).to(memory_format=layout(way)),),
            work(arch, size, B, axis, computed), exact, tolerance_of_resnet(computed, axis))
