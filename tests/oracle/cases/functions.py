"""Cases of the functions: masks, patches, schedules, parameter groups.

Each maker takes a generator and returns component, configuration, given arrays and results.
"""

from __future__ import annotations

import numpy as np

from tests.oracle import tables
from tests.oracle.drafts import Collection, Draft, normal, uniform

_CASES = Collection(first_seed=1000)
case, build = _CASES.case, _CASES.build


# ---- masks ----

@case
def random_mask_300(rng):
    """59 of 300 tokens stay, not 60."""
    noise = uniform(rng, 2, 300)
    return Draft("random_mask", {"ratio": 0.8}, {"noise/mask": noise},
                 tables.random_mask(noise, 0.8))


@case
def random_mask_ties(rng):
    """Equal noise: the lower index comes first."""
    noise = np.floor(uniform(rng, 3, 11) * 4) / 4
    return Draft("random_mask", {"ratio": 0.5}, {"noise/mask": noise},
                 tables.random_mask(noise, 0.5))


@case
def gather_tokens(rng):
    """Tokens by index."""
    tokens = normal(rng, 2, 7, 5)
    keep = np.array([[6, 0, 3], [1, 5, 2]])
    return Draft("gather_tokens", {}, {"in/tokens": tokens, "in/keep": keep},
                 {"out/kept": tables.gather_tokens(tokens, keep)})


# ---- patches ----

@case
def patchify(rng):
    """Patches of 2 leads x 3 samples, two channels."""
    x = normal(rng, 3, 2, 4, 15)
    return Draft("patchify", {"patch_size": [2, 3]}, {"in/x": x},
                 {"out/patches": tables.patchify(x, (2, 3))})


@case
def unpatchify(rng):
    """Patches of 2 leads x 3 samples, two channels."""
    patches = normal(rng, 5, 6, 12)
    return Draft("unpatchify", {"patch_size": [2, 3], "size": [2, 4, 9]},
                 {"in/patches": patches},
                 {"out/x": tables.unpatchify(patches, (2, 3), (2, 4, 9))})


@case
def clocs_views(rng):
    """Halves of a record."""
    ecg = normal(rng, 3, 2, 8)
    return Draft("clocs_views", {}, {"in/ecg": ecg},
                 {"out/first": ecg[:, :, :4], "out/second": ecg[:, :, 4:]})


# ---- schedules and parameter groups ----

def _schedule(epoch: list[float], **config: float) -> Draft:
    epoch = np.array(epoch)
    return Draft("warmup_cosine", config, {"in/epoch": epoch},
                 {"out/rate": tables.warmup_cosine(epoch, **config)})


@case
def warmup_cosine(rng):
    """Warm-up, peak, middle, end and beyond."""
    return _schedule([0.0, 1.5, 2.875, 3.0, 3.125, 7.5, 11.75, 12.0, 20.0], base=0.25, warmup=3.0,
                     total=12.0, minimum=0.03125)


@case
def warmup_cosine_without_warmup(rng):
    """Starts at its peak and ends at 0."""
    return _schedule([0.0, 1.25, 4.5, 5.0], base=0.001, warmup=0.0, total=5.0, minimum=0.0)


@case
def byol_momentum(rng):
    """From the base to 1."""
    step = np.array([0, 1, 13, 25, 49, 50])
    return Draft("byol_momentum", {"total": 50, "base": 0.9996}, {"in/step": step},
                 {"out/tau": tables.byol_momentum(step, 50, 0.9996)})


@case
def update_target(rng):
    """A moving average of parameters."""
    target, online = normal(rng, 3, 5), normal(rng, 3, 5)
    return Draft("update_target", {"tau": 0.75}, {"in/target": target, "in/online": online},
                 {"out/target": tables.update_target(target, online, 0.75)})


def _block(prefix: str) -> dict[str, int]:
    parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    return {f"{prefix}.{part}.{kind}": 1 if kind == "bias" or "norm" in part else 2
            for part in parts for kind in ("weight", "bias")}


def _linear(name: str, ndim: int = 2) -> dict[str, int]:
    return {f"{name}.weight": ndim, f"{name}.bias": 1}


@case
def layer_decay(rng):
    """An encoder of three blocks with attention pooling and a head."""
    dimensions = {"cls_token": 3, "pos_embed": 3, **_linear("patch_embed.proj", 4),
                  **_block("blocks.0"), **_block("blocks.1"), **_block("blocks.2"),
                  "attention_pool.in_proj_weight": 2, "attention_pool.in_proj_bias": 1,
                  **_linear("attention_pool.out_proj"), **_linear("fc_norm", 1), **_linear("head")}
    config = {"dimensions": dimensions, "depth": 3, "decay": 0.75, "weight_decay": 0.05}
    return Draft("layer_decay", config, {}, tables.layer_decay(**config))


@case
def matrices_only(rng):
    """A masked autoencoder; its position embeddings are fixed and have no place here."""
    dimensions = {"cls_token": 3, "mask_token": 3, **_linear("patch_embed.proj", 4),
                  **_block("blocks.0"), **_linear("norm", 1), **_linear("decoder_embed"),
                  **_block("decoder_blocks.0"), **_linear("decoder_norm", 1),
                  **_linear("decoder_pred")}
    config = {"dimensions": dimensions, "weight_decay": 0.15}
    return Draft("matrices_only", config, {}, tables.matrices_only(**config))
