"""Masks, patches, position tables and schedules, entry by entry.

Glossary: B records, L tokens, K kept tokens, D width, V leads, T samples, P numbers of a patch.
"""

from __future__ import annotations

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
