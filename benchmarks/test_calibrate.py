"""Ceilings of this machine as rows of their own: copy, products in each precision, exp, launch.

The percentages of all other rows are held against the same probes, measured once before the first
timed row; here they should come out near 100 %.
"""

from __future__ import annotations

import pytest

from benchmarks.harness.roofline import probes

SHAPES = dict.fromkeys(("copy", "float32", "tf32", "bfloat16", "float16", "float64", "exp",
                        "launch"))
CPU_SHAPES = ("copy", "float32", "bfloat16", "float64", "exp", "launch")


def test_calibrate(measure, device, shape):
    found = probes(device)
    if shape not in found:
        pytest.skip(f"{device} does not multiply in {shape}")
    probe = found[shape]
    measure(probe.function, lambda draw: probe.inputs(draw.generator), probe.work,
            probe.expected, probe.tolerance)
