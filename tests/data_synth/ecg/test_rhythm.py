"""Beats of sinus rhythm, ectopy and fibrillation; f waves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_synth.ecg import rhythm
from tests.support.helpers import assert_close, assert_equal, assert_shape
from tests.support.strategies import seeds


def drawn(seed: int, ectopy: float = .9) -> rhythm.Draws:
    draws = rhythm.draw(np.random.default_rng(seed))
    return draws._replace(ectopy=np.array([ectopy, *draws.ectopy[1:]]))


@given(seed=seeds(), rate=st.floats(36, 125), fibrillation=st.booleans())
def test_beats_cover_the_record(seed, rate, fibrillation):
    beats = rhythm.beats(rhythm.draw(np.random.default_rng(seed)), rate, fibrillation, 0.0)
    count = len(beats.time)
    for name, column in beats._asdict().items():
        assert_shape(name, column, (count,))
    assert np.all(np.diff(beats.time) > .2)
    assert_close("rr", np.diff(beats.time), beats.rr[1:], atol=1e-9)
    assert beats.time[0] < 0
    assert beats.time[-1] + 1.2 * max(beats.rr.max(), 60 / rate) > rhythm.DURATION
    assert np.all(np.abs(beats.breath) <= 1)


@pytest.mark.parametrize("rate", [40, 62, 110])
def test_sinus_rate_and_variability(rate):
    means, spreads, quiet = [], [], []
    for seed in range(300):
        rr = rhythm.beats(drawn(seed), rate, False, 0.0).rr
        means.append(rr.mean())
        spreads.append(rr.std())
        first = rr[:6], rhythm.beats(drawn(seed), rate, False, 1.0).rr[:6]
        quiet.append(first[0].std() / first[1].std())
    assert_close("mean RR", np.mean(means), 60 / rate, rtol=.01)
    assert .015 < np.median(spreads) < .045, f"SDNN {np.median(spreads)} s"
    assert_close("diabetes", quiet, np.full(300, 1.35), rtol=1e-6)


def test_sinus_intervals():
    draws = drawn(9)
    got = rhythm.beats(draws, 50, False, .5).rr
    sdnn = (.015 + .030 * draws.levels[1]) / 1.175
    total = 0.0
    for k, rr in enumerate(got):
        total += draws.drift[k]
        slow = math.sin(2 * math.pi * (.1 * 1.2 * k + draws.phases[0]))
        fast = math.sin(2 * math.pi * ((.18 + .12 * draws.levels[0]) * 1.2 * k + draws.phases[1]))
        want = 1.2 + sdnn * (.9 * slow + .9 * fast + .35 * total / math.sqrt(k + 1))
        assert_close(f"RR {k}", rr, want, atol=1e-9)


def test_sinus_rhythm_breathes():
    """The rate follows breathing: RR at neighbouring beats is correlated, unlike fibrillation."""
    def neighbours(fibrillation):
        pairs = [rhythm.beats(drawn(seed), 64, fibrillation, 0.0).rr for seed in range(300)]
        return np.mean([np.corrcoef(rr[:-1], rr[1:])[0, 1] for rr in pairs])
    assert neighbours(False) > .15
    assert_close("fibrillation", neighbours(True), -1 / 12, atol=.09)  # bias of short records


def test_fibrillation_intervals_are_shifted_gamma():
    rr = np.concatenate([rhythm.beats(drawn(seed), 74, True, 0.0).rr for seed in range(400)])
    gamma = np.concatenate([drawn(seed).gamma for seed in range(400)])
    mean = 60 / 74
    assert rr.min() > .33
    spread = (mean - .33) / math.sqrt(5)
    full = .33 + gamma * (mean - .33) / 5
    assert_close("mean", full.mean(), mean, atol=4 * spread / math.sqrt(len(full)))
    assert np.all(np.isin(rr, full))
    assert .18 < rr.std() / rr.mean() < .30
    assert ((rr - rr.mean()) ** 3).mean() > 0  # skewed to the right


def test_ectopy():
    normal = rhythm.beats(drawn(2), 60, False, 0.0)
    assert_equal("no ectopy", normal.kind, np.zeros(len(normal.kind), int))
    kinds = []
    for seed in range(100):
        beats = rhythm.beats(drawn(seed, ectopy=.01), 60, False, 0.0)
        beat = int(np.flatnonzero(beats.kind)[0])
        assert 2 <= beat <= 7 and np.count_nonzero(beats.kind) == 1
        assert .5 < beats.rr[beat] < .78, f"early beat after {beats.rr[beat]} s"
        kinds.append(beats.kind[beat])
        if kinds[-1] == rhythm.VENTRICULAR:  # the pause makes up for the early beat
            assert_close("pause", beats.rr[beat] + beats.rr[beat + 1], 2.0, atol=.3)
    assert .4 < np.mean(np.array(kinds) == rhythm.VENTRICULAR) < .8
    count = sum(rhythm.beats(rhythm.draw(np.random.default_rng(s)), 60, False, 0.).kind.any()
                for s in range(2000))
    assert_close("share with ectopy", count / 2000, .04, atol=4 * math.sqrt(.04 * .96 / 2000))


def test_f_waves():
    draws = drawn(4)
    wave = rhythm.f_waves(draws)
    assert_shape("f waves", wave, (8, 5000))
    assert_equal("dtype", wave.dtype, np.float32)
    frequency = min(max(6.5 + .8 * draws.f_frequency, 4), 9)
    amplitude = .025 + .055 * draws.levels[2]
    want = np.zeros(0)
    for sample in range(0, 5000, 37):
        t = sample / 500
        phase = 2 * math.pi * (frequency * t + draws.phases[5]) + .3 * math.sin(
            2 * math.pi * ((.1 + .1 * draws.levels[3]) * t + draws.phases[4]))
        want = np.append(want, sum(amplitude / h * math.sin(h * phase) for h in (1, 2, 3, 4)))
    assert_close("V1", wave[2, ::37], want, atol=1e-6)
    assert_close("II", wave[1], .4 * wave[2], atol=1e-7)
    power = np.abs(np.fft.rfft(wave[2]))
    assert_close("dominant frequency", np.argmax(power) / 10, frequency, atol=.25)


def test_draw_is_fixed_in_length():
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    rhythm.draw(first)
    draws = rhythm.draw(second)
    rhythm.beats(draws, 120, True, 1.0)
    assert first.bit_generator.state == second.bit_generator.state
