"""Masked autoencoder, forward and backward: decoder, reconstruction, agreement of two views.

    decoder      z_l = W_e latent of token l where it stayed, else the mask token;  z + positions,
                 blocks, norm, linear map to the samples of a patch
    consistency  L = (c(p_1, z_2) + c(p_2, z_1)) / 2,  c = - mean cosine, z constant inside c
                 h = mean of the patch tokens, z = projector(h), p = predictor(z)

Glossary: B records, L tokens, K kept tokens, N = 1 + K, D width, P samples of a patch.
"""

from __future__ import annotations

import math

import numpy as np

from tests.oracle.layers import Net, batch_norm, chain, layer_norm, linear, relu
from tests.oracle.losses import unit
from tests.oracle.masked_losses import negative_cosine, reconstruction_loss
from tests.oracle.transformer import blocks, encoder


def restored(net: Net, z: np.ndarray, restore: np.ndarray):
    """Every token at its place: the kept ones of [B, 1 + K, D], the mask token where none was."""
    B, N, D = z.shape
    out = np.zeros((B, 1 + restore.shape[1], D))
    out[:, 0] = z[:, 0]
    for b, token in np.ndindex(*restore.shape):
        place = restore[b, token]
        out[b, 1 + token] = z[b, 1 + place] if place < N - 1 else net["mask_token"][0, 0]

    def back(dout):
        dz, by_token = np.zeros(z.shape), np.zeros((1, 1, D))
        dz[:, 0] = dout[:, 0]
        for b, token in np.ndindex(*restore.shape):
            place = restore[b, token]
            if place < N - 1:
                dz[b, 1 + place] += dout[b, 1 + token]
            else:
                by_token[0, 0] += dout[b, 1 + token]
        net.add("mask_token", by_token)
        return dz
    return out, back


def decoder(net: Net, latent: np.ndarray, restore: np.ndarray, heads: int):
    """[B, 1 + K, D] -> [B, L, P]."""
    z, first = linear(net, "decoder_embed", latent)
    z, second = restored(net, z, restore)
    z, third, _ = blocks(net, "decoder_blocks", z + net["decoder_pos_embed"], heads)
    z, fourth = layer_norm(net, "decoder_norm", z)
    y, fifth = linear(net, "decoder_pred", z)

    def back(dy):
        dall = np.zeros(y.shape)
        dall[:, 1:] = dy
        return chain(first, second, third, fourth, fifth)(dall)
    return y[:, 1:], back


def masked_autoencoder(net: Net, x: np.ndarray, noise: np.ndarray, config: dict
                       ) -> dict[str, np.ndarray]:
    """One masked pass and its loss; the gradients by the parameters go to the net."""
    latent, first, mask = encoder(net, x, config["heads"], noise, config["ratio"])
    prediction, second = decoder(net, latent, mask["out/restore"], config["decoder_heads"])
    loss = reconstruction_loss(x, prediction, mask["out/mask"], tuple(config["patch_size"]),
                               config["ncc_weight"], config["normalise_patches"],
                               config["masked_only"])
    chain(first, second)(loss["grad/prediction"])
    return {"mid/keep": mask["out/keep"], "mid/mask": mask["out/mask"], "mid/latent": latent,
            "out/prediction": prediction, "loss/total": loss["loss/total"]}


def projector(net: Net, h: np.ndarray):
    """Linear, batch norm, ReLU, linear, batch norm without weight."""
    z, first = linear(net, "projector.0", h)
    z, second = batch_norm(net, "projector.1", z)
    z, third = relu(z)
    z, fourth = linear(net, "projector.3", z)
    z, fifth = batch_norm(net, "projector.4", z)
    return z, chain(first, second, third, fourth, fifth)


def predictor(net: Net, z: np.ndarray):
    """Linear, batch norm, ReLU, linear."""
    p, first = linear(net, "predictor.0", z)
    p, second = batch_norm(net, "predictor.1", p)
    p, third = relu(p)
    p, fourth = linear(net, "predictor.3", p)
    return p, chain(first, second, third, fourth)


def consistency(net: Net, latent: np.ndarray, latent2: np.ndarray) -> dict[str, np.ndarray]:
    """Agreement of two views, both [B, 1 + K, D], and how far they have collapsed."""
    pooled = [view[:, 1:].mean(axis=1) for view in (latent, latent2)]
    (z1, z1_back), (z2, z2_back) = (projector(net, h) for h in pooled)
    (p1, p1_back), (p2, p2_back) = (predictor(net, z) for z in (z1, z2))
    halves = negative_cosine(p1, z2), negative_cosine(p2, z1)
    by_views = []
    for half, back, view in zip(halves, (chain(z1_back, p1_back), chain(z2_back, p2_back)),
                                (latent, latent2), strict=True):
        grad = np.zeros(view.shape)
        grad[:, 1:] = back(half["grad/prediction"] / 2)[:, None] / (view.shape[1] - 1)
        by_views.append(grad)
    (B, D), directions = pooled[0].shape, unit(pooled[0])
    cosine = sum(a @ b for a, b in zip(directions, unit(pooled[1]), strict=True)) / B
    spread = sum(math.sqrt(sum((v - column.mean()) ** 2 for v in column) / (B - 1))
                 for column in directions.T) / D * math.sqrt(D)
    return {"mid/p1": p1, "mid/z2": z2, "out/cosine": np.array(cosine),
            "out/spread": np.array(spread),
            "loss/total": (halves[0]["loss/total"] + halves[1]["loss/total"]) / 2,
            "grad/latent": by_views[0], "grad/latent2": by_views[1]}
