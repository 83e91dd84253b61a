"""Measurements of masks and traces, on discs and beats of known size."""

from __future__ import annotations

import numpy as np
import pytest

from data_synth import simulate_one
from data_synth.ecg.leads import DOWER, twelve_leads
from data_synth.realism import measurement
from data_synth.realism.delineation import delineate
from data_synth.realism.measurement import mask_measures, record_statistics
from tests.support.helpers import assert_close, assert_equal, assert_shape


def beats(forces, seconds=10.0, width=.09):
    """[12, T]: triangular QRS complexes at 1 s with the given dipoles, and a T wave."""
    t = np.arange(round(500 * seconds)) / 500
    eight = np.zeros((8, len(t)))
    for k, force in enumerate(forces):
        near = np.abs(t - .5 - k) / (width / 2)
        eight += np.outer(DOWER @ np.asarray(force), np.maximum(0, 1 - near))
        eight += np.outer(DOWER @ (.2, .15, -.1), np.exp(-.5 * ((t - .8 - k) / .035) ** 2))
    return twelve_leads(eight)


def ring(endo, epi, endo_es, epi_es, right=0, centre=104.5):
    """[3, 210, 210] of discs around a centre, radii in mm, and a block of RV blood (pixels)."""
    y, x = np.mgrid[:210, :210] - np.reshape(centre, (-1, 1, 1))
    rho = 1.8 * np.hypot(y, x)
    labels = np.zeros((3, 210, 210), np.uint8)
    for k, (inner, outer) in enumerate(((endo, epi), (0, 0), (endo_es, epi_es))):
        labels[k][rho < outer] = 2
        labels[k][rho < inner] = 1
    labels[0].reshape(-1)[:right] = 3
    return labels


def test_mask_measures_of_discs():
    rng = np.random.default_rng(0)
    discs = [mask_measures(ring(26, 32, 17, 26.5, 700, 104 + rng.random(2)), 2.0)
             for _ in range(12)]  # a grid of 1.8 mm counts a disc to about 1 %
    got = {name: np.mean([d[name] for d in discs]) for name in discs[0]}
    assert set(got) == set(measurement.MASK)
    assert_close("WT ED", got["wt_ed"], 6.0, atol=.15)
    assert_close("WT ES", got["wt_es"], 9.5, atol=.15)
    assert_close("thickening", got["thickening"], 3.5, atol=.25)
    assert_close("Ecc", got["ecc"], 50 * (17 / 26 - 1 + 26.5 / 32 - 1), atol=.7)
    assert_close("Err", got["err"], 100 * (9.5 / 6 - 1), atol=6)
    assert_close("area", got["area_change"], 100 * (1 - (17 / 26) ** 2), atol=1)
    assert_close("index", got["radius_index"], 13.0, atol=.1)
    half = 26 / np.sqrt(1 - .45 ** 2)
    assert_close("LVEDV", got["lvedv"], 2 / 3 * np.pi * 3.2 * half ** 3 / 1000, rtol=.02)
    assert_close("RVEDV", got["rvedv"], 700 * 3.24 * .75 * .95 * 3.2 * half / 1000, rtol=.02)


def test_mask_mass_inverts_the_ellipsoid():
    """Radius and gap at .45 of the length of an ellipsoid with h = 7 give its mass again."""
    half, thick, length = 29.0, 7.0, 3.2 * 29.0
    endo = half * np.sqrt(1 - .45 ** 2)
    epi = (half + thick) * np.sqrt(1 - (.45 * length / (length + .6 * thick)) ** 2)
    outer = (half + thick) ** 2 * (length + .6 * thick) - half ** 2 * length
    got = mask_measures(ring(endo, epi, 18, 28), 1.9)["lvm"]
    assert_close("LVM", got, 1.05 * 2 / 3 * np.pi * outer / 1000, rtol=.03)


def test_record_statistics():
    rng = np.random.default_rng(0)
    ecg = beats([(.8, .5, .3)] * 10)
    seen = delineate(ecg)
    plain = record_statistics(ecg, 500.0, seen)
    assert set(plain) == set(measurement.RECORD)
    assert plain["beyond_three"] < 1e-9 and plain["qrs_variability"] < .02
    noisy = ecg + .020 * rng.standard_normal(ecg.shape)
    got = record_statistics(noisy, 500.0, delineate(noisy))
    assert_close("noise", got["noise"], 20 * np.sqrt(.9), rtol=.12)
    assert plain["noise"] < 1 and got["beyond_three"] > plain["beyond_three"]
    t = np.arange(5000) / 500
    slow = record_statistics(ecg + .2 * np.sin(2 * np.pi * .1 * t), 500.0, seen)
    assert slow["wander"] - plain["wander"] > 80


