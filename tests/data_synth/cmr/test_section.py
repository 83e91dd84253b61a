"""A slice beside the middle ring, against the closed form written out."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from data_synth.cmr.section import section
from data_synth.heart.phenotypes import phenotypes
from tests.support.hearts import hat, hearts
from tests.support.helpers import assert_close, assert_equal


def test_section_at_the_middle_ring_is_the_ring():
    heart = hearts(lbbb=1.0)
    endo, epi = section(heart, 0.0)
    assert_equal("endo", endo, heart.endo[:, 1])
    assert_equal("epi", epi, heart.epi[:, 1])
    near = section(heart, 1e-9)
    assert_close("no jump", near[0], endo, atol=1e-7)
    assert_close("no jump", near[1], epi, atol=1e-7)


@pytest.mark.parametrize("offset", [-6.0, -2.5, 3.0, 6.0])
@pytest.mark.parametrize("lbbb", [0.0, 1.0])
def test_section(offset, lbbb):
    heart = hearts(lbbb=lbbb, scar_size=20.0, scar_territory=1.0, scar_transmurality=.8)
    endo, epi = section(heart, offset)
    u = .45 + offset / heart.length
    for k in range(0, 144, 9):
        oval = heart.endo[0, 1, k] / (heart.radius * math.sqrt(1 - .45**2))
        start = heart.radius * math.sqrt(1 - u * u) * oval
        wall = sum(hat(u, ring) * (heart.epi[0, ring, k] - heart.endo[0, ring, k])
                   for ring in range(3))
        motion = sum(hat(u, ring) * heart.contraction[ring, k] for ring in range(3))
        moved = start * (1 - heart.shortening * motion)
        assert_close("ED", endo[0, k], start, rtol=1e-9)
        assert_close("wall", epi[0, k] - endo[0, k], wall, rtol=1e-9)
        assert_close("ES", endo[2, k], moved, rtol=1e-9)
        area = (start + wall) ** 2 - start**2
        for phase, fraction in enumerate((0, .55, 1)):
            height = 1 + fraction * heart.longitudinal_strain
            assert_close("muscle", (epi[phase, k]**2 - endo[phase, k]**2) * height, area, rtol=1e-9)


def test_section_shrinks_towards_the_apex_and_leaves_the_heart_alone():
    heart = hearts()
    areas = [np.mean(section(heart, offset)[0][0] ** 2) for offset in (-6., -3., 0., 3., 6.)]
    assert all(b < a for a, b in pairwise(areas))
    before = phenotypes(heart, {"heart_rate": 60.0})
    section(heart, 5.0)
    assert_equal("phenotypes", phenotypes(heart, {"heart_rate": 60.0}), before)


@pytest.mark.parametrize("offset", [6.1, -7.0, math.nan])
def test_section_refuses(offset):
    with pytest.raises(ValueError, match=r"offset=.*-6\.0\.\.6\.0"):
        section(hearts(), offset)
