"""The pieces of a vision transformer for ECG: position table, patches, attention, block.

    p       = [sin(t w), cos(t w), sin(v w), cos(v w)],  w_k = 10000^(-k / (D/4))
    z_0     = x_patch W_e + b_e
    z      <- z + Attn(LN(z)),  z <- z + MLP(LN(z))
    Attn(z) = softmax(q k^T / sqrt(d)) v W_o,   MLP(z) = W_2 GELU(W_1 z)

Glossary: B records, C channels, V leads, T samples, L patch tokens = leads x steps, N tokens with
the class token, D width, H heads, d = D / H, t v time and lead index of a patch.
Source: Dosovitskiy et al. 2021; Turgut et al. 2025, section 3.1. Parameter names are those of timm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def sincos_position_embedding(dim: int, grid: tuple[int, int]) -> torch.Tensor:
    """Fixed two-dimensional sine-cosine position table, a row of zeros first (class token).

    The first half of the width encodes the time index, the second half the lead index; within each
    half sines then cosines at 10000^(-k / (dim / 4)), k = 0 .. dim/4 - 1, in float32.

    Args:
        dim: D, a multiple of 4.
        grid: (leads, steps).
    Returns:
        [1 + leads * steps, D] float32, rows lead-major.
    Raises:
        ValueError: dim is not a positive multiple of 4, or the grid is empty.
    Source: authors' code (position embedding).
    """
    leads, steps = grid
    if dim < 4 or dim % 4:
        raise ValueError(f"dim must be a positive multiple of 4, got {dim}")
    if leads < 1 or steps < 1:
        raise ValueError(f"grid must be at least (1, 1), got {grid}")
    k = torch.arange(dim // 4, dtype=torch.float32)
    omega = 1.0 / 10000 ** (k / (dim / 4.0))  # [D/4]

    def half(index: torch.Tensor) -> torch.Tensor:
        angle = index[:, None] * omega  # [L, D/4]
        return torch.cat([angle.sin(), angle.cos()], dim=1)  # [L, D/2]

    step = torch.arange(steps, dtype=torch.float32).repeat(leads)  # [L]
    lead = torch.arange(leads, dtype=torch.float32).repeat_interleave(steps)  # [L]
    table = torch.cat([half(step), half(lead)], dim=1)  # [L, D]
    return torch.cat([torch.zeros(1, dim), table])  # [1 + L, D]


def interpolate_position_embedding(table: torch.Tensor, grid: tuple[int, int],
                                   steps: int) -> torch.Tensor:
    """Position table for another window length: bicubic along time, leads untouched.

    Args:
        table: [1, 1 + leads * old steps, D], class token first.
        grid: (leads, old steps).
        steps: new number of time steps, at least 1.
    Returns:
        [1, 1 + leads * steps, D].
    Raises:
        ValueError: the table does not fit the grid, or steps < 1.
    Source: authors' code (position embedding interpolation).
    """
    leads, old = grid
    _, N, D = table.shape
    if 1 + leads * old != N:
        raise ValueError(f"table has {N} rows, grid {grid} needs {1 + leads * old}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if steps == old:
        return table
    patches = table[:, 1:].reshape(1, leads, old, D).permute(0, 3, 1, 2)  # [1, D, leads, old]
    patches = F.interpolate(patches, size=(leads, steps), mode="bicubic", align_corners=False)
    patches = patches.permute(0, 2, 3, 1).reshape(1, leads * steps, D)  # [1, L', D]
    return torch.cat([table[:, :1], patches], dim=1)  # [1, 1 + L', D]


class PatchEmbedding(nn.Module):
    """Linear map of every patch, a convolution with stride = kernel: [B, C, V, T] -> [B, L, D].

    Args:
        input_size: (C, V, T).
        patch_size: (leads, samples).
        dim: D.
    Raises:
        ValueError: the patch does not divide the record.
    """

    def __init__(self, input_size: Sequence[int], patch_size: Sequence[int], dim: int):
        super().__init__()
        C, V, T = input_size
        pv, pt = patch_size
        if V % pv or T % pt:
            raise ValueError(f"input {V} x {T} is not a multiple of the patch {pv} x {pt}")
        self.input_size, self.grid = (C, V, T), (V // pv, T // pt)
        self.proj = nn.Conv2d(C, dim, kernel_size=(pv, pt), stride=(pv, pt))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, V, T] -> [B, L, D]; ValueError for records of another size."""
        if x.ndim != 4 or tuple(x.shape[1:]) != self.input_size:
            raise ValueError(f"input must be [B, {', '.join(map(str, self.input_size))}], "
                             f"got {list(x.shape)}")
        return self.proj(x).flatten(2).transpose(1, 2)  # [B, L, D]


class Attention(nn.Module):
    """Multi-head self-attention with one fused query-key-value map.

    Args:
        dim: D, a multiple of H.
        heads: H.
    Raises:
        ValueError: D is not a multiple of H.
    """

    def __init__(self, dim: int, heads: int):
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is not a multiple of {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def split(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """q, k, v of [B, N, D], each [B, H, N, d]."""
        B, N, D = z.shape
        q, k, v = self.qkv(z).reshape(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def weights(self, z: torch.Tensor) -> torch.Tensor:
        """Attention probabilities [B, H, N, N] of [B, N, D]."""
        q, k, _ = self.split(z)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # [B,H,N,d] @ [B,H,d,N]
        return scores.softmax(dim=-1)  # [B, H, N, N]

    def forward(self, z: torch.Tensor, explicit: bool = False) -> torch.Tensor:
        """[B, N, D] -> [B, N, D]; `explicit` writes the softmax out, in place of a fused kernel."""
        q, k, v = self.split(z)
        y = self.weights(z) @ v if explicit else F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).flatten(2))  # [B, H, N, d] -> [B, N, D]


class MLP(nn.Module):
    """W_2 GELU(W_1 z), exact (erf) GELU: [B, N, D] -> [B, N, D]."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[B, N, D] -> [B, N, D]."""
        return self.fc2(F.gelu(self.fc1(z)))


class Block(nn.Module):
    """Pre-norm transformer block with optional stochastic depth: [B, N, D] -> [B, N, D]."""

    def __init__(self, dim: int, heads: int, drop_path: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, 4 * dim)
        self.drop_path = drop_path

    def skip(self, branch: torch.Tensor) -> torch.Tensor:
        """Drop the branch for whole records in training, rescaled to keep its mean."""
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = 1.0 - self.drop_path
        draw = torch.rand(branch.shape[0], 1, 1, device=branch.device) < keep
        return branch * draw / keep

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[B, N, D] -> [B, N, D]."""
        z = z + self.skip(self.attn(self.norm1(z)))
        return z + self.skip(self.mlp(self.norm2(z)))


def initialise_transformer(module: nn.Module) -> None:
    """Xavier-uniform matrices (also the patch map), zero biases, N(0, 0.02) tokens.

    The bias of the patch map keeps torch's initialisation of a convolution.

    Source: authors' code (initialisation of the masked autoencoder and of the encoder).
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        if isinstance(part, PatchEmbedding):
            nn.init.xavier_uniform_(part.proj.weight.view(part.proj.weight.shape[0], -1))
    for name in ("cls_token", "mask_token"):
        token = getattr(module, name, None)
        if token is not None:
            nn.init.normal_(token, std=0.02)
