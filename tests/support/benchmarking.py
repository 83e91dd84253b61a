"""What tests of the benchmarks share: counted work, rows as JSON, the suite as a process, a device.

The simulated device keeps its own time, so that clocks can be held against known kernels.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import measure, timing
from tests.support.helpers import ROOT

CPU = torch.device("cpu")
FOLDER = ROOT / "benchmarks"
OPERATIONS = sorted({path.stem.removeprefix("test_") for path in FOLDER.glob("test_*.py")}
                    - {"calibrate"})  # whose work is that of the probes
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
every_axis = pytest.mark.parametrize("axis", ["inference", "forward", "backward"])


# ---- counted work ----

def operation(name: str) -> ModuleType:
    """The benchmark module of an operation."""
    return importlib.import_module(f"benchmarks.test_{name}")


def counted(function, inputs: tuple, axis: str, differentiable: tuple = ()) -> int:
    """FLOP that torch counts in one body; attention is written out, or it would not be counted."""
    case = measure.Case(function, None, None, function, 0.0, axis, differentiable)
    with sdpa_kernel(SDPBackend.MATH):
        if axis == "backward":
            body = measure.bind(function, inputs, case)  # its forward pass is not the body's
        with FlopCounterMode(display=False) as counter:
            (body if axis == "backward" else lambda: function(*inputs))()
    return counter.get_total_flops()


def nbytes(*tensors) -> int:
    """Bytes of all of them."""
    return sum(x.nbytes for x in measure.tensors(tensors))


def parameters(network: nn.Module) -> int:
    """Number of parameters that gradients are taken of."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


# ---- finished runs ----

def row(name: str, p50: float, spread: float = 0.001, **other) -> dict:
    """A timed row of the JSON."""
    return {"operation": name, "implementation": "ours", "shape": "B8", "axis": "forward",
            "mode": "host", "flops": 1e9, "bytes": 1e6, "p20": p50 * (1 - spread),
            "p50": p50, "p80": p50 * (1 + spread),
            "gb_per_s": 1.0, "tflop_per_s": 0.5, "pct_roofline": 42.0, "bound": "memory",
            "peak_mem_bytes": None, "error": 1e-7, **other}


def sized(shape: str, p50: float, **other) -> dict:
    """A row of one operation at a size."""
    return row("clip", p50, shape=shape, **other)


def step(name: str, shape: str, p50: float, **other) -> dict:
    """A timed training step whose floor is half of its time."""
    return row(name, p50, shape=shape, axis="step", floor=p50 / 2, **other)


def saved(path: Path, *entries: dict, device: str = "card", copy_rate: float = 100.0) -> str:
    """A file as pytest-benchmark writes it."""
    machine = {"device": device, "threads": 1, "torch": "2", "numpy": "2",
               "ceilings": {"cuda:0": {"copy": copy_rate, "float32": 1e12, "launch graph": 2e-6}}}
    path.write_text(json.dumps({"machine_info": machine, "benchmarks": [
        {"extra_info": entry, "stats": {"median": entry.get("p50")}} for entry in entries]}))
    return str(path)


# ---- the suite as a process ----

def python(*arguments: str, at: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """A fresh process of this Python, one thread, with what it printed."""
    return subprocess.run([sys.executable, *arguments], cwd=at, capture_output=True, text=True,
                          check=False, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})


def suite(*arguments: str, at: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """pytest with the suite's own options, in a fresh process."""
    return python("-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments, at=at, **environment)


# ---- a device in simulated time ----

class Device:
    """A device and its host in simulated time, in seconds: a queue of kernels, and events on it."""

    hertz = 2e9

    def __init__(self):
        self.now = self.idle_at = 0.0
        self.cycles: list[int] = []  # of the blocks
        self.flushes = 0

    def kernel(self, seconds: float, host: float = 0.0) -> None:
        """The host takes its time to launch it, then the device, when it is idle."""
        self.now += host
        self.idle_at = max(self.now, self.idle_at) + seconds

    def block(self, _, cycles: int) -> None:
        """What `timing._block` does."""
        self.cycles.append(cycles)
        self.kernel(cycles / self.hertz)

    def flush(self) -> None:
        """What filling the buffer takes."""
        self.flushes += 1
        self.kernel(60e-6)

    def drain(self, _) -> None:
        """What `timing.drain` does."""
        self.now = max(self.now, self.idle_at)

    def event(self, enable_timing: bool) -> Event:
        """What the backend's event class does."""
        assert enable_timing
        return Event(self)

    @classmethod
    def clock(cls, monkeypatch, ahead: bool) -> tuple[Device, timing.EventClock]:
        """A simulated device in the place of the CPU, and a clock of it."""
        device = cls()
        for name, value in (("_event_type", lambda _: device.event), ("_block", device.block),
                            ("drain", device.drain), ("FLUSH_BYTES", 1024)):
            monkeypatch.setattr(timing, name, value)
        monkeypatch.setattr(timing.time, "perf_counter", lambda: device.now)
        timer = timing.EventClock(CPU, ahead)
        assert timer._buffer.nbytes == 1024
        timer._buffer = SimpleNamespace(zero_=device.flush)
        return device, timer


class Event:
    """An event of a simulated device."""

    def __init__(self, device: Device):
        self.device, self.at = device, math.nan

    def record(self) -> None:
        """It happens when all that was queued before is done."""
        self.at = max(self.device.now, self.device.idle_at)

    def query(self) -> bool:
        """Whether it has happened."""
        return self.at <= self.device.now

    def synchronize(self) -> None:
        """The host waits for it."""
        self.device.now = max(self.device.now, self.at)

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds, of two events that have happened."""
        assert self.query() and other.query()
        return 1e3 * (other.at - self.at)
