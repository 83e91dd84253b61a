"""Features of the electrocardiogram against their equations, and the coupling dial."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_synth.ecg import features as module
from data_synth.ecg.features import PRIVATE_SD, SWITCHES, couple, features
from data_synth.heart import physiology
from tests.support.hearts import person
from tests.support.helpers import assert_close, assert_equal
from tests.support.strategies import seeds

NEVER = dict.fromkeys(SWITCHES, 1 - 1e-12)  # uniform numbers that express nothing below c = 1
ALWAYS = dict.fromkeys(SWITCHES, 0.0)
ZERO = dict.fromkeys(PRIVATE_SD, 0.0)


def shown(normal=None, ecg_noise=1.0, **changes):
    """Features at full coupling."""
    x = couple(person(**changes), ALWAYS, 0.0, 1.0)
    return features(x, {**ZERO, **(normal or {})}, ecg_noise)


@given(seed=seeds(), subject=st.integers(0, 10**6))
def test_features(seed, subject):
    p = person(subject, seed)
    z = dict(zip(PRIVATE_SD, np.random.default_rng(seed).standard_normal(len(PRIVATE_SD)),
                 strict=True))
    got = features(couple(p, NEVER, 0.0, 1.0), z, 1.0)
    man, a, b, s = p["male"], p["age"] - 64, p["bmi"] - 26.5, p["sbp"] - 137
    def weak(limit):
        return 10 * math.tanh(max(limit - p["lvef"], 0) / 10)

    lvmi, dm, scar = p["lvm"] / p["bsa"], p["dm"], p["scar_size"]
    log = .42 * math.log(p["lvm"] / (103 if man else 72)) - .038 * b + .27 * z["log_voltage"]
    assert_close("gain", math.log(got.gain / .77 / (1.06 if man else .97)), log, atol=1e-9)
    axis = 30 - 2.6 * b - .5 * a - .12 * s - 6 * man - .4 * weak(60) + 19 * z["axis"]
    assert_close("axis", got.axis, axis, atol=1e-9)
    qrs = (84 + 5 * man + .07 * (p["lvm"] - 86) + .045 * (p["lvedv"] - 148) + .05 * a
           + .3 * weak(57) + .2 * scar + 8 * z["qrs"])
    qrs = min(max(qrs, 62), 160) + 45 * p["lbbb"] + 35 * p["rbbb"]
    assert_close("qrs", got.qrs, qrs / 1000, atol=1e-9)
    log = (.35 * math.log(60 / p["heart_rate"]) + .28 * z["log_t"] - .02 * weak(55)
           - .005 * s - .25 * (lvmi / 47 - 1) - .03 * scar - .08 * dm)
    assert_close("T", math.log(got.t_gain / .62 / (1.1 if man else .9)), log, atol=1e-9)
    p_wave = 112 + 4 * man + .25 * a + 10 * p["af"] + .25 * b + 10 * z["p_duration"]
    assert_close("P", got.p_duration, min(max(p_wave, 70), 170) / 1000, atol=1e-9)
    terminal = .35 * z["log_terminal"] + .45 * p["af"] + .007 * (lvmi - 47) + .02 * weak(60)
    assert_close("P terminal", math.log(got.p_terminal), terminal, atol=1e-9)
    strain = .035 * max(lvmi - (62 if man else 50), 0) * min(max(.9 + .9 * z["strain"], 0), 2.5)
    assert_close("strain", got.strain, strain, atol=1e-9)
    qtc = (416 if man else 426) + 16.5 * z["qtc"] + .05 * (lvmi - 47) + 4 * dm + .5 * max(
        qrs - 105, 0)
    assert_close("QTc", got.qtc, qtc / 1000, atol=1e-9)
    assert_close("rate", got.rate, min(max(p["heart_rate"], 36), 125), atol=1e-9)
    assert_close("turn", got.turn, 9 * z["turn"] + .05 * (lvmi - 47), atol=1e-9)
    t_axis = .62 * (axis - 30) + 8.5 * z["t_axis"]
    t_turn = 6 * z["t_turn"] - .08 * (lvmi - 47) - weak(60)
    assert_close("T angles", [got.t_axis, got.t_turn], [t_axis, t_turn], atol=1e-9)
    septum = .77 * math.exp(.30 * z["log_septum"] - .02 * weak(60))
    base = .77 * (p["rvedv"] / (176 if man else 130)) ** .5 * math.exp(.30 * z["log_base"])
    assert_close("septum, base", [got.septum, got.base], [septum, base], rtol=1e-9)
    pr = min(max(150 + .3 * a + 20 * z["pr"], 110), 280) / 1000
    assert_close("PR, P height, ST, T width", [got.pr, got.p_height, got.st, got.t_width],
                 [pr, math.exp(.2 * z["log_p"]), .02 * z["st"], math.exp(.12 * z["log_t_width"])],
                 rtol=1e-9)
    switches = (p["af_now"], p["lbbb"], p["rbbb"], p["scar_territory"], dm)
    assert (got.fibrillation, got.left_block, got.right_block, got.territory,
            got.diabetes) == switches


def test_q_depth():
    mi = {"mi": 1.0, "scar_size": 20.0, "scar_transmurality": .8, "scar_territory": 1.0}
    with_q = shown(**mi)
    assert_close("Q wave", with_q.q_wave, (.91 + .002 * 20) * .8, rtol=1e-9)
    x = couple(person(**mi), NEVER, 0.0, 1.0)
    assert_close("no Q wave", features(x, ZERO, 1.0).q_wave, .010 * 20 * .8, rtol=1e-9)
    assert_close("T", with_q.scar_t, .24, rtol=1e-9)
    assert_equal("healthy", shown(mi=0.0, scar_size=0.0, scar_transmurality=0.0).q_wave, 0.0)


@pytest.mark.parametrize("size, chance", [(11.8, .5), (20, .9637), (5, .0618)])
def test_couple_expresses_q_waves_by_size(size, chance):
    p = person(mi=1.0, scar_size=float(size))
    for coupling in (1.0, .5):
        grid = np.linspace(0, 1, 2001)[:-1]
        share = np.mean([couple(p, {**NEVER, "q_wave": u}, 0.0, coupling)["q_wave"] for u in grid])
        assert_close("share", share, coupling * chance, atol=1e-3)
    assert couple(person(mi=0.0, scar_size=13.0), ALWAYS, 0.0, 1.0)["q_wave"] == 0


@given(seed=seeds(), subject=st.integers(0, 10**6), coupling=st.floats(0, 1))
def test_couple(seed, subject, coupling):
    p = person(subject, seed)
    mean = physiology.expected(p)
    got = couple(p, NEVER, 1.5, coupling)
    for name in physiology.DEMOGRAPHICS:
        assert got[name] == p[name]
    stroke = mean["lvedv_target"] * mean["ef_target"] / 100
    means = {"lvedv": mean["lvedv_target"], "lvm": mean["lvm_target"], "lvef": mean["ef_target"],
             "rvedv": stroke * .985 / (54 if p["male"] else 58) * 100, "scar_size": 0.0,
             "scar_transmurality": 0.0, "dm": 0.0, "dcm": 0.0, "af": 0.0}
    for name, value in means.items():
        want = (1 - coupling) * value + coupling * p[name]
        assert_close(name, got[name], want, rtol=1e-9, atol=1e-9)
    rate = (1 - coupling) * mean["heart_rate"] + coupling * p["heart_rate"]
    rate += 1.5 * 9.5 * math.sqrt(max(1 - coupling ** 2, 0))
    assert_close("rate", got["heart_rate"], rate, rtol=1e-9)
    assert_close("lvmi", got["lvmi"], got["lvm"] / p["bsa"], rtol=1e-9)


@pytest.mark.parametrize("switch", ["af_now", "lbbb", "rbbb"])
def test_couple_expresses_switches_with_probability_c(switch):
    p = person(**{switch: 1.0})
    for u, coupling, want in ((.3, .4, 1), (.5, .4, 0), (0.0, 0.0, 0), (1 - 1e-12, 1.0, 1)):
        assert couple(p, {**NEVER, switch: u}, 0.0, coupling)[switch] == want
    assert couple({**p, switch: 0.0}, ALWAYS, 0.0, 1.0)[switch] == 0


@given(seed=seeds(), other=seeds())
def test_couple_at_zero_knows_demographics_alone(seed, other):
    p, q = person(1, seed), person(2, other)
    q.update({name: p[name] for name in physiology.DEMOGRAPHICS})
    u = dict(zip(SWITCHES, np.random.default_rng(seed).random(4), strict=True))
    first, second = couple(p, u, .7, 0.0), couple(q, u, .7, 0.0)
    assert features(first, ZERO, 1.0) == features(second, ZERO, 1.0)


@pytest.mark.parametrize("name", sorted(PRIVATE_SD))
def test_features_each_private_number_counts_and_scales(name):
    p = {"lvm": 300.0, "mi": 1.0, "scar_size": 20.0, "scar_transmurality": .8}
    still, moved = shown(**p), shown({name: 1.0}, **p)
    assert still != moved, f"{name} does nothing"
    assert shown({name: 1.0}, 0.0, **p) == still
    assert shown({name: 2.0}, .5, **p) == moved


def test_features_stay_in_range():
    for sign in (-1, 1):
        f = shown(dict.fromkeys(PRIVATE_SD, sign * 6.0), 4.0, heart_rate=250.0 * (sign > 0))
        assert .02 < f.gain < 8
        assert .062 <= f.qrs <= .24 and .32 <= f.qtc <= .56 and .11 <= f.pr <= .28
        assert .07 <= f.p_duration <= .17 and 36 <= f.rate <= 125
    assert module._ratio(0.0) == 1.0
