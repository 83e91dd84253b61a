"""Which tokens stay: random masking of a token sequence, with its noise passed in.

    order_b   = argsort(noise_b)                  (stable)
    K         = int(L (1 - r))                    in float64 arithmetic: int(300 (1 - 0.8)) = 59
    keep_b    = order_b[:K]
    restore_b = argsort(order_b)                  where token l went in the shuffled order
    mask_bl   = 1 if restore_bl >= K else 0       1 = removed

Glossary: B records, L tokens, K kept tokens, D width, r share of tokens removed (paper: masking
ratio).
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Mask(NamedTuple):
    """keep [B, K] indices of visible tokens in shuffled order; restore [B, L]; mask [B, L]."""

    keep: torch.Tensor
    restore: torch.Tensor
    mask: torch.Tensor


def kept_tokens(tokens: int, ratio: float) -> int:
    """Number of tokens that stay visible.

    Args:
        tokens: L, at least 1.
        ratio: r, share removed, 0 <= r < 1.
    Returns:
        K = int(L (1 - r)), truncated after the float64 product.
    Raises:
        ValueError: ratio outside [0, 1), or so large that no token stays.
    Source: authors' code (random masking); Turgut et al. 2025, section 3.1 states 80 %.
    Differs: exact arithmetic would keep 60 of 300 at r = 0.8; the float product keeps 59, and so do
        the authors' weights.
    """
    if not 0.0 <= ratio < 1.0:
        raise ValueError(f"ratio must be in [0, 1), got {ratio}")
    keep = int(tokens * (1 - ratio))
    if keep < 1:
        raise ValueError(f"ratio {ratio} keeps {keep} of {tokens} tokens, at least 1 must stay")
    return keep


def random_mask(noise: torch.Tensor, ratio: float) -> Mask:
    """Keep the tokens with the smallest noise.

    Args:
        noise: [B, L], any real dtype, usually uniform on [0, 1).
        ratio: r, share removed, 0 <= r < 1.
    Returns:
        Mask with keep [B, K] int64, restore [B, L] int64, mask [B, L] in the dtype of the noise
        (1 = removed).
    Raises:
        TypeError: noise is not a floating tensor.
        ValueError: noise is not two-dimensional, or the ratio is not allowed.
    Source: authors' code (random masking).
    Differs: the inverse permutation is a scatter, not a second sort; ties go to the lower index.
    """
    if not isinstance(noise, torch.Tensor) or not noise.is_floating_point():
        raise TypeError(f"noise must be a floating tensor, got {_describe(noise)}")
    if noise.ndim != 2:
        raise ValueError(f"noise must be [B, L], got shape {tuple(noise.shape)}")
    B, L = noise.shape
    K = kept_tokens(L, ratio)
    order = noise.argsort(dim=1, stable=True)  # [B, L]
    rank = torch.arange(L, device=noise.device).expand(B, L)  # [B, L]
    restore = torch.empty_like(order).scatter_(1, order, rank)  # [B, L]
    return Mask(order[:, :K], restore, (restore >= K).to(noise.dtype))


def random_mask_explicit(noise: torch.Tensor, ratio: float) -> Mask:
    """The same as `random_mask` by two sorts, token by token: slow, for checking.

    Args:
        noise: [B, L].
        ratio: r, share removed, 0 <= r < 1.
    Returns:
        Mask as `random_mask`.
    Source: as `random_mask`.
    """
    L = noise.shape[1]
    K = kept_tokens(L, ratio)
    order = [sorted(range(L), key=row.__getitem__) for row in noise.tolist()]
    restore = [[row.index(token) for token in range(L)] for row in order]
    mask = [[1.0 if place >= K else 0.0 for place in row] for row in restore]
    device = noise.device
    return Mask(torch.tensor([row[:K] for row in order], device=device),
                torch.tensor(restore, device=device),
                torch.tensor(mask, dtype=noise.dtype, device=device))


def gather_tokens(tokens: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Pick tokens by index.

    Args:
        tokens: [B, L, D].
        keep: [B, K] int64.
    Returns:
        [B, K, D].
    """
    return tokens.gather(1, keep[:, :, None].expand(-1, -1, tokens.shape[2]))


def _describe(value: object) -> str:
    return str(value.dtype) if isinstance(value, torch.Tensor) else type(value).__name__