def test_qrs_variability_is_the_spread_of_the_beats():
    forces = [np.array([.8, .5, .3]) * (.9 + .1 * (k % 3)) for k in range(10)]  # median 1
    ecg = beats(forces)
    got = record_statistics(ecg, 500.0, delineate(ecg))
    assert_close("variability", got["qrs_variability"], .1 * np.sqrt(2 / 3), atol=.008)


@pytest.mark.parametrize("slope", [-1.0, -2.0, -3.0])
def test_spectrum_slope(slope):
    rng = np.random.default_rng(1)
    f = np.maximum(np.fft.rfftfreq(5000, 1 / 500), .1)
    noise = rng.standard_normal((8, len(f), 2)) @ (1, 1j)
    x = np.fft.irfft(noise * f ** (slope / 2), 5000)
    assert_close("slope", measurement._slope(x, 500.0), slope, atol=.2)


def test_f_waves_are_found_between_irregular_beats():
    rng = np.random.default_rng(3)
    t = np.arange(5000) / 500
    start = .4 + np.cumsum(.45 + rng.gamma(5, .06, 14))
    eight = np.zeros((8, 5000))
    for s in start[start < 9.7]:
        eight += np.outer(DOWER @ (.8, .5, .3), np.maximum(0, 1 - np.abs(t - s) / .045))
    ecg = twelve_leads(eight) + .003 * rng.standard_normal((12, 5000))
    ecg[6] += .06 * np.sin(2 * np.pi * 6.3 * t)
    seen = delineate(ecg)
    seen = seen._replace(values={**seen.values, "p_seen": 0.0, "rr_cv": .2})
    rate, height = measurement._f_wave(ecg, seen)
    assert_close("frequency", rate, 6.3, atol=.15)
    assert_close("amplitude", height, .06, atol=.02)
    regular = delineate(beats([(.8, .5, .3)] * 10))
    assert np.isnan(measurement._f_wave(ecg, regular)).all()


def test_measure_columns_and_order(measured):
    table = measured.table
    assert set(measurement.COLUMNS) <= set(table)
    assert_shape("beats", measured.beats, (len(table["LVM"]), 8, measurement.BEAT_SAMPLES))
    one = simulate_one(7, 0)
    assert_equal("LVM", table["LVM"][7], one.phenotypes[5])
    assert_equal("age", table["age"][7], one.latents["age"])
    assert_equal("QRS", table["ecg.qrs"][7], delineate(one.ecg).values["qrs"])
    assert_equal("S V1", table["ecg.s.V1"][7], delineate(one.ecg).leads[2, 6])
    assert_equal("blood", table["mask.lvedv"][7],
                 mask_measures(one.segmentation, one.latents["bsa"])["lvedv"])
    assert_equal("lvmi", table["lvmi"], table["LVM"] / table["bsa"])
    assert (table["LVEF"][200:] < 42).all() and len(table["LVEF"]) == 206


def test_measure_does_not_depend_on_workers(measured, monkeypatch):
    monkeypatch.setattr(measurement, "SUBJECTS_A_TASK", 3)
    seen = []
    got = measurement.measure(range(6), 0, workers=2, progress=lambda *x: seen.append(x))
    assert seen == [(3, 6), (6, 6)]
    for name in ("LVM", "ecg.qrs", "mask.wt_ed", "record.noise"):
        assert_equal(name, got.table[name], measured.table[name][:6])
    assert_equal("beats", got.beats, measured.beats[:6])


def test_a_record_without_beats_is_missing_not_fatal():
    one = simulate_one(0, 0)
    numbers, beat = measurement.measure_one(one._replace(ecg=np.zeros_like(one.ecg)))
    column = dict(zip(measurement.COLUMNS, numbers, strict=True))
    assert np.isnan(column["ecg.qrs"]) and np.isnan(column["record.noise"])
    assert column["mask.wt_ed"] > 3 and not beat.any()
