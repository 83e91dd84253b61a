"""How many kernels one call launches: what a CUDA profile shows, or what torch dispatches on a CPU.

On CUDA the profiler's kernels, copies and fills on the device are counted. Elsewhere it is the
operations that reach torch's dispatcher without views (those move nothing), which is no number of
kernels; the row says which of the two it holds. What NumPy computes has no count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.harness import timing


class Launches(NamedTuple):
    """A count, or None where there is none, and of what."""

    count: int | None
    kind: str  # "kernels" or "dispatched operations"


class Dispatched(TorchDispatchMode):
    """Counts operations whose outputs are no views of their inputs."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        view = any(r.alias_info is not None and not r.alias_info.is_write
                   for r in function._schema.returns)
        self.count += not view and function.overloadpacket != torch.ops.aten._unsafe_view
        return function(*args, **(kwargs or {}))


def launches(body: Callable[[], object], device: torch.device) -> Launches:
    """Launches of one call of the body.

    Args:
        body: callable without arguments, warmed up.
        device: where it runs.
    Returns:
        Launches.
    """
    if device.type == "cuda":
        return Launches(_profiled(body, device) or None, "kernels")
    with Dispatched() as counter:
        body()
    return Launches(counter.count or None, "dispatched operations")


def _profiled(body: Callable[[], object], device: torch.device) -> int:
    """Events on the device in a profile of one call."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        body()
        timing.drain(device)
    return sum(e.device_type == torch.autograd.DeviceType.CUDA for e in profile.events())
