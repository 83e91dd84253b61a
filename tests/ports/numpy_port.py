"""Masking and CLIP loss in NumPy, gradients by hand: a port from beginning to end.

    python -m reference verify --adapter tests/ports/numpy_port.py --dtype both
"""

import numpy as np

# ---- the port ----

def mask_tokens(noise, ratio):
    """noise [B, L] -> keep [B, K], restore [B, L], mask [B, L]; mask 1 = removed."""
    L = noise.shape[1]
    K = int(L * (1 - ratio))  # in float64: 59 of 300 at 0.8
    order = np.argsort(noise, axis=1, kind="stable")  # equal noise: lower index first
    restore = np.argsort(order, axis=1, kind="stable")
    return order[:, :K], restore, (restore >= K).astype(noise.dtype)


def log_softmax(x, axis):
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def unit_rows(z):
    """z / max(|z|, 1e-12) [B, D]; and 1 / |z| [B, 1], 0 for a shorter row: it has no gradient."""
    length = np.sqrt((z * z).sum(axis=1, keepdims=True))
    u = z / np.maximum(length, 1e-12)
    return u, np.where(length > 1e-12, 1 / np.maximum(length, 1e-12), 0).astype(z.dtype)


def clip(z_cmr, z_ecg, temperature, weight):
    """[B, D], [B, D] -> logits [B, B], CMR -> ECG, ECG -> CMR, gradients by z_cmr and z_ecg."""
    B = len(z_cmr)
    (u, u_scale), (v, v_scale) = unit_rows(z_cmr), unit_rows(z_ecg)
    logits = u @ v.T / temperature  # row CMR, column ECG
    log_p, log_q = log_softmax(logits, axis=1), log_softmax(logits, axis=0)
    identity = np.eye(B, dtype=logits.dtype)
    by_logits = (weight * (np.exp(log_p) - identity)
                 + (1 - weight) * (np.exp(log_q) - identity)) / B
    by_u, by_v = by_logits @ v / temperature, by_logits.T @ u / temperature
    by_cmr = (by_u - u * (u * by_u).sum(axis=1, keepdims=True)) * u_scale
    by_ecg = (by_v - v * (v * by_v).sum(axis=1, keepdims=True)) * v_scale
    return logits, -np.trace(log_p) / B, -np.trace(log_q) / B, by_cmr, by_ecg


# ---- its adapter ----

def random_mask(case, dtype):
    noise = case.given("noise", dtype)["mask"]
    keep, restore, mask = mask_tokens(noise, case.config["ratio"])
    return {"out/keep": keep, "out/restore": restore, "out/mask": mask,
            "out/kept": keep.shape[1]}


def gather_tokens(case, dtype):
    given = case.given("in", dtype)
    return {"out/kept": np.take_along_axis(given["tokens"], given["keep"][:, :, None], axis=1)}


def clip_loss(case, dtype):
    given, weight = case.given("in", dtype), case.config["weight"]
    logits, rows, columns, by_cmr, by_ecg = clip(
        given["z_cmr"], given["z_ecg"], case.config["temperature"], weight)
    return {"mid/logits": logits, "loss/cmr_to_ecg": rows, "loss/ecg_to_cmr": columns,
            "loss/total": weight * rows + (1 - weight) * columns,
            "grad/z_cmr": by_cmr, "grad/z_ecg": by_ecg}
