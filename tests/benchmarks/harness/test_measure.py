"""One row: what is checked, what is drawn, what is kept of it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from benchmarks.harness import measure, timing
from benchmarks.harness.measure import Case, Draw, Measure
from benchmarks.harness.roofline import Work
from tests.support.benchmarking import CPU, Device
from tests.support.helpers import assert_close, assert_equal


def run(function, *, expected=None, axis="inference", tolerance=1e-6, leaves=(0,)) -> dict:
    """One checked, untimed row of a function of x [3, 4]."""
    case = Case(function, lambda draw: (draw.normal(3, 4),), Work(1, 1), expected or function,
                tolerance, axis, leaves)
    labels = {"operation": "f", "implementation": "ours", "shape": "s"}
    return Measure(CPU, time=False).run(case, labels, CPU, "host", lambda: None)


def test_run_checks_each_axis():
    for axis in ("inference", "forward", "backward"):
        assert run(torch.sin, axis=axis)["error"] <= 1e-6
        with pytest.raises(AssertionError, match="relative error"):
            run(torch.sin, expected=torch.cos, axis=axis)
    with pytest.raises(AssertionError, match="relative error=nan"):
        run(lambda x: x * math.nan, expected=lambda x: x)
    with pytest.raises(AssertionError, match="shapes"):
        run(lambda x: x[:2], expected=lambda x: x)


def test_run_sees_a_wrong_gradient_of_a_right_value():
    def wrong(x):
        return x.detach() ** 2 + 0 * x

    assert run(wrong, expected=torch.square, axis="forward")["error"] <= 1e-6
    with pytest.raises(AssertionError, match=r"\[backward\]"):
        run(wrong, expected=torch.square, axis="backward")


def test_run_takes_two_steps():
    def counter():
        state = {"calls": 0}

        def step(x):
            state["calls"] += 1
            return x * state["calls"]

        return step

    assert run(counter(), expected=counter(), axis="step")["error"] <= 1e-6
    with pytest.raises(AssertionError, match=r"\[step\]"):
        run(counter(), expected=lambda x: x, axis="step")


def test_ceilings_are_measured_before_the_row_holds_memory(monkeypatch):
    order = []
    monkeypatch.setattr(measure, "calibrate", lambda device, seed: order.append("calibrate") or {})
    suite = Measure(CPU)
    monkeypatch.setattr(suite, "_time", lambda *_: order.append("time"))
    case = Case(torch.sin, lambda draw: order.append("inputs") or (draw.normal(3),), Work(1, 1),
                torch.sin, 1e-6)
    labels = {"operation": "f", "implementation": "ours", "shape": "s"}
    for _ in range(2):
        suite.run(case, labels, CPU, "host", lambda: None)
    assert_equal("order", " ".join(order), "calibrate inputs inputs time inputs inputs time")


def test_check_replay_poisons_outputs():
    output = torch.ones(3)
    case = Case(None, None, None, None, 1e-6)
    measure._check_replay(lambda: output.fill_(1.0), [[torch.ones(3)]], case)
    with pytest.raises(AssertionError, match="relative error=nan"):
        measure._check_replay(lambda: output, [[torch.ones(3)]], case)


def test_inputs_are_seeded_and_never_zero():
    a, b, other = (Draw(seed, CPU).normal(50) for seed in (3, 3, 4))
    assert torch.equal(a, b) and not torch.equal(a, other) and bool((a != 0).all())


def test_statistics():
    data = [float(x) for x in range(1, 102)]
    got = measure.statistics(reversed(data))
    assert_close("percentiles", [got["p20"], got["p50"], got["p80"]], [21, 51, 81])
    alone = measure.statistics([2.0])
    assert_equal("one round", set(alone.values()), {2.0})


def test_out_of_memory_is_told_from_other_errors():
    assert measure.out_of_memory(MemoryError())
    assert measure.out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not measure.out_of_memory(RuntimeError("size mismatch"))
    assert not measure.out_of_memory(KeyError("out of memory"))
    assert not measure.out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED"))
    assert not measure.out_of_memory(type("OutOfResources", (Exception,), {})("registers"))


class Rounds:
    """As much of pytest-benchmark's fixture as a row needs."""

    def __init__(self):
        self._precisions, self.disabled, self.extra_info = {}, False, {}
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=[]))

    def pedantic(self, function, rounds: int, warmup_rounds: int, setup) -> None:
        """Time the function by the clock that the row has set."""
        def body() -> None:
            arguments, _ = setup()
            function(*arguments)

        self.stats.stats.data = timing.durations(body, self._timer, rounds, warmup_rounds)


def test_row_tells_late_rounds_and_the_clock_rate(monkeypatch):
    device, timer = Device.clock(monkeypatch, ahead=True)
    suite, benchmark = Measure(CPU, rounds=5), Rounds()
    suite._clocks[CPU, "graph"] = timer
    suite._ceilings[CPU] = {"copy": 1e9, "float32": 1e12, "launch graph": 1e-6}
    row = {"operation": "f", "mode": "graph", **Work(0, 100)._asdict()}
    slow = iter([1e-3, 1e-3, 9e-3, 1e-3, 1e-3, 1e-3])  # one warm-up round, then five
    timer._cycles, timer._late = timer._cycles + 1, [True]  # of an earlier row
    suite._time([lambda: device.kernel(1e-6, host=next(slow))], row, CPU, "graph", benchmark)
    assert_equal("late", row["late"], 1, "that of 9 ms; the first 1 ms was in the warm-up")
    assert_close("clock rate", row["clock_hz"], 2e9, rtol=1e-9)
    assert_equal("JSON", benchmark.extra_info["late"], 1)
    assert_equal("first block", device.cycles[0], timing.BLOCK_CYCLES)
