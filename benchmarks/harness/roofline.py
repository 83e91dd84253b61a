"""What this machine can do at best, measured in the same run, and how far a row is from it.

    floor = max(bytes / copy, flops / rate[precision], exps / exp rate, one launch)
    % of the roofline = 100 floor / median;    bound = the term that gives the floor

Rates come from probes timed with the same clocks as the rows: a copy (bytes read + bytes written),
square products in each precision, exponentials, and one kernel on one element. A row whose data
stay in a cache can exceed 100 % of what the copy allows; on a CPU, where caches are not flushed,
small rows do.

Glossary: flops = floating-point operations, a multiply-add being two; bytes = least traffic of
main memory, every input read once and every output written once unless a file says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.harness.timing import capture, clock, durations, modes, side_stream

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16,
              "float16": torch.float16, "float64": torch.float64}
# elements of the copy, side of the products, elements of the exponential
SIZES_ACCELERATOR, SIZES_CPU = (2**26, 8192, 2**22), (2**24, 768, 2**20)
SLOW = ("float32", "float64")  # half the side: full rate is reached earlier, in less time
CHAIN = 64  # exponentials per element where they can be chained in registers


class Work(NamedTuple):
    """Counted work of one call."""

    flops: float
    bytes: float
    exps: float = 0.0
    precision: str = "float32"  # a key of PRECISIONS: whose rate the flops are held against


class Probe(NamedTuple):
    """A calibration body: inputs from a generator, and how to call it."""

    inputs: Callable[[torch.Generator], tuple[torch.Tensor, ...]]
    function: Callable
    expected: Callable  # the same of float64 inputs
    work: Work
    tolerance: float  # of the relative error


class Floor(NamedTuple):
    """The least time that the machine allows, and what sets it."""

    seconds: float
    bound: str  # memory, arithmetic, exp or launch


def probes(device: torch.device) -> dict[str, Probe]:
    """Calibration bodies by name: copy, the precisions of this device, exp, launch.

    Args:
        device: where they run; it decides the sizes and whether tf32 exists.
    Returns:
        dict name -> Probe.
    """
    copied, side, exponentials = SIZES_CPU if device.type == "cpu" else SIZES_ACCELERATOR

    def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Callable:
        return lambda g: tuple(torch.randn(*shape, generator=g, device=device).to(dtype)
                               for _ in range(2))

    found = {"copy": Probe(normal(copied), _copy, lambda x, y: x, Work(0, 8 * copied), 0.0)}
    for name in available_precisions(device):
        n, dtype = side // 2 if device.type != "cpu" and name in SLOW else side, PRECISIONS[name]
        work = Work(2 * n**3, 3 * n**2 * dtype.itemsize, precision=name)
        tolerance = {"float32": 1e-5, "float64": 1e-12}.get(name, 1e-2)
        product = _tf32_product if name == "tf32" else torch.mm
        found[name] = Probe(normal(n, n, dtype=dtype), product, torch.mm, work, tolerance)
    chain = CHAIN if device.type == "cuda" else 1
    function, expected = _exp_chain(chain) if chain > 1 else (_exp, lambda x, y: torch.exp(x))
    found["exp"] = Probe(normal(exponentials), function, expected,
                         Work(0, 8 * exponentials, exps=chain * exponentials), 1e-5)
    found["launch"] = Probe(normal(1), _copy, lambda x, y: x, Work(0, 8), 0.0)
    return found


def available_precisions(device: torch.device) -> list[str]:
    """Keys of PRECISIONS that the device multiplies in."""
    absent = {"cpu": {"tf32", "float16"}, "mps": {"tf32", "float64"}}.get(device.type, set())
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        absent = {"tf32", "bfloat16"}
    return [name for name in PRECISIONS if name not in absent]


def calibrate(device: torch.device, seed: int = 0, rounds: int = 10) -> dict[str, float]:
    """Measure the ceilings of a device.

    Args:
        device: to be measured.
        seed: of the data.
        rounds: timed calls a probe; the median counts.
    Returns:
        "copy" in bytes/s, each precision in FLOP/s, "exp" in 1/s, and the seconds of one launch
        in each mode that the device has: "launch graph", "launch stream" or "launch host".
    Raises:
        RuntimeError: the device cannot copy or launch.
    """
    ceilings, mode = {}, modes(device)[-1]
    for name, probe in probes(device).items():
        inputs = probe.inputs(torch.Generator(device).manual_seed(seed))

        def body(function=probe.function, inputs=inputs):
            return function(*inputs)

        if name == "launch":
            ceilings.update({f"launch {m}": _launch(body, device, m) for m in modes(device)})
            continue
        try:
            median = float(np.median(durations(body, clock(device, mode), rounds, warm_up=3)))
        except RuntimeError:  # a precision or kernel that this device lacks: no ceiling of it
            if name == "copy":
                raise
            continue
        amount = {"copy": probe.work.bytes, "exp": probe.work.exps}.get(name, probe.work.flops)
        ceilings[name] = amount / median
    return ceilings


def floor(work: Work, ceilings: dict[str, float], mode: str) -> Floor:
    """Least time of a piece of work, and what bounds it.

    Args:
        work: counted work.
        ceilings: as `calibrate` returns them.
        mode: graph, stream or host: which launch is the least one.
    Returns:
        Floor.
    Raises:
        ValueError: the ceiling of the work's precision was not measured.
    """
    if work.flops and work.precision not in ceilings:
        raise ValueError(f"no ceiling for {work.precision}; measured are {sorted(ceilings)}")
    terms = {"memory": work.bytes / ceilings["copy"],
             "arithmetic": work.flops / ceilings[work.precision] if work.flops else 0.0,
             "exp": work.exps / ceilings.get("exp", float("inf")),
             "launch": ceilings.get(f"launch {mode}", 0.0)}
    bound = max(terms, key=terms.__getitem__)
    return Floor(terms[bound], bound)


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Inside, float32 products are computed as torch's "highest" (float32) or "high" (tf32)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def convolution_precision(device: torch.device) -> str:
    """What a float32 convolution is computed in: cuDNN takes tf32 unless told otherwise."""
    tf32 = (device.type == "cuda" and torch.backends.cudnn.allow_tf32
            and "tf32" in available_precisions(device))
    return "tf32" if tf32 else "float32"


def _tf32_product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    with float32_products("high"):
        return x @ y


def _copy(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return y.copy_(x)


def _exp(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.exp(x, out=y)


def _exp_chain(times: int) -> tuple[Callable, Callable]:
    """x <- exp(-x), many times in registers on CUDA, and the same in plain torch."""
    code = f"""template <typename T> T chained(T x) {{
        for (int i = 0; i < {times}; ++i) x = __expf(-x);
        return x;
    }}"""
    compiled = torch.cuda.jiterator._create_jit_fn(code)

    def expected(x: torch.Tensor, _) -> torch.Tensor:
        for _ in range(times):
            x = torch.exp(-x)
        return x

    return lambda x, _: compiled(x), expected


def _launch(body: Callable, device: torch.device, mode: str, rounds: int = 50) -> float:
    """Median seconds of a body so small that only its launch counts."""
    if mode != "graph":
        return float(np.median(durations(body, clock(device, mode), rounds, warm_up=10)))
    with side_stream(device):
        return float(np.median(durations(capture(body), clock(device, mode), rounds, warm_up=10)))
