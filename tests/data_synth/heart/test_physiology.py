"""The latent physiology against its equations, written out again, and population figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_synth.heart import physiology
from tests.support.hearts import residual
from tests.support.helpers import assert_close, assert_equal
from tests.support.strategies import seeds

COUNT = 20_000
SWITCHES = ("male", "dm", "cad", "mi", "af", "af_now", "dcm", "lbbb", "rbbb")


@pytest.fixture(scope="module")
def people():
    drawn = [physiology.sample(subject, 0) for subject in range(COUNT)]
    table = {name: np.array([person[name] for person in drawn]) for name in drawn[0]}
    table["lvsv"] = table["lvedv_target"] * table["ef_target"] / 100
    table["lvesv"] = table["lvedv_target"] - table["lvsv"]
    table["lvmi"] = table["lvm_target"] / table["bsa"]
    table["rvedv"] = table["lvsv"] * table["rv_sv_ratio"] / table["rv_ef_target"] * 100
    return table


def test_sample_names_and_types():
    person = physiology.sample(3, 1)
    assert tuple(person) == physiology.NAMES
    for name, value in person.items():
        assert type(value) is float and math.isfinite(value), f"{name}={value!r}"


@given(seed=seeds(), subject=st.integers(0, 2**40))
def test_sample_is_a_function_of_seed_and_subject(seed, subject):
    person = physiology.sample(subject, seed)
    assert person == physiology.sample(subject, seed)
    assert person != physiology.sample(subject + 1, seed)
    assert person != physiology.sample(subject, seed + 1)


@given(seed=seeds(), subject=st.integers(0, 2**40))
def test_sample_invariants(seed, subject):
    p = physiology.sample(subject, seed)
    for name in SWITCHES:
        assert p[name] in (0.0, 1.0), f"{name}={p[name]}"
    assert p["mi"] <= p["cad"] and p["af_now"] <= p["af"] and p["lbbb"] * p["rbbb"] == 0
    assert (p["scar_size"] > 0) == (p["scar_territory"] > 0) == (p["scar_transmurality"] > 0) \
        == (p["mi"] == 1)
    assert p["scar_size"] == 0 or 1.5 <= p["scar_size"] <= 40
    assert 0 <= p["scar_transmurality"] <= 1 and p["scar_territory"] in (0, 1, 2, 3)
    assert -.25 <= p["longitudinal_strain"] <= -.03
    assert_close("weight", p["weight"], p["bmi"] * (p["height"] / 100) ** 2, rtol=1e-12)
    assert_close("bsa", p["bsa"], (p["height"] * p["weight"] / 3600) ** .5, rtol=1e-12)


@given(seed=seeds(), subject=st.integers(0, 10**6))
def test_heart_targets(seed, subject):
    p = physiology.sample(subject, seed)
    a, b, s = p["age"] - 64, p["bmi"] - 26.5, p["sbp"] - 137
    u, c, e, scar = p["size_u"], p["concentricity_c"], p["contractility_e"], p["scar_size"]
    size, ratio, ef = ((160 * (p["height"] / 176) ** 1.3, .625, 58.3) if p["male"]
                       else (125 * (p["height"] / 163) ** 1.3, .575, 61.0))
    edv = size * math.exp(.145 * u) / math.exp(.006 * (p["heart_rate"] - 63))
    edv *= math.exp(-.004 * a + .0112 * b + .0025 * s)
    edv *= math.exp(.006 * scar + .35 * p["dcm"] - .05 * p["dm"])
    mass = edv * ratio * math.exp(.105 * c) * math.exp(-.045 * u)
    mass *= math.exp(.0022 * (p["heart_rate"] - 63))
    mass *= math.exp(.0012 * s + .003 * a + .0075 * b) * math.exp(.04 * p["dm"] - .10 * p["dcm"])
    ef = ef + 4.6 * e - .9 * u + .6 * c - .55 * scar - p["dm"] - 20 * p["dcm"] - 5 * p["af_now"]
    ef -= .04 * (p["heart_rate"] - 63)
    got = physiology.heart_targets(p)
    assert_close("lvedv", got["lvedv_target"], edv, rtol=1e-9)
    assert_close("lvm", got["lvm_target"], mass, rtol=1e-9)
    assert_close("ef", got["ef_target"], min(max(ef, 12), 78), rtol=1e-9)
    assert {name: p[name] for name in got} == got


@given(seed=seeds(), rate=st.floats(40, 110),
       switch=st.sampled_from(["dm", "cad", "dcm", "af_now"]))
def test_expected_depends_on_demographics_alone(seed, rate, switch):
    p = physiology.sample(5, seed)
    other = {**p, "heart_rate": rate, switch: 1.0, "size_u": 3.0, "scar_size": 20.0, "weight": 1.0}
    assert physiology.expected(p) == physiology.expected(other)
    assert physiology.expected(p) != physiology.expected({**p, "bmi": p["bmi"] + 1})
    mean = physiology.expected(p)
    assert_close("rate", mean["heart_rate"],
                 62 + (0 if p["male"] else 1.5) + .25 * (p["bmi"] - 26.5), rtol=1e-12)
    assert_equal("targets", physiology.heart_targets(mean)["lvm_target"], mean["lvm_target"])


@pytest.mark.parametrize("name, man, woman, rounding", [
    ("height", (176, 7), (163, 6), .1), ("bmi", (27.1, 3.9), (26.2, 4.6), .15),
    ("sbp", (141, 16.4), (133, 18.3), .3), ("age", (64, 7.6), (64, 7.6), .1),
    ("lvedv_target", (166, 30), (125, 23), .6), ("lvesv", (70, 17), (49, 12), .6),
    ("lvsv", (96, 18), (76, 14), .6), ("lvm_target", (105, 19.5), (71.6, 13.7), 1.0),
    ("lvmi", (51.9, 8.5), (40.4, 6.8), .3), ("ef_target", (57.8, 5.2), (60.8, 5.0), .1),
    ("rvedv", (176, 36), (130, 26.5), .8), ("rv_ef_target", (54, 6.2), (58, 6.0), .3)])
def test_population_means_and_spreads(people, name, man, woman, rounding):
    for sex, (mean, spread) in ((1, man), (0, woman)):
        values = people[name][people["male"] == sex]
        error = spread / math.sqrt(len(values))
        assert_close(f"mean {name}", values.mean(), mean, atol=4 * error + rounding)
        assert_close(f"SD {name}", values.std(), spread, atol=4 * error + rounding)


@pytest.mark.parametrize("name, prevalence", [
    ("male", .48), ("cad", .065), ("mi", .027), ("dm", .046), ("af", .024), ("af_now", .0085),
    ("dcm", .006), ("lbbb", .0045), ("rbbb", .0275)])
def test_prevalence(people, name, prevalence):
    error = math.sqrt(prevalence * (1 - prevalence) / COUNT)
    assert_close(name, people[name].mean(), prevalence, atol=4 * error + .0005)


def test_prevalence_of_weak_and_heavy_hearts(people):
    weak = people["ef_target"]
    limit = np.where(people["male"] > .5, 79, 62)
    for name, share, prevalence in (("EF<40", (weak < 40).mean(), .004),
                                    ("EF<50", (weak < 50).mean(), .038),
                                    ("block in weak", people["lbbb"][weak < 45].mean(), .12)):
        count = COUNT if name != "block in weak" else int((weak < 45).sum())
        error = math.sqrt(prevalence * (1 - prevalence) / count)
        assert_close(name, share, prevalence, atol=4 * error + .0005)
    assert .003 < (people["lvmi"] > limit).mean() < .03


@pytest.mark.parametrize("name, explained", [
    ("lvm_target", .64), ("lvedv_target", .49), ("lvesv", .40), ("lvsv", .41), ("ef_target", .08)])
def test_variance_explained_by_demographics(people, name, explained):
    demographics = np.stack([people[d] for d in physiology.DEMOGRAPHICS], 1)
    left = residual(people[name], demographics)
    assert_close(name, 1 - left.var() / people[name].var(), explained, atol=.03)


def test_correlations(people):
    r = np.corrcoef(people["lvedv_target"], people["rvedv"])[0, 1]
    assert .82 < r < .92, f"r(LVEDV, RVEDV)={r}"
    r = np.corrcoef(people["lvedv_target"], people["heart_rate"])[0, 1]
    assert_close("r(LVEDV, HR)", r, -.26, atol=4 / math.sqrt(COUNT))
    ratio = people["rv_sv_ratio"]
    assert_close("RV SV ratio", [ratio.mean(), ratio.std()], [.985, .054], atol=.003)
    scar = people["scar_size"][people["mi"] > 0]
    assert_close("scar", scar.mean(), 11, atol=4 * 7.5 / math.sqrt(len(scar)))
    share = np.bincount(people["scar_territory"][people["mi"] > 0].astype(int), minlength=4)[1:]
    assert_close("territories", share / share.sum(), [.45, .20, .35],
                 atol=4 * .5 / math.sqrt(len(scar)))
    strain = people["longitudinal_strain"]
    assert_close("strain", [strain[people["male"] == sex].mean() for sex in (1, 0)],
                 [-.16, -.18], atol=.004)


def test_longitudinal_strain_follows_function_and_concentricity(people):
    man = people["male"] > .5
    p = {name: values[man & (people["dm"] < .5)] for name, values in people.items()}
    ratio = np.log(p["lvm_target"] / p["lvedv_target"] / .625)
    x = np.stack([p["ef_target"], ratio, np.ones(len(ratio))], 1)
    slopes, *_ = np.linalg.lstsq(x, -p["longitudinal_strain"], rcond=None)
    assert_close("slopes", slopes[:2], [.16 / 58, -.07], rtol=.05)


def test_risk_factors_raise_risk(people):
    for disease, factor in (("dm", "bmi"), ("cad", "sbp"), ("cad", "age"), ("af", "age"),
                            ("cad", "male"), ("af", "male"), ("rbbb", "age")):
        ill = people[disease] > .5
        difference = people[factor][ill].mean() - people[factor][~ill].mean()
        error = people[factor].std() / math.sqrt(ill.sum())
        assert difference > 2 * error, f"{factor} in {disease}: {difference} (error {error})"
