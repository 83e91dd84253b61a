"""Masking and CLIP loss in JAX, gradients by jax.grad.

    python -m reference verify --adapter tests/ports/jax_port.py --dtype both
"""

from functools import partial

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)  # without it float64 is silently float32


# ---- the port ----

@partial(jax.jit, static_argnames="ratio")
def mask_tokens(noise, ratio):
    """noise [B, L] -> keep [B, K], restore [B, L], mask [B, L]; mask 1 = removed."""
    K = int(noise.shape[1] * (1 - ratio))  # a shape: Python's float64, outside the trace
    order = jnp.argsort(noise, axis=1, stable=True)  # equal noise: lower index first
    restore = jnp.argsort(order, axis=1)
    return order[:, :K], restore, (restore >= K).astype(noise.dtype)


def unit_rows(z):
    """z / max(|z|, 1e-12); a shorter row gets no gradient (that of the root at 0 would be NaN)."""
    squares = (z * z).sum(axis=1, keepdims=True)
    short = squares <= 1e-24
    u = z / jnp.sqrt(jnp.where(short, 1e-24, squares))
    return jnp.where(short, jax.lax.stop_gradient(u), u)


def cosine_logits(z_cmr, z_ecg, temperature):
    u, v = unit_rows(z_cmr), unit_rows(z_ecg)
    return jnp.matmul(u, v.T, precision="highest") / temperature  # row CMR, column ECG


def clip(z_cmr, z_ecg, temperature, weight):
    """[B, D], [B, D] -> loss, (logits [B, B], CMR -> ECG, ECG -> CMR)."""
    logits = cosine_logits(z_cmr, z_ecg, temperature)
    rows, columns = (-jnp.diagonal(jax.nn.log_softmax(logits, axis=axis)).mean()
                     for axis in (1, 0))
    return weight * rows + (1 - weight) * columns, (logits, rows, columns)


clip_gradient = jax.jit(jax.value_and_grad(clip, argnums=(0, 1), has_aux=True))


# ---- its adapter ----

def random_mask(case, dtype):
    noise = jnp.asarray(case.given("noise", dtype)["mask"])
    keep, restore, mask = mask_tokens(noise, case.config["ratio"])
    return {"out/keep": keep, "out/restore": restore, "out/mask": mask,
            "out/kept": keep.shape[1]}


def gather_tokens(case, dtype):
    given = case.given("in", dtype)
    tokens, keep = jnp.asarray(given["tokens"]), jnp.asarray(given["keep"])
    return {"out/kept": jnp.take_along_axis(tokens, keep[:, :, None], axis=1)}


def clip_loss(case, dtype):
    given = case.given("in", dtype)
    (total, (logits, rows, columns)), (by_cmr, by_ecg) = clip_gradient(
        jnp.asarray(given["z_cmr"]), jnp.asarray(given["z_ecg"]), case.config["temperature"],
        case.config["weight"])
    return {"mid/logits": logits, "loss/cmr_to_ecg": rows, "loss/ecg_to_cmr": columns,
            "loss/total": total, "grad/z_cmr": by_cmr, "grad/z_ecg": by_ecg}
