"""One row of the suite: bind the inputs, check against float64, then time.

    error = |got - want| / |want|     norms over all outputs, want computed in float64

What is timed on each axis: inference = the call without a graph of derivatives; forward = the call
with it; backward = the gradients of all leaves from one kept forward pass; step = the call itself.

Glossary: case = what a test hands over; body = callable without arguments, one input set bound;
leaves = inputs and parameters that gradients are taken of.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.harness import timing
from benchmarks.harness.launches import launches
from benchmarks.harness.machine import device_name
from benchmarks.harness.roofline import Work, calibrate, floor

AXES = ("inference", "forward", "backward", "step")
INPUT_SETS = 2  # taken in turns, so that no round finds its own inputs where the last one left them
LEAST_ROUNDS, MOST_ROUNDS = 5, 200


@dataclass(frozen=True)
class Case:
    """What a row measures; see the fixture `measure` for the fields."""

    function: Callable
    inputs: Callable[[Draw], tuple]
    work: Work
    expected: Callable
    tolerance: float
    axis: str = "inference"
    differentiable: tuple[int, ...] = ()


class Draw:
    """Seeded random inputs on a device."""

    def __init__(self, seed: int, device: torch.device):
        self.device, self.generator = device, torch.Generator(device).manual_seed(seed)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Standard normal."""
        return torch.randn(*shape, generator=self.generator, device=self.device).to(dtype)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform on [0, 1), float32."""
        return torch.rand(*shape, generator=self.generator, device=self.device)


class Measure:
    """Checks and times cases of one session; rows are collected in `rows`."""

    def __init__(self, device: torch.device, *, check: bool = True, time: bool = True,
                 seconds: float = 0.5, rounds: int = 0, seed: int = 0):
        self.device, self.check, self.time = device, check, time
        self.seconds, self.rounds, self.seed = seconds, rounds, seed
        self.rows: list[dict[str, Any]] = []
        self._clocks: dict[tuple, Callable[[], float]] = {}
        self._ceilings: dict[torch.device, dict[str, float]] = {}

    def clock(self, device: torch.device, mode: str) -> Callable[[], float]:
        """The clock of a mode, made once (it owns the buffer that flushes the cache)."""
        if (device, mode) not in self._clocks:
            self._clocks[device, mode] = timing.clock(device, mode)
        return self._clocks[device, mode]

    def ceilings(self, device: torch.device) -> dict[str, float]:
        """The roofline of a device, measured once a session."""
        if device not in self._ceilings:
            self._ceilings[device] = calibrate(device, self.seed)
        return self._ceilings[device]

    @property
    def measured_ceilings(self) -> dict[str, dict[str, float]]:
        """All rooflines measured so far, by device."""
        return {str(device): rates for device, rates in self._ceilings.items()}

    def run(self, case: Case, labels: dict[str, str], device: torch.device, mode: str,
            fixture: Callable[[], Any]) -> dict[str, Any]:
        """Check, then time, one row.

        Args:
            case: what to measure.
            labels: operation, implementation, shape: what the row is called.
            device: where.
            mode: graph, stream or host.
            fixture: gives pytest-benchmark's fixture; called only if the row is timed.
        Returns:
            The row, as it stands in the JSON's extra_info.
        Raises:
            AssertionError: an output is off.
        """
        if case.axis not in AXES:
            raise ValueError(f"axis {case.axis!r}; one of {AXES} is needed")
        if self.time:
            self.ceilings(device)  # first, while the row holds no memory
        row = {**labels, "axis": case.axis, "mode": mode, "device": device_name(device),
               **case.work._asdict(), "seed": self.seed, "input_sets": INPUT_SETS,
               "torch": torch.__version__, "numpy": np.__version__}
        stream = timing.side_stream(device) if mode == "graph" else contextlib.nullcontext()
        with stream, torch.set_grad_enabled(case.axis != "inference"):
            sets = [case.inputs(Draw(self.seed + i, device)) for i in range(INPUT_SETS)]
            wanted = _wanted(case, sets[0]) if self.check else None
            bodies = [bind(case.function, inputs, case) for inputs in sets]
            if self.check:
                got = [tensors(bodies[0]()) for _ in range(_calls(case))]
                row.update(error=_checked(got, wanted, case), tolerance=case.tolerance)
            if self.time:
                row["peak_mem_bytes"] = peak_memory(bodies[0], device)
                row["launches"], row["launch_kind"] = launches(bodies[0], device)
                if mode == "graph":
                    bodies = [_captured(body) for body in bodies]
                    _check_replay(bodies[0], wanted, case)
                self._time(bodies, row, device, mode, fixture())
        self.rows.append(row)
        return row

    def _time(self, bodies: list[Callable], row: dict, device: torch.device, mode: str,
              benchmark: Any) -> None:
        """Pedantic rounds: the set-up picks the next input set, outside the timed window."""
        timer, turn = self.clock(device, mode), iter(range(10**9))
        timer.restart()
        benchmark.group, benchmark._timer = row["operation"], timer
        benchmark._precisions[timer] = 1e-6  # else an unknown timer is calibrated for a second
        rounds, warm_up = self._rounds(bodies[0], device)
        benchmark.pedantic(lambda body: body(), rounds=rounds, warmup_rounds=warm_up,
                           setup=lambda: ((bodies[next(turn) % len(bodies)],), {}))
        if benchmark.disabled:
            return
        row.update(statistics(benchmark.stats.stats.data), rounds=rounds, warmup=warm_up,
                   **timer.learned(rounds))
        row.update(rates(row, self.ceilings(device)))
        benchmark.extra_info.update(row)

    def _rounds(self, body: Callable, device: torch.device) -> tuple[int, int]:
        """Rounds and warm-up rounds that fit the time budget of a row."""
        if self.rounds:
            return self.rounds, max(1, self.rounds // 5)
        once = max(timing.durations(body, timing.HostClock(device), 1)[0], 1e-6)
        rounds = min(max(int(self.seconds / once), LEAST_ROUNDS), MOST_ROUNDS)
        return rounds, max(1, rounds // 5)


def host(test: Callable) -> Callable:
    """Decorator: the row is computed by NumPy on the host, on every machine."""
    test.host = True
    return test


def no_graph(reason: str) -> Callable:
    """Decorator: the row cannot be captured as a CUDA graph, for this reason."""
    def mark(test: Callable) -> Callable:
        test.no_graph = reason
        return test
    return mark


def bind(function: Callable, inputs: tuple, case: Case) -> Callable[[], Any]:
    """The body of an axis with its inputs bound.

    Args:
        function: the case's function, or what is expected of it.
        inputs: one input set.
        case: axis, and which inputs gradients are taken of.
    Returns:
        Callable without arguments -> outputs, or gradients of all leaves.
    """
    if case.axis in ("step", "inference"):
        return lambda: function(*inputs)
    inputs = tuple(x.detach().requires_grad_() if i in case.differentiable else x
                   for i, x in enumerate(inputs))
    leaves = [inputs[i] for i in case.differentiable]
    if isinstance(function, nn.Module):
        leaves += [p for p in function.parameters() if p.requires_grad]
    if case.axis == "forward":
        return lambda: function(*inputs)
    outputs = [y for y in tensors(function(*inputs)) if y.requires_grad]
    cotangents = [_cotangent(y, i) for i, y in enumerate(outputs)]
    return lambda: torch.autograd.grad(outputs, leaves, cotangents, retain_graph=True)


def tensors(outputs: Any) -> list[torch.Tensor]:
    """Outputs as a flat list of tensors: one tensor, array or number, or a nest of tuples."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    if isinstance(outputs, (np.ndarray, float, int)):
        return [torch.as_tensor(outputs)]
    return [tensor for part in outputs for tensor in tensors(part)]


