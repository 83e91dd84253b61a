"""Losses and their gradients, derived by hand.

With u = z / |z|, l_ij = u_i . v_j / T and softmax by rows p_ij, by columns q_ij:

    CLIP     L = w mean_i -log p_ii + (1 - w) mean_i -log q_ii
             dL/dl_ij = (w (p_ij - [i = j]) + (1 - w) (q_ij - [i = j])) / B
    unit     dL/dz = (g - u (u . g)) / |z|,  g = dL/du

Glossary: B subjects, D width, T temperature, w weight on CMR -> ECG, l logits.
"""

from __future__ import annotations

import math

import numpy as np


def unit(z: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    out = np.zeros(z.shape)
    for i in range(len(z)):
        length = math.sqrt(sum(x * x for x in z[i]))
        for d in range(z.shape[1]):
            out[i, d] = z[i, d] / length
    return out


def unit_backward(z: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """Gradient by z of a loss whose gradient by unit(z) is given."""
    out = np.zeros(z.shape)
    for i in range(len(z)):
        length = math.sqrt(sum(x * x for x in z[i]))
        along = sum(z[i, d] / length * grad[i, d] for d in range(z.shape[1]))
        for d in range(z.shape[1]):
            out[i, d] = (grad[i, d] - z[i, d] / length * along) / length
    return out


def cosine_logits(u: np.ndarray, v: np.ndarray, temperature: float) -> np.ndarray:
    """l_ij = u_i . v_j / T."""
    out = np.zeros((len(u), len(v)))
    for i in range(len(u)):
        for j in range(len(v)):
            out[i, j] = sum(u[i, d] * v[j, d] for d in range(u.shape[1])) / temperature
    return out


def log_sum_exp(values) -> float:
    """log sum exp."""
    top = max(values)
    return top + math.log(sum(math.exp(x - top) for x in values))


def backward_through_logits(z0: np.ndarray, z1: np.ndarray, grad: np.ndarray,
                            temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradients by z0 and z1 from that by the logits."""
    u, v = unit(z0), unit(z1)
    by_u, by_v = np.zeros(u.shape), np.zeros(v.shape)
    for i in range(len(u)):
        for j in range(len(v)):
            by_u[i] += grad[i, j] * v[j] / temperature
            by_v[j] += grad[i, j] * u[i] / temperature
    return unit_backward(z0, by_u), unit_backward(z1, by_v)


def clip_loss(z_cmr: np.ndarray, z_ecg: np.ndarray, temperature: float,
              weight: float) -> dict[str, np.ndarray]:
    """CLIP loss; the weight is on the CMR -> ECG direction, which runs along the rows."""
    B = len(z_cmr)
    logits = cosine_logits(unit(z_cmr), unit(z_ecg), temperature)
    rows = columns = 0.0
    grad = np.zeros((B, B))
    for i in range(B):
        row, column = log_sum_exp(logits[i]), log_sum_exp(logits[:, i])
        rows += (row - logits[i, i]) / B
        columns += (column - logits[i, i]) / B
        grad[i, i] -= 1 / B
        for j in range(B):
            grad[i, j] += weight * math.exp(logits[i, j] - row) / B
            grad[j, i] += (1 - weight) * math.exp(logits[j, i] - column) / B
    by_cmr, by_ecg = backward_through_logits(z_cmr, z_ecg, grad, temperature)
    return {"mid/logits": logits, "loss/cmr_to_ecg": np.array(rows),
            "loss/ecg_to_cmr": np.array(columns),
            "loss/total": np.array(weight * rows + (1 - weight) * columns),
            "grad/z_cmr": by_cmr, "grad/z_ecg": by_ecg}
