"""The heart's geometry against integrals and rasters, and a population of hearts."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from data_synth import streams
from data_synth.heart import geometry, physiology
from data_synth.heart.phenotypes import COLUMN, ERR_SCALE, phenotypes
from data_synth.heart.segments import ANGLES
from tests.support.hearts import LATENTS, Zeros, average, hat, hearts, values
from tests.support.helpers import assert_close, assert_equal, assert_shape

SCARS = {1: (1, 2, 7, 8, 13, 14), 2: (5, 6, 11, 12, 16), 3: (3, 4, 9, 10, 15)}
COUNT = 800


@pytest.fixture(scope="module")
def population():
    """Phenotypes by name and latents by name of COUNT subjects, each [COUNT]."""
    latents = [physiology.sample(subject, 0) for subject in range(COUNT)]
    table = np.array([phenotypes(geometry.realise(
        person, streams.generator(0, subject, "anatomy")), person)
        for subject, person in enumerate(latents)])
    return dict(zip(COLUMN, table.T, strict=True)), {
        name: np.array([person[name] for person in latents]) for name in latents[0]}


# ---- identities ----------------------------------------------------------------------------------

def test_realise_cavity_volumes_by_integration():
    heart = hearts(scar_size=18.0, scar_territory=1.0, scar_transmurality=.8)
    steps = (np.arange(4000) + .5) / 4000
    oval = heart.endo[0, 1] / (heart.radius * math.sqrt(1 - .45**2))  # e(theta)
    diastole = systole = 0.0
    for u in steps:
        radius = heart.radius * math.sqrt(1 - u * u) * oval
        motion = sum(hat(u, ring) * heart.contraction[ring] for ring in range(3))
        diastole += math.pi * np.mean(radius**2) * heart.length / 4000
        systole += math.pi * np.mean((radius * (1 - heart.shortening * motion)) ** 2) * (
            heart.length * (1 + heart.longitudinal_strain) / 4000)
    assert_close("LVEDV", heart.lv_volumes[0], diastole / 1000, rtol=1e-6)
    assert_close("LVESV", heart.lv_volumes[2], systole / 1000, rtol=1e-6)
    assert heart.lv_volumes[2] < heart.lv_volumes[1] < heart.lv_volumes[0]


@pytest.mark.parametrize("scar, mass", [(0.0, 88.0), (20.0, 88.0), (0.0, 180.0)])
def test_realise_mass_by_integration(scar, mass):
    heart = hearts(scar_size=scar, scar_territory=3.0 if scar else 0.0, scar_transmurality=.7,
                   lvm_target=mass)
    radius, length = heart.radius, heart.length
    low, high = 0.0, 60.0
    for _ in range(80):  # thickness of the ellipsoid shell of this mass
        h = (low + high) / 2
        shell = 2 / 3 * math.pi * ((radius + h) ** 2 * (length + .6 * h) - radius**2 * length)
        low, high = (h, high) if 1.05 * shell / 1000 < mass else (low, h)
    outer = length + .6 * h

    def gap(z):
        inside = radius * math.sqrt(max(1 - (z / length) ** 2, 0.0))
        return (radius + h) * math.sqrt(1 - (z / outer) ** 2) - inside, inside

    relative = [(heart.epi[0, ring] - heart.endo[0, ring]) / gap(u * length)[0]
                for ring, u in enumerate((.20, .45, .75))]
    oval = heart.endo[0, 1] / gap(.45 * length)[1]
    volume, count = 0.0, 6000
    for k in range(count):
        z = outer * (k + .5) / count
        thickness, inside = gap(z)
        wall = thickness * sum(hat(z / length, ring) * relative[ring] for ring in range(3))
        inner = inside * oval
        volume += math.pi * np.mean((inner + wall) ** 2 - inner**2) * outer / count
    assert_close("LVM", heart.lv_mass, 1.05 * volume / 1000, rtol=2e-5)


@pytest.mark.parametrize("lbbb", [0.0, 1.0])
def test_realise_rings_keep_their_volume(lbbb):
    heart = hearts(lbbb=lbbb, scar_size=25.0, scar_territory=2.0, scar_transmurality=.9)
    section = heart.epi**2 - heart.endo**2
    for phase, fraction in enumerate((0.0, .55, 1.0)):
        height = 1 + fraction * heart.longitudinal_strain
        assert_close("section", section[phase] * height, section[0], rtol=1e-12)


@pytest.mark.parametrize("lbbb", [0.0, 1.0])
def test_realise_motion_of_the_mid_frame(lbbb):
    heart = hearts(lbbb=lbbb)
    moved = heart.endo[0] - heart.endo
    ratio = moved[1] / moved[2]
    assert_close("mean fraction", ratio.mean(), .55, atol=1e-9)
    septum, lateral = ratio[1, np.argmin(abs(ANGLES - 90))], ratio[1, np.argmin(abs(ANGLES + 90))]
    assert_close("septum - lateral", septum - lateral, 2 * .55 * .25 * lbbb, atol=1e-9)
    for ring in range(3):
        left = 1 - heart.shortening * heart.contraction[ring]
        assert_close("endo ES", heart.endo[2, ring], heart.endo[0, ring] * left, rtol=1e-12)


# ---- disease -------------------------------------------------------------------------------------

@pytest.mark.parametrize("territory", [1, 2, 3])
def test_scar_takes_motion_and_wall_from_its_segments(territory):
    healthy = average()
    ill = average(scar_size=22.0, scar_territory=float(territory), scar_transmurality=.8)
    before, after = values(healthy), values(ill)
    inside = SCARS[territory]
    for number in inside:
        assert abs(after[f"Ecc_AHA_{number}"]) < abs(before[f"Ecc_AHA_{number}"])
    core = [n for n in inside if 7 <= n <= 12]
    remote = [n for n in range(7, 13) if n not in inside]
    strain = [np.mean([abs(after[f"{kind}_AHA_{n}"] / before[f"{kind}_AHA_{n}"]) for n in group])
              for kind in ("Ecc", "Err") for group in (core, remote)]
    assert strain[0] < .75 < strain[1] and strain[2] < .75 < strain[3]
    assert np.mean([after[f"WT_AHA_{n}"] / before[f"WT_AHA_{n}"] for n in core]) < .92


@pytest.mark.parametrize("territory", [1, 2, 3])
def test_scar_lowers_ejection_at_equal_effort(territory):
    ejected = []
    for size in (0.0, 10.0, 20.0, 30.0):
        heart = average(scar_size=size, scar_territory=float(territory), scar_transmurality=.8)
        motion = average().shortening * heart.contraction  # the same s0 in every heart
        volumes = geometry._lv_volumes(150.0, np.ones(144), motion, 1.0, -.17, 0.0)
        ejected.append(1 - volumes[2] / volumes[0])
    assert all(b < a - .02 for a, b in pairwise(ejected)), ejected


def test_scar_field():
    assert_equal("no scar", geometry.scar_field(0.0, 0, 0.0), np.zeros((3, 144)))
    field = geometry.scar_field(20.0, 2, .8)
    assert_shape("scar", field, (3, 144))
    assert_equal("centre", ANGLES[np.argmax(field[1])], -90.0)
    assert_close("share of the ring", field.mean(axis=1), .25 * np.array([1.0, 1.1, .9]), atol=.003)
    assert field.min() >= 0 and field.max() <= 1
    edge = np.interp(-90 + .25 * 1.1 * 180, ANGLES, field[1])
    assert_close("half-way at the edge", edge, .5, atol=.02)


def test_left_bundle_block_slows_the_septum():
    before, after = values(average()), values(average(lbbb=1.0))
    assert abs(after["Ecc_AHA_8"]) < abs(before["Ecc_AHA_8"]) - 3
    assert abs(after["Ecc_AHA_12"]) > abs(before["Ecc_AHA_12"])  # the lateral wall makes up for it


def test_realise_ejection_saturates():
    strong, weak = hearts(ef_target=95.0), hearts(ef_target=5.0)
    assert strong.endo.min() > 0 and 1 - strong.lv_volumes[2] / strong.lv_volumes[0] < .95
    assert_equal("s0", weak.shortening, 0.0)
    assert_close("EF", 1 - weak.lv_volumes[2] / weak.lv_volumes[0], .17, atol=1e-12)


# ---- right ventricle -----------------------------------------------------------------------------

@pytest.mark.parametrize("changes", [{}, {"rv_ef_target": 35.0}, {"lvedv_target": 260.0}])
def test_right_ventricle_area_from_a_raster(changes):
    heart = hearts(**changes)
    step = .1
    axis = np.arange(-70, 110, step)
    anterior, septal = axis[:, None], axis[None]
    degrees = np.degrees(np.arctan2(septal, anterior))
    for phase in range(3):
        centre, along, across = heart.rv_ellipse[phase]
        outside = np.hypot(anterior, septal) >= np.interp(degrees, ANGLES, heart.epi[phase, 1],
                                                          period=360)
        inside = ((septal - centre) / across) ** 2 + (anterior / along) ** 2 < 1
        area = (inside & outside & (septal > 0)).sum() * step**2
        assert_close("RV area", heart.rv_areas[phase], area, rtol=.006)
    height = 1 + np.array([0, .55, 1]) * heart.longitudinal_strain
    per_area = heart.rv_volumes / heart.rv_areas / height
    assert_close("volume over area and length", per_area, np.full(3, per_area[0]), rtol=1e-12)


def test_crescent_area_of_a_half_disc():
    one = np.ones((1, 1))
    got = geometry.crescent_area(0 * one, 30 * one, 30 * one, np.full((1, 71), 20.0))
    assert_close("half annulus", got, [math.pi / 2 * 500 * 71 / 72], rtol=1e-12)


def test_right_ventricle_length_varies():
    """The area of the middle ring tells the RV volume only up to the length, SD 5 %."""
    lengths = [heart.rv_volumes[0] / heart.rv_areas[0] / heart.length * 1000 / (.75 * .95)
               for heart in map(hearts, range(300))]
    assert_close("mean", np.mean(lengths), 1.0, atol=.01)
    assert_close("SD", np.std(lengths), .05, atol=.006)


# ---- average anatomy and population --------------------------------------------------------------

@pytest.mark.parametrize("v, m, ef, ell, r, length, h, ecc, err", [
    (166, 103, 58, -.16, 29.1, 93, 6.8, -21.1, 49), (124, 70, 61, -.18, 26.4, 85, 5.7, -22.6, 56),
    (150, 88, 59.5, -.17, 28.2, 90, 6.3, -21.9, 52),
    (150, 160, 62, -.13, 28.2, 90, 10.5, -22.4, 44),
    (260, 140, 30, -.08, 33.9, 108, 7.0, -9.7, 20)])
def test_realise_reference_hearts(v, m, ef, ell, r, length, h, ecc, err):
    heart = average(lvedv_target=v, lvm_target=m, ef_target=ef, longitudinal_strain=ell)
    assert_close("R", heart.radius, r, atol=.06)
    assert_close("L", heart.length, length, atol=.6)
    shell = geometry._ellipsoid_wall(1000 * m / 1.05, heart.radius, heart.length)
    assert_close("h", shell, h, atol=.06)
    got = values(heart)
    assert_close("Ecc", got["Ecc_Global"], ecc, atol=1.2)
    assert_close("Err", got["Err_Global"] / ERR_SCALE, err, atol=4.5)


@pytest.mark.parametrize("name, man, woman, tolerance, spread_man, spread_woman, slack", [
    ("LVEDV", 166, 125, 5, 30, 23, 5), ("LVESV", 70, 49, 4, 17, 12, 4),
    ("LVSV", 96, 76, 4, 18, 14, 3),
    ("LVM", 105, 71.6, 4, 19.5, 13.7, 4), ("LVEF", 57.8, 60.8, 1, 5.3, 5, 1),
    ("RVEDV", 176, 130, 6, 37, 26, 6),
    ("RVESV", 82, 55, 4, 22, 15, 4), ("WT_Global", 6.5, 5.4, .2, .8, .65, .2),
    ("Ecc_Global", -21.6, -23.0, .8, 2.8, 2.8, .8), ("Err_Global", 42.5, 47.2, 2.5, 6.6, 7.1, 1.8)])
def test_population_bands(population, name, man, woman, tolerance, spread_man, spread_woman, slack):
    table, latents = population
    male = latents["male"] > .5
    for sex, mean, spread in ((male, man, spread_man), (~male, woman, spread_woman)):
        assert_close(f"mean {name}", table[name][sex].mean(), mean, atol=tolerance)
        assert_close(f"SD {name}", table[name][sex].std(), spread, atol=slack)


def test_population_regional_pattern(population):
    table, _ = population
    mean = {name: column.mean() for name, column in table.items()}
    offset = [mean[f"WT_AHA_{n}"] - mean["WT_Global"] for n in range(1, 17)]
    wanted = (-.2, .8, .8, .2, -.3, -.4, -.3, .4, .6, .0, -.4, -.4, -.1, .2, -.1, -.3)
    assert_close("WT offsets", offset, wanted, atol=.12)
    septal = np.mean([mean[f"Ecc_AHA_{n}"] for n in (2, 3, 8, 9)])
    lateral = np.mean([mean[f"Ecc_AHA_{n}"] for n in (5, 6, 11, 12)])
    assert 2 < septal - lateral < 6
    base = np.mean([mean[f"Ecc_AHA_{n}"] for n in range(1, 7)])
    apex = np.mean([mean[f"Ecc_AHA_{n}"] for n in range(13, 17)])
    assert 1 < base - apex < 3.5
    residual = np.array([table[f"WT_AHA_{n}"] - table["WT_Global"] for n in range(1, 17)])
    assert_close("WT residual SD", residual.std(axis=1).mean(), .33, atol=.06)
    strain = np.array([table[f"Ecc_AHA_{n}"] - table["Ecc_Global"] for n in range(1, 17)])
    assert_close("Ecc residual SD", strain.std(axis=1).mean(), 4.1, atol=.5)
    neighbours = np.mean([np.corrcoef(strain[k], strain[k + 1])[0, 1] for k in (6, 7, 8, 9, 10)])
    assert .2 < neighbours < .7


def test_population_volumes_are_those_asked_for(population):
    table, latents = population
    assert_close("LVEDV", table["LVEDV"], latents["lvedv_target"], rtol=1e-12)
    assert_close("LVM", table["LVM"], latents["lvm_target"], rtol=1e-10)
    missed = np.abs(table["LVEF"] - latents["ef_target"]) > .01
    assert missed.mean() < .005
    left_right = np.corrcoef(table["LVEDV"], table["RVEDV"])[0, 1]
    assert .8 < left_right < .95


# ---- anatomy -----------------------------------------------------------------------------------

def test_anatomy_names_what_the_heart_shows():
    """Residuals of a segment appear in its wall and its motion; the gradient from base to apex."""
    hearts_ = [hearts(seed) for seed in range(200)]
    drawn = np.array([heart.anatomy for heart in hearts_]).T
    table = dict(zip(geometry.ANATOMY, drawn, strict=True))
    assert_shape("anatomy", hearts_[0].anatomy, (len(geometry.ANATOMY),))
    shown = [values(heart) for heart in hearts_]
    for k in (1, 4, 8, 11, 13, 16):
        wall = [v[f"WT_AHA_{k}"] - v["WT_Global"] for v in shown]
        assert np.corrcoef(wall, table[f"wall_residual_{k}"])[0, 1] > .75, k
        ecc = [v[f"Ecc_AHA_{k}"] - v["Ecc_Global"] for v in shown]
        assert np.corrcoef(ecc, table[f"contraction_residual_{k}"])[0, 1] < -.7, k
    for heart, value in zip(hearts_[:20], table["long_short_ratio"][:20], strict=True):
        assert_close("ratio", heart.length / heart.radius, value, rtol=1e-12)
    centre = [heart.rv_ellipse[0, 0] / (.8 * heart.epi[0, 1].mean()) for heart in hearts_[:20]]
    assert_close("RV centre", centre, table["rv_centre_factor"][:20], rtol=1e-9)
    assert_close("gradient SD", table["contraction_gradient"].std(), .03, atol=.005)
    for name, sd in (("wall", .061), ("contraction", .20)):
        spread = np.std([table[f"{name}_residual_{k}"] for k in range(1, 17)], axis=1).mean()
        assert_close(name, spread, sd, rtol=.12)


def test_contraction_gradient_runs_from_base_to_apex():
    class One(Zeros):
        def standard_normal(self, size):
            return np.eye(1, size, 6)[0]

    steep = geometry.realise(LATENTS, One())
    change = (steep.contraction - average().contraction).mean(axis=1)
    assert_close("g", change, [-.03, 0, .03], atol=1e-12)
    assert_close("LVEF", values(steep)["LVEF"], LATENTS["ef_target"], rtol=1e-9)


# ---- randomness and refusals ---------------------------------------------------------------------

def test_realise_is_deterministic_and_draws_a_fixed_count():
    a, b = np.random.default_rng(5), np.random.default_rng(5)
    one = geometry.realise(LATENTS, a)
    ill = geometry.realise({**LATENTS, "scar_size": 20.0, "scar_territory": 1.0, "lbbb": 1.0}, b)
    assert a.bit_generator.state == b.bit_generator.state
    assert_equal("epi", one.epi, hearts(5).epi)
    assert not np.array_equal(one.epi, hearts(6).epi) and not np.array_equal(one.epi, ill.epi)


def test_realise_ignores_what_is_not_anatomy():
    plain, labelled = hearts(), hearts(cad=1.0, af=1.0, dm=1.0, heart_rate=99.0, age=80.0, male=1.0)
    for name in plain.__dataclass_fields__:
        assert_equal(name, getattr(labelled, name), getattr(plain, name))


@pytest.mark.parametrize("name, value", [
    ("lvedv_target", -1.0), ("lvm_target", math.nan), ("ef_target", 120.0), ("scar_territory", 4.0),
    ("longitudinal_strain", .1), ("bmi", math.inf), ("rv_ef_target", 0.0)])
def test_realise_refuses(name, value):
    with pytest.raises(ValueError, match=f"{name}=.*but should be in"):
        hearts(**{name: value})


def test_realise_names_missing_latents():
    with pytest.raises(ValueError, match="latents lack lbbb, bmi"):
        geometry.realise({k: v for k, v in LATENTS.items() if k not in ("lbbb", "bmi")}, Zeros())
