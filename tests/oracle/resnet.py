"""Residual network for CMR, forward and backward.

    stem        ReLU(norm(convolution)), then the largest of 3 x 3 cells where there is pooling
    basic       ReLU(norm conv3 ReLU norm conv3(x) + shortcut(x)), the stride on the first one
    bottleneck  ReLU(norm conv1 ReLU norm conv3 ReLU norm conv1(x) + shortcut(x)), on the 3 x 3 one
    shortcut    x itself, or norm conv1(x) with the stride; the gradient takes both ways

A name that stands for several layers ends in a dot, or is empty.
"""

from __future__ import annotations

import numpy as np

from tests.oracle.layers import Net, average_pool, batch_norm, chain, conv2d, max_pool, relu


def normed_convolution(net: Net, name: str, number: int, x: np.ndarray, stride: int = 1):
    """conv NUMBER without bias, half a kernel of padding, then bn NUMBER."""
    y, first = conv2d(net, f"{name}conv{number}", x, stride,
                      net[f"{name}conv{number}.weight"].shape[-1] // 2)
    y, second = batch_norm(net, f"{name}bn{number}", y)
    return y, chain(first, second)


def stem(net: Net, x: np.ndarray, pooled: bool):
    """[B, 3, h, w] -> half the size, or a quarter where it is pooled."""
    y, first = normed_convolution(net, "", 1, x, stride=2)
    y, second = relu(y)
    y, third = max_pool(y) if pooled else (y, lambda grad: grad)
    return y, chain(first, second, third)


def residual_block(net: Net, name: str, x: np.ndarray, stride: int):
    """Basic block of two convolutions, or bottleneck of three."""
    count = 3 if f"{name}conv3.weight" in net else 2
    y, backs = x, []
    for number in range(1, count + 1):
        strided = number == count - 1
        y, back = normed_convolution(net, name, number, y, stride if strided else 1)
        backs.append(back)
        if number < count:
            y, back = relu(y)
            backs.append(back)
    shortcut, around = x, lambda grad: grad
    if f"{name}downsample.0.weight" in net:
        shortcut, first = conv2d(net, f"{name}downsample.0", x, stride)
        shortcut, second = batch_norm(net, f"{name}downsample.1", shortcut)
        around = chain(first, second)
    out, last = relu(y + shortcut)

    def back(dout):
        both = last(dout)
        return chain(*backs)(both) + around(both)
    return out, back


def feature_map(net: Net, x: np.ndarray, pooled: bool):
    """Stem and four stages, every one but the first with stride 2 in its first block."""
    y, back = stem(net, x, pooled)
    backs = [back]
    for stage in range(1, 5):
        number = 0
        while f"layer{stage}.{number}.conv1.weight" in net:
            stride = 2 if stage > 1 and number == 0 else 1
            y, back = residual_block(net, f"layer{stage}.{number}.", y, stride)
            backs.append(back)
            number += 1
        net.note(f"layer{stage}", y)
    return y, chain(*backs)


def cmr_features(net: Net, x: np.ndarray, pooled: bool):
    """Mean over the cells of the last map: [B, 3, h, w] -> [B, C]."""
    y, first = feature_map(net, x, pooled)
    h, second = average_pool(y)
    return h, chain(first, second)
