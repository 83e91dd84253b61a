"""Losses against targets, and their gradients: reconstruction, phenotypes, labels.

    reconstruction  L = (1 - w) sum_l k_l mean_p (y^ - y)^2 / (sum_l k_l + 1e-5) + w (1 - mean r)
    correlation     r = a / (n s_x s_y), a = sum x0 y0, s = sqrt(sum x0^2 / n + 1e-12), n = T - 1
                    dr/dy_t = x0_t / (n s_x s_y) - r y0_t / (n s_y^2)
    phenotypes      L = sum seen (p - y)^2 / n, dL/dp = 2 seen (p - y) / n
    labels          L = sum seen (c y log(1 + e^-z) + (1 - y) log(1 + e^z)) / n
                    dL/dz = seen ((1 - y) h - c y (1 - h)) / n, h = 1 / (1 + e^-z)

Glossary: w weight of the correlation, k_l 1 where patch l counts, x0 and y0 centred traces, seen 1
where a target is observed, n their number and at least 1, c weight of positives, z logit.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.losses import length
from tests.oracle.tables import patchify, unpatchify


def correlation(x, y) -> tuple[float, np.ndarray]:
    """r of two traces, and its gradient by the second one."""
    T = len(x)
    x0, y0 = [v - sum(x) / T for v in x], [v - sum(y) / T for v in y]
    n = T - 1
    s_x = math.sqrt(sum(v * v for v in x0) / n + 1e-12)
    s_y = math.sqrt(sum(v * v for v in y0) / n + 1e-12)
    r = sum(u * v for u, v in zip(x0, y0, strict=True)) / (n * s_x * s_y)
    return r, np.array([u / (n * s_x * s_y) - r * v / (n * s_y**2)
                        for u, v in zip(x0, y0, strict=True)])


def cross_correlation(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Correlation along the last axis of [V, T]; the loss is its mean."""
    V = len(x)
    pairs = [correlation(x[v], y[v]) for v in range(V)]
    swapped = [correlation(y[v], x[v]) for v in range(V)]
    r = np.array([value for value, _ in pairs])
    return {"out/ncc": r, "loss/total": np.array(sum(r) / V),
            "grad/x": np.array([grad for _, grad in swapped]) / V,
            "grad/y": np.array([grad for _, grad in pairs]) / V}


def patch_targets(x: np.ndarray, patch: tuple[int, int], normalise: bool) -> np.ndarray:
    """Patches of [B, C, V, T], each normalised by its own mean and unbiased variance if asked."""
    out = patchify(x, patch)
    if normalise:
        for b in range(out.shape[0]):
            for token in range(out.shape[1]):
                y = list(out[b, token])
                mean = sum(y) / len(y)
                variance = sum((v - mean) ** 2 for v in y) / (len(y) - 1)
                out[b, token] = [(v - mean) / math.sqrt(variance + 1e-6) for v in y]
    return out


def reconstruction_loss(x: np.ndarray, prediction: np.ndarray, mask: np.ndarray,
                        patch_size: tuple[int, int], ncc_weight: float, normalise_patches: bool,
                        masked_only: bool) -> dict[str, np.ndarray]:
    """Squared error of patches [B, L, P] and correlation of traces [B, C, V, T]."""
    B, C, V, T = x.shape
    targets = patch_targets(x, patch_size, normalise_patches)
    L, P = targets.shape[1:]
    counts = mask if masked_only else np.ones((B, L))
    total = sum(counts.reshape(-1)) + 1e-5
    mse, grad = 0.0, np.zeros(prediction.shape)
    for b in range(B):
        for token in range(L):
            for p in range(P):
                error = prediction[b, token, p] - targets[b, token, p]
                mse += counts[b, token] * error**2 / P / total
                grad[b, token, p] = (1 - ncc_weight) * 2 * counts[b, token] * error / P / total
    traces, ncc = unpatchify(prediction, patch_size, (C, V, T)), np.zeros((B, C, V))
    by_traces = np.zeros(x.shape)
    for place in np.ndindex(B, C, V):
        ncc[place], by_trace = correlation(x[place], traces[place])
        by_traces[place] = -ncc_weight * by_trace / (B * C * V)
    mean = sum(ncc.reshape(-1)) / ncc.size
    return {"mid/targets": targets, "mid/ncc": ncc,
            "loss/total": np.array((1 - ncc_weight) * mse + ncc_weight * (1 - mean)),
            "grad/prediction": grad + patchify(by_traces, patch_size)}


def negative_cosine(prediction: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """- mean_i cos(p_i, t_i); the target is constant."""
    B, D = prediction.shape
    loss, grad = 0.0, np.zeros((B, D))
    for i in range(B):
        p, t = length(prediction[i]), length(target[i])
        cosine = sum(a * b for a, b in zip(prediction[i], target[i], strict=True)) / (p * t)
        loss -= cosine / B
        for d in range(D):
            grad[i, d] = -(target[i, d] / (p * t) - cosine * prediction[i, d] / p**2) / B
    return {"loss/total": np.array(loss), "grad/prediction": grad, "grad/target": np.zeros((B, D))}


def masked_mse(prediction: np.ndarray, target: np.ndarray, observed: np.ndarray,
               authors_count: bool) -> dict[str, np.ndarray]:
    """Mean squared error of the observed targets [B, K]; the authors divide by B K."""
    places = [place for place in np.ndindex(*target.shape) if observed[place]]
    count = target.size if authors_count else max(len(places), 1)
    loss, grad = 0.0, np.zeros(target.shape)
    for place in places:
        error = prediction[place] - target[place]
        loss += error**2 / count
        grad[place] = 2 * error / count
    return {"loss/total": np.array(loss), "grad/prediction": grad}


def masked_bce(logits: np.ndarray, labels: np.ndarray, observed: np.ndarray,
               positive_weight: np.ndarray) -> dict[str, np.ndarray]:
    """Cross-entropy of the observed labels [B, K], positives of column k weighted by c_k."""
    places = [place for place in np.ndindex(*labels.shape) if observed[place]]
    count = max(len(places), 1)
    loss, grad = 0.0, np.zeros(labels.shape)
    for place in places:
        z, y, c = logits[place], labels[place], positive_weight[place[1]]
        loss += (c * y * softplus(-z) + (1 - y) * softplus(z)) / count
        h = math.exp(-softplus(-z))
        grad[place] = ((1 - y) * h - c * y * (1 - h)) / count
    return {"loss/total": np.array(loss), "grad/logits": grad}


def softplus(z: float) -> float:
    """log(1 + e^z)."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))
