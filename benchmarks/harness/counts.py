"""FLOP and byte counts of the networks, from their shapes alone.

    block       24 N D^2 + 4 N^2 D            qkv 6, projection 2, MLP 16; scores and values 4
    MDM         2 L P D + blocks(K + 1, D) + 2 (K + 1) D D' + blocks(L + 1, D') + 2 (L + 1) D' P
    convolution 2 C_in k^2 C_out h w          h w of the output
    backward    twice the forward, without the gradient of the first layer's input

    traffic     39 N D a layer                elements of blocks, forward, pointwise work fused: a
                                              model, no minimum; twice that backward

A multiply-add is two operations; normalisations, activations and additions are not counted.
Glossary: N tokens with the class token, L patch tokens, K visible ones, D width, D' decoder width,
P samples a patch; C channels, k kernel side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from reference.encoders import CMR_SIZES

PATCHES, PATCH = 300, 100  # 12 leads x 25 steps of 100 samples
VECTORS = 39  # reads or writes of a token's width in a block
ADAM_BYTES = 28  # a float32 parameter: read it, its gradient and two moments; write all but one


class Convolution(NamedTuple):
    """Channels in and out, kernel side, height (= width) of input and output."""

    inputs: int
    outputs: int
    kernel: int
    size_in: int
    size_out: int

    @property
    def flops(self) -> int:
        """Of one image."""
        return 2 * self.inputs * self.kernel**2 * self.outputs * self.size_out**2

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.inputs * self.kernel**2 * self.outputs

    @property
    def elements(self) -> tuple[int, int]:
        """Of the input and of the output of one image."""
        return self.inputs * self.size_in**2, self.outputs * self.size_out**2


def blocks(tokens: int, dim: int, depth: int) -> int:
    """FLOP of `depth` transformer blocks, forward, one record."""
    return depth * (24 * tokens * dim**2 + 4 * tokens**2 * dim)


def block_traffic(tokens: int, dim: int, depth: int) -> int:
    """Elements that `depth` transformer blocks read and write, forward, one record (a model)."""
    return VECTORS * tokens * dim * depth


def patch_embedding(dim: int) -> int:
    """FLOP of the patch embedding, forward, one record."""
    return 2 * PATCHES * PATCH * dim


def encoder(dim: int, depth: int) -> int:
    """FLOP of the ECG encoder with all patches, forward, one record."""
    return patch_embedding(dim) + blocks(PATCHES + 1, dim, depth)


def masked_autoencoder(size: tuple[int, int, int, int, int, int], visible: int) -> int:
    """FLOP of one masked pass, forward, one record.

    Args:
        size: a value of MDM_SIZES (dim, depth, heads, decoder_dim, decoder_depth, decoder_heads).
        visible: K.
    Returns:
        FLOP; all patches are embedded, the visible ones encoded.
    """
    dim, depth, _, decoder_dim, decoder_depth, _ = size
    return (patch_embedding(dim) + blocks(visible + 1, dim, depth)
            + 2 * (visible + 1) * dim * decoder_dim
            + blocks(PATCHES + 1, decoder_dim, decoder_depth)
            + 2 * (PATCHES + 1) * decoder_dim * PATCH)


def convolutions(arch: str, size: int) -> Iterator[Convolution]:
    """All convolutions of a residual network, the first one first.

    Args:
        arch: a key of CMR_SIZES.
        size: pixels of the square image.
    Yields:
        Convolution.
    """
    shape = CMR_SIZES[arch]
    half = -(-size // 2)  # every stride-2 layer is padded so that it rounds up
    yield Convolution(3, shape.width, shape.stem, size, half)
    here, inputs = -(-half // 2) if shape.stem == 7 else half, shape.width
    for stage, count in enumerate(shape.layers):
        width = shape.width * 2**stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            yield from _block(shape.block, inputs, width, here, -(-here // stride), stride)
            here, inputs = -(-here // stride), width * (4 if shape.block == "bottleneck" else 1)


def resnet(arch: str, size: int) -> int:
    """FLOP of a residual network, forward, one image."""
    return sum(c.flops for c in convolutions(arch, size))


def traffic(layers: Iterable[Convolution], batch: int, axis: str, itemsize: int = 4) -> int:
    """Least traffic of convolutions whose norms and activations cost nothing.

    Args:
        layers: as `convolutions` yields them.
        batch: B images.
        axis: inference and forward read input and weights of every convolution and write its
            output; backward reads output gradient, input and weights, writes both gradients.
        itemsize: bytes of an element.
    Returns:
        Bytes.
    """
    total = 0
    for c in layers:
        read, written = (batch * n for n in c.elements)
        total += written + 2 * read + 2 * c.weights if axis == "backward" else \
            read + written + c.weights
    return itemsize * total


def _block(kind: str, inputs: int, width: int, before: int, after: int, stride: int
           ) -> Iterator[Convolution]:
    outputs = 4 * width if kind == "bottleneck" else width
    if kind == "bottleneck":
        yield Convolution(inputs, width, 1, before, before)
        yield Convolution(width, width, 3, before, after)
        yield Convolution(width, outputs, 1, after, after)
    else:
        yield Convolution(inputs, width, 3, before, after)
        yield Convolution(width, width, 3, after, after)
    if stride > 1 or inputs != outputs:
        yield Convolution(inputs, outputs, 1, before, after)
