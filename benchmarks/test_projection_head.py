"""Projection heads of stage 2, linear - ReLU - linear: features [B, in] -> embeddings [B, 128].

    flops  2 B 512 (in + 128); backward twice that
    bytes  forward reads features and parameters, writes embeddings; backward reads features, the
           embeddings' gradient and parameters, writes the features' and parameters' gradients. The
           hidden layer is traffic that a fused kernel avoids.
"""

from __future__ import annotations

import torch

from benchmarks.harness.measure import wide
from benchmarks.harness.networks import EMBEDDING, HIDDEN
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import TOLERANCE, WAYS, WAYS_CPU, itemsize, precision, variant
from reference.encoders import ProjectionHead

# features, B
SHAPES = {"ecg384-B256": (384, 256), "cmr2048-B256": (2048, 256), "ecg384-B4096": (384, 4096),
          "cmr2048-B4096": (2048, 4096), "ecg384-B64": (384, 64)}
CPU_SHAPES = ("ecg384-B64", "ecg384-B256", "cmr2048-B256")
PAPER = ("ecg384-B256", "cmr2048-B256")
AXES = ("inference", "forward", "backward")
IMPLEMENTATIONS, CPU_IMPLEMENTATIONS = WAYS, WAYS_CPU


def work(features: int, B: int, axis: str, computed: str = "float32") -> Work:
    """Counted work of one call."""
    parameters, backward = HIDDEN * (features + EMBEDDING) + HIDDEN + EMBEDDING, axis == "backward"
    elements = (2 if backward else 1) * (B * features + parameters) + B * EMBEDDING
    return Work((2 if backward else 1) * 2 * B * HIDDEN * (features + EMBEDDING),
                itemsize(computed) * elements, precision=computed)


def build(features: int) -> ProjectionHead:
    """The module on the CPU."""
    torch.manual_seed(0)
    return ProjectionHead(features, HIDDEN, EMBEDDING)


def test_projection_head(measure, device, shape, implementation, axis):
    features, B = SHAPES[shape]
    network, computed = build(features).to(device), precision(implementation)
    exact = wide(network)
    measure(variant(network, implementation), lambda draw: (draw.normal(B, features),),
            work(features, B, axis, computed), exact, TOLERANCE[computed], differentiable=(0,))
