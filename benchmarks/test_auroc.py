"""AUROC with ties, on the host: labels and scores [N] -> number.

    flops  N log2 N comparisons of a sort, counted as operations
    bytes  read labels and scores, 16 N

Scores take 1,000 distinct values, so that nearly every one is tied.
"""

from __future__ import annotations

import math

import torch

from benchmarks.harness.alternatives import alternative
from benchmarks.harness.measure import Draw, host
from benchmarks.harness.roofline import Work
from reference.evaluation import auroc

SHAPES = {"N1e4": 10**4, "N1e5": 10**5, "N1e6": 10**6}
CPU_SHAPES = ("N1e4", "N1e5", "N1e6")
PAPER = ("N1e6",)
IMPLEMENTATIONS = ("ours", "scikit-learn", "torchmetrics")


def work(N: int) -> Work:
    """Counted work of one call."""
    return Work(N * math.log2(N), 16 * N, precision="float64")


def explicit(labels: torch.Tensor, scores: torch.Tensor) -> float:
    """Pairs counted one positive at a time, ties as a half."""
    negative = scores[labels == 0].sort().values
    positive = scores[labels == 1]
    below = torch.searchsorted(negative, positive, right=False)
    level = torch.searchsorted(negative, positive, right=True) - below
    return float((below + level / 2).to(torch.float64).sum()) / (len(positive) * len(negative))


def inputs(N: int, draw: Draw) -> tuple[torch.Tensor, ...]:
    """5 % positives, shifted by one half of a standard deviation."""
    labels = (draw.uniform(N) < 0.05).to(torch.float64)
    scores = draw.normal(N).to(torch.float64) + labels / 2
    return labels, (scores * 150).round()


@host
def test_auroc(measure, shape, implementation):
    function = auroc if implementation == "ours" else alternative(implementation)
    N = SHAPES[shape]
    tolerance = 1e-5 if implementation == "torchmetrics" else 1e-12  # it sums in float32
    measure(lambda labels, scores: float(function(labels.numpy(), scores.numpy())),
            lambda draw: inputs(N, draw), work(N), explicit, tolerance)
