"""Launch counts of known bodies."""

from __future__ import annotations

import torch

from benchmarks.harness.launches import launches
from tests.support.benchmarking import CPU, needs_cuda
from tests.support.helpers import assert_equal


def test_launches_on_a_cpu():
    x = torch.rand(3, 4)
    got = launches(lambda: (x.T.reshape(-1)[2:] + 1).sin(), CPU)  # reshape copies: 3 operations
    assert_equal("launches", (got.count, got.kind), (3, "dispatched operations"))
    assert launches(lambda: x.T[1:].unsqueeze(0), CPU).count is None, "views launch nothing"
    y = x.requires_grad_()
    out = y.sin().sum()
    backward = launches(lambda: torch.autograd.grad(out, y, retain_graph=True), CPU)
    assert backward.count and backward.count >= 2, "cosine and product at least"


@needs_cuda
def test_launches_on_cuda():
    x = torch.rand(3, 4, device="cuda")

    def body() -> torch.Tensor:
        return (x + 1).sin()

    body()
    got = launches(body, x.device)
    assert_equal("launches", (got.count, got.kind), (2, "kernels"))
