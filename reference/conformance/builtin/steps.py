"""The built-in adapter, training: steps of the three stages by the training loop itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from reference.conformance.builtin.networks import in_order, module_of
from reference.conformance.builtin.tools import Results, arrays, tensors
from reference.conformance.vectors import Case
from reference.contrastive_loss import clip_loss, cosine_logits
from reference.encoders import CMREncoder, ECGEncoder
from reference.loop import fit, layer_decay, matrices_only
from reference.masked_modelling import MaskedAutoencoder
from reference.presets import Stage
from reference.training import MMCL, masked_bce, masked_mse
from reference.views import CROP_ONLY

ENCODER = ("input_size", "patch_size", "dim", "depth", "heads")


def _options(case: Case, names: tuple[str, ...]) -> dict:
    return {name: case.config[name] for name in names}


def _trained(case: Case, model: nn.Module, optimiser: torch.optim.Optimizer,
             loss_of: Callable[[int, dict], torch.Tensor]) -> Results:
    """Results of the first step, gradients of the last, losses of all, the state after them.

    `loss_of(step, found)` leaves its other results in `found`.
    """
    config = case.config
    steps: list[Results] = []
    stage = Stage(config["steps"], 1, config["lr"], config["weight_decay"],
                  config["warmup_steps"] / config["steps"], CROP_ONLY, tuple(config["betas"]),
                  validations=1)

    def loss_at(rows: np.ndarray) -> torch.Tensor:
        found: dict[str, torch.Tensor] = {}
        loss = loss_of(len(steps), found)
        steps.append(arrays(**found, loss__total=loss))
        return loss

    history = fit(case.name, model, optimiser, stage, np.arange(1), loss_at, lambda: 0.0, seed=0,
                  higher_is_better=True)
    grads = {f"grad/{name}": p.grad.numpy() for name, p in model.named_parameters()
             if p.grad is not None}
    state = {f"step/{name}": value.numpy() for name, value in model.state_dict().items()}
    results = {**steps[0], **grads, "step/losses": np.array(history.losses), **state}
    return in_order(case, results)


def mdm_steps(case: Case, dtype: str) -> Results:
    """Stage 1: AdamW on the masked autoencoder, another mask in every step.

    Args, Returns: as every component.
    """
    x, noise = tensors(case, "in", dtype)["x"], tensors(case, "noise", dtype)["mask"]
    options = _options(case, (*ENCODER, "decoder_dim", "decoder_depth", "decoder_heads",
                              "ncc_weight", "normalise_patches", "masked_only"))
    model = module_of(case, dtype, lambda: MaskedAutoencoder(**options))
    groups = matrices_only(model, case.config["weight_decay"])
    optimiser = torch.optim.AdamW(groups, lr=0.0, betas=tuple(case.config["betas"]))

    def loss_of(step: int, found: dict) -> torch.Tensor:
        latent, _ = model.encode(x, noise[step], case.config["ratio"])
        loss, prediction, mask = model(x, noise[step], case.config["ratio"])
        found |= {"mid__keep": mask.keep, "mid__mask": mask.mask, "mid__latent": latent,
                  "out__prediction": prediction}
        return loss
    return _trained(case, model, optimiser, loss_of)


def mmcl_steps(case: Case, dtype: str) -> Results:
    """Stage 2: Adam on both encoders and their heads.

    Args, Returns: as every component.
    """
    config, given = case.config, tensors(case, "in", dtype)
    model = module_of(case, dtype, lambda: MMCL(
        ECGEncoder(**_options(case, ENCODER)), CMREncoder(config["cmr_arch"]), config["hidden"],
        config["embedding"]))
    scales = {name: config["ecg_lr_scale"] if name.startswith("ecg.") else 1.0
              for name, _ in model.named_parameters()}
    optimiser = torch.optim.Adam(
        [{"params": [p], "lr_scale": scales[name]} for name, p in model.named_parameters()],
        lr=0.0, betas=tuple(config["betas"]), weight_decay=config["weight_decay"])

    def loss_of(step: int, found: dict) -> torch.Tensor:
        z_ecg, z_cmr = model.embed_ecg(given["ecg"]), model.embed_cmr(given["image"])
        found |= {"out__z_ecg": z_ecg, "out__z_cmr": z_cmr,
                  "mid__logits": cosine_logits(z_cmr, z_ecg, config["temperature"])}
        return clip_loss(z_cmr, z_ecg, config["temperature"], config["weight"])
    return _trained(case, model, optimiser, loss_of)


def fine_tuning_steps(case: Case, dtype: str) -> Results:
    """Stage 3: AdamW with a rate that falls towards the input.

    Args, Returns: as every component.
    """
    config, given = case.config, tensors(case, "in", dtype)
    K, weight = config["phenotypes"], torch.tensor(config["positive_weight"]).to(given["ecg"].dtype)
    seen = given["observed"]
    target = given["targets"].masked_fill(~seen[:, :K], torch.nan)
    labels = given["labels"].masked_fill(~seen[:, K:], torch.nan)
    model = module_of(case, dtype, lambda: ECGEncoder(
        **_options(case, ENCODER), pooling="attention", outputs=K + len(weight)))
    optimiser = torch.optim.AdamW(
        layer_decay(model, config["layer_decay"], config["weight_decay"]), lr=0.0,
        betas=tuple(config["betas"]))

    def loss_of(step: int, found: dict) -> torch.Tensor:
        outputs = model(given["ecg"])
        phenotypes = masked_mse(outputs[:, :K], target)
        risks = masked_bce(outputs[:, K:], labels, weight)
        found |= {"out__outputs": outputs, "loss__phenotypes": phenotypes, "loss__labels": risks}
        return phenotypes + risks
    return _trained(case, model, optimiser, loss_of)


COMPONENTS = {function.__name__: function for function in (
    mdm_steps, mmcl_steps, fine_tuning_steps)}
