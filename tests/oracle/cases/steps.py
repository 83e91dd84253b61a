"""Cases of training: steps of the three stages, each with its optimiser.

The cases of one step hold its gradients too; those of several hold losses and parameters.

After AdamW the biases of queries, keys and values are left out: the bias of a key moves every score
of a query alike, its gradient is zero but for rounding, and Adam divides that by itself. Nothing
depends on it.
"""

from __future__ import annotations

import numpy as np

from tests.oracle import steps
from tests.oracle.autoencoder import masked_autoencoder
from tests.oracle.cases.autoencoder import AUTOENCODER, FIXED, given_of
from tests.oracle.cases.networks import ENCODER, RATIO
from tests.oracle.drafts import Collection, Draft, normal, uniform
from tests.oracle.networks import (
    drawn,
    embedding_shapes,
    grid_of,
    image,
    linear_shapes,
    narrow_resnet_shapes,
    net_of,
    parameters,
    pool_shapes,
    sampled,
    table,
)
from tests.oracle.steps import Adam, Rule
from tests.oracle.tables import layer_decay, matrices_only

_CASES = Collection(first_seed=2300)
case, build = _CASES.case, _CASES.build

MDM = {**AUTOENCODER, "depth": 1, "ratio": RATIO, "ncc_weight": 0.1, "normalise_patches": False,
       "masked_only": False, "lr": 3e-3, "weight_decay": 0.15, "betas": [0.9, 0.95]}
MMCL = {**ENCODER, "depth": 1, "cmr_arch": "resnet10_narrow", "hidden": 11, "embedding": 7,
        "temperature": 0.1, "weight": 0.75, "lr": 2e-3, "ecg_lr_scale": 0.4,
        "weight_decay": 1e-4, "betas": [0.9, 0.999]}
FINE_TUNING = {**ENCODER, "phenotypes": 9, "positive_weight": [2.5, 4.0], "lr": 1e-3,
               "layer_decay": 0.75, "weight_decay": 0.05, "betas": [0.9, 0.999]}

UNDETERMINED = ("qkv.bias", "in_proj_bias")


def _draft(component: str, config: dict, given: dict, results: dict) -> Draft:
    if config["steps"] > 1:
        results = {name: value for name, value in results.items() if name.startswith("step/")}
    if component != "mmcl_steps":  # there the decay is part of the gradient and outweighs rounding
        results = {name: value for name, value in results.items()
                   if not (name.startswith("step/") and name.endswith(UNDETERMINED))}
    return Draft(component, config, given, results, {}, sampled(results, 40))


def _schedule(config: dict, count: int) -> dict:
    """Several steps are warmed up over two of them, a single one is not."""
    return {**config, "steps": count, "warmup_steps": 2 if count > 1 else 0}


def _dimensions(given: dict, fixed=()) -> dict[str, int]:
    """Dimensions of every trained parameter."""
    names = {name.split("/", 1)[1]: len(value.shape) for name, value in given.items()
             if name.startswith("param/") and "running" not in name}
    return {name: ndim for name, ndim in names.items() if name not in fixed}


def _rules(names, columns: dict[str, np.ndarray]) -> dict[str, Rule]:
    return {name: Rule(*pair) for name, *pair in
            zip(names, columns["out/lr_scale"], columns["out/weight_decay"], strict=True)}


# ---- stage 1 ----

def _mdm(rng, count: int) -> Draft:
    config = _schedule(MDM, count)
    leads, patches = grid_of(config)
    given = {"in/x": drawn(rng, 2, *config["input_size"]),
             "noise/mask": uniform(rng, count, 2, leads * patches), **given_of(rng, config)}
    dimensions = _dimensions(given, FIXED)
    rules = _rules(dimensions, matrices_only(dimensions, config["weight_decay"]))

    def gradients_of(net, step):
        return masked_autoencoder(net, given["in/x"].value(), given["noise/mask"][step], config)
    results = steps.trained(net_of(given), Adam(rules, config["betas"], True), gradients_of, config)
    return _draft("mdm_steps", config, given, results)


@case
def mdm_step(rng):
    """One step of AdamW; vectors are not decayed."""
    return _mdm(rng, 1)


@case
def mdm_ten_steps(rng):
    """Ten steps with warm-up and cosine, other masks each."""
    return _mdm(rng, 10)


# ---- stage 2 ----

def _mmcl(rng, count: int) -> Draft:
    config = _schedule(MMCL, count)
    D, E = config["dim"], config["embedding"]
    shapes = {f"ecg.{name}": shape for name, shape in
              {**embedding_shapes(config), **pool_shapes("average", D)}.items()}
    shapes |= {f"cmr.{name}": shape for name, shape in narrow_resnet_shapes().items()}
    for name, width in (("ecg_head", D), ("cmr_head", 128)):
        shapes |= {**linear_shapes(f"{name}.0", width, config["hidden"]),
                   **linear_shapes(f"{name}.2", config["hidden"], E)}
    positions = table("pos_embed", D, config)["param/pos_embed"]
    given = {"in/ecg": drawn(rng, 8, *config["input_size"]), "in/image": image(rng, 8, 3, 20, 36),
             "param/ecg.pos_embed": positions, **parameters(rng, shapes)}
    rules = {name: Rule(config["ecg_lr_scale"] if name.startswith("ecg.") else 1.0,
                        config["weight_decay"]) for name in _dimensions(given)}

    def gradients_of(net, step):
        return steps.mmcl_gradients(net, given["in/ecg"].value(), given["in/image"].value(), config)
    results = steps.trained(net_of(given), Adam(rules, config["betas"], False), gradients_of,
                            config)
    return _draft("mmcl_steps", config, given, results)


@case
def mmcl_step(rng):
    """One step of Adam, the ECG encoder at a lower rate."""
    return _mmcl(rng, 1)


@case
def mmcl_three_steps(rng):
    """Three steps on one batch."""
    return _mmcl(rng, 3)


# ---- stage 3 ----

def _fine_tuning(rng, count: int) -> Draft:
    config = _schedule(FINE_TUNING, count)
    D, K, R = config["dim"], config["phenotypes"], len(config["positive_weight"])
    shapes = {**embedding_shapes(config), **pool_shapes("attention", D),
              **linear_shapes("head", D, K + R)}
    observed = rng.random((8, K + R)) < 0.8
    given = {"in/ecg": drawn(rng, 8, *config["input_size"]), "in/targets": normal(rng, 8, K),
             "in/labels": (rng.random((8, R)) < 0.4).astype(np.float64), "in/observed": observed,
             **table("pos_embed", D, config), **parameters(rng, shapes)}
    dimensions = _dimensions(given)
    rules = _rules(dimensions, layer_decay(dimensions, config["depth"], config["layer_decay"],
                                           config["weight_decay"]))

    def gradients_of(net, step):
        return steps.label_gradients(net, given["in/ecg"].value(), given["in/targets"],
                                     given["in/labels"], observed, config)
    results = steps.trained(net_of(given), Adam(rules, config["betas"], True), gradients_of, config)
    return _draft("fine_tuning_steps", config, given, results)


@case
def fine_tuning_step(rng):
    """One step of AdamW; the rate falls towards the input."""
    return _fine_tuning(rng, 1)


@case
def fine_tuning_three_steps(rng):
    """Three steps on one batch."""
    return _fine_tuning(rng, 3)
