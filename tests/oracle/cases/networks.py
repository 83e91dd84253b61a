"""Cases of the vision transformer: from one layer to the encoder, the pooling and the heads."""

from __future__ import annotations

import numpy as np

from tests.oracle import layers, transformer
from tests.oracle.drafts import Collection, Draft, normal, uniform
from tests.oracle.networks import (
    attention_shapes,
    block_shapes,
    directed,
    drawn,
    embedding_shapes,
    grid_of,
    linear_shapes,
    net_of,
    norm_shapes,
    noted,
    parameters,
    pool_shapes,
    sampled,
    table,
)

_CASES = Collection(first_seed=2000)
case, build = _CASES.case, _CASES.build

# 5 leads x 6 steps = 30 tokens of 13 samples, 10 of them stay; width 12 in 4 heads of 3.
ENCODER = {"input_size": [1, 5, 78], "patch_size": [1, 13], "dim": 12, "depth": 2, "heads": 4}
RATIO = 0.65


# ---- position table and patches ----

def _position_table(dim: int, leads: int, steps: int, every: int = 1) -> Draft:
    results = {"out/table": transformer.position_table(dim, leads, steps)}
    # The table is made in float32 at any precision: an angle a is off by 4 2^-24 a at most.
    rate = 4 * 2**-24 * max(leads, steps)
    return Draft("position_table", {"dim": dim, "leads": leads, "steps": steps}, {}, results,
                 {"out/table": {"float64": rate, "float32": rate}},
                 {"out/table": every} if every > 1 else {})


@case
def position_table(rng):
    """Small."""
    return _position_table(8, 3, 5)


@case
def position_table_tiny(rng):
    """That of the published model."""
    return _position_table(384, 12, 25, every=97)


def _patch_embedding(rng, B: int, D: int, size: list[int], patch: list[int]) -> Draft:
    config = {"input_size": size, "patch_size": patch, "dim": D}
    shapes = {"proj.weight": (D, size[0], *patch), "proj.bias": (D,)}
    leads, steps = grid_of(config)
    given = {"in/x": drawn(rng, B, *size), "in/direction": drawn(rng, B, leads * steps, D),
             **parameters(rng, shapes)}
    net = net_of(given)
    y, back = transformer.patch_embedding(net, "proj", given["in/x"].value())
    results = directed(net, y, back, given["in/direction"].value())
    return Draft("patch_embedding", config, given, results, {}, sampled(results, 500))


@case
def patch_embedding(rng):
    """Patches of one lead."""
    return _patch_embedding(rng, 2, 8, [1, 3, 35], [1, 7])


@case
def patch_embedding_channels(rng):
    """Patches of two leads, several channels."""
    return _patch_embedding(rng, 5, 8, [3, 12, 28], [2, 4])


# ---- layers and the block ----

@case
def layer_norm(rng):
    """One row so small that eps counts."""
    x = normal(rng, 2, 7, 12)
    x[0, 3] = np.round(x[0, 3] * 2**10) / 2**20
    given = {"in/x": x, "in/direction": normal(rng, 2, 7, 12),
             **parameters(rng, norm_shapes("norm1", 12))}
    net = net_of(given)
    return Draft("layer_norm", {"dim": 12}, given,
                 directed(net, *layers.layer_norm(net, "norm1", x), given["in/direction"]))


@case
def attention(rng):
    """4 heads of 3; the probabilities too."""
    given = {"in/z": normal(rng, 2, 7, 12), "in/direction": normal(rng, 2, 7, 12),
             **parameters(rng, attention_shapes("", 12))}
    net = net_of(given)
    y, back, A = transformer.attention(net, "", given["in/z"], 4)
    return Draft("attention", {"dim": 12, "heads": 4}, given,
                 {"mid/weights": A, **noted(net, "qkv"),
                  **directed(net, y, back, given["in/direction"], inputs="z")})


@case
def mlp(rng):
    """Exact GELU."""
    shapes = {**linear_shapes("fc1", 5, 20), **linear_shapes("fc2", 20, 5)}
    given = {"in/z": normal(rng, 2, 7, 5), "in/direction": normal(rng, 2, 7, 5),
             **parameters(rng, shapes)}
    net = net_of(given)
    y, back = transformer.mlp(net, "", given["in/z"])
    return Draft("mlp", {"dim": 5, "hidden": 20}, given,
                 {**noted(net, "fc1"),
                  **directed(net, y, back, given["in/direction"], inputs="z")})


@case
def block(rng):
    """One pre-norm block."""
    given = {"in/z": normal(rng, 2, 7, 12), "in/direction": normal(rng, 2, 7, 12),
             **parameters(rng, block_shapes("", 12))}
    net = net_of(given)
    y, back, A = transformer.block(net, "", given["in/z"], 4)
    return Draft("block", {"dim": 12, "heads": 4}, given,
                 {"mid/weights": A, **noted(net, "norm1", "attn", "norm2", "mlp.fc1", "mlp"),
                  **directed(net, y, back, given["in/direction"], inputs="z")})


# ---- encoders ----

