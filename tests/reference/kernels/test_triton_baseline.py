"""reference.kernels.triton_baseline against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference.baseline import asymmetric_least_squares
from reference.kernels import fused
from tests.support.helpers import assert_close
from tests.support.kernels import (
    DEVICE,
    needs_triton,
)
from tests.support.signals import dense_baseline


def lanes(count: int, T: int) -> torch.Tensor:
    """Wander and noise, a constant lane and a straight one among them."""
    draw = torch.Generator().manual_seed(T)
    y = torch.randn(count, T, generator=draw, dtype=torch.float64)
    y += torch.randn(count, T, generator=draw, dtype=torch.float64).cumsum(1)
    if count > 3:
        y[1], y[3] = 2.5, torch.arange(T) / 4
    return y


@needs_triton
@pytest.mark.parametrize("count, T, lam, p, iterations", [
    (1, 3, 1e2, 0.3, 5), (5, 4, 1e4, 0.7, 3), (40, 16, 10.0, 0.1, 1), (40, 16, 1e2, 0.3, 5),
    (33, 37, 1e4, 0.7, 3)])
def test_asymmetric_least_squares_fused(count, T, lam, p, iterations):
    y = lanes(count, T)
    got = fused.asymmetric_least_squares_fused(y.to(DEVICE), lam, p, iterations)
    assert got.dtype == torch.float64 and got.device.type == DEVICE.type
    want = dense_baseline(y.numpy(), lam, p, iterations)
    # rounding 1e-16 times the condition number, about 16 lam / p
    assert_close("baseline", got.cpu().numpy(), want, rtol=0,
                 atol=1e-16 * 16 * lam / min(p, 1 - p) * 10 * np.abs(y.numpy()).max() + 1e-12)


@needs_triton
def test_asymmetric_least_squares_fused_at_the_methods_numbers():
    y = lanes(6, 60).reshape(2, 3, 60).to(torch.float32)
    got = fused.asymmetric_least_squares_fused(y.to(DEVICE)).cpu()
    want = asymmetric_least_squares(y.double(), method="reduction")
    assert got.shape == y.shape
    assert float((got - want).norm() / want.norm()) < 1e-7


@needs_triton
def test_asymmetric_least_squares_fused_some_lanes_at_a_time(monkeypatch):
    from reference.kernels import triton_baseline
    y = lanes(5, 9).to(DEVICE)
    whole = fused.asymmetric_least_squares_fused(y, 1e3, iterations=2)
    solve, parts = triton_baseline._least_squares, []

    def seen(part, *rest):
        parts.append(len(part))
        return solve(part, *rest)

    monkeypatch.setattr(triton_baseline, "_least_squares", seen)
    for name, value in (("LANES_AT_ONCE", 3), ("MOST", 3 * (9 + 2 * triton_baseline.AHEAD) + 1)):
        parts.clear()
        with monkeypatch.context() as patch:
            patch.setattr(triton_baseline, name, value)
            found = fused.asymmetric_least_squares_fused(y, 1e3, iterations=2)
        assert torch.equal(found, whole) and parts == [3, 2]


@needs_triton
def test_asymmetric_least_squares_fused_edges():
    assert fused.asymmetric_least_squares_fused(torch.zeros(0, 7, device=DEVICE)).shape == (0, 7)
    y = lanes(3, 20)
    y[1, 4] = torch.nan
    got = fused.asymmetric_least_squares_fused(y.to(DEVICE)).cpu()
    assert bool(got[1].isnan().all()) and not bool(got[[0, 2]].isnan().any())
    with pytest.raises(TypeError, match="tensor, got ndarray"):
        fused.asymmetric_least_squares_fused(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="T >= 3"):
        fused.asymmetric_least_squares_fused(torch.zeros(2, 2))
