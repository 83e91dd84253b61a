"""Layers, forward and backward, derived by hand.

Every layer returns its output and `back`: gradient by the output -> gradient by the input, which
on its way adds the gradients by the parameters to the `Net`.

    linear      y = x W^T + b                 dx = dy W,  dW_oi = sum_n dy_no x_ni,  db = sum dy
    layer norm  u = (x - m) / s, y = g u + b  dx = (du - mean du - u mean(u du)) / s,  du = g dy
                s = sqrt(mean (x - m)^2 + e)  dg = sum u dy,  db = sum dy
    GELU        y = x F(x)                    dx = dy (F + x f),  F, f of the normal distribution
    softmax     p_i = e^x_i / sum_j e^x_j     dx_i = p_i (dp_i - sum_j p_j dp_j)
    convolution y_orc = sum_kij W_okij x_k(r s + i - p)(c s + j - p), and the transposes of it
    batch norm  as layer norm, over records and cells of a channel; with running mean and variance
                for numbers in evaluation: dx = g dy / s
    max pool    the gradient goes to the largest entry of a window

Glossary: B records, C K channels, R S cells, m mean, s deviation, e eps, g b weight and bias.
"""

from __future__ import annotations

import math

import numpy as np


class Net:
    """Parameters by name; what arises on the way: outputs of layers, gradients, statistics."""

    def __init__(self, values: dict[str, np.ndarray], training: bool = True):
        self.values, self.training = values, training
        self.grads: dict[str, np.ndarray] = {}
        self.statistics: dict[str, np.ndarray] = {}
        self.outputs: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def note(self, name: str, y: np.ndarray) -> np.ndarray:
        """Remember the output of a layer."""
        self.outputs[name.rstrip(".")] = y
        return y

    def running(self, name: str) -> np.ndarray:
        """A running statistic as it is now."""
        return self.statistics.get(name, self.values[name])

    def add(self, name: str, grad: np.ndarray) -> None:
        """One more contribution to the gradient by a parameter."""
        self.grads[name] = self.grads.get(name, 0.0) + grad


def chain(*backs):
    """The way back through layers that were passed in this order."""
    def back(grad):
        for step in reversed(backs):
            grad = step(grad)
        return grad
    return back


def linear(net: Net, name: str, x: np.ndarray):
    """[..., I] -> [..., O]; without bias where the net has none of that name."""
    W, bias = net[f"{name}.weight"], f"{name}.bias"
    y = np.zeros((*x.shape[:-1], len(W)))
    for o in range(len(W)):
        y[..., o] = (x * W[o]).sum(axis=-1) + (net[bias][o] if bias in net else 0.0)

    def back(dy):
        rows, inputs = dy.reshape(-1, len(W)), x.reshape(-1, W.shape[1])
        net.add(f"{name}.weight", sum(np.outer(a, b) for a, b in zip(rows, inputs, strict=True)))
        if bias in net:
            net.add(bias, rows.sum(axis=0))
        return sum(dy[..., o, None] * W[o] for o in range(len(W)))
    return net.note(name, y), back


def normalised(x: np.ndarray, axes: tuple[int, ...], eps: float):
    """(x - mean) / sqrt(variance + eps) over some axes, mean and variance, and the way back."""
    mean = x.mean(axis=axes, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
    deviation = np.sqrt(variance + eps)
    u = (x - mean) / deviation

    def back(du):
        common = du.mean(axis=axes, keepdims=True)
        along = (u * du).mean(axis=axes, keepdims=True)
        return (du - common - u * along) / deviation
    return u, mean, variance, back


def layer_norm(net: Net, name: str, x: np.ndarray, eps: float = 1e-6):
    """Normalise the last axis, then weight and bias."""
    u, _, _, through = normalised(x, (-1,), eps)
    g, b = net[f"{name}.weight"], net[f"{name}.bias"]

    def back(dy):
        net.add(f"{name}.weight", (u * dy).reshape(-1, len(g)).sum(axis=0))
        net.add(f"{name}.bias", dy.reshape(-1, len(g)).sum(axis=0))
        return through(g * dy)
    return net.note(name, g * u + b), back


def batch_norm(net: Net, name: str, x: np.ndarray, eps: float = 1e-5, momentum: float = 0.1):
    """Normalise each channel of [B, C, ...], then weight and bias where the net has them.

    In training the running mean and the running (unbiased) variance move towards the batch's.
    """
    shape, axes = (1, -1, *[1] * (x.ndim - 2)), (0, *range(2, x.ndim))
    running = net.running(f"{name}.running_mean"), net.running(f"{name}.running_var")
    if net.training:
        u, mean, variance, through = normalised(x, axes, eps)
        n = x.size // x.shape[1]
        for key, old, new in (("running_mean", running[0], mean),
                              ("running_var", running[1], variance * n / (n - 1))):
            net.statistics[f"{name}.{key}"] = (1 - momentum) * old + momentum * new.reshape(-1)
    else:
        deviation = np.sqrt(running[1] + eps).reshape(shape)
        u = (x - running[0].reshape(shape)) / deviation

        def through(du):
            return du / deviation
    if f"{name}.weight" not in net:
        return net.note(name, u), through
    g, b = net[f"{name}.weight"].reshape(shape), net[f"{name}.bias"].reshape(shape)

    def back(dy):
        net.add(f"{name}.weight", (u * dy).sum(axis=axes))
        net.add(f"{name}.bias", dy.sum(axis=axes))
        return through(g * dy)
    return net.note(name, g * u + b), back


def gelu(x: np.ndarray):
    """x times the normal distribution function of x."""
    flat = x.reshape(-1)
    share = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in flat]).reshape(x.shape)
    density = np.array([math.exp(-v * v / 2) / math.sqrt(2 * math.pi) for v in flat])

    def back(dy):
        return dy * (share + x * density.reshape(x.shape))
    return x * share, back


