"""The built-in optimiser steps: literal losses."""

import pytest

from reference.conformance.builtin import COMPONENTS
from reference.conformance.vectors import read_case
from tests.oracle import generate

LOSSES = (  # of mdm_ten_steps
    1.878387112697, 1.842780481053, 1.78245374265, 1.678670730001, 1.524870508371,
    1.512071949594, 1.426843550352, 1.364701790207, 1.400645721226, 1.335744019758)


def test_literal_losses_of_ten_steps():
    case = read_case(generate.GOLDEN / "mdm_ten_steps")
    for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-6)):
        got = COMPONENTS[case.component](case, dtype)["step/losses"]
        assert got == pytest.approx(LOSSES, rel=tolerance), dtype
