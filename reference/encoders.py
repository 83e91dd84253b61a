"""The two encoders (a ViT for ECG, a ResNet for CMR) and the projection heads.

    ViT     z = blocks([cls + p_0, patches + p]),  h = fc_norm(mean of patch tokens)
    ResNet  x <- ReLU(F(x) + shortcut(x)),         h = mean over cells of the last map
    head    z = W_2 ReLU(W_1 h + b_1) + b_2

Glossary: B records, L patch tokens = leads x steps, D width, H heads, C features of the ResNet,
h w cells of its last map, z embedding (projected), p position embedding.
Source: Turgut et al. 2025, sections 3.1-3.3; He et al. 2016, with the stride on the 3 x 3
convolution of a bottleneck. Parameter names are those of timm and torchvision, so weights move
freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn

from reference.transformer import Block, PatchEmbedding, initialise_transformer
from reference.transformer import interpolate_position_embedding as interpolate_position_embedding
from reference.transformer import sincos_position_embedding as sincos_position_embedding

POOLINGS = ("average", "attention", "cls")

# name: (width D, blocks, heads)
ECG_SIZES = {"tiny": (384, 3, 6)}


class CMRSize(NamedTuple):
    """block kind, blocks a stage, width of the first stage, kernel of the first convolution."""

    block: str
    layers: tuple[int, int, int, int]
    width: int
    stem: int


CMR_SIZES = {
    "resnet18": CMRSize("basic", (2, 2, 2, 2), 64, 7),
    "resnet50": CMRSize("bottleneck", (3, 4, 6, 3), 64, 7),
    # For small images on a CPU: a 3 x 3 stem without pooling, narrow stages.
    "resnet10_narrow": CMRSize("basic", (1, 1, 1, 1), 16, 3),
}


class ECGEncoder(nn.Module):
    """Vision transformer on one-lead patches of a 12-lead ECG.

    Args:
        input_size: (channels, leads, samples), default (1, 12, 2500) at 500 Hz.
        patch_size: (leads, samples) of a patch.
        dim, depth, heads: width D, blocks, heads; `ECG_SIZES` has the named ones.
        pooling: "average" (mean of patch tokens, `fc_norm`), "attention" (one multi-head attention
            whose query is the mean of the patch tokens, `fc_norm`), "cls" (`norm`, class token).
        outputs: if positive, a linear `head` from D to that many outputs, used by `forward`.
        drop_path: stochastic depth of the last block, rising linearly from 0.
        attention_heads: heads of the attention pooling; default as `heads`.
        authors_double_norm: apply `fc_norm` a second time before the head.
    Raises:
        ValueError: unknown pooling, or sizes that do not divide.
    Source: Turgut et al. 2025, sections 3.1 and 3.3; authors' code (encoder).
    Differs: `authors_double_norm=True` reproduces the authors' fine-tuning head, which normalises
        the pooled feature twice; the default does so once. The position embedding is trainable
        here and fixed in stage 1.
    """

    def __init__(self, input_size: Sequence[int] = (1, 12, 2500),
                 patch_size: Sequence[int] = (1, 100), dim: int = 384, depth: int = 3,
                 heads: int = 6, pooling: str = "average", *, outputs: int = 0,
                 drop_path: float = 0.0, attention_heads: int | None = None,
                 authors_double_norm: bool = False):
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {POOLINGS}, got {pooling!r}")
        if not 0.0 <= drop_path < 1.0:
            raise ValueError(f"drop_path must be in [0, 1), got {drop_path}")
        self.pooling, self.authors_double_norm = pooling, authors_double_norm
        self.patch_embed = PatchEmbedding(input_size, patch_size, dim)
        self.grid = self.patch_embed.grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(sincos_position_embedding(dim, self.grid)[None])
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(dim, heads, rate) for rate in rates)
        if pooling == "attention":
            self.attention_pool = nn.MultiheadAttention(dim, attention_heads or heads,
                                                        batch_first=True)
        if pooling == "cls":
            self.norm = nn.LayerNorm(dim, eps=1e-6)
        else:
            self.fc_norm = nn.LayerNorm(dim, eps=1e-6)
        if outputs:
            self.head = nn.Linear(dim, outputs)
        initialise_transformer(self)

    @property
    def dim(self) -> int:
        """Width D."""
        return self.cls_token.shape[-1]

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Patches and class token with their positions: [B, 1, leads, T] -> [B, 1 + L, D]."""
        z = self.patch_embed(x) + self.pos_embed[:, 1:]  # [B, L, D]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(z.shape[0], -1, -1)  # [B, 1, D]
        return torch.cat([cls, z], dim=1)  # [B, 1 + L, D]

    def all_tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Class and patch tokens after the last block, before any norm.

        Args:
            x: [B, 1, leads, T], cleaned ECG (no unit).
        Returns:
            [B, 1 + L, D].
        """
        z = self.embed(x)
        for block in self.blocks:
            z = block(z)
        return z

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        """Patch tokens after the last block, before any norm: [B, 1, leads, T] -> [B, L, D]."""
        return self.all_tokens(x)[:, 1:]

    def pool(self, z: torch.Tensor) -> torch.Tensor:
        """One vector a record from all tokens: [B, 1 + L, D] -> [B, D]."""
        if self.pooling == "cls":
            return self.norm(z)[:, 0]
        patches = z[:, 1:]  # [B, L, D]
        pooled = patches.mean(dim=1, keepdim=True)  # [B, 1, D]
        if self.pooling == "attention":
            pooled, _ = self.attention_pool(pooled, patches, patches, need_weights=False)
        return self.fc_norm(pooled[:, 0])  # [B, D]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled, normalised features: [B, 1, leads, T] -> [B, D]."""
        return self.pool(self.all_tokens(x))

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        """Attention probabilities of the last block: [B, 1, leads, T] -> [B, H, 1 + L, 1 + L]."""
        z = self.embed(x)
        for block in self.blocks[:-1]:
            z = block(z)
        last = cast(Block, self.blocks[-1])  # which a ModuleList calls a Module
        return last.attn.weights(last.norm1(z))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Head outputs [B, outputs] where there is a head, else features [B, D]."""
        pooled = self.features(x)
        if self.authors_double_norm and self.pooling != "cls":
            pooled = self.fc_norm(pooled)
        return self.head(pooled) if hasattr(self, "head") else pooled


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, h, w] -> [B, width, h / stride, w / stride]."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (strided), 1 x 1 convolutions and a shortcut; four times as wide at its end."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, h, w] -> [B, 4 width, h / stride, w / stride]."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class CMREncoder(nn.Module):
    """Residual network on three cardiac phases as channels.

    Args:
        arch: a key of `CMR_SIZES`: "resnet50" (2,048 features), "resnet18" (512),
            "resnet10_narrow" (128, for small images).
    Raises:
        ValueError: unknown architecture.
    Source: Turgut et al. 2025, section 3.2; He et al. 2016.
    """

    layer1: nn.Module  # the stages
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, arch: str = "resnet50"):
        super().__init__()
        if arch not in CMR_SIZES:
            raise ValueError(f"arch must be one of {sorted(CMR_SIZES)}, got {arch!r}")
        size = CMR_SIZES[arch]
        block = BasicBlock if size.block == "basic" else Bottleneck
        self.arch, self.pooled_stem = arch, size.stem == 7
        self.conv1 = nn.Conv2d(3, size.width, size.stem, 2, size.stem // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(size.width)
        inputs = size.width
        for i, count in enumerate(size.layers):
            width, stride = size.width * 2**i, 1 if i == 0 else 2
            layer = []
            for j in range(count):
                layer.append(block(inputs, width, stride if j == 0 else 1))
                inputs = width * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
        self.dim = inputs
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """Last feature map: [B, 3, height, width] in [0, 1] -> [B, C, h, w].

        Raises:
            ValueError: not four axes, or not three channels.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"image must be [B, 3, height, width], got {list(x.shape)}")
        x = F.relu(self.bn1(self.conv1(x)))  # half the size
        if self.pooled_stem:
            x = F.max_pool2d(x, 3, 2, 1)  # a quarter
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return x  # [B, C, h, w]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Global average of the last map: [B, 3, height, width] -> [B, C]."""
        return self.feature_map(x).mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As `features`."""
        return self.features(x)


class ProjectionHead(nn.Sequential):
    """Linear, ReLU, linear, with biases and no normalisation: [B, in] -> [B, out].

    Source: Turgut et al. 2025, section 3.2; authors' code: 384-512-128 and 2048-512-128.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int):
        super().__init__(nn.Linear(in_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, out_dim))
