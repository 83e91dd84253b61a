"""The built-in adapter, functions: masks, patches, schedules, parameter groups."""

from __future__ import annotations

import numpy as np
import torch

from reference import contrastive_loss, encoders, loop, masked_modelling, masking
from reference.conformance.builtin.tools import Results, arrays, tensors
from reference.conformance.vectors import Case


def random_mask(case: Case, dtype: str) -> Results:
    """Mask and number of kept tokens."""
    noise = tensors(case, "noise", dtype)["mask"]
    keep, restore, mask = masking.random_mask(noise, case.config["ratio"])
    kept = masking.kept_tokens(noise.shape[1], case.config["ratio"])
    return arrays(out__keep=keep, out__restore=restore, out__mask=mask, out__kept=kept)


def gather_tokens(case: Case, dtype: str) -> Results:
    """Tokens by index."""
    given = tensors(case, "in", dtype)
    return arrays(out__kept=masking.gather_tokens(given["tokens"], given["keep"]))


def patchify(case: Case, dtype: str) -> Results:
    """Records to patches."""
    x = tensors(case, "in", dtype)["x"]
    return arrays(out__patches=masked_modelling.patchify(x, tuple(case.config["patch_size"])))


def unpatchify(case: Case, dtype: str) -> Results:
    """Patches to records."""
    patches = tensors(case, "in", dtype)["patches"]
    return arrays(out__x=masked_modelling.unpatchify(patches, tuple(case.config["patch_size"]),
                                                     tuple(case.config["size"])))


def clocs_views(case: Case, dtype: str) -> Results:
    """Both halves."""
    first, second = contrastive_loss.clocs_views(tensors(case, "in", dtype)["ecg"])
    return arrays(out__first=first, out__second=second)


def warmup_cosine(case: Case, dtype: str) -> Results:
    """Learning rate at every epoch."""
    epochs = case.given("in", dtype)["epoch"]
    return arrays(out__rate=np.array([loop.warmup_cosine(float(e), **case.config)
                                      for e in epochs]))


def byol_momentum(case: Case, dtype: str) -> Results:
    """Decay of the target average at every step."""
    steps = case.given("in", dtype)["step"]
    return arrays(out__tau=np.array([contrastive_loss.byol_momentum(int(step), **case.config)
                                     for step in steps]))


def update_target(case: Case, dtype: str) -> Results:
    """The moved parameters."""
    target, online = (torch.nn.ParameterList([torch.nn.Parameter(value)])
                      for value in tensors(case, "in", dtype).values())
    contrastive_loss.update_target(target, online, case.config["tau"])
    return arrays(out__target=target[0])


def layer_decay(case: Case, dtype: str) -> Results:
    """Scale and weight decay of every parameter, in the order of the configuration."""
    config = case.config
    with torch.random.fork_rng(devices=[]):  # the weights do not matter
        model = encoders.ECGEncoder((1, 2, 6), (1, 3), 4, config["depth"], 1, "attention",
                                    outputs=2)
    groups = loop.layer_decay(model, config["decay"], config["weight_decay"])
    found = {name: group for group in groups for name in group["names"]}
    return {f"out/{what}": np.array([found[name][what] for name in config["dimensions"]])
            for what in ("lr_scale", "weight_decay")}


def matrices_only(case: Case, dtype: str) -> Results:
    """Scale and weight decay of every parameter, in the order of the configuration."""
    with torch.random.fork_rng(devices=[]):
        model = masked_modelling.MaskedAutoencoder((1, 2, 6), (1, 3), 4, 1, 1, 4, 1, 1)
    groups = loop.matrices_only(model, case.config["weight_decay"])
    found = {id(p): group for group in groups for p in group["params"]}
    parameters = dict(model.named_parameters())
    return {f"out/{what}": np.array([found[id(parameters[name])][what]
                                     for name in case.config["dimensions"]])
            for what in ("lr_scale", "weight_decay")}


COMPONENTS = {function.__name__: function for function in (
    random_mask, gather_tokens, patchify, unpatchify, clocs_views, warmup_cosine, byol_momentum,
    update_target, layer_decay, matrices_only)}
