"""What a user might take instead, where it is importable; never required.

Each entry has the signature of ours:

    scipy, pybaselines             asymmetric least squares: (y [lanes, T], lam, p, iterations) -> z
    scikit-learn, torchmetrics     AUROC: (labels, scores) -> number
    open_clip                      CLIP loss, both directions alike: (z_cmr, z_ecg) -> scalar
    lightly                        NT-Xent loss: (z0, z1) -> scalar
    timm, timm patches             transformer block of (D, H), patch embedding: modules
    torchvision                    residual network without its last layer: (arch) -> module
    ... colour                     colour jitter: (image [B, 3, h, w], factors [3, B]) -> image

The losses take temperature 0.1.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn


def alternative(name: str) -> Callable:
    """The function of that name; skips the test where its package is not installed.

    Args:
        name: a key of ALTERNATIVES.
    Returns:
        Callable.
    """
    package, make = ALTERNATIVES[name]
    try:
        return make(importlib.import_module(package))
    except ModuleNotFoundError:
        pytest.skip(f"{package.split('.')[0]} is not installed")
    except (ImportError, RuntimeError, OSError) as error:  # built for another torch
        pytest.skip(f"{package.split('.')[0]} cannot be imported: {str(error).splitlines()[0]}")


def _scipy_baseline(_) -> Callable:
    """The textbook code with a sparse direct solve (Eilers & Boelens 2005), lane by lane."""
    sparse, solve = importlib.import_module("scipy.sparse"), \
        importlib.import_module("scipy.sparse.linalg").spsolve

    def lane(y: np.ndarray, lam: float, p: float, iterations: int) -> np.ndarray:
        T = len(y)
        D = sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(T - 2, T))
        penalty, w = lam * (D.T @ D), np.ones(T)
        for _ in range(iterations):
            z = solve((sparse.diags_array(w) + penalty).tocsc(), w * y)
            w = p * (y > z) + (1 - p) * (y < z)
        return z

    return lambda y, lam, p, iterations: np.stack([lane(x, lam, p, iterations) for x in y])


def _pybaselines_baseline(whittaker) -> Callable:
    def baseline(y: np.ndarray, lam: float, p: float, iterations: int) -> np.ndarray:
        # Its weights are 1 - p at a tie, and its last weights are computed once more.
        return np.stack([whittaker.asls(x, lam=lam, p=p, max_iter=iterations - 1, tol=0.0)[0]
                         for x in y])

    return baseline


def _open_clip_loss(package) -> Callable:
    loss = package.loss.ClipLoss()

    def unit(z: torch.Tensor) -> torch.Tensor:
        return z / z.norm(dim=-1, keepdim=True)

    return lambda z_cmr, z_ecg: loss(unit(z_cmr), unit(z_ecg), 10.0)


def _torchmetrics_auroc(functional) -> Callable:
    def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
        # Scores outside [0, 1] would be put through a sigmoid, which can merge or part ties.
        low, high = scores.min(), scores.max()
        share = torch.from_numpy((scores - low) / (high - low))
        return float(functional.binary_auroc(share, torch.from_numpy(labels).long()))

    return auroc


def _timm_block(transformer) -> Callable:
    norm = partial(nn.LayerNorm, eps=1e-6)
    return lambda D, H: transformer.Block(D, H, qkv_bias=True, norm_layer=norm)


def _timm_patches(layers) -> Callable:
    return lambda size, patch, D: layers.PatchEmbed(size, patch, in_chans=1, embed_dim=D)


def _torchvision_network(models) -> Callable:
    def network(arch: str) -> nn.Module:
        found = getattr(models, arch)(weights=None)
        found.fc = nn.Identity()
        return found

    return network


def _torchvision_colour(functional) -> Callable:
    def jitter(image: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        done = []
        for x, (b, c, s) in zip(image, factors.T.tolist(), strict=True):
            x = functional.adjust_contrast(functional.adjust_brightness(x, b), c)
            done.append(functional.adjust_saturation(x, s))
        return torch.stack(done)

    return jitter


def _kornia_colour(enhance) -> Callable:
    def jitter(image: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        b, c, s = factors
        image = (image * b[:, None, None, None]).clamp(0, 1)
        image = enhance.adjust_contrast_with_mean_subtraction(image, c)
        return enhance.adjust_saturation_with_gray_subtraction(image, s)

    return jitter


ALTERNATIVES = {
    "open_clip": ("open_clip", _open_clip_loss),
    "scipy": ("scipy.sparse.linalg", _scipy_baseline),
    "pybaselines": ("pybaselines.whittaker", _pybaselines_baseline),
    "scikit-learn": ("sklearn.metrics", lambda metrics: metrics.roc_auc_score),
    "torchmetrics": ("torchmetrics.functional.classification", _torchmetrics_auroc),
    "lightly": ("lightly.loss.ntx_ent_loss", lambda module: module.NTXentLoss(temperature=0.1)),
    "timm": ("timm.models.vision_transformer", _timm_block),
    "timm patches": ("timm.layers", _timm_patches),
    "torchvision": ("torchvision.models", _torchvision_network),
    "torchvision colour": ("torchvision.transforms.v2.functional", _torchvision_colour),
    "kornia colour": ("kornia.enhance", _kornia_colour),
}
