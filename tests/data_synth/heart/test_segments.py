"""Angles of a ring and the AHA segments they lie in."""

from __future__ import annotations

import numpy as np

from data_synth.heart.segments import ANGLES, POINTS, aha_segment
from tests.support.hearts import segment_of
from tests.support.helpers import assert_equal


def test_aha_segment():
    for ring in range(3):
        for degrees in range(-180, 181, 5):
            got = int(aha_segment(np.array(float(degrees)), ring))
            assert_equal("segment", got, segment_of(degrees, ring), f"{degrees}, {ring}")


def test_angles_start_at_the_inferior_wall_and_go_round():
    assert_equal("angles", ANGLES, [-180 + 2.5 * k for k in range(POINTS)])
