"""What the parts of the built-in adapter share: arrays of a case in, vectors by name out.

Every component is a function (case, dtype) -> {vector name: array}; the results carry the names
of the vectors that they are held against, in their order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from reference.conformance.vectors import Case

Results = dict[str, np.ndarray]


def tensors(case: Case, kind: str, dtype: str) -> dict[str, torch.Tensor]:
    """Given arrays of one kind as tensors."""
    return {name: torch.from_numpy(np.array(value))
            for name, value in case.given(kind, dtype).items()}


def leaves(case: Case, dtype: str) -> dict[str, torch.Tensor]:
    """Inputs; those whose gradient the case holds ask for it."""
    return {name: x.requires_grad_(f"grad/{name}" in case.entries)
            for name, x in tensors(case, "in", dtype).items()}


def arrays(**values: Any) -> Results:
    """Keyword `kind__name` -> vector name `kind/name`; tensors and numbers become arrays."""
    return {name.replace("__", "/", 1): np.asarray(x.detach() if torch.is_tensor(x) else x)
            for name, x in values.items()}


def gradients(case: Case, loss: torch.Tensor, inputs: dict[str, torch.Tensor]) -> Results:
    """Gradients that the case holds, of a scalar loss by its inputs; 0 where none arrives."""
    names = [name for name in inputs if f"grad/{name}" in case.entries]
    grads = torch.autograd.grad(loss, [inputs[name] for name in names], materialize_grads=True)
    return {f"grad/{name}": grad.numpy() for name, grad in zip(names, grads, strict=True)}
