"""The delineator on traces whose every boundary is known."""

from __future__ import annotations

import numpy as np
import pytest

from data_synth import simulate_one
from data_synth.ecg import electrocardiogram, rhythm
from data_synth.ecg.leads import DOWER, LEAD, twelve_leads
from data_synth.heart import physiology
from data_synth.realism import delineation
from data_synth.realism.delineation import PER_LEAD, SCALARS, delineate, find_beats
from data_synth.streams import generator
from tests.support.helpers import assert_close, assert_equal, assert_shape

ROW = {name: k for k, name in enumerate(PER_LEAD)}
P = (.020, .085, -.02)  # dipoles, mV: X left, Y foot, Z back
R = (.80, .55, .30)
T = (.22, .18, -.12)


def lobe(t, begin, end):
    """Raised cosine with exact ends, height 1."""
    inside = (t > begin) & (t < end)
    return np.where(inside, .5 - .5 * np.cos(2 * np.pi * (t - begin) / (end - begin)), 0)


def triangle(t, begin, end):
    """Straight flanks with exact ends, height 1."""
    middle = (begin + end) / 2
    return np.maximum(0, 1 - np.abs(t - middle) / (middle - begin))


def trace(rate=500, rr=.9, pr=.16, qrs=.09, qt=.40, p=.11, seconds=10.0, atria=P, r=R, t_force=T):
    """[12, T] of identical beats: raised-cosine P and T, a triangular QRS."""
    t = np.arange(round(seconds * rate)) / rate
    dipole = np.zeros((3, len(t)))
    for start in np.arange(.35, seconds, rr):  # QRS onsets
        dipole += np.outer(r, triangle(t, start, start + qrs))
        dipole += np.outer(atria, lobe(t, start - pr, start - pr + p))
        dipole += np.outer(t_force, lobe(t, start + qt - .16, start + qt))
    return twelve_leads(DOWER @ dipole)


def add_noise(ecg, sd, seed=0):
    return ecg + sd * np.random.default_rng(seed).standard_normal(ecg.shape)


def test_delineate_runs():
    got = delineate(trace())
    assert tuple(got.values) == SCALARS
    assert_shape("leads", got.leads, (len(PER_LEAD), 12))
    assert_shape("beat", got.beat, (12, 510))
    assert np.isfinite(got.leads).all() and all(np.isfinite(v) for v in got.values.values())


@pytest.mark.parametrize("rate, noise", [(500, 0.), (500, .008), (1000, .008)])
@pytest.mark.parametrize("qrs, pr, qt, rr", [
    (.08, .16, .38, .9), (.10, .20, .42, 1.1), (.14, .16, .44, 1.0), (.09, .13, .33, .65)])
def test_known_widths(rate, noise, qrs, pr, qt, rr):
    got = delineate(add_noise(trace(rate, rr, pr, qrs, qt), noise), rate).values
    assert_close("QRS", got["qrs"], 1000 * qrs, atol=6)
    assert_close("PR", got["pr"], 1000 * pr - 1000 * .11 * .10, atol=9)
    assert_close("QT", got["qt"], 1000 * qt - 1000 * .16 * .09, atol=9)
    assert_close("QTc", got["qtc"], got["qt"] / rr ** (1 / 3), atol=.5)
    assert_close("rate", got["rate"], 60 / rr, rtol=2e-3)
    assert got["p_seen"] == 1


def test_tangents_cut_a_raised_cosine_at_a_known_place():
    """Steepest at a quarter of its width w, slope pi / w: zero at w (1/4 - 1/(2 pi)) = .091 w."""
    wide = delineate(trace(p=.12, pr=.2)).values["p_duration"]
    assert_close("P", wide, 120 * (1 - 2 * (.25 - 1 / (2 * np.pi))), atol=6)
    narrow = delineate(trace(p=.09, pr=.2)).values["p_duration"]
    assert_close("difference", wide - narrow, 30 * .818, atol=5)


@pytest.mark.parametrize("degrees", [-60, -20, 0, 40, 90])
def test_axes(degrees):
    """I sees cos, aVF sin times sqrt(3)/2 for a dipole in a plane with Einthoven's leads."""
    a = np.radians(degrees)
    wanted = np.array([np.cos(a), np.sqrt(3) / 2 * np.sin(a)])  # in I and aVF
    seen = np.stack([DOWER[0], DOWER[1] - DOWER[0] / 2])  # [2, 3]
    dipole = np.linalg.pinv(seen) @ wanted
    size = np.linalg.norm(dipole)
    got = delineate(trace(r=dipole / size, t_force=.3 * dipole / size)).values
    assert_close("axis", got["axis"], degrees, atol=2)
    assert_close("T axis", got["t_axis"], degrees, atol=4)
    assert got["qrs_t"] < 5 and got["spatial_qrs_t"] < 5
    turned = delineate(trace(r=dipole / size, t_force=-.3 * dipole / size)).values
    assert turned["qrs_t"] > 175 and turned["spatial_qrs_t"] > 175


