"""What was transferred, as maps: where in the image and in the trace the two embeddings agree.

Equations, with x' = x / max(|x|, 1e-12):

    cmr_hw      = c'_hw . e' / T             every image cell with the subject's global ECG
    ecg_ls      = k'_ls . g' / T             every ECG token with the subject's global CMR
    pairwise_shw = mean over leads l of k'_ls . c'_hw / T

    B  subjects                      e  global ECG embedding [B, D], projected
    D  embedding width               g  global CMR embedding [B, D], projected
    h, w  cells of the feature map   c  projected cells of the last feature map [B, h, w, D]
    l, s  lead, time step            k  projected patch tokens [B, L, D], L = leads x steps
    T  temperature                   N  tokens of the attention matrix, L or 1 + L

The maps are differentiable in every input.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from reference.contrastive_loss import full_precision, unit_rows


class SimilarityMaps(NamedTuple):
    """Cosines over the temperature, each in [-1/T, 1/T]."""

    cmr: Tensor       # [B, h, w]
    ecg: Tensor       # [B, leads, steps]
    pairwise: Tensor  # [B, steps, h, w]


def similarity_maps(z_cmr: Tensor, z_ecg: Tensor, cmr_cells: Tensor, ecg_tokens: Tensor,
                    grid: tuple[int, int], temperature: float = 0.6) -> SimilarityMaps:
    """Similarity of each part of one modality with the whole, or the parts, of the other.

    Args:
        z_cmr, z_ecg: [B, D], projected global embeddings; any scale.
        cmr_cells: [B, h, w, D], every cell of the last feature map through the CMR projection.
        ecg_tokens: [B, leads * steps, D], every patch token through the ECG projection.
        grid: (leads, steps) of the tokens.
        temperature: T > 0.
    Returns: SimilarityMaps of cmr [B, h, w], ecg [B, leads, steps], pairwise [B, steps, h, w],
        float32 or the inputs' dtype if wider.
    Raises: ValueError, TypeError for shapes that do not fit, non-floating input, T <= 0.
    Source: Turgut et al. 2025, localisation figures; authors' code.
    """
    _check_maps(z_cmr, z_ecg, cmr_cells, ecg_tokens, grid)
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature={temperature}; a positive finite number is needed")
    g, e, c, k = (_unit(z) for z in (z_cmr, z_ecg, cmr_cells, ecg_tokens))
    k = k.unflatten(1, grid)  # [B, leads, steps, D]
    cmr = (c * e[:, None, None]).sum(dim=-1)  # [B, h, w, D] . [B, 1, 1, D] -> [B, h, w]
    ecg = (k * g[:, None, None]).sum(dim=-1)  # [B, leads, steps, D] . [B, 1, 1, D]
    with full_precision(z_cmr.device):  # the mean over leads commutes with the product
        pairwise = torch.einsum("bsd,bhwd->bshw", k.mean(dim=1), c)  # [B, steps, h, w]
    return SimilarityMaps(cmr / temperature, ecg / temperature, pairwise / temperature)


def attention_map(attention: Tensor, grid: tuple[int, int]) -> Tensor:
    """How much the patch tokens look at each patch token, in one block (usually the last).

    Args:
        attention: [B, heads, N, N], rows (queries) sum to 1; N = leads * steps, or one more where
            a class token stands in front (it is left out, as query and as key).
        grid: (leads, steps).
    Returns: [B, leads, steps], the mean over heads and patch queries.
    Raises: ValueError for shapes that do not fit.
    Source: Turgut et al. 2025, attention figures; authors' code.
    """
    patches = grid[0] * grid[1]
    tokens = attention.shape[-1]
    if attention.ndim != 4 or attention.shape[-2] != tokens or tokens - patches not in (0, 1):
        raise ValueError(f"attention is {tuple(attention.shape)}; [B, heads, N, N] with N = "
                         f"{patches} or {patches + 1} is needed for the grid {tuple(grid)}")
    among_patches = attention[..., tokens - patches:, tokens - patches:]  # [B, heads, L, L]
    return among_patches.mean(dim=(1, 2)).unflatten(1, grid)  # [B, leads, steps]


def upsample_cmr(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation of a map [B, h, w] to an image of `size` (height, width), in pixels.

    Cell centres stay where they lie in the image (corners are not aligned).
    """
    return _interpolate(cells, tuple(size), "bilinear")  # [B, H, W]


def upsample_ecg(steps: Tensor, samples: int) -> Tensor:
    """Linear interpolation of a map [B, leads, steps] to a trace of `samples` per lead.

    Step centres stay where they lie in the trace (ends are not aligned).
    """
    return _interpolate(steps, (samples,), "linear")  # [B, leads, samples]


def _interpolate(values: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    if values.ndim != 3:
        raise ValueError(f"the map is {tuple(values.shape)}; three dimensions are needed")
    if min(size) < 1:
        raise ValueError(f"size={size}; at least 1 in each direction is needed")
    if mode == "linear":
        return F.interpolate(values, size, mode=mode, align_corners=False)
    return F.interpolate(values.unsqueeze(1), size, mode=mode, align_corners=False).squeeze(1)


def _unit(z: Tensor) -> Tensor:
    """Rows (last dimension) of length 1, in float32 at least; a zero row stays zero."""
    return unit_rows(z.to(torch.promote_types(z.dtype, torch.float32)))


def _check_maps(z_cmr: Tensor, z_ecg: Tensor, cmr_cells: Tensor, ecg_tokens: Tensor,
                grid: tuple[int, int]) -> None:
    """Every tensor floating and of the shape that z_cmr and the grid ask for."""
    tensors = {"z_cmr": z_cmr, "z_ecg": z_ecg, "cmr_cells": cmr_cells, "ecg_tokens": ecg_tokens}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise TypeError(f"{name} is {tensor.dtype}; a floating dtype is needed")
    if z_cmr.ndim != 2:
        raise ValueError(f"z_cmr is {tuple(z_cmr.shape)}; [B, D] is needed")
    batch, dim = z_cmr.shape
    cells = tuple(cmr_cells.shape[1:3]) if cmr_cells.ndim == 4 else ("h", "w")
    wanted = {"z_ecg": (batch, dim), "cmr_cells": (batch, *cells, dim),
              "ecg_tokens": (batch, grid[0] * grid[1], dim)}
    for name, shape in wanted.items():
        if tuple(tensors[name].shape) != shape:
            raise ValueError(f"{name} is {tuple(tensors[name].shape)}; {shape} is needed "
                             f"(z_cmr {(batch, dim)}, grid {tuple(grid)})")
