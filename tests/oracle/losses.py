"""The contrastive losses and their gradients, derived by hand.

With u = z / |z|, l_ij = u_i . v_j / T, softmax by rows p_ij, by columns q_ij, softmax over the
other views r_ij:

    CLIP     L = w mean_i -log p_ii + (1 - w) mean_i -log q_ii
             dL/dl_ij = (w (p_ij - [i = j]) + (1 - w) (q_ij - [i = j])) / B
    NT-Xent  dL/dl_ij = (r_ij - [j partner of i]) / 2B, j != i
    soft     dL/dl_ij = (p_ij - P_ij / |P_i| + q_ij - P_ji / |P_j|) / 2B
    removed  dL/dl_ij = (p_ij + q_ij - 2 [i = j]) / 2B, p and q over the kept candidates
    Barlow   dL/dC_ab = 2 w_ab (C_ab - [a = b]), w_aa = 1
    unit     dL/dz = (g - u (u . g)) / |z|,  g = dL/du

Glossary: B subjects, D width, T temperature, w weight on CMR -> ECG (Barlow: off the diagonal),
l logits, P positives, C correlation.
"""

from __future__ import annotations

import math

import numpy as np

SHORTEST = 1e-12  # rows below it count as this long


def length(row) -> float:
    """|z|, but never below 1e-12."""
    return max(math.sqrt(sum(x * x for x in row)), SHORTEST)


def unit(z: np.ndarray) -> np.ndarray:
    """Rows of length one; a zero row stays zero."""
    out = np.zeros(z.shape)
    for i in range(len(z)):
        for d in range(z.shape[1]):
            out[i, d] = z[i, d] / length(z[i])
    return out


