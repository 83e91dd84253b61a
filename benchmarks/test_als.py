"""Baseline of 12-lead records by asymmetric least squares: [12 records, 5000] float64.

    flops  19 a sample and iteration: weights 3, factor 6, forward 5, backward 5 (row recurrence)
    bytes  72 a sample and iteration: forward reads y and z (16), writes 1 / v, q and g (24);
           backward reads these (24), writes z (8). Kept on the chip, 8 + 8 in all would do.

Ours takes chunks for few lanes, the row recurrence in place for many and the block cyclic reduction
on devices; all are checked against the plain form, which is slow: from 64 records on they repeat.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.harness.alternatives import alternative
from benchmarks.harness.measure import Draw, host, no_graph
from benchmarks.harness.roofline import Work
from benchmarks.harness.variants import need_triton
from reference.baseline import asymmetric_least_squares
from reference.kernels.fused import asymmetric_least_squares_fused

LEADS, T, ITERATIONS, LAM, P = 12, 5000, 5, 1e7, 0.3
DISTINCT = 64  # records
SHAPES = {"records1": 1, "records8": 8, "records16": 16, "records64": 64, "records128": 128,
          "records512": 512, "records4096": 4096}
CPU_SHAPES = ("records1", "records8", "records128")
PAPER = ("records1", "records4096")


def work(records: int) -> Work:
    """Counted work of one call."""
    samples = records * LEADS * T * ITERATIONS
    return Work(19 * samples, 72 * samples, precision="float64")


def signals(records: int, draw: Draw) -> torch.Tensor:
    """Noise on slow wander, [records * 12, T] float64."""
    lanes = min(records, DISTINCT) * LEADS
    wander = draw.normal(lanes, T).cumsum(dim=1) / T**0.5
    y = (wander + 0.3 * draw.normal(lanes, T)).to(torch.float64)
    return y.repeat(max(1, records // DISTINCT), 1)


def ours(y: torch.Tensor) -> torch.Tensor:
    """The solver that the number of lanes and the device ask for."""
    return asymmetric_least_squares(y, LAM, P, ITERATIONS)


def plain(y: torch.Tensor) -> np.ndarray:
    """The plain form, in NumPy."""
    z = asymmetric_least_squares(y[:DISTINCT * LEADS].cpu().numpy(), LAM, P, ITERATIONS,
                                 method="plain")
    return np.tile(z, (len(y) // len(z), 1))


@pytest.mark.parametrize("implementation", ("fused",))
def test_als_fused(measure, device, shape, implementation):
    need_triton(device)
    records = SHAPES[shape]
    measure(lambda y: asymmetric_least_squares_fused(y, LAM, P, ITERATIONS),
            lambda draw: (signals(records, draw),), work(records), plain, 1e-7)


@no_graph("constants are copied from the host at each call")
def test_als(measure, shape):
    records = SHAPES[shape]
    measure(ours, lambda draw: (signals(records, draw),), work(records), plain, 1e-7)


@host
@pytest.mark.parametrize("shape", ("records1", "records128"))
@pytest.mark.parametrize("implementation", ("rows", "chunks", "reduction", "plain"))
def test_als_methods(measure, shape, implementation):
    if (shape, implementation) == ("records128", "reduction"):
        pytest.skip("half a minute: the reduction is for few lanes")
    records = SHAPES[shape]
    measure(lambda y: asymmetric_least_squares(y.cpu(), LAM, P, ITERATIONS, method=implementation),
            lambda draw: (signals(records, draw),), work(records), plain, 1e-7)


@host
@pytest.mark.parametrize("shape", ("records1",))
@pytest.mark.parametrize("implementation", ("scipy", "pybaselines"))
def test_als_alternatives(measure, shape, implementation):
    solve = alternative(implementation)
    records = SHAPES[shape]
    measure(lambda y: solve(y.numpy(), LAM, P, ITERATIONS),
            lambda draw: (signals(records, draw),), work(records), plain, 1e-6)
