"""The built-in adapter, losses: values, logits and gradients of the golden vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch

from reference import contrastive_loss, masked_modelling, training
from reference.conformance.builtin.tools import Results, arrays, gradients, leaves
from reference.conformance.vectors import Case


def clip_loss(case: Case, dtype: str) -> Results:
    """Logits, both directions, the loss and its gradients."""
    z, T, w = leaves(case, dtype), case.config["temperature"], case.config["weight"]
    loss = contrastive_loss.clip_loss(**z, temperature=T, weight=w)
    logits = contrastive_loss.cosine_logits(z["z_cmr"], z["z_ecg"], T)
    rows, columns = (contrastive_loss.clip_loss(**z, temperature=T, weight=w) for w in (1.0, 0.0))
    return {**arrays(mid__logits=logits, loss__cmr_to_ecg=rows, loss__ecg_to_cmr=columns,
                     loss__total=loss), **gradients(case, loss, z)}


def nt_xent_loss(case: Case, dtype: str) -> Results:
    """Logits of all views with all views, the loss and its gradients."""
    z, T = leaves(case, dtype), case.config["temperature"]
    views = torch.cat([z["z0"], z["z1"]])
    loss = contrastive_loss.nt_xent_loss(**z, temperature=T)
    return {**arrays(mid__logits=contrastive_loss.cosine_logits(views, views, T),
                     loss__total=loss), **gradients(case, loss, z)}


def _with_similarity(function: Callable, case: Case, dtype: str) -> Results:
    z = leaves(case, dtype)
    logits = contrastive_loss.cosine_logits(z["z_cmr"], z["z_ecg"], case.config["temperature"])
    loss = function(**z, **case.config)
    return {**arrays(mid__logits=logits, loss__total=loss), **gradients(case, loss, z)}


def soft_positive_loss(case: Case, dtype: str) -> Results:
    """Logits, the loss and its gradients."""
    return _with_similarity(contrastive_loss.soft_positive_loss, case, dtype)


def false_negative_removal_loss(case: Case, dtype: str) -> Results:
    """Logits, the loss and its gradients."""
    return _with_similarity(contrastive_loss.false_negative_removal_loss, case, dtype)


def _scalar(function: Callable, case: Case, dtype: str) -> Results:
    """A loss of the inputs alone, with its gradients."""
    given = leaves(case, dtype)
    loss = function(**given, **case.config)
    return {**arrays(loss__total=loss), **gradients(case, loss, given)}


def barlow_twins_loss(case: Case, dtype: str) -> Results:
    """The loss and its gradients."""
    return _scalar(contrastive_loss.barlow_twins_loss, case, dtype)


def byol_loss(case: Case, dtype: str) -> Results:
    """The loss and its gradients; the targets receive none."""
    return _scalar(contrastive_loss.byol_loss, case, dtype)


def negative_cosine(case: Case, dtype: str) -> Results:
    """The loss and its gradients; the target receives none."""
    return _scalar(masked_modelling.negative_cosine, case, dtype)


def cross_correlation(case: Case, dtype: str) -> Results:
    """Correlation of every trace; the loss is its mean."""
    given = leaves(case, dtype)
    ncc = masked_modelling.normalised_cross_correlation(given["x"], given["y"])
    return {**arrays(out__ncc=ncc, loss__total=ncc.mean()), **gradients(case, ncc.mean(), given)}


def reconstruction_loss(case: Case, dtype: str) -> Results:
    """Targets, correlations, the loss and its gradient by the prediction."""
    given, config = leaves(case, dtype), dict(case.config)
    x, prediction, patch = given["x"], given["prediction"], tuple(config.pop("patch_size"))
    with torch.random.fork_rng(devices=[]):  # the weights, which the loss never uses
        model = masked_modelling.MaskedAutoencoder(tuple(x.shape[1:]), patch, 4, 0, 1, 4, 0, 1,
                                                   **config)
    loss = model.loss(x, prediction, given["mask"])
    return {**arrays(mid__targets=model.targets(x), mid__ncc=model.ncc(x, prediction),
                     loss__total=loss), **gradients(case, loss, given)}


def _observed(given: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """The target with NaN where it is not observed."""
    return given.pop(name).detach().masked_fill(~given.pop("observed"), torch.nan)


def masked_mse(case: Case, dtype: str) -> Results:
    """The loss and its gradient."""
    given = leaves(case, dtype)
    target = _observed(given, "target")
    loss = training.masked_mse(given["prediction"], target, **case.config)
    return {**arrays(loss__total=loss), **gradients(case, loss, given)}


def masked_bce(case: Case, dtype: str) -> Results:
    """The loss and its gradient."""
    given = leaves(case, dtype)
    loss = training.masked_bce(labels=_observed(given, "labels"), **given)
    return {**arrays(loss__total=loss), **gradients(case, loss, given)}


COMPONENTS = {function.__name__: function for function in (
    clip_loss, nt_xent_loss, soft_positive_loss, false_negative_removal_loss, barlow_twins_loss,
    byol_loss, negative_cosine, cross_correlation, reconstruction_loss, masked_mse, masked_bce)}
