"""What the tests of the kernels share: inputs, plain results, tolerances."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from reference.contrastive_loss import clip_loss
from tests.support.helpers import assert_close

HAVE_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAVE_TRITON, reason="triton is not installed")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


# bfloat16 carries 8 bits: the loss and its gradients are exact sums of products of rounded inputs,
# but the gradients are rounded once more when they are returned, half a unit in 2^-8
BFLOAT16 = 2.0**-8


# Rounding of a cosine in float32; the loss and the exponents of its gradients see it over T.
COSINE = 4 * 2.0**-23
SIZES = ((1, 5), (2, 3), (64, 16), (65, 17), (257, 33), (130, 128))


def pair(B: int, D: int, dtype=torch.float64, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Embeddings of unequal lengths, partners correlated."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(B, D, generator=draw, dtype=torch.float64)
    other = z + torch.randn(B, D, generator=draw, dtype=torch.float64)
    other *= torch.rand(B, 1, generator=draw, dtype=torch.float64) * 5 + 0.1
    return tuple(x.to(DEVICE, dtype).requires_grad_() for x in (z, other))


def loss_and_gradients(loss, z_cmr, z_ecg, *numbers, **options) -> list[np.ndarray]:
    """Loss, gradient by CMR, gradient by ECG as float64."""
    value = loss(z_cmr, z_ecg, *numbers, **options)
    found = [value, *torch.autograd.grad(2.5 * value, (z_cmr, z_ecg))]
    return [x.detach().cpu().double().numpy() for x in found]


def wanted(z_cmr, z_ecg, *numbers) -> list[np.ndarray]:
    """The plain loss in float64 of the very same inputs."""
    wide = [z.detach().double().requires_grad_() for z in (z_cmr, z_ecg)]
    return loss_and_gradients(clip_loss, *wide, *numbers)


def assert_same(got, want, loss_tolerance: float, gradient_tolerance: float) -> None:
    """Loss and gradients within relative tolerances of their largest entries."""
    assert_close("loss", got[0], want[0], rtol=loss_tolerance, atol=loss_tolerance)
    for name, g, w in zip(("by CMR", "by ECG"), got[1:], want[1:], strict=True):
        scale = max(np.abs(w).max(), 1 / len(w))  # a single pair has none but rounding
        assert_close(f"gradient {name}", g / scale, w / scale, rtol=0, atol=gradient_tolerance)
