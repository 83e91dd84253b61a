"""The built-in adapter, functions: what this library makes of the golden vectors.

Every component is a function (case, dtype) -> {vector name: array}; the results carry the names
of the vectors that they are held against.
"""

from __future__ import annotations

import numpy as np
import torch

from reference import contrastive_loss, masking
from reference.vectors import Case

Results = dict[str, np.ndarray]


def _tensors(case: Case, kind: str, dtype: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(value))
            for name, value in case.given(kind, dtype).items()}


def _leaves(case: Case, dtype: str) -> dict[str, torch.Tensor]:
    """Inputs; the floating ones with gradient."""
    found = _tensors(case, "in", dtype)
    return {name: x.requires_grad_() if x.is_floating_point() else x for name, x in found.items()}


def _arrays(**tensors: torch.Tensor) -> Results:
    """Keyword `kind__name` -> vector name `kind/name`."""
    return {name.replace("__", "/", 1): np.asarray(x.detach() if torch.is_tensor(x) else x)
            for name, x in tensors.items()}


def _gradients(case: Case, loss: torch.Tensor, leaves: dict[str, torch.Tensor]) -> Results:
    """Gradients that the case holds, of a scalar loss by its inputs."""
    names = [name for name in leaves if f"grad/{name}" in case.entries]
    grads = torch.autograd.grad(loss, [leaves[name] for name in names], materialize_grads=True)
    return {f"grad/{name}": grad.numpy() for name, grad in zip(names, grads)}


def random_mask(case: Case, dtype: str) -> Results:
    """Mask and number of kept tokens."""
    noise = _tensors(case, "noise", dtype)["mask"]
    keep, restore, mask = masking.random_mask(noise, case.config["ratio"])
    kept = masking.kept_tokens(noise.shape[1], case.config["ratio"])
    return _arrays(out__keep=keep, out__restore=restore, out__mask=mask, out__kept=kept)


def gather_tokens(case: Case, dtype: str) -> Results:
    """Tokens by index."""
    given = _tensors(case, "in", dtype)
    return _arrays(out__kept=masking.gather_tokens(given["tokens"], given["keep"]))


def clip_loss(case: Case, dtype: str) -> Results:
    """Logits, both directions, the loss and its gradients."""
    z, T, w = _leaves(case, dtype), case.config["temperature"], case.config["weight"]
    loss = contrastive_loss.clip_loss(**z, temperature=T, weight=w)
    logits = contrastive_loss.cosine_logits(z["z_cmr"], z["z_ecg"], T)
    rows, columns = (contrastive_loss.clip_loss(**z, temperature=T, weight=w) for w in (1.0, 0.0))
    return {**_arrays(mid__logits=logits, loss__cmr_to_ecg=rows, loss__ecg_to_cmr=columns,
                      loss__total=loss), **_gradients(case, loss, z)}


COMPONENTS = {function.__name__: function for function in (
    random_mask, gather_tokens, clip_loss)}
