"""Ceilings of a machine, and how far work is from them."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from benchmarks.harness import roofline
from benchmarks.harness.measure import relative_error, wide
from benchmarks.harness.roofline import Work, available_precisions, calibrate, floor, probes
from tests.support.benchmarking import CPU
from tests.support.helpers import assert_close, assert_equal

CEILINGS = {"copy": 100.0, "float32": 1000.0, "exp": 10.0, "launch host": 0.5}


@pytest.mark.parametrize("work, seconds, bound", [
    (Work(0, 400), 4.0, "memory"), (Work(3000, 100), 3.0, "arithmetic"),
    (Work(1000, 100, exps=20), 2.0, "exp"), (Work(1, 1), 0.5, "launch")])
def test_floor(work, seconds, bound):
    got = floor(work, CEILINGS, "host")
    assert_close("seconds", got.seconds, seconds, rtol=1e-12)
    assert_equal("bound", got.bound, bound)


def test_floor_without_a_ceiling():
    with pytest.raises(ValueError, match="no ceiling for float64"):
        floor(Work(1, 1, precision="float64"), CEILINGS, "host")


def test_probes_compute_what_they_claim(monkeypatch):
    monkeypatch.setattr(roofline, "SIZES_CPU", (64, 12, 32))
    found = probes(CPU)
    assert_equal("names", " ".join(found), "copy float32 bfloat16 float64 exp launch")
    assert_equal("precisions", " ".join(available_precisions(CPU)), "float32 bfloat16 float64")
    for name, probe in found.items():
        inputs = probe.inputs(torch.Generator().manual_seed(0))
        got, want = probe.function(*copy.deepcopy(inputs)), probe.expected(*wide(inputs))
        error = relative_error([got], [want])
        assert error <= probe.tolerance, (name, error)
    assert_equal("copy", found["copy"].work.bytes, 2 * 64 * 4)
    assert_equal("product", found["float64"].work.flops, 2 * 12**3)


def test_calibrate_finds_positive_rates(monkeypatch):
    monkeypatch.setattr(roofline, "SIZES_CPU", (2**16, 64, 2**12))
    ceilings = calibrate(CPU, rounds=3)
    assert set(ceilings) == {"copy", "float32", "bfloat16", "float64", "exp", "launch host"}
    assert 0 < ceilings.pop("launch host") < 0.1
    assert all(1e5 < rate < math.inf for rate in ceilings.values()), ceilings