def wide_device(device: torch.device) -> torch.device:
    """Where float64 can be computed: the device itself, or the CPU beside one that cannot."""
    return torch.device("cpu") if device.type == "mps" else device


def wide(value: Any) -> Any:
    """The same in float64: a module is copied, floating tensors converted, the rest kept."""
    if isinstance(value, nn.Module):
        device = next((p.device for p in value.parameters()), torch.device("cpu"))
        return copy.deepcopy(value).to(wide_device(device), torch.float64)
    if isinstance(value, torch.Tensor):
        value = value.detach().to(wide_device(value.device))
        return value.to(torch.float64) if value.is_floating_point() else value.clone()
    return tuple(wide(part) for part in value) if isinstance(value, tuple) else value


def relative_error(got: list[torch.Tensor], want: list[torch.Tensor]) -> float:
    """Norm of the difference over the norm of what is wanted, over all tensors; NaN stays NaN."""
    shapes = [[tuple(x.shape) for x in side] for side in (got, want)]
    if shapes[0] != shapes[1]:
        raise AssertionError(f"shapes={shapes[0]}, but should be {shapes[1]}")
    difference = scale = 0.0
    for g, w in zip(got, want, strict=True):
        w = w.detach().to(wide_device(w.device), torch.float64)
        g = g.detach().to(w.device, torch.float64)
        difference += float((g - w).square().sum())
        scale += float(w.square().sum())
    return math.sqrt(difference / scale) if scale > 0 else math.sqrt(difference)


