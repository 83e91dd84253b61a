"""One line of the audit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from data_synth.audit.check import Check


@pytest.mark.parametrize("passed, want", [(np.bool_(True), True), (np.bool_(False), False),
                                          (None, None)])
def test_check_holds_plain_values(passed, want):
    check = Check("a", np.float32(.5), "<= 1", passed)
    assert check.passed is want and type(check.number) is float and check.number == .5
    with pytest.raises(dataclasses.FrozenInstanceError):
        check.number = 1.0