def _stage_one_encoder(rng, ratio: float | None) -> Draft:
    leads, steps = grid_of(ENCODER)
    config = dict(ENCODER) if ratio is None else {**ENCODER, "ratio": ratio}
    kept = leads * steps if ratio is None else int(leads * steps * (1 - ratio))
    noise = {} if ratio is None else {"noise/mask": uniform(rng, 2, leads * steps)}
    shapes = {**embedding_shapes(ENCODER), **norm_shapes("norm", 12)}
    given = {"in/x": drawn(rng, 2, *ENCODER["input_size"]),
             "in/direction": drawn(rng, 2, 1 + kept, 12), **noise,
             **table("pos_embed", 12, ENCODER), **parameters(rng, shapes)}
    net = net_of(given)
    y, back, mask = transformer.encoder(net, given["in/x"].value(), 4, noise.get("noise/mask"),
                                        ratio)
    middle = {} if ratio is None else {"mid/keep": mask["out/keep"], "mid/mask": mask["out/mask"]}
    results = {**middle, **noted(net, "blocks.0", "blocks.1"),
               **directed(net, y, back, given["in/direction"].value(), fixed=("pos_embed",))}
    return Draft("encoder" if ratio is None else "masked_encoder", config, given, results, {},
                 sampled(results, 200))


@case
def masked_encoder(rng):
    """Encoder of the masked autoencoder on what stays."""
    return _stage_one_encoder(rng, RATIO)


@case
def encoder(rng):
    """The same on all tokens."""
    return _stage_one_encoder(rng, None)


def _ecg_encoder(rng, pooling: str) -> Draft:
    shapes = {**embedding_shapes(ENCODER), **pool_shapes(pooling, 12)}
    given = {"in/x": drawn(rng, 2, *ENCODER["input_size"]), "in/direction": normal(rng, 2, 12),
             **table("pos_embed", 12, ENCODER), **parameters(rng, shapes)}
    net = net_of(given)
    z, first, A = transformer.embedded(net, given["in/x"].value(), 4)
    h, second = transformer.pooled(net, z, pooling, 4)
    results = {"mid/attention": A, "mid/tokens": z,
               **directed(net, h, layers.chain(first, second), given["in/direction"])}
    return Draft("ecg_encoder", {**ENCODER, "pooling": pooling}, given, results, {},
                 sampled(results, 60))


@case
def ecg_encoder_average(rng):
    """Stage 2: mean of the patch tokens; trainable positions."""
    return _ecg_encoder(rng, "average")


@case
def ecg_encoder_attention(rng):
    """Stage 3: attention pooling."""
    return _ecg_encoder(rng, "attention")


@case
def ecg_encoder_cls(rng):
    """Class token."""
    return _ecg_encoder(rng, "cls")


# ---- pooling and heads ----

def _pooling(rng, pooling: str, heads: int) -> Draft:
    given = {"in/z": normal(rng, 2, 7, 12), "in/direction": normal(rng, 2, 12),
             **parameters(rng, pool_shapes(pooling, 12))}
    net = net_of(given)
    y, back = transformer.pooled(net, given["in/z"], pooling, heads)
    return Draft("pooling", {"dim": 12, "pooling": pooling, "heads": heads}, given,
                 directed(net, y, back, given["in/direction"], inputs="z"))


@case
def pooling_average(rng):
    """The class token takes no part."""
    return _pooling(rng, "average", 4)


@case
def pooling_attention(rng):
    """The mean asks the patch tokens."""
    return _pooling(rng, "attention", 3)


@case
def pooling_cls(rng):
    """The class token alone."""
    return _pooling(rng, "cls", 4)


@case
def projection_head(rng):
    """Linear, ReLU, linear."""
    shapes = {**linear_shapes("0", 11, 7), **linear_shapes("2", 7, 3)}
    given = {"in/h": normal(rng, 5, 11), "in/direction": normal(rng, 5, 3),
             **parameters(rng, shapes)}
    net = net_of(given)
    y, back = transformer.projection(net, "", given["in/h"])
    return Draft("projection_head", {"in_dim": 11, "hidden_dim": 7, "out_dim": 3}, given,
                 {**noted(net, "0"),
                  **directed(net, y, back, given["in/direction"], inputs="h")})


def _prediction_head(rng, double: bool) -> Draft:
    config = {**ENCODER, "depth": 1, "pooling": "attention", "outputs": 7,
              "authors_double_norm": double}
    shapes = {**embedding_shapes(config), **pool_shapes("attention", 12),
              **linear_shapes("head", 12, 7)}
    given = {"in/x": drawn(rng, 2, *config["input_size"]), "in/direction": normal(rng, 2, 7),
             **table("pos_embed", 12, config), **parameters(rng, shapes)}
    net = net_of(given)
    y, back = transformer.predicted(net, given["in/x"].value(), 4, "attention", double)
    results = {**noted(net, "fc_norm"), **directed(net, y, back, given["in/direction"])}
    return Draft("prediction_head", config, given, results, {}, sampled(results, 60))


@case
def prediction_head(rng):
    """Linear outputs of the pooled features."""
    return _prediction_head(rng, double=False)


@case
def prediction_head_double_norm(rng):
    """As the authors': normalised twice."""
    return _prediction_head(rng, double=True)


# ---- position table of another length ----

def _position_interpolation(rng, old: int, steps: int) -> Draft:
    given = {"in/table": normal(rng, 1, 1 + 3 * old, 8),
             "in/direction": normal(rng, 1, 1 + 3 * steps, 8)}
    net = net_of(given)
    y, back = transformer.position_interpolation(given["in/table"], 3, steps)
    return Draft("position_interpolation", {"leads": 3, "old": old, "steps": steps}, given,
                 directed(net, y, back, given["in/direction"], inputs="table"))


@case
def position_interpolation(rng):
    """Longer."""
    return _position_interpolation(rng, 5, 9)


@case
def position_interpolation_shorter(rng):
    """Shorter, without smoothing beforehand."""
    return _position_interpolation(rng, 11, 7)
