"""reference.kernels.triton_reconstruction against the network's own loss in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference.kernels import fused
from reference.masked_modelling import MaskedAutoencoder
from tests.support.helpers import assert_close
from tests.support.kernels import (
    BFLOAT16,
    DEVICE,
    needs_triton,
)


def records(B: int, V: int, T: int, P: int, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
    """Input off its zero and a prediction that correlates with it; one lead of each is constant."""
    draw = torch.Generator().manual_seed(T)
    x = torch.randn(B, 1, V, T, generator=draw) + 3
    y = x + torch.randn(B, 1, V, T, generator=draw)
    x[0, 0, 0], y[-1, 0, -1] = 2.0, -1.0
    return x.to(DEVICE), y.reshape(B, V * T // P, P).to(DEVICE, dtype).requires_grad_()


def plain_reconstruction(x: torch.Tensor, prediction: torch.Tensor,
                         weight: float) -> list[np.ndarray]:
    """Loss and gradient of the very same numbers by the network's own loss in float64."""
    _, _, V, T = x.shape
    P = prediction.shape[-1]
    network = MaskedAutoencoder((1, V, T), (1, P), 4, 0, 1, 4, 0, 1, weight)
    y = prediction.detach().double().requires_grad_()
    loss = network.loss(x.double(), y, x.new_ones(len(x), V * T // P))
    return [v.detach().cpu().numpy() for v in (loss, *torch.autograd.grad(2.5 * loss, y))]


@needs_triton
@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("B, V, T, P", [(2, 3, 20, 10), (1, 1, 2, 1), (3, 2, 1024, 64),
                                        (2, 1, 2500, 100)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.bfloat16, BFLOAT16)])
def test_reconstruction_loss_fused(B, V, T, P, weight, dtype, tolerance):
    x, prediction = records(B, V, T, P, dtype)
    loss = fused.reconstruction_loss_fused(x, prediction, weight)
    gradient, = torch.autograd.grad(2.5 * loss, prediction)
    assert loss.dtype == torch.float32 and gradient.dtype == dtype
    want, slope = plain_reconstruction(x, prediction, weight)
    assert_close("loss", loss.item(), want, rtol=2e-6, atol=2e-6)
    got = gradient.cpu().double().numpy()
    constant = np.zeros(x.shape, bool)  # its variance is rounding + 1e-12: no slope to compare
    constant[-1, 0, -1] = weight > 0
    assert_close("gradient", got[~constant.reshape(got.shape)],
                 slope[~constant.reshape(got.shape)], rtol=tolerance,
                 atol=tolerance * np.abs(slope[~constant.reshape(got.shape)]).max(initial=1e-30))


@needs_triton
def test_reconstruction_loss_fused_takes_any_strides():
    x, prediction = records(4, 6, 40, 10)
    want = fused.reconstruction_loss_fused(x, prediction)
    turned = prediction.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0).requires_grad_()
    got = fused.reconstruction_loss_fused(x.transpose(2, 3).contiguous().transpose(2, 3), turned)
    assert got == want
    first, second = torch.autograd.grad(want, prediction), torch.autograd.grad(got, turned)
    assert torch.equal(first[0], second[0])


@needs_triton
@pytest.mark.parametrize("change, error, words", [
    ({"x": torch.zeros(2, 3, 20)}, ValueError, r"\[2, 3, 20\]"),
    ({"x": torch.zeros(2, 2, 3, 20)}, ValueError, "are needed"),
    ({"x": torch.zeros(2, 1, 6, 1), "prediction": torch.zeros(2, 6, 1)}, ValueError, "T >= 2"),
    ({"prediction": torch.zeros(2, 4, 15)}, ValueError, "P dividing T"),
    ({"prediction": torch.zeros(2, 5, 10)}, ValueError, "are needed"),
    ({"prediction": torch.zeros(3, 6, 10)}, ValueError, "are needed"),
    ({"ncc_weight": 1.5}, ValueError, "ncc_weight=1.5"),
    ({"prediction": torch.zeros(2, 6, 10, dtype=torch.float64)}, TypeError, "float64"),
    ({"x": torch.zeros(2, 1, 3, 20, requires_grad=True)}, ValueError, "asks for a gradient"),
    ({"prediction": torch.zeros(2, 6, 10, device="meta")}, ValueError, "on meta")])
def test_reconstruction_loss_fused_bad_input(change, error, words):
    with pytest.raises(error, match=words):
        fused.reconstruction_loss_fused(**{"x": torch.zeros(2, 1, 3, 20),
                                             "prediction": torch.zeros(2, 6, 10), **change})
