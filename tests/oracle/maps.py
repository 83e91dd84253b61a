"""Maps of what was transferred, cell by cell.

    interpolation   output i of n <- m cells: between the centres around (i + 1/2) m / n - 1/2,
                    the outermost cell beyond the last centre

Glossary: B subjects, D width, h and w cells, T temperature.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.losses import length


def cosine(x, y) -> float:
    """Of two vectors."""
    return sum(a * b for a, b in zip(x, y, strict=True)) / (length(x) * length(y))


def similarity_maps(z_cmr: np.ndarray, z_ecg: np.ndarray, cmr_cells: np.ndarray,
                    ecg_tokens: np.ndarray, grid: tuple[int, int],
                    temperature: float) -> dict[str, np.ndarray]:
    """Cells with the whole ECG, tokens with the whole CMR, tokens with cells, over T."""
    B, h, w, _ = cmr_cells.shape
    leads, steps = grid
    cmr, ecg = np.zeros((B, h, w)), np.zeros((B, leads, steps))
    pairwise = np.zeros((B, steps, h, w))
    for b, i, j in np.ndindex(B, h, w):
        cmr[b, i, j] = cosine(cmr_cells[b, i, j], z_ecg[b]) / temperature
    for b, lead, step in np.ndindex(B, leads, steps):
        token = ecg_tokens[b, lead * steps + step]
        ecg[b, lead, step] = cosine(token, z_cmr[b]) / temperature
        for i, j in np.ndindex(h, w):
            pairwise[b, step, i, j] += cosine(token, cmr_cells[b, i, j]) / temperature / leads
    return {"out/cmr": cmr, "out/ecg": ecg, "out/pairwise": pairwise}


def attention_map(attention: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Mean over heads and patch queries of [B, heads, N, N]; a class token in front is left out."""
    B, heads, N, _ = attention.shape
    leads, steps = grid
    L = leads * steps
    out = np.zeros((B, leads, steps))
    for b, head, query, key in np.ndindex(B, heads, L, L):
        value = attention[b, head, N - L + query, N - L + key]
        out[b, key // steps, key % steps] += value / heads / L
    return out


def between(i: int, got: int, wanted: int) -> list[tuple[int, float]]:
    """Cells of an axis and their shares in output i."""
    place = min(max((i + 0.5) * got / wanted - 0.5, 0.0), got - 1.0)
    low = math.floor(place)
    return [(low, 1 - place + low), (min(low + 1, got - 1), place - low)]


def upsample_cmr(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[B, h, w] -> [B, H, W]."""
    B, h, w = cells.shape
    out = np.zeros((B, *size))
    for b, i, j in np.ndindex(*out.shape):
        for row, share in between(i, h, size[0]):
            for column, other in between(j, w, size[1]):
                out[b, i, j] += share * other * cells[b, row, column]
    return out


def upsample_ecg(steps: np.ndarray, samples: int) -> np.ndarray:
    """[B, leads, steps] -> [B, leads, samples]."""
    B, leads, count = steps.shape
    out = np.zeros((B, leads, samples))
    for b, lead, t in np.ndindex(*out.shape):
        for step, share in between(t, count, samples):
            out[b, lead, t] += share * steps[b, lead, step]
    return out
