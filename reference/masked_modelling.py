"""Stage 1, masked data modelling: a masked autoencoder for ECG and its reconstruction loss.

    loss = (1 - w) MSE + w (1 - NCC)
    MSE  = sum (y - y^)^2 / (count + 1e-5)           over all patches (or the removed ones)
    NCC  = mean_{b,v} sum_t (x - m_x)(x^ - m_x^) / ((T - 1) sqrt(var_x + eps) sqrt(var_x^ + eps))

Glossary: B records, V leads, T samples, L patch tokens, K kept, P samples a patch, D width,
x input, x^ reconstruction, y targets (patches of x, normalised per patch if asked), y^ prediction,
w weight of the correlation (authors: ncc_weight), r masking ratio, eps 1e-12.
Source: Turgut et al. 2025, section 3.1; He et al. 2022. Parameter names are those of MAE.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from reference.masking import Mask, gather_tokens, random_mask
from reference.transformer import (
    Block,
    PatchEmbedding,
    initialise_transformer,
    sincos_position_embedding,
)

# name: (dim, depth, heads, decoder_dim, decoder_depth, decoder_heads)
MDM_SIZES = {"tiny": (384, 3, 6, 256, 2, 8)}


def patchify(x: torch.Tensor, patch_size: tuple[int, int]) -> torch.Tensor:
    """Cut records into patches.

    Args:
        x: [B, C, V, T].
        patch_size: (leads, samples), dividing V and T.
    Returns:
        [B, L, leads * samples * C], tokens row-major (lead, then time), channel last in a patch.
    Raises:
        ValueError: the patch does not divide the record.
    Source: authors' code (patchify).
    """
    B, C, V, T = x.shape
    pv, pt = patch_size
    if V % pv or T % pt:
        raise ValueError(f"record {V} x {T} is not a multiple of the patch {pv} x {pt}")
    x = x.reshape(B, C, V // pv, pv, T // pt, pt)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(B, (V // pv) * (T // pt), pv * pt * C)


def unpatchify(patches: torch.Tensor, patch_size: tuple[int, int],
               size: tuple[int, int, int]) -> torch.Tensor:
    """Inverse of `patchify`.

    Args:
        patches: [B, L, leads * samples * C].
        patch_size: (leads, samples).
        size: (C, V, T).
    Returns:
        [B, C, V, T].
    Raises:
        ValueError: the number or length of the patches does not fit the size.
    Source: authors' code (unpatchify).
    """
    C, V, T = size
    pv, pt = patch_size
    B, L, P = patches.shape
    if V % pv or T % pt or (V // pv) * (T // pt) != L or pv * pt * C != P:
        raise ValueError(f"patches {[L, P]} do not make {list(size)}, which needs "
                         f"{[(V // pv) * (T // pt), pv * pt * C]}")
    x = patches.reshape(B, V // pv, T // pt, pv, pt, C)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(B, C, V, T)


def normalised_cross_correlation(x: torch.Tensor, y: torch.Tensor,
                                 eps: float = 1e-12) -> torch.Tensor:
    """Zero-normalised correlation along the last axis.

    Args:
        x: [..., T].
        y: [..., T].
        eps: added to both variances.
    Returns:
        [...], in [-1, 1]; 0 where one of the two is constant.
    Raises:
        ValueError: shapes differ, or T < 2.
    Source: authors' code since 2024-03.
    Differs: their earlier version subtracted the variance where the mean belongs.
    """
    if x.shape != y.shape or x.shape[-1] < 2:
        raise ValueError(f"need two equal shapes [..., T >= 2], got {list(x.shape)}, "
                         f"{list(y.shape)}")
    x0 = x - x.mean(dim=-1, keepdim=True)
    y0 = y - y.mean(dim=-1, keepdim=True)
    n = x.shape[-1] - 1
    scale = ((x0 * x0).sum(dim=-1) / n + eps).sqrt() * ((y0 * y0).sum(dim=-1) / n + eps).sqrt()
    return (x0 * y0).sum(dim=-1) / n / scale


def negative_cosine(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean negative cosine of [B, D] against a target without gradient; scalar.

    Source: SimSiam (Chen & He 2021); authors' code since 2024.
    """
    return -F.cosine_similarity(prediction, target.detach(), dim=-1).mean()