def relu(x: np.ndarray):
    """max(x, 0)."""
    def back(dy):
        return np.where(x > 0, dy, 0.0)
    return np.where(x > 0, x, 0.0), back


def softmax(x: np.ndarray):
    """Along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)

    def back(dp):
        return p * (dp - (p * dp).sum(axis=-1, keepdims=True))
    return p, back


def conv2d(net: Net, name: str, x: np.ndarray, stride: int = 1, padding: int = 0):
    """[B, K, R, S] -> [B, O, R', S'], without bias."""
    W = net[f"{name}.weight"]
    O, K, kernel, _ = W.shape  # noqa: E741  (the letter of the equation)
    B, _, R, S = x.shape
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in (R, S))
    padded = np.zeros((B, K, R + 2 * padding, S + 2 * padding))
    padded[:, :, padding:padding + R, padding:padding + S] = x

    def window(i, j):
        """Where entry (i, j) of the kernel lies for every output cell."""
        return (slice(None), slice(None), slice(i, i + stride * (rows - 1) + 1, stride),
                slice(j, j + stride * (columns - 1) + 1, stride))

    y = np.zeros((B, O, rows, columns))
    for i, j in np.ndindex(kernel, kernel):
        y += np.einsum("ok,bkrs->bors", W[:, :, i, j], padded[window(i, j)], optimize=True)

    def back(dy):
        by_weight, by_padded = np.zeros(W.shape), np.zeros(padded.shape)
        for i, j in np.ndindex(kernel, kernel):
            by_weight[:, :, i, j] = np.einsum("bors,bkrs->ok", dy, padded[window(i, j)],
                                              optimize=True)
            by_padded[window(i, j)] += np.einsum("ok,bors->bkrs", W[:, :, i, j], dy,
                                                 optimize=True)
        net.add(f"{name}.weight", by_weight)
        return by_padded[:, :, padding:padding + R, padding:padding + S]
    return net.note(name, y), back


def max_pool(x: np.ndarray, kernel: int = 3, stride: int = 2, padding: int = 1):
    """Largest entry of every window of [B, C, R, S]; the first one where several are."""
    B, C, R, S = x.shape
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in (R, S))
    y, places = np.zeros((B, C, rows, columns)), {}
    for b, c, r, s in np.ndindex(*y.shape):
        cells = [(i, j) for i in range(r * stride - padding, r * stride - padding + kernel)
                 for j in range(s * stride - padding, s * stride - padding + kernel)
                 if 0 <= i < R and 0 <= j < S]
        best = max(cells, key=lambda cell: x[b, c, cell[0], cell[1]])
        places[b, c, r, s] = (b, c, *best)
        y[b, c, r, s] = x[places[b, c, r, s]]

    def back(dy):
        dx = np.zeros(x.shape)
        for to, place in places.items():
            dx[place] += dy[to]
        return dx
    return y, back


def average_pool(x: np.ndarray):
    """Mean over the cells: [B, C, R, S] -> [B, C]."""
    cells = x.shape[2] * x.shape[3]

    def back(dy):
        return np.broadcast_to(dy[:, :, None, None] / cells, x.shape)
    return x.sum(axis=(2, 3)) / cells, back
