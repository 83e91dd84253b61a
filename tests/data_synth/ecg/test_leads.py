"""Lead matrix, Einthoven and Goldberger, electrode noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from data_synth.ecg import leads
from tests.support.helpers import assert_close, assert_equal, assert_shape
from tests.support.strategies import seeds

INVERSE_DOWER = np.array([  # X, Y, Z from V1..V6, I, II; published apart from the matrix itself
    [-.172, -.074, .122, .231, .239, .194, .156, -.010],
    [.057, -.019, -.106, -.022, .041, .048, -.227, .887],
    [-.229, -.310, -.246, -.063, .055, .108, .022, .102]])
LIMB = np.array([[-.397, 1.301, -.191], [-.434, -.415, .037], [.515, -.768, .125],
                 [-.081, 1.184, -.162]])  # III, aVR, aVL, aVF, published apart


def test_dower_matrix_has_the_published_inverse():
    order = [2, 3, 4, 5, 6, 7, 0, 1]
    assert_close("inverse", np.linalg.pinv(leads.DOWER)[:, order], INVERSE_DOWER, atol=6e-4)


def test_twelve_leads_of_dower_give_the_published_limb_leads():
    assert_close("limb", leads.twelve_leads(leads.DOWER)[2:6], LIMB, atol=6e-4)


@given(seed=seeds())
def test_twelve_leads(seed):
    eight = np.random.default_rng(seed).standard_normal((8, 7)).astype(np.float32)
    got = leads.twelve_leads(eight)
    assert_equal("dtype", got.dtype, np.float32)
    want = np.empty((12, 7))
    for t in range(7):
        one, two = float(eight[0, t]), float(eight[1, t])
        want[:6, t] = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
        for k in range(6):
            want[6 + k, t] = eight[2 + k, t]
    assert_close("leads", got, want, rtol=1e-6, atol=1e-6)


def test_lead_field_without_perturbation_is_dower():
    normal = np.random.default_rng(0).standard_normal(leads.LEAD_FIELD_DRAWS)
    assert_equal("field", leads.lead_field(normal, 0.0), leads.DOWER)


@pytest.mark.parametrize("draw, rows, columns", [
    (0, [0], [0]), (23, [7], [2]), (25, range(2, 8), [1]), (26, [0, 1], [0, 1, 2]),
    (27, range(2, 8), [0, 1, 2])])
def test_lead_field_each_draw_moves_its_own_entries(draw, rows, columns):
    normal = np.zeros(leads.LEAD_FIELD_DRAWS)
    normal[draw] = 1
    moved = np.abs(leads.lead_field(normal, 1.0) - leads.DOWER) > 1e-12
    want = np.zeros((8, 3), bool)
    want[np.ix_(list(rows), list(columns))] = True
    assert_equal("moved entries", moved, want)


def test_lead_field_row_shift_moves_chest_leads_towards_their_neighbours():
    normal = np.zeros(leads.LEAD_FIELD_DRAWS)
    normal[24] = 1
    moved = leads.lead_field(normal, .1) - leads.DOWER
    assert_close("V3", moved[4], .035 * (leads.DOWER[5] - leads.DOWER[3]) / 2, atol=1e-12)
    assert_equal("limb leads", moved[:2], np.zeros((2, 3)))


def test_lead_field_spread():
    rng = np.random.default_rng(1)
    fields = np.array([leads.lead_field(rng.standard_normal(28), 1.0) for _ in range(2000)])
    assert_close("mean", fields.mean(0), leads.DOWER, atol=.06)
    assert fields.std(0).min() > .06 and fields.std(0).max() < .5


@pytest.fixture(scope="module")
def noises():
    return np.array([leads.electrode_noise(np.random.default_rng(seed)) for seed in range(60)])


def test_electrode_noise_shape_level_and_determinism(noises):
    assert_shape("noise", noises, (60, 8, leads.SAMPLES))
    assert_equal("dtype", noises.dtype, np.float32)
    assert_equal("again", leads.electrode_noise(np.random.default_rng(3)), noises[3])
    assert_close("mean", noises.mean(2), np.zeros((60, 8)), atol=1e-3)
    spectrum = np.abs(np.fft.rfft(noises.astype(np.float64))) ** 2 * 2 / leads.SAMPLES ** 2
    frequency = leads.FREQUENCIES
    slow = np.sqrt(np.median(spectrum[:, :, (frequency > 0) & (frequency < 1)].sum(2)))
    fast = np.sqrt(np.median(spectrum[:, :, (frequency > 1) & (frequency != 50)].sum(2)))
    assert .03 < slow < .13, f"wander {slow} mV"  # one electrode .045, a difference of two more
    assert .005 < fast < .015, f"muscle {fast} mV"
    neighbours = spectrum[:, :, np.abs(np.abs(frequency - 50) - 1) < .6].mean(2)
    assert np.median(spectrum[:, :, frequency == 50][..., 0] / neighbours) > 10  # hum
    high = spectrum[:, :, frequency > 200].mean() / spectrum[:, :, (frequency > 20)
                                                             & (frequency < 40)].mean()
    assert high < .2, f"low-pass: {high}"


def test_electrode_noise_shares_the_limb_electrodes(noises):
    """I and II share RA; chest leads share the central terminal; nothing else."""
    fast = np.diff(noises.astype(np.float64))
    r = np.mean([np.corrcoef(x) for x in fast], axis=0)
    assert .3 < r[0, 1] < .7, f"I and II: {r[0, 1]}"
    assert .1 < r[2, 3] < .45, f"V1 and V2: {r[2, 3]}"


def test_electrodes_make_leads():
    volt = dict(zip(leads.ELECTRODES, np.random.default_rng(2).standard_normal(9), strict=True))
    terminal = (volt["RA"] + volt["LA"] + volt["LL"]) / 3
    want = [volt["LA"] - volt["RA"], volt["LL"] - volt["RA"]]
    want += [volt[f"C{k}"] - terminal for k in range(1, 7)]
    got = leads._FROM_ELECTRODES @ np.array(list(volt.values()))
    assert_close("leads", got, want, atol=1e-6)


def test_electrode_noise_advances_the_generator_equally():
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    leads.electrode_noise(first)
    leads.electrode_noise(second)
    assert first.bit_generator.state == second.bit_generator.state


@pytest.fixture
def electrodes(monkeypatch):
    """What `electrode_noise` transforms, and a known signal of the nine electrodes for it."""
    spectra, signal = [], np.random.default_rng(1).standard_normal((9, 5000)).astype(np.float32)

    def transform(spectrum, samples, axis):
        assert (samples, axis) == (5000, 1)
        spectra.append(spectrum.copy())
        return signal

    monkeypatch.setattr(np.fft, "irfft", transform)
    return spectra, signal


def test_electrode_noise_is_seen_by_the_leads_as_their_electrodes(electrodes):
    _, signal = electrodes
    got = leads.electrode_noise(np.random.default_rng(0))
    want = np.stack([leads.from_electrodes(k) for k in range(9)], axis=1).astype(float) @ signal
    assert_close("leads", got, want, atol=1e-5)


def test_electrode_noise_spectrum_adds_muscle_and_wander(electrodes):
    """E |X|^2 = 2 (E l^2 (M^2 + W^2) + 2 (E l)^2 M W) for levels l = exp(N(0, .35^2 + .30^2))."""
    spectra, _ = electrodes
    for seed in range(300):
        leads.electrode_noise(np.random.default_rng(seed))
    f = leads.FREQUENCIES
    low, variance = np.maximum(f, .05), .35**2 + .30**2
    muscle = (1 + 8 / low) / (1 + (low / 150) ** 6) * (f > 0)
    wander = low**-2.2 / (1 + (low / .8) ** 4) * (f > 0)
    muscle, wander = (rms * 5000 * np.sqrt(power / (4 * power.sum()))
                      for power, rms in ((muscle, .0055), (wander, .045)))
    want = 2 * (np.exp(2 * variance) * (muscle**2 + wander**2)
                + 2 * np.exp(variance) * muscle * wander)
    got = np.mean(np.abs(np.array(spectra)) ** 2, axis=(0, 1))
    for first, last in ((.1, .4), (.6, 2.0), (2.0, 8.0), (60.0, 140.0)):
        band = (f >= first) & (f <= last)
        assert_close(f"{first} to {last} Hz", got[band].sum() / want[band].sum(), 1.0, atol=.15)
    crossing = (muscle < 2 * wander) & (wander < 2 * muscle)
    assert_close("where both count", got[crossing].sum() / want[crossing].sum(), 1.0, atol=.15)
    assert crossing.sum() >= 3
