"""Ways to run the same network: eager, compiled, under autocast, in another memory layout.

A variant's name is made of words: `nhwc` (channels last) or `nchw`, a dtype (`bfloat16`, `float16`:
autocast; `float32`), `compiled` (torch.compile for exactly these shapes); `eager` says that nothing
is changed. A variant stays a module with the same parameters, so that gradients of them are taken.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
LAYOUTS = {"nhwc": torch.channels_last, "nchw": torch.contiguous_format}
# relative errors that a network of a few layers may have, forward and backward
TOLERANCE = {"float32": 1e-4, "tf32": 3e-2, "float16": 3e-2, "bfloat16": 1e-1}
# and gradients of residual networks, for which see test_resnet.py
TOLERANCE_RESNET = {"float32": 3e-2, "tf32": 3e-1, "float16": 3e-1, "bfloat16": 5e-1}
_NO_COMPILER = ("No working C++ compiler found", "Cannot find a working triton installation")
WAYS = ("eager", "compiled", "bfloat16", "float16", "bfloat16-compiled")
WAYS_CPU = ("eager", "bfloat16")


class Autocast(nn.Module):
    """A network whose forward pass runs under autocast."""

    def __init__(self, network: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast(inputs[0].device.type, self.dtype, cache_enabled=False):
            return self.network(*inputs)


def words(implementation: str) -> list[str]:
    """The words of a name: "nhwc-bfloat16" -> ["nhwc", "bfloat16"]."""
    return implementation.split("-")


def precision(implementation: str, otherwise: str = "float32") -> str:
    """What the products of a variant are computed in; `otherwise` if its name has no dtype."""
    return next((w for w in words(implementation) if w in DTYPES), otherwise)


def itemsize(implementation: str) -> int:
    """Bytes of an element of a variant's activations."""
    return 2 if precision(implementation) in DTYPES else 4


def layout(implementation: str) -> torch.memory_format:
    """Memory layout of images."""
    return LAYOUTS[next((w for w in words(implementation) if w in LAYOUTS), "nchw")]


def variant(network: nn.Module, implementation: str) -> nn.Module:
    """The network in the way that a name says, with the same parameters.

    Args:
        network: on its device.
        implementation: words joined by hyphens, see above.
    Returns:
        A module.
    Raises:
        ValueError: a word that is unknown.
    """
    unknown = set(words(implementation)) - {*DTYPES, *LAYOUTS, "float32", "eager", "compiled"}
    if unknown:
        raise ValueError(f"variant {implementation!r} has unknown words {sorted(unknown)}")
    if "nhwc" in words(implementation):
        network = network.to(memory_format=torch.channels_last)
    dtype = DTYPES.get(precision(implementation))
    network = network if dtype is None else Autocast(network, dtype)
    return compiled(network) if "compiled" in words(implementation) else network


def tolerance_of_resnet(computed: str, axis: str) -> float:
    """Relative error that a residual network may have, from what it is computed in."""
    return (TOLERANCE_RESNET if axis == "backward" else TOLERANCE)[computed]


def need_triton(device: torch.device) -> None:
    """Skip the row of a Triton kernel where it cannot run."""
    if device.type != "cuda":
        pytest.skip("Triton needs a CUDA card")


def compiled(function: Callable) -> Callable:
    """torch.compile for exactly the shapes that come; what earlier rows compiled is forgotten.

    Gradients are taken again and again of one kept forward pass, so no buffer may be given away.
    """
    torch._dynamo.reset()
    torch._functorch.config.donated_buffer = False
    return torch.compile(function, dynamic=False)


def not_compiled(error: BaseException) -> bool:
    """Whether an exception says that this machine has no compiler; any other fault is a fault."""
    return (isinstance(error, RuntimeError)
            and any(words in str(error) for words in _NO_COMPILER))