def test_amplitudes_and_voltages():
    ecg = trace()
    got = delineate(ecg)
    peak = twelve_leads((DOWER @ np.array(R))[:, None])[:, 0]  # mV
    assert_close("R", got.leads[ROW["r"]], np.maximum(peak, 0), atol=.03)
    assert_close("S", got.leads[ROW["s"]], np.maximum(-peak, 0), atol=.03)
    wave = twelve_leads((DOWER @ np.array(T))[:, None])[:, 0]
    assert_close("T", got.leads[ROW["t"]], wave, atol=.02)
    assert_close("area", got.leads[ROW["area"]], peak * 90 / 2, atol=1.5)
    assert_close("Sokolow", got.values["sokolow"], -peak[6] + max(peak[10], peak[11]), atol=.05)
    flat = (.8, -.1, .9)  # R in aVL, S in V3
    peak_flat = twelve_leads((DOWER @ np.array(flat))[:, None])[:, 0]
    assert peak_flat[4] > .5 and peak_flat[8] < -.3
    assert_close("Cornell", delineate(trace(r=flat)).values["cornell"],
                 peak_flat[4] - peak_flat[8], atol=.06)
    assert_close("P in II", got.values["p_height"], DOWER[1] @ np.array(P), atol=.01)
    assert_close("R peak time", got.values["r_time_v5"], 45, atol=4)


def test_q_waves():
    """An early force away from the foot for 40 ms is a Q wave in II, III and aVF."""
    t = np.arange(5000) / 500
    eight = np.zeros((8, 5000))
    for start in np.arange(.35, 10, .9):
        eight += np.outer(DOWER @ np.array([.2, -.3, 0]), lobe(t, start, start + .044))
        eight += np.outer(DOWER @ np.array(R), triangle(t, start + .040, start + .11))
        eight += np.outer(DOWER @ np.array(T), lobe(t, start + .24, start + .40))
    got = delineate(twelve_leads(eight))
    assert got.values["pathological_q"] == 1
    assert_close("Q in aVF", got.leads[ROW["q"], LEAD["aVF"]],
                 -(DOWER[1] - DOWER[0] / 2) @ np.array([.2, -.3, 0]), atol=.03)
    assert got.values["q_area"] > delineate(trace(r=(.8, .5, .1))).values["q_area"] + 20
    assert delineate(trace(r=(.8, .5, .1))).values["pathological_q"] == 0


def test_qs_complex_is_an_s_wave():
    got = delineate(trace(r=(-.2, .1, .9)))
    assert got.leads[ROW["r"], LEAD["V2"]] < .03
    assert got.leads[ROW["q"], LEAD["V2"]] == 0
    assert got.leads[ROW["s"], LEAD["V2"]] > 1


def test_terminal_force_of_p_in_v1():
    late = trace(atria=(.03, .05, .08))  # backwards: negative in V1
    early = trace(atria=(.03, .05, -.08))
    assert delineate(late).values["p_terminal"] > 2 > delineate(early).values["p_terminal"]


def test_baseline_wander_does_not_move_amplitudes():
    t = np.arange(5000) / 500
    wander = .3 * np.sin(2 * np.pi * .25 * t + np.arange(12)[:, None])
    plain, moved = delineate(trace()), delineate(trace() + wander)
    assert_close("R", moved.leads[ROW["r"]], plain.leads[ROW["r"]], atol=.05)
    assert_close("QRS", moved.values["qrs"], plain.values["qrs"], atol=6)


def test_absent_p_wave_is_not_measured():
    ecg = add_noise(trace(atria=(0, 0, 0)), .01)
    got = delineate(ecg).values
    assert got["p_seen"] == 0 and np.isnan(got["pr"]) and np.isnan(got["p_duration"])


