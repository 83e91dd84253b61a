"""The built-in adapter, networks: the vision transformer from one layer to the heads.

A component without a loss of its own has the sum of its output times `in/direction` for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from reference.conformance.builtin.tools import Results, arrays, gradients, leaves, tensors
from reference.conformance.vectors import Case
from reference.encoders import ECGEncoder, ProjectionHead
from reference.masked_modelling import MaskedAutoencoder
from reference.masking import random_mask
from reference.transformer import (
    MLP,
    Attention,
    Block,
    PatchEmbedding,
    interpolate_position_embedding,
    sincos_position_embedding,
)

Module = TypeVar("Module", bound=nn.Module)


def module_of(case: Case, dtype: str, build: Callable[[], Module], unused: tuple[str, ...] = ()
              ) -> Module:
    """A module with the parameters of the case, in evaluation unless the case trains.

    Args:
        case: parameters by state-dict name, `training` in its configuration.
        dtype: "float64" or "float32".
        build: makes the module; the random state is left as it was.
        unused: beginnings of state-dict names that the component never touches.
    Returns:
        The module.
    Raises:
        ValueError: the names do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        module = build()
    module = module.to(getattr(torch, dtype)).train(case.config.get("training", False))
    missing, unexpected = module.load_state_dict(tensors(case, "param", dtype), strict=False)
    missing = [name for name in missing
               if not name.endswith("num_batches_tracked") and not name.startswith(unused)]
    if missing or unexpected:
        raise ValueError(f"parameters of {case.name} do not fit: missing {missing}, unexpected "
                         f"{unexpected}")
    return module


def directed(case: Case, module: nn.Module, given: dict[str, torch.Tensor],
             forward: Callable[[], torch.Tensor], **middle: torch.Tensor) -> Results:
    """Output, its product with the direction, and what else the case holds.

    Args:
        case: decides which outputs of parts (`mid/` and their name), which running statistics
            afterwards (`out/` and their name) and which gradients are returned.
        module: with its parts and parameters.
        given: inputs, "direction" among them.
        forward: runs the module.
        middle: further results.
    Returns:
        Arrays by vector name, in the order of the case.
    """
    seen = {}

    def hook_of(name: str) -> Callable:
        def keep(_part: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            seen[f"mid__{name}"] = output
        return keep

    hooks = [part.register_forward_hook(hook_of(name)) for name, part in module.named_modules()
             if f"mid/{name}" in case.entries]
    y = forward()
    for hook in hooks:
        hook.remove()
    statistics = {f"out__{name}": value.clone() for name, value in module.named_buffers()}
    loss = (y * given["direction"]).sum()
    results = {**arrays(**middle, **seen, **statistics, out__y=y, loss__total=loss),
               **gradients(case, loss, {**given, **dict(module.named_parameters())})}
    return in_order(case, results)


def in_order(case: Case, results: Results) -> Results:
    """Results in the order of the case."""
    return {name: results[name] for name in case.entries if name in results}


def position_table(case: Case, dtype: str) -> Results:
    """The table, which is made in float32."""
    grid = (case.config["leads"], case.config["steps"])
    return arrays(out__table=sincos_position_embedding(case.config["dim"], grid))


def position_interpolation(case: Case, dtype: str) -> Results:
    """A table for another number of steps."""
    given, config = leaves(case, dtype), case.config
    y = interpolate_position_embedding(given["table"], (config["leads"], config["old"]),
                                       config["steps"])
    return directed(case, nn.Identity(), given, lambda: y)


def patch_embedding(case: Case, dtype: str) -> Results:
    """Tokens of the patches."""
    given, size = leaves(case, dtype), tuple(case.config["input_size"])
    module = module_of(case, dtype, lambda: PatchEmbedding(
        size, tuple(case.config["patch_size"]), case.config["dim"]))
    return directed(case, module, given, lambda: module(given["x"]))


def layer_norm(case: Case, dtype: str) -> Results:
    """The first norm of a block."""
    given = leaves(case, dtype)
    block = module_of(case, dtype, lambda: Block(case.config["dim"], 1), ("norm2", "attn", "mlp"))
    return directed(case, block, given, lambda: block.norm1(given["x"]))


def attention(case: Case, dtype: str) -> Results:
    """Self-attention and its probabilities."""
    given = leaves(case, dtype)
    module = module_of(case, dtype, lambda: Attention(**case.config))
    z = given["z"]
    return directed(case, module, given, lambda: module(z), mid__weights=module.weights(z))


def mlp(case: Case, dtype: str) -> Results:
    """Two linear maps and GELU."""
    given, module = leaves(case, dtype), module_of(case, dtype, lambda: MLP(**case.config))
    return directed(case, module, given, lambda: module(given["z"]))


def block(case: Case, dtype: str) -> Results:
    """Pre-norm block and its attention probabilities."""
    given = leaves(case, dtype)
    module = module_of(case, dtype, lambda: Block(**case.config))
    return directed(case, module, given, lambda: module(given["z"]),
                    mid__weights=module.attn.weights(module.norm1(given["z"])))


def _encoder_of(case: Case, dtype: str) -> MaskedAutoencoder:
    options = {name: value for name, value in case.config.items() if name != "ratio"}
    return module_of(case, dtype, lambda: MaskedAutoencoder(
        **options, decoder_dim=4, decoder_depth=0, decoder_heads=1), ("decoder", "mask_token"))


def encoder(case: Case, dtype: str) -> Results:
    """Encoder of the masked autoencoder on all tokens."""
    given, model = leaves(case, dtype), _encoder_of(case, dtype)
    return directed(case, model, given, lambda: model.encode_all(given["x"]))


def masked_encoder(case: Case, dtype: str) -> Results:
    """Encoder of the masked autoencoder on the tokens that stay."""
    given, model = leaves(case, dtype), _encoder_of(case, dtype)
    noise = tensors(case, "noise", dtype)["mask"]
    ratio = case.config["ratio"]
    mask = random_mask(noise, ratio)
    return directed(case, model, given, lambda: model.encode(given["x"], noise, ratio)[0],
                    mid__keep=mask.keep, mid__mask=mask.mask)


def ecg_encoder(case: Case, dtype: str) -> Results:
    """Features, all tokens, and attention of the last block."""
    given = leaves(case, dtype)
    x = given["x"]
    model = module_of(case, dtype, lambda: ECGEncoder(**case.config))
    return directed(case, model, given, lambda: model.features(x),
                    mid__attention=model.attention(x), mid__tokens=model.all_tokens(x))


def pooling(case: Case, dtype: str) -> Results:
    """One vector a record from its tokens."""
    given = leaves(case, dtype)
    model = module_of(case, dtype, lambda: ECGEncoder((1, 1, 1), (1, 1), depth=0, **case.config),
                      ("cls_token", "pos_embed", "patch_embed"))
    return directed(case, model, given, lambda: model.pool(given["z"]))


def projection_head(case: Case, dtype: str) -> Results:
    """Projection of features."""
    given = leaves(case, dtype)
    module = module_of(case, dtype, lambda: ProjectionHead(**case.config))
    return directed(case, module, given, lambda: module(given["h"]))


def prediction_head(case: Case, dtype: str) -> Results:
    """ECG encoder with its linear head."""
    given = leaves(case, dtype)
    model = module_of(case, dtype, lambda: ECGEncoder(**case.config))
    return directed(case, model, given, lambda: model(given["x"]))


COMPONENTS = {function.__name__: function for function in (
    position_table, position_interpolation, patch_embedding, layer_norm, attention, mlp, block,
    encoder, masked_encoder, ecg_encoder, pooling, projection_head, prediction_head)}
