"""Cases of stage 1: decoder, masked autoencoder with its loss, agreement of two views."""

from __future__ import annotations

import numpy as np

from tests.oracle import autoencoder
from tests.oracle.cases.networks import ENCODER, RATIO
from tests.oracle.drafts import Collection, Draft, normal, uniform
from tests.oracle.networks import (
    by_parameter,
    decoder_shapes,
    directed,
    drawn,
    embedding_shapes,
    grid_of,
    linear_shapes,
    net_of,
    norm_shapes,
    noted,
    parameters,
    sampled,
    table,
)
from tests.oracle.tables import random_mask

_CASES = Collection(first_seed=2100)
case, build = _CASES.case, _CASES.build

AUTOENCODER = {**ENCODER, "decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2}
FIXED = ("pos_embed", "decoder_pos_embed")


def given_of(rng: np.random.Generator, config: dict) -> dict:
    """Parameters of a whole masked autoencoder."""
    shapes = {**embedding_shapes(config), **norm_shapes("norm", config["dim"]),
              **decoder_shapes(config)}
    return {**table("pos_embed", config["dim"], config),
            **table("decoder_pos_embed", config["decoder_dim"], config), **parameters(rng, shapes)}


@case
def decoder(rng):
    """Mask tokens where patches were removed."""
    leads, steps = grid_of(AUTOENCODER)
    L, P = leads * steps, AUTOENCODER["patch_size"][1]
    config = {**AUTOENCODER, "ratio": RATIO}
    given = {"in/latent": normal(rng, 2, 1 + int(L * (1 - RATIO)), 12),
             "in/direction": drawn(rng, 2, L, P), "noise/mask": uniform(rng, 2, L),
             **table("decoder_pos_embed", 8, AUTOENCODER),
             **parameters(rng, decoder_shapes(AUTOENCODER))}
    net = net_of(given)
    restore = random_mask(given["noise/mask"], RATIO)["out/restore"]
    y, back = autoencoder.decoder(net, given["in/latent"], restore, 2)
    return Draft("decoder", config, given,
                 {"mid/restore": restore,
                  **noted(net, "decoder_embed", "decoder_blocks.0", "decoder_norm"),
                  **directed(net, y, back, given["in/direction"].value(), FIXED, "latent")})


def _masked_autoencoder(rng, entries: int, **options) -> Draft:
    config = {**AUTOENCODER, "ratio": RATIO, **options}
    leads, steps = grid_of(config)
    given = {"in/x": drawn(rng, 2, *config["input_size"]),
             "noise/mask": uniform(rng, 2, leads * steps), **given_of(rng, config)}
    net = net_of(given)
    x = given["in/x"].value()
    results = autoencoder.masked_autoencoder(net, x, given["noise/mask"], config)
    results |= by_parameter(net, FIXED)
    return Draft("masked_autoencoder", config, given, results, {}, sampled(results, entries))


@case
def masked_autoencoder(rng):
    """All patches, a tenth of correlation: the default."""
    return _masked_autoencoder(rng, 200, ncc_weight=0.1, normalise_patches=False, masked_only=False)


@case
def masked_autoencoder_normalised(rng):
    """Normalised targets of the removed patches, more correlation."""
    return _masked_autoencoder(rng, 40, ncc_weight=0.4, normalise_patches=True, masked_only=True)


@case
def masked_autoencoder_squared_error(rng):
    """Squared error of the removed patches alone, as the paper says."""
    return _masked_autoencoder(rng, 40, ncc_weight=0.0, normalise_patches=False, masked_only=True)


@case
def consistency(rng):
    """Two views of 5 records, each normalised by itself; running statistics after both."""
    shapes = {**linear_shapes("projector.0", 12, 1024, bias=False),
              **norm_shapes("projector.1", 1024),
              **linear_shapes("projector.3", 1024, 12, bias=False),
              **linear_shapes("predictor.0", 12, 128, bias=False),
              **norm_shapes("predictor.1", 128),
              **linear_shapes("predictor.3", 128, 12, bias=False)}
    for name, width in (("projector.1", 1024), ("projector.4", 12), ("predictor.1", 128)):
        shapes |= {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    given = {"in/latent": normal(rng, 5, 8, 12), "in/latent2": normal(rng, 5, 7, 12),
             **parameters(rng, shapes)}
    net = net_of(given, training=True)
    results = autoencoder.consistency(net, given["in/latent"], given["in/latent2"])
    gradients = {**{name: results.pop(name) for name in ("grad/latent", "grad/latent2")},
                 **by_parameter(net)}
    results |= {f"out/{name}": value for name, value in net.statistics.items()}
    loss = {"loss/total": results.pop("loss/total")}
    results = {**results, **loss, **gradients}
    return Draft("consistency", {"dim": 12, "training": True}, given, results, {},
                 sampled(results, 200))
