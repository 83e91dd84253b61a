"""Drawn latents depend on their declared causes, and a planted dependence is found."""

from __future__ import annotations

import pytest

from data_synth.audit import sampling
from data_synth.heart import physiology
from tests.support.audits import failed
from tests.support.helpers import assert_equal


def test_sampling():
    checks = sampling.check(0)
    assert_equal("failed", [c.detail for c in checks if not c.passed], [])
    assert checks[0].bound == "0 of 25" and int(checks[1].bound.split()[-1]) > 100


@pytest.mark.parametrize("change, name", [
    (lambda p: {**p, "height": p["height"] + .2 * (p["age"] - 64)}, "undeclared"),
    (lambda p: {**p, "sbp": p["sbp"] - .9 * (p["age"] - 64)}, "not found"),
    (lambda p: {**p, "heart_rate": p["heart_rate"] + p["size_u"]}, "undeclared")])
def test_sampling_planted(change, name):
    def sample(subject, seed):
        return change(physiology.sample(subject, seed))
    assert failed(sampling.check(0, sample, 8000), name)