def unit_backward(z: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """Gradient by z of a loss whose gradient by unit(z) is given; a zero row receives none."""
    out = np.zeros(z.shape)
    for i in range(len(z)):
        along = sum(z[i, d] / length(z[i]) * grad[i, d] for d in range(z.shape[1]))
        for d in range(z.shape[1]):
            if length(z[i]) > SHORTEST:
                out[i, d] = (grad[i, d] - z[i, d] / length(z[i]) * along) / length(z[i])
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


def nt_xent_loss(z0: np.ndarray, z1: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """Every view against the other 2B - 1; views i and i + B are partners."""
    B = len(z0)
    views = np.concatenate([z0, z1])
    logits = cosine_logits(unit(views), unit(views), temperature)
    loss, grad = 0.0, np.zeros(logits.shape)
    for i in range(2 * B):
        others = [j for j in range(2 * B) if j != i]
        partner = i + B if i < B else i - B
        total = log_sum_exp([logits[i, j] for j in others])
        loss += (total - logits[i, partner]) / (2 * B)
        grad[i, partner] -= 1 / (2 * B)
        for j in others:
            grad[i, j] += math.exp(logits[i, j] - total) / (2 * B)
    as_query, as_candidate = backward_through_logits(views, views, grad, temperature)
    by_views = as_query + as_candidate
    return {"mid/logits": logits, "loss/total": np.array(loss),
            "grad/z0": by_views[:B], "grad/z1": by_views[B:]}


def soft_positive_loss(z_cmr: np.ndarray, z_ecg: np.ndarray, similarity: np.ndarray,
                       threshold: float, temperature: float) -> dict[str, np.ndarray]:
    """Mean of the log probabilities of the positives; row i of the similarity serves both
    directions."""
    B = len(z_cmr)
    logits = cosine_logits(unit(z_cmr), unit(z_ecg), temperature)
    loss, grad = 0.0, np.zeros((B, B))
    for i in range(B):
        positives = [j for j in range(B) if j == i or similarity[i, j] > threshold]
        row, column = log_sum_exp(logits[i]), log_sum_exp(logits[:, i])
        for j in positives:
            loss += (row - logits[i, j]) / len(positives) / (2 * B)
            loss += (column - logits[j, i]) / len(positives) / (2 * B)
            grad[i, j] -= 1 / len(positives) / (2 * B)
            grad[j, i] -= 1 / len(positives) / (2 * B)
        for j in range(B):
            grad[i, j] += math.exp(logits[i, j] - row) / (2 * B)
            grad[j, i] += math.exp(logits[j, i] - column) / (2 * B)
    by_cmr, by_ecg = backward_through_logits(z_cmr, z_ecg, grad, temperature)
    return {"mid/logits": logits, "loss/total": np.array(loss),
            "grad/z_cmr": by_cmr, "grad/z_ecg": by_ecg}


def false_negative_removal_loss(z_cmr: np.ndarray, z_ecg: np.ndarray, similarity: np.ndarray,
                                threshold: float, temperature: float) -> dict[str, np.ndarray]:
    """Subjects j that resemble i are no candidates of i, in either direction."""
    B = len(z_cmr)
    logits = cosine_logits(unit(z_cmr), unit(z_ecg), temperature)
    loss, grad = 0.0, np.zeros((B, B))
    for i in range(B):
        kept = [j for j in range(B) if j == i or not similarity[i, j] > threshold]
        row = log_sum_exp([logits[i, j] for j in kept])
        column = log_sum_exp([logits[j, i] for j in kept])
        loss += (row + column - 2 * logits[i, i]) / (2 * B)
        grad[i, i] -= 2 / (2 * B)
        for j in kept:
            grad[i, j] += math.exp(logits[i, j] - row) / (2 * B)
            grad[j, i] += math.exp(logits[j, i] - column) / (2 * B)
    by_cmr, by_ecg = backward_through_logits(z_cmr, z_ecg, grad, temperature)
    return {"mid/logits": logits, "loss/total": np.array(loss),
            "grad/z_cmr": by_cmr, "grad/z_ecg": by_ecg}


def standardised(z: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """(z - mean) / scale by columns, scale = sqrt(biased variance + 1e-5), and the scales."""
    B, D = z.shape
    out, scales = np.zeros((B, D)), []
    for d in range(D):
        mean = sum(z[:, d]) / B
        scales.append(math.sqrt(sum((x - mean) ** 2 for x in z[:, d]) / B + 1e-5))
        for i in range(B):
            out[i, d] = (z[i, d] - mean) / scales[d]
    return out, scales


def standardised_backward(s: np.ndarray, scales: list[float], grad: np.ndarray) -> np.ndarray:
    """dL/dz_i = (g_i - mean g - s_i mean(g s)) / scale by columns, g = dL/ds."""
    B, D = s.shape
    out = np.zeros((B, D))
    for d in range(D):
        mean = sum(grad[:, d]) / B
        along = sum(grad[i, d] * s[i, d] for i in range(B)) / B
        for i in range(B):
            out[i, d] = (grad[i, d] - mean - s[i, d] * along) / scales[d]
    return out


def barlow_twins_loss(z0: np.ndarray, z1: np.ndarray, weight: float) -> dict[str, np.ndarray]:
    """Squared distance of the correlation C_ab = sum_i s0_ia s1_ib / B from the identity."""
    B, D = z0.shape
    (s0, scales0), (s1, scales1) = standardised(z0), standardised(z1)
    loss, by_s0, by_s1 = 0.0, np.zeros((B, D)), np.zeros((B, D))
    for a in range(D):
        for b in range(D):
            away = sum(s0[i, a] * s1[i, b] for i in range(B)) / B - float(a == b)
            factor = 1.0 if a == b else weight
            loss += factor * away**2
            for i in range(B):
                by_s0[i, a] += 2 * factor * away * s1[i, b] / B
                by_s1[i, b] += 2 * factor * away * s0[i, a] / B
    return {"loss/total": np.array(loss),
            "grad/z0": standardised_backward(s0, scales0, by_s0),
            "grad/z1": standardised_backward(s1, scales1, by_s1)}


def byol_loss(p0: np.ndarray, t1: np.ndarray, p1: np.ndarray,
              t0: np.ndarray) -> dict[str, np.ndarray]:
    """mean_i (2 - 2 p0'_i . t1'_i) + mean_i (2 - 2 p1'_i . t0'_i), the targets constant."""
    loss, grads = 0.0, []
    for p, t in ((p0, t1), (p1, t0)):
        u, v = unit(p), unit(t)
        by_u = np.zeros(u.shape)
        for i in range(len(u)):
            loss += (2 - 2 * sum(a * b for a, b in zip(u[i], v[i], strict=True))) / len(u)
            by_u[i] = [-2 * b / len(u) for b in v[i]]
        grads.append(unit_backward(p, by_u))
    return {"loss/total": np.array(loss), "grad/p0": grads[0], "grad/t1": np.zeros(t1.shape),
            "grad/p1": grads[1], "grad/t0": np.zeros(t0.shape)}