def peak_memory(body: Callable, device: torch.device) -> int | None:
    """Bytes that one call holds at most beyond what was allocated before; None where unknown."""
    if device.type != "cuda":
        return None
    timing.drain(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    body()
    timing.drain(device)
    return torch.cuda.max_memory_allocated(device) - before


def statistics(seconds: Iterable[float]) -> dict[str, float]:
    """Median, 20 % and 80 % percentiles."""
    p20, p50, p80 = np.percentile(list(seconds), (20, 50, 80))
    return {"p20": float(p20), "p50": float(p50), "p80": float(p80)}


def rates(row: dict[str, Any], ceilings: dict[str, float]) -> dict[str, Any]:
    """GB/s, TFLOP/s, floor in seconds, % of the roofline and its bound, of a timed row."""
    work = Work(*(row[name] for name in Work._fields))
    if work.precision not in ceilings:
        work = work._replace(flops=0.0)  # no ceiling of this precision: bytes and launch remain
    least = floor(work, ceilings, row["mode"])
    return {"gb_per_s": row["bytes"] / row["p50"] / 1e9, "tflop_per_s": row["flops"] / row["p50"]
            / 1e12, "floor": least.seconds, "pct_roofline": 100 * least.seconds / row["p50"],
            "bound": least.bound}


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: main, a device's, or shared by a program."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory",
             "status_alloc_failed",  # what cuBLAS and cuDNN say
             "out of resource")  # of Triton, whose errors are no RuntimeError
    told = isinstance(error, RuntimeError) or type(error).__name__ == "OutOfResources"
    return told and any(w in str(error).lower() for w in words)


def release() -> None:
    """Give unused memory back, so that one row's leftovers do not fail the next."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _calls(case: Case) -> int:
    return 2 if case.axis == "step" else 1  # the second one sees the first one's update


def _wanted(case: Case, inputs: tuple) -> list[list[torch.Tensor]]:
    """Outputs in float64, kept; one list a call."""
    body = bind(case.expected, wide(inputs), case)
    return [[y.detach().clone() for y in tensors(body())] for _ in range(_calls(case))]


def _checked(got: list, wanted: list, case: Case) -> float:
    """Largest error of all calls."""
    errors = [relative_error(g, w) for g, w in zip(got, wanted, strict=True)]
    error = float(np.max(errors))  # NaN stays NaN
    assert error <= case.tolerance, (
        f"relative error={error:.3e}, but should be at most {case.tolerance:.0e} [{case.axis}]")
    return error


def _captured(body: Callable) -> Callable:
    try:
        return timing.capture(body)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        pytest.skip(f"cannot be captured as a CUDA graph: {str(error).splitlines()[0]}")


def _check_replay(body: Callable, wanted: list | None, case: Case) -> None:
    """A replay has to fill outputs that were poisoned with NaN; a step goes on from where it is."""
    outputs = tensors(body())
    for y in outputs:
        if y.is_floating_point():
            y.detach().fill_(math.nan)
    body()
    if case.axis == "step":
        assert all(bool(torch.isfinite(y).all()) for y in outputs), "a replay left NaN behind"
    elif wanted is not None:
        _checked([outputs], wanted, case)


def _cotangent(y: torch.Tensor, index: int) -> torch.Tensor:
    """The same random numbers in every precision and on every device; 1 for a scalar."""
    if y.ndim == 0:
        return torch.ones_like(y)
    drawn = torch.randn(y.shape, generator=torch.Generator().manual_seed(index))
    return drawn.to(y.device, y.dtype)
