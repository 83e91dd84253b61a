"""Vision transformer for ECG, forward and backward, derived by hand.

    position  p = [sin(t w), cos(t w), sin(v w), cos(v w)],  w_k = 10000^(-k / (D / 4))
    stretched p_i = sum_j c(x - j) p_j,  x = (i + 1/2) old / new - 1/2,  j the 4 steps around x,
              the outermost ones repeated;  c(t) = (a + 2) t^3 - (a + 3) t^2 + 1 up to t = 1, then
              a (t^3 - 5 t^2 + 8 t - 4) up to 2,  a = -3/4
    patch     z_l = sum W x over the patch + b
    head      A = softmax(q k^T / sqrt(d)),  y = A v
              dv = A^T dy,  dA = dy v^T,  dq = dS k / sqrt(d),  dk = dS^T q / sqrt(d)
    block     z <- z + attention(norm(z)),  z <- z + MLP(norm(z)): the gradient takes both ways
    pooling   average: mean of the patch tokens; cls: class token; attention: query = their mean

Glossary: B records, C channels, V leads, L patch tokens, N tokens, D width, H heads, d = D / H,
A attention, S scores. A name that stands for several layers ends in a dot, or is empty.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.layers import Net, chain, gelu, layer_norm, linear, relu, softmax
from tests.oracle.tables import random_mask


def position_table(dim: int, leads: int, steps: int) -> np.ndarray:
    """[1 + leads steps, D]: zeros for the class token, then lead by lead, step by step."""
    quarter = dim // 4
    table = np.zeros((1 + leads * steps, dim))
    for v in range(leads):
        for t in range(steps):
            row = table[1 + v * steps + t]
            for k in range(quarter):
                omega = 10000 ** (-k / quarter)
                row[k], row[quarter + k] = math.sin(t * omega), math.cos(t * omega)
                row[2 * quarter + k] = math.sin(v * omega)
                row[3 * quarter + k] = math.cos(v * omega)
    return table


def cubic(t: float) -> float:
    """c(t) above."""
    a, t = -0.75, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def position_interpolation(table: np.ndarray, leads: int, steps: int):
    """[1, 1 + leads old, D] -> [1, 1 + leads steps, D]; the class token stays as it is."""
    old = (table.shape[1] - 1) // leads
    share = np.zeros((steps, old))
    for i in range(steps):
        x = (i + 0.5) * old / steps - 0.5
        for j in range(math.floor(x) - 1, math.floor(x) + 3):
            share[i, min(max(j, 0), old - 1)] += cubic(x - j)
    out = np.zeros((1, 1 + leads * steps, table.shape[2]))
    out[0, 0] = table[0, 0]
    for v, i, j in np.ndindex(leads, steps, old):
        out[0, 1 + v * steps + i] += share[i, j] * table[0, 1 + v * old + j]

    def back(dout):
        dtable = np.zeros(table.shape)
        dtable[0, 0] = dout[0, 0]
        for v, i, j in np.ndindex(leads, steps, old):
            dtable[0, 1 + v * old + j] += share[i, j] * dout[0, 1 + v * steps + i]
        return dtable
    return out, back


def patch_embedding(net: Net, name: str, x: np.ndarray):
    """[B, C, V, T] -> [B, L, D], tokens by lead, then time."""
    W, b = net[f"{name}.weight"], net[f"{name}.bias"]
    D, _, leads, samples = W.shape
    places = [(slice(None), slice(None), slice(v, v + leads), slice(t, t + samples))
              for v in range(0, x.shape[2], leads) for t in range(0, x.shape[3], samples)]
    z = np.zeros((len(x), len(places), D))
    for token, place in enumerate(places):
        for d in range(D):
            z[:, token, d] = (W[d] * x[place]).sum(axis=(1, 2, 3)) + b[d]

    def back(dz):
        dx, dW = np.zeros(x.shape), np.zeros(W.shape)
        for token, place in enumerate(places):
            for d in range(D):
                part = dz[:, token, d][:, None, None, None]
                dW[d] += (part * x[place]).sum(axis=0)
                dx[place] += part * W[d]
        net.add(f"{name}.weight", dW)
        net.add(f"{name}.bias", dz.sum(axis=(0, 1)))
        return dx
    return z, back


def heads_of(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int):
    """Attention of [B, M, D] queries to [B, N, D] keys: y, A [B, H, M, N], and the way back."""
    B, M, D = q.shape
    d = D // heads
    root = math.sqrt(d)
    y, A = np.zeros(q.shape), np.zeros((B, heads, M, k.shape[1]))
    backs = {}
    for b, h in np.ndindex(B, heads):
        part = (b, slice(None), slice(h * d, (h + 1) * d))
        A[b, h], backs[b, h] = softmax(q[part] @ k[part].T / root)
        y[part] = A[b, h] @ v[part]

    def back(dy):
        dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
        for b, h in np.ndindex(B, heads):
            part = (b, slice(None), slice(h * d, (h + 1) * d))
            dv[part] = A[b, h].T @ dy[part]
            scores = backs[b, h](dy[part] @ v[part].T)
            dq[part], dk[part] = scores @ k[part] / root, scores.T @ q[part] / root
        return dq, dk, dv
    return y, A, back


def attention(net: Net, name: str, z: np.ndarray, heads: int):
    """Self-attention, fused q k v: output, way back, A [B, H, N, N]."""
    D = z.shape[-1]
    qkv, into = linear(net, f"{name}qkv", z)
    y, A, through = heads_of(qkv[..., :D], qkv[..., D:2 * D], qkv[..., 2 * D:], heads)
    out, outward = linear(net, f"{name}proj", y)

    def back(dout):
        return into(np.concatenate(through(outward(dout)), axis=-1))
    return net.note(name, out), back, A


def mlp(net: Net, name: str, z: np.ndarray):
    """W_2 GELU(W_1 z)."""
    hidden, first = linear(net, f"{name}fc1", z)
    active, second = gelu(hidden)
    out, third = linear(net, f"{name}fc2", active)
    return net.note(name, out), chain(first, second, third)


def block(net: Net, name: str, z: np.ndarray, heads: int):
    """Pre-norm block: output, way back, A [B, H, N, N]."""
    u, first = layer_norm(net, f"{name}norm1", z)
    attended, second, A = attention(net, f"{name}attn.", u, heads)
    middle = z + attended
    w, third = layer_norm(net, f"{name}norm2", middle)
    moved, fourth = mlp(net, f"{name}mlp.", w)

    def back(dy):
        dmiddle = dy + third(fourth(dy))
        return dmiddle + first(second(dmiddle))
    return net.note(name, middle + moved), back, A


def blocks(net: Net, name: str, z: np.ndarray, heads: int):
    """All blocks NAME.0, NAME.1, ...: output, way back, A of the last one."""
    backs, A = [], None
    while f"{name}.{len(backs)}.norm1.weight" in net:
        z, back, A = block(net, f"{name}.{len(backs)}.", z, heads)
        backs.append(back)
    return z, chain(*backs), A


def with_class_token(net: Net, z: np.ndarray, positions: str):
    """Class token and its position in front of [B, K, D]."""
    cls = net["cls_token"][0, 0] + net[positions][0, 0]
    out = np.concatenate([np.tile(cls, (len(z), 1, 1)), z], axis=1)

    def back(dout):
        by_cls = dout[:, 0].sum(axis=0)
        net.add("cls_token", by_cls[None, None])
        by_positions = np.zeros(net[positions].shape)
        by_positions[0, 0] = by_cls
        net.add(positions, by_positions)
        return dout[:, 1:]
    return out, back


def with_positions(net: Net, z: np.ndarray, positions: str):
    """Positions of the patch tokens added to [B, L, D]."""
    def back(dz):
        by_positions = np.zeros(net[positions].shape)
        by_positions[0, 1:] = dz.sum(axis=0)
        net.add(positions, by_positions)
        return dz
    return z + net[positions][:, 1:], back


def picked(z: np.ndarray, keep: np.ndarray):
    """Tokens by index: [B, L, D], [B, K] -> [B, K, D]."""
    def back(dout):
        dz = np.zeros(z.shape)
        for b, place in np.ndindex(*keep.shape):
            dz[b, keep[b, place]] += dout[b, place]
        return dz
    return np.array([[z[b, token] for token in keep[b]] for b in range(len(z))]), back


def embedded(net: Net, x: np.ndarray, heads: int, keep: np.ndarray | None = None):
    """Tokens after the last block, class token first: [B, 1 + K, D], way back, A of the last."""
    z, first = patch_embedding(net, "patch_embed.proj", x)
    z, second = with_positions(net, z, "pos_embed")
    z, third = (z, lambda grad: grad) if keep is None else picked(z, keep)
    z, fourth = with_class_token(net, z, "pos_embed")
    z, fifth, A = blocks(net, "blocks", z, heads)
    return z, chain(first, second, third, fourth, fifth), A


def encoder(net: Net, x: np.ndarray, heads: int, noise: np.ndarray | None = None,
            ratio: float = 0.0):
    """Encoder of the masked autoencoder: latent after the final norm, way back, mask."""
    mask = {} if noise is None else random_mask(noise, ratio)
    z, through, _ = embedded(net, x, heads, mask.get("out/keep"))
    latent, last = layer_norm(net, "norm", z)
    return latent, chain(through, last), mask


def pooled(net: Net, z: np.ndarray, pooling: str, heads: int):
    """One vector a record from tokens [B, 1 + L, D], normalised."""
    if pooling == "cls":
        out, last = layer_norm(net, "norm", z[:, 0])
        return out, lambda dout: _behind_class(z.shape, last(dout), 0)
    patches = z[:, 1:]
    mean = patches.mean(axis=1)
    if pooling == "average":
        out, last = layer_norm(net, "fc_norm", mean)
        return out, lambda dout: _behind_class(z.shape, last(dout)[:, None] / patches.shape[1], 1)
    y, through = attention_pool(net, mean[:, None], patches, heads)
    out, last = layer_norm(net, "fc_norm", y[:, 0])

    def back(dout):
        by_query, by_patches = through(last(dout)[:, None])
        return _behind_class(z.shape, by_patches + by_query / patches.shape[1], 1)
    return out, back


def _behind_class(shape, grad: np.ndarray, first: int) -> np.ndarray:
    """Gradient by all tokens from that by the class token (first 0) or the patches (first 1)."""
    out = np.zeros(shape)
    if first:
        out[:, 1:] = grad
    else:
        out[:, 0] = grad
    return out


def attention_pool(net: Net, query: np.ndarray, tokens: np.ndarray, heads: int):
    """Attention of [B, 1, D] to [B, L, D]; the way back gives both gradients."""
    D, name = query.shape[-1], "attention_pool"
    W, b = net[f"{name}.in_proj_weight"], net[f"{name}.in_proj_bias"]
    parts = Net({f"{part}.{kind}": value[i * D:(i + 1) * D] for i, part in enumerate("qkv")
                 for kind, value in (("weight", W), ("bias", b))})
    (q, q_back), (k, k_back), (v, v_back) = (
        linear(parts, part, x) for part, x in zip("qkv", (query, tokens, tokens), strict=True))
    y, _, through = heads_of(q, k, v, heads)
    out, last = linear(net, f"{name}.out_proj", y)

    def back(dout):
        dq, dk, dv = through(last(dout))
        by_query, by_tokens = q_back(dq), k_back(dk) + v_back(dv)
        for kind, full in (("weight", "in_proj_weight"), ("bias", "in_proj_bias")):
            net.add(f"{name}.{full}", np.concatenate([parts.grads[f"{p}.{kind}"] for p in "qkv"]))
        return by_query, by_tokens
    return out, back


def ecg_features(net: Net, x: np.ndarray, heads: int, pooling: str):
    """Pooled, normalised features [B, D] of the ECG encoder."""
    z, first, _ = embedded(net, x, heads)
    h, second = pooled(net, z, pooling, heads)
    return h, chain(first, second)


def projection(net: Net, name: str, h: np.ndarray):
    """Linear, ReLU, linear: NAME0, NAME2."""
    hidden, first = linear(net, f"{name}0", h)
    active, second = relu(hidden)
    z, third = linear(net, f"{name}2", active)
    return z, chain(first, second, third)


def predicted(net: Net, x: np.ndarray, heads: int, pooling: str, double: bool = False):
    """Outputs of the linear head on the features, which `double` normalises once more."""
    h, first = ecg_features(net, x, heads, pooling)
    h, second = layer_norm(net, "fc_norm", h) if double else (h, lambda grad: grad)
    y, third = linear(net, "head", h)
    return y, chain(first, second, third)
