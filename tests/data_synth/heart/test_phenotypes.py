"""The phenotypes of a heart: identities, and points tracked and pixels counted by loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_synth.heart import geometry
from data_synth.heart.phenotypes import COLUMN, ERR_SCALE, LINE_INDEX, phenotypes, realised
from data_synth.heart.segments import ANGLES, aha_segment
from reference.cohort import PHENOTYPES
from tests.support.hearts import LATENTS, hearts, segment_of, values
from tests.support.helpers import assert_close, assert_equal, assert_shape
from tests.support.strategies import seeds


@settings(max_examples=40)
@given(seed=seeds(), edv=st.floats(60, 350), ratio=st.floats(.4, 1.2), ef=st.floats(15, 75),
       strain=st.floats(-.22, -.05), rv_ratio=st.floats(.75, 1.25), rate=st.floats(40, 120),
       scar=st.floats(0, 40), territory=st.integers(0, 3), depth=st.floats(0, 1))
def test_phenotypes_identities(seed, edv, ratio, ef, strain, rv_ratio, rate, scar, territory,
                               depth):
    latents = {**LATENTS, "lvedv_target": edv, "lvm_target": ratio * edv, "ef_target": ef,
               "longitudinal_strain": strain, "rv_sv_ratio": rv_ratio, "heart_rate": rate,
               "scar_size": scar, "scar_territory": float(territory), "scar_transmurality": depth}
    heart = geometry.realise(latents, np.random.default_rng(seed))
    got = phenotypes(heart, latents)
    assert got.dtype == np.float64
    assert_shape("phenotypes", got, (61,))
    assert np.all(np.isfinite(got))
    v = dict(zip(COLUMN, got, strict=True))
    assert_close("LVEDV", v["LVEDV"], edv, rtol=1e-12)
    assert_close("LVM", v["LVM"], ratio * edv, rtol=1e-10)
    assert_close("LVSV", v["LVSV"], v["LVEDV"] - v["LVESV"], rtol=1e-12)
    assert_close("LVEF", v["LVEF"], 100 * v["LVSV"] / v["LVEDV"], rtol=1e-12)
    assert_close("LVCO", v["LVCO"], v["LVSV"] * rate / 1000, rtol=1e-12)
    assert_close("RVSV", v["RVSV"], rv_ratio * v["LVSV"], rtol=1e-9)
    assert_close("RVSV", v["RVSV"], v["RVEDV"] - v["RVESV"], rtol=1e-12)
    assert_close("RVEF", v["RVEF"], latents["rv_ef_target"], rtol=1e-9)
    if 0 < heart.shortening < 0.85 / heart.contraction.max() - 1e-9 and scar < 10:
        assert_close("LVEF", v["LVEF"], ef, rtol=1e-9)
    assert heart.endo.min() > 0 and np.all(heart.epi > heart.endo)


def test_phenotypes_order():
    v = values(hearts(lbbb=1.0))
    heart = hearts(lbbb=1.0)
    assert [p.group for p in PHENOTYPES] == 6 * ["LV"] + 4 * ["RV"] + 17 * ["WT"] + 17 * ["Ecc"] + (
        17 * ["Err"])
    assert_equal("LVM", v["LVM"], heart.lv_mass)
    assert_equal("RVEDV", v["RVEDV"], heart.rv_volumes[0])
    assert 3 < v["WT_Global"] < 10 and -35 < v["Ecc_Global"] < -10 and 20 < v["Err_Global"] < 90


def raster(contour, step):
    """A fine mask [n, n] of the region inside a contour known at ANGLES; rows are anterior up."""
    axis = np.arange(-60, 60, step)
    anterior, septal = axis[:, None], axis[None]
    degrees = np.degrees(np.arctan2(septal, anterior))
    edge = np.interp(degrees, ANGLES, contour, period=360)
    return np.hypot(anterior, septal) < edge


@pytest.mark.parametrize("phase", [0, 2])
def test_phenotypes_thickness_and_area_from_a_raster(phase):
    step = .1
    heart = hearts(scar_size=15.0, scar_territory=1.0, scar_transmurality=.8)
    endo, epi = (raster(contour[phase, 1], step) for contour in (heart.endo, heart.epi))
    for name, mask, contour in (("endo", endo, heart.endo), ("epi", epi, heart.epi)):
        area = math.pi * np.mean(contour[phase, 1] ** 2)
        assert_close(f"{name} area", mask.sum() * step**2, area, rtol=1e-3)
    muscle = epi & ~endo
    along = np.arange(0, 59, .01)
    thickness = {}
    for degrees in range(-175, 180, 10):
        rows = ((along * math.cos(math.radians(degrees)) + 60) / step).round().astype(int)
        columns = ((along * math.sin(math.radians(degrees)) + 60) / step).round().astype(int)
        number = 7 + int((degrees + 30) // 60 % 6)
        thickness.setdefault(number, []).append(muscle[rows, columns].sum() * .01)
    v = values(heart)
    for number, lines in thickness.items():
        wt = v[f"WT_AHA_{number}"]
        if phase == 2:
            wall = heart.epi[:, 1, LINE_INDEX] - heart.endo[:, 1, LINE_INDEX]
            inside = aha_segment(ANGLES[LINE_INDEX], 1) == number
            ratio = np.mean((wall[2] / wall[0])[inside]) - 1
            assert_close("Err", v[f"Err_AHA_{number}"], 100 * ERR_SCALE * ratio, rtol=1e-9)
            wt = wall[2][inside].mean()
        assert_close(f"thickness {number}", np.mean(lines), wt, atol=.1)


def test_phenotypes_strain_of_tracked_points():
    heart = hearts(scar_size=12.0, scar_territory=2.0, scar_transmurality=.6)
    ecc, err = {n: [] for n in range(1, 17)}, {n: [] for n in range(1, 17)}
    for ring in range(3):
        place = {}
        for phase in (0, 2):
            for layer, contour in enumerate((heart.endo, heart.epi)):
                place[phase, layer] = [
                    (contour[phase, ring, k] * math.cos(math.radians(-180 + 2.5 * k)),
                     contour[phase, ring, k] * math.sin(math.radians(-180 + 2.5 * k)))
                    for k in range(2, 144, 4)]
        for k in range(36):
            degrees, change = -175 + 10 * k, []
            for layer in range(2):
                before, after = (math.dist(points[k], points[(k + 1) % 36])
                                 for points in (place[0, layer], place[2, layer]))
                change.append(after / before - 1)
            ecc[segment_of(degrees + 5, ring)].append(100 * sum(change) / 2)
            before, after = (math.dist(place[phase, 0][k], place[phase, 1][k]) for phase in (0, 2))
            err[segment_of(degrees, ring)].append(100 * .83 * (after / before - 1))
    v = values(heart)
    for name, lines in (("Ecc", ecc), ("Err", err)):
        for number in range(1, 17):
            assert_close(f"{name}_AHA_{number}", v[f"{name}_AHA_{number}"], np.mean(lines[number]),
                         rtol=1e-9)
        everything = [x for numbers in lines.values() for x in numbers]
        assert_equal("points", len(everything), 108)
        assert_close(f"{name}_Global", v[f"{name}_Global"], np.mean(everything), rtol=1e-9)


def test_realised_names_the_volumes_of_the_heart():
    heart = hearts(lbbb=1.0)
    got, v = realised(phenotypes(heart, LATENTS)), values(heart)
    assert_equal("names", list(got), ["lvedv", "lvesv", "lvef", "lvm", "rvedv", "rvesv", "rvef",
                                      "wt_global"])
    for name, value in got.items():
        column = "WT_Global" if name == "wt_global" else name.upper()
        assert_equal(name, value, v[column])
        assert type(value) is float and COLUMN[column] == list(v).index(column)
