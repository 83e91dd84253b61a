"""How well the two embeddings find each other, and whether they have collapsed.

    rank   1 + candidates above the partner + (other candidates level with it) / 2
    top-k  mean over queries of the chance that the partner is among the first k, ties broken evenly

Glossary: B, N subjects, D embedding width, partner = the other modality's embedding of one subject.
Source: Turgut et al. 2025, section 3.2; authors' code (in-batch retrieval, monitors).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from reference.contrastive_loss import check_pair, cosine_logits
from reference.evaluation import Array, as_float64


def partner_ranks(cosines: Tensor) -> tuple[Tensor, Tensor]:
    """Where the partner (column i) of each query (row i) stands among all candidates.

    Args: cosines [B, B] in [-1, 1].
    Returns: number of candidates strictly above the partner [B], and level with it, the partner
        included [B]. Level means within 16 rounding units, so that collapsed embeddings tie;
        NaN counts as above.
    """
    gap = cosines - cosines.diagonal().unsqueeze(1)  # [B, B]
    tie = 16 * torch.finfo(cosines.dtype).eps
    return (~(gap <= tie)).sum(dim=1), (gap.abs() <= tie).sum(dim=1)


@torch.no_grad()
def in_batch_accuracy(z_query: Tensor, z_target: Tensor, k: int = 1) -> Tensor:
    """Fraction of queries whose partner is among the k most similar targets of the batch.

    Args: z_query, z_target [B, D]; k >= 1 (k >= B gives 1).
    Returns: scalar in [0, 1]. Ties are broken evenly: collapsed embeddings give chance, k / B.
    Raises: ValueError, TypeError for a shape, dtype or number out of range.
    Source: the authors log top-1 and top-5; ties are ours.
    """
    check_pair(z_query=z_query, z_target=z_target)
    if k < 1:
        raise ValueError(f"k={k}; at least 1 is needed")
    above, level = partner_ranks(cosine_logits(z_query, z_target))  # [B], [B]
    return ((k - above) / level.clamp(min=1)).clamp(0, 1).mean()


def retrieval(z_query: Array, z_target: Array, candidates: int = 256, *,
              generator: np.random.Generator) -> dict[str, float | int]:
    """Find each query's own target by cosine among random candidate sets.

    The rows are permuted and cut into sets of n = min(candidates, N); the last set is filled up
    with rows of earlier sets, which serve there as candidates only, so that every query counts
    exactly once and always among n.

    Args:
        z_query, z_target: [N, D], row i of both from one subject.
        candidates: size of the sets, >= 1.
        generator: draws the permutation.
    Returns: top1, top5 (fractions; ties broken evenly: 1/n and 5/n for collapsed embeddings),
        median_rank (ties at their midrank: (n + 1) / 2 for collapsed embeddings), candidates (n).
    Raises: ValueError for shapes that do not fit, embeddings that are not finite, candidates < 1.
    Source: authors' in-batch retrieval; 256 is their contrastive batch.
    """
    query, target = as_float64("z_query", z_query), as_float64("z_target", z_target)
    if query.ndim != 2 or query.shape != target.shape or 0 in query.shape:
        raise ValueError(f"z_query is {query.shape}, z_target {target.shape}; one [N, D] is needed")
    if not (np.isfinite(query).all() and np.isfinite(target).all()):
        raise ValueError("embeddings hold NaN or infinity; finite numbers are needed")
    if candidates < 1:
        raise ValueError(f"candidates={candidates}; at least 1 is needed")
    count = len(query)
    size = min(candidates, count)
    order = generator.permutation(count)
    ranks = [_ranks(query, target, order, start, size) for start in range(0, count, size)]
    above, level = np.concatenate(ranks, axis=1)  # [N], [N]
    top1, top5 = (float(np.clip((k - above) / level, 0, 1).mean()) for k in (1, 5))
    median = float(np.median(above + (level + 1) / 2))
    return {"top1": top1, "top5": top5, "median_rank": median, "candidates": size}


def _ranks(query: np.ndarray, target: np.ndarray, order: np.ndarray, start: int,
           size: int) -> np.ndarray:
    """[2, n]: candidates above and level with the partner, for the queries from `start` on."""
    first = min(start, len(order) - size)
    rows = order[first: first + size]
    z0, z1 = (torch.from_numpy(z[rows]) for z in (query, target))  # [size, D]
    ranks = torch.stack(partner_ranks(cosine_logits(z0, z1))).numpy()  # [2, size]
    return ranks[:, start - first:]


def collapse(z: Array) -> dict[str, float]:
    """Has the embedding collapsed to a point?

    Args: z [N, D], N >= 2.
    Returns: mean_cosine, over all pairs of different rows (1 = collapsed, 0 = spread evenly), and
        spread, sqrt(D) x mean over dimensions of the standard deviation (N - 1) of the
        L2-normalised rows (0 = collapsed, 1 = spread evenly).
    Raises: ValueError for a shape that does not fit.
    Source: authors' code (monitors of the consistency term).
    """
    z = as_float64("z", z)
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"z is {z.shape}; [N, D] with N >= 2 is needed")
    count, dim = z.shape
    unit = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)  # [N, D]
    all_pairs = np.sum(unit.sum(axis=0) ** 2) - np.sum(unit**2)  # sum over i != j of cosines
    return {"mean_cosine": float(all_pairs / (count * (count - 1))),
            "spread": float(math.sqrt(dim) * unit.std(axis=0, ddof=1).mean())}


def on_plateau(losses: Array, batch: int, tolerance: float = 0.005) -> bool:
    """Did a contrastive run end where it began: at ln B, the CLIP loss of uninformed embeddings?

    Args: losses [K], the last ones; batch = B; tolerance in nats.
    Returns: |mean of losses - ln B| < tolerance.
    Raises: ValueError for no losses or batch < 1.
    """
    losses = as_float64("losses", losses)
    if losses.size == 0 or batch < 1:
        raise ValueError(f"{losses.size} losses, batch={batch}; at least 1 of each is needed")
    return bool(abs(float(losses.mean()) - math.log(batch)) < tolerance)
