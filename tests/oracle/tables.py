"""Masks, patches, position tables and schedules, entry by entry.

Glossary: B records, L tokens, K kept tokens, D width, V leads, T samples, P numbers of a patch.
"""

from __future__ import annotations

import math

import numpy as np


def random_mask(noise: np.ndarray, ratio: float) -> dict[str, np.ndarray]:
    """keep [B, K], restore [B, L], mask [B, L]: the place of a token is the number of tokens that
    come before it, those of smaller noise and those of equal noise and smaller index."""
    B, L = noise.shape
    K = int(L * (1 - ratio))
    keep = np.zeros((B, K), dtype=np.int64)
    restore = np.zeros((B, L), dtype=np.int64)
    mask = np.zeros((B, L))
    for b in range(B):
        for token in range(L):
            place = 0
            for other in range(L):
                earlier = noise[b, other] == noise[b, token] and other < token
                place += int(noise[b, other] < noise[b, token] or earlier)
            restore[b, token] = place
            mask[b, token] = float(place >= K)
            if place < K:
                keep[b, place] = token
    return {"out/keep": keep, "out/restore": restore, "out/mask": mask,
            "out/kept": np.array(K, dtype=np.int64)}


def gather_tokens(tokens: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """[B, L, D], [B, K] -> [B, K, D]."""
    B, K = keep.shape
    out = np.zeros((B, K, tokens.shape[2]))
    for b in range(B):
        for k in range(K):
            for d in range(tokens.shape[2]):
                out[b, k, d] = tokens[b, keep[b, k], d]
    return out


def patchify(x: np.ndarray, patch: tuple[int, int]) -> np.ndarray:
    """[B, C, V, T] -> [B, L, P]: tokens by lead, then time; in a patch lead, time, channel."""
    B, C, V, T = x.shape
    leads, samples = patch
    steps = T // samples
    out = np.zeros((B, V // leads * steps, leads * samples * C))
    for b, c, v, t in np.ndindex(B, C, V, T):
        token = v // leads * steps + t // samples
        out[b, token, (v % leads * samples + t % samples) * C + c] = x[b, c, v, t]
    return out


def unpatchify(patches: np.ndarray, patch: tuple[int, int],
               size: tuple[int, int, int]) -> np.ndarray:
    """[B, L, P] -> [B, C, V, T]: every sample from its place in the patches."""
    C, V, T = size
    leads, samples = patch
    out = np.zeros((len(patches), C, V, T))
    for b, c, v, t in np.ndindex(*out.shape):
        token = v // leads * (T // samples) + t // samples
        out[b, c, v, t] = patches[b, token, (v % leads * samples + t % samples) * C + c]
    return out


def warmup_cosine(epoch: np.ndarray, base: float, warmup: float, total: float,
                  minimum: float) -> np.ndarray:
    """Learning rate of every fractional epoch: a line, half a cosine, then constant."""
    rates = []
    for e in epoch:
        if e < warmup:
            rates.append(base / warmup * e)
        else:
            angle = math.pi * (min(e, total) - warmup) / (total - warmup)
            rates.append(minimum + (base - minimum) * math.cos(angle / 2) ** 2)
    return np.array(rates)


def byol_momentum(step: np.ndarray, total: int, base: float) -> np.ndarray:
    """1 - (1 - base) cos^2(pi step / 2 total)."""
    return np.array([1 - (1 - base) * math.cos(math.pi * s / total / 2) ** 2 for s in step])


def layer_decay(dimensions: dict[str, int], depth: int, decay: float,
                weight_decay: float) -> dict[str, np.ndarray]:
    """Scale and weight decay of every parameter: one factor for each layer above its own."""
    scales, decays = [], []
    for name, ndim in dimensions.items():
        above = 0
        if name in ("cls_token", "pos_embed") or name.startswith("patch_embed."):
            above = depth + 1
        for block in range(depth):
            if name.startswith(f"blocks.{block}."):
                above = depth - block
        scales.append(math.prod([decay] * above))
        spared = ndim < 2 or name in ("cls_token", "pos_embed")
        decays.append(0.0 if spared else weight_decay)
    return {"out/lr_scale": np.array(scales), "out/weight_decay": np.array(decays)}


def matrices_only(dimensions: dict[str, int], weight_decay: float) -> dict[str, np.ndarray]:
    """Scale 1, and the weight decay of every parameter: none for vectors."""
    decays = [weight_decay if ndim > 1 else 0.0 for ndim in dimensions.values()]
    return {"out/lr_scale": np.ones(len(decays)), "out/weight_decay": np.array(decays)}


def update_target(target: np.ndarray, online: np.ndarray, tau: float) -> np.ndarray:
    """tau target + (1 - tau) online."""
    out = np.zeros(target.shape)
    for place in np.ndindex(*target.shape):
        out[place] = tau * target[place] + (1 - tau) * online[place]
    return out