def test_early_beat_is_found_and_told_apart():
    t = np.arange(5000) / 500
    eight = np.zeros((8, 5000))
    starts = [.4, 1.3, 2.2, 3.1, 4.0, 4.5, 5.8, 6.7, 7.6, 8.5]
    for start in starts:
        wide = start == 4.5
        force = np.array([-.5, .3, -.6]) if wide else np.array(R)
        eight += np.outer(DOWER @ force, triangle(t, start, start + (.16 if wide else .09)))
    got = delineate(twelve_leads(eight))
    assert_equal("beats", len(got.beats), len(starts))
    assert_equal("ectopic", got.values["ectopic"], 1.0)
    assert not got.normal[5] and got.normal[1:5].all()
    assert delineate(trace()).values["ectopic"] == 0


@pytest.mark.parametrize("shape, message", [
    ((12, 1000), "T >= 1500"), ((8, 5000), "12, T"), ((5000,), "12, T")])
def test_bad_shape(shape, message):
    with pytest.raises(ValueError, match=message):
        delineate(np.zeros(shape))


def test_bad_values():
    ecg = trace()
    ecg[3, 7] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        delineate(ecg)
    with pytest.raises(ValueError, match="at least 3"):
        delineate(np.zeros((12, 5000)))


@pytest.fixture(scope="module")
def simulated():
    """Measurements of 300 simulated records beside the features that they were made from."""
    pairs = []
    for subject in range(300):  # r = .93 of QTc has a standard error of .008
        one = simulate_one(subject, 5)
        private = electrocardiogram.draw_private(generator(5, subject, "ecg"))
        shown = electrocardiogram.couple(one.latents, private.uniform, private.rate, 1.0)
        feature = electrocardiogram.features(shown, private.normal, 1.0)
        beats = rhythm.beats(private.rhythm, feature.rate, feature.fibrillation,
                             feature.diabetes)
        pairs.append((delineate(one.ecg), feature, beats))
    return pairs


def test_every_simulated_beat_is_found(simulated):
    wrong = 0
    for got, _, beats in simulated[:60]:
        want = beats.time[(beats.time > .3) & (beats.time < 9.7)]
        seen = got.beats[(got.beats > 150) & (got.beats < 4850)] / 500
        wrong += len(want) != len(seen) or np.abs(np.sort(seen) - want).max() > .06
    assert wrong <= 1, f"{wrong} of 60 records"


@pytest.mark.parametrize("name, feature, spread, r", [
    ("qrs", "qrs", 9, .80), ("pr", "pr", 9, .92), ("qtc", "qtc", 10, .90),
    ("p_duration", "p_duration", 13, .45)])
def test_simulated_intervals_follow_their_truth(simulated, name, feature, spread, r):
    table = np.array([(got.values[name], 1000 * getattr(f, feature)) for got, f, _ in simulated
                      if np.isfinite(got.values[name])])
    difference = table[:, 0] - table[:, 1]
    assert abs(difference.mean()) < 15, f"bias {difference.mean():.1f} ms"
    assert difference.std() < spread, f"{difference.std():.1f} ms"
    assert np.corrcoef(table.T)[0, 1] > r


def test_fibrillation_has_no_p_and_irregular_beats():
    ill = []
    for subject in range(1200):
        if physiology.sample(subject, 0)["af_now"]:
            ill.append(delineate(simulate_one(subject, 0).ecg).values)
    assert len(ill) >= 2
    assert np.mean([v["p_seen"] for v in ill]) < .4
    assert np.median([v["rr_cv"] for v in ill]) > .12


def test_find_beats_of_a_low_and_noisy_record():
    ecg = add_noise(.25 * trace(rr=.8), .02, 3)
    assert_close("beats", len(find_beats(ecg, 500.0)), 12, atol=1)
    assert_close("spacing", np.median(np.diff(find_beats(ecg, 500.0))), 400, atol=3)


def test_a_real_record_gives_plausible_values(ptb):
    """Acute inferolateral infarct: pathological Q waves, left axis, a rate near 82."""
    got = delineate(ptb.ecg, ptb.rate)
    v = got.values
    assert len(got.beats) in range(50, 55) and got.normal.sum() > 45
    assert 78 < v["rate"] < 86 and v["rr_cv"] < .03 and v["p_seen"] == 1
    assert 85 < v["qrs"] < 130 and 120 < v["pr"] < 210 and 80 < v["p_duration"] < 140
    assert 330 < v["qt"] < 470 and -120 < v["axis"] < -30
    assert v["pathological_q"] == 1 and v["q_area"] > 40


def test_moving_mean_is_a_mean():
    x = np.random.default_rng(0).standard_normal((2, 40))
    got = delineation.moving_mean(x, 5)
    assert_shape("mean", got, (2, 40))
    for k in range(2, 38):
        assert_close("mean", got[:, k], x[:, k - 2:k + 3].mean(axis=1), atol=1e-12)