class MaskedAutoencoder(nn.Module):
    """Masked autoencoder on one-lead patches of a 12-lead ECG.

    Args:
        input_size: (channels, leads, samples).
        patch_size: (leads, samples).
        dim, depth, heads: encoder width, blocks, heads.
        decoder_dim, decoder_depth, decoder_heads: the same of the decoder.
        ncc_weight: w in [0, 1]; a plain attribute.
        normalise_patches: predict patches normalised by their own mean and unbiased variance
            (eps 1e-6); a plain attribute.
        masked_only: mean squared error over the removed patches only (paper's wording); a plain
            attribute.
        consistency: also build projector and predictor of the two-view consistency term.
    Raises:
        ValueError: sizes that do not divide, ncc_weight outside [0, 1].
    Source: Turgut et al. 2025, section 3.1; authors' code.
    Differs: paper, squared error only; authors' code, 0.9 of it over all patches + 0.1 (1 - NCC),
        which is the default here.
    """

    def __init__(self, input_size: Sequence[int] = (1, 12, 2500),
                 patch_size: Sequence[int] = (1, 100), dim: int = 384, depth: int = 3,
                 heads: int = 6, decoder_dim: int = 256, decoder_depth: int = 2,
                 decoder_heads: int = 8, ncc_weight: float = 0.1, normalise_patches: bool = False,
                 *, masked_only: bool = False, consistency: bool = False):
        super().__init__()
        if not 0.0 <= ncc_weight <= 1.0:
            raise ValueError(f"ncc_weight must be in [0, 1], got {ncc_weight}")
        self.ncc_weight, self.normalise_patches = ncc_weight, normalise_patches
        self.masked_only = masked_only
        C, V, T = input_size
        pv, pt = patch_size
        self.input_size, self.patch_size = (C, V, T), (pv, pt)
        self.patch_embed = PatchEmbedding(self.input_size, self.patch_size, dim)
        self.grid = self.patch_embed.grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(sincos_position_embedding(dim, self.grid)[None],
                                      requires_grad=False)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_embed = nn.Linear(dim, decoder_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        self.decoder_pos_embed = nn.Parameter(
            sincos_position_embedding(decoder_dim, self.grid)[None], requires_grad=False)
        self.decoder_blocks = nn.ModuleList(Block(decoder_dim, decoder_heads)
                                            for _ in range(decoder_depth))
        self.decoder_norm = nn.LayerNorm(decoder_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_dim, pv * pt * C)
        if consistency:
            self.projector = _mlp(dim, 1024, dim, normalise_output=True)
            self.predictor = _mlp(dim, 128, dim, normalise_output=False)
        initialise_transformer(self)

    def patchify(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, V, T] -> [B, L, P]."""
        return patchify(x, self.patch_size)

    def unpatchify(self, patches: torch.Tensor) -> torch.Tensor:
        """[B, L, P] -> [B, C, V, T]."""
        return unpatchify(patches, self.patch_size, self.input_size)

    def encode(self, x: torch.Tensor, noise: torch.Tensor, ratio: float) -> tuple[torch.Tensor,
                                                                                 Mask]:
        """Embed, mask, and run the encoder on what stays.

        Args:
            x: [B, C, V, T], cleaned ECG (no unit).
            noise: [B, L] uniform on [0, 1): decides which tokens stay.
            ratio: r, share removed.
        Returns:
            latent [B, 1 + K, D] after the final norm, class token first, and the Mask.
        Raises:
            ValueError: shapes or ratio that do not fit.
        Source: authors' code (encoder of the masked autoencoder).
        """
        z = self.patch_embed(x) + self.pos_embed[:, 1:]  # [B, L, D]
        if tuple(noise.shape) != tuple(z.shape[:2]):
            raise ValueError(f"noise must be {list(z.shape[:2])}, got {list(noise.shape)}")
        mask = random_mask(noise, ratio)
        return self._encode(gather_tokens(z, mask.keep)), mask

    def encode_all(self, x: torch.Tensor) -> torch.Tensor:
        """Encode without masking: [B, C, V, T] -> [B, 1 + L, D], class token first."""
        return self._encode(self.patch_embed(x) + self.pos_embed[:, 1:])

    def _encode(self, z: torch.Tensor) -> torch.Tensor:
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(z.shape[0], -1, -1)
        z = torch.cat([cls, z], dim=1)  # [B, 1 + K, D]
        for block in self.blocks:
            z = block(z)
        return self.norm(z)

    def decode(self, latent: torch.Tensor, mask: Mask) -> torch.Tensor:
        """Put mask tokens where patches were removed and predict every patch.

        Args:
            latent: [B, 1 + K, D].
            mask: as returned by `encode`.
        Returns:
            [B, L, P].
        Source: authors' code (decoder of the masked autoencoder).
        """
        z = self.decoder_embed(latent)  # [B, 1 + K, D'] with D' the decoder's width
        B, N, _ = z.shape
        L = mask.restore.shape[1]
        missing = self.mask_token.expand(B, L - (N - 1), -1)  # [B, L - K, D']
        patches = gather_tokens(torch.cat([z[:, 1:], missing], dim=1), mask.restore)  # [B, L, D']
        z = torch.cat([z[:, :1], patches], dim=1) + self.decoder_pos_embed  # [B, 1 + L, D']
        for block in self.decoder_blocks:
            z = block(z)
        return self.decoder_pred(self.decoder_norm(z))[:, 1:]  # [B, L, P]

    def targets(self, x: torch.Tensor) -> torch.Tensor:
        """What the decoder has to predict: [B, C, V, T] -> [B, L, P]."""
        y = self.patchify(x)
        if self.normalise_patches:
            mean, var = y.mean(dim=-1, keepdim=True), y.var(dim=-1, keepdim=True)
            y = (y - mean) / (var + 1e-6).sqrt()
        return y

    def ncc(self, x: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        """Correlation of reconstruction and input: [B, C, V, T], [B, L, P] -> [B, C, V]."""
        return normalised_cross_correlation(self.unpatchify(prediction), x)

    def loss(self, x: torch.Tensor, prediction: torch.Tensor, mask: Mask | torch.Tensor
             ) -> torch.Tensor:
        """Reconstruction loss.

        Args:
            x: [B, C, V, T].
            prediction: [B, L, P].
            mask: Mask, or its [B, L] tensor (1 = removed); counts only with `masked_only`.
        Returns:
            Scalar.
        Raises:
            ValueError: prediction and input do not fit.
        Source: authors' code (loss of the masked autoencoder).
        Differs: `masked_only=True` is the paper's wording; the authors' code takes all patches.
        """
        y = self.targets(x)  # [B, L, P]
        if prediction.shape != y.shape:
            raise ValueError(f"prediction must be {list(y.shape)}, got {list(prediction.shape)}")
        removed = mask.mask if isinstance(mask, Mask) else mask
        keep = removed if self.masked_only else torch.ones_like(removed)  # [B, L]
        per_patch = ((prediction - y) ** 2).mean(dim=-1)  # [B, L]
        mse = (per_patch * keep).sum() / (keep.sum() + 1e-5)
        if self.ncc_weight == 0.0:
            return mse
        w = self.ncc_weight
        return (1 - w) * mse + w * (1 - self.ncc(x, prediction).mean())

    def forward(self, x: torch.Tensor, noise: torch.Tensor, ratio: float) -> tuple[
            torch.Tensor, torch.Tensor, Mask]:
        """loss (scalar), prediction [B, L, P] and Mask of one masked pass."""
        latent, mask = self.encode(x, noise, ratio)
        prediction = self.decode(latent, mask)
        return self.loss(x, prediction, mask), prediction, mask

    def consistency_loss(self, latent: torch.Tensor, latent2: torch.Tensor) -> dict[
            str, torch.Tensor]:
        """Agreement of two masked views of the same records.

        Args:
            latent: [B, 1 + K, D] of the first view, as returned by `encode`.
            latent2: the same of the second view.
        Returns:
            loss: symmetric negative cosine with a stop-gradient on the target (add it with weight
            0.1); cosine: mean cosine of the two pooled views; spread: sqrt(D) times the mean
            standard deviation per dimension of the L2-normalised pooled first view (0 = collapsed).
        Raises:
            ValueError: the model was built without `consistency=True`.
        Source: authors' code since 2024; SimSiam (Chen & He 2021).
        """
        if not hasattr(self, "projector"):
            raise ValueError("consistency_loss needs MaskedAutoencoder(..., consistency=True)")
        h1, h2 = latent[:, 1:].mean(dim=1), latent2[:, 1:].mean(dim=1)  # [B, D]
        z1, z2 = self.projector(h1), self.projector(h2)  # [B, D]
        p1, p2 = self.predictor(z1), self.predictor(z2)  # [B, D]
        loss = 0.5 * (negative_cosine(p1, z2) + negative_cosine(p2, z1))
        cosine = F.cosine_similarity(h1, h2, dim=-1).mean().detach()
        spread = h1.shape[-1] ** 0.5 * F.normalize(h1, dim=-1).std(dim=0).mean().detach()
        return {"loss": loss, "cosine": cosine, "spread": spread}


def _mlp(inputs: int, hidden: int, outputs: int, normalise_output: bool) -> nn.Sequential:
    layers = [nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
              nn.Linear(hidden, outputs, bias=False)]
    if normalise_output:
        layers.append(nn.BatchNorm1d(outputs, affine=False))
    return nn.Sequential(*layers)
