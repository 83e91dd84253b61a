"""Swapped cables, misplaced chest electrodes, loose electrodes: against electrode potentials."""

from __future__ import annotations

import numpy as np
import pytest

from data_synth.ecg import electrodes, leads
from tests.support.helpers import assert_close, assert_equal, assert_shape

COUNT = 20_000
NONE = electrodes.Faults(0, 0, 0.0, 0, 0, 300, 3.0, np.zeros(600, np.float32))


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    return [electrodes.draw(rng) for _ in range(COUNT)]


def test_draw_prevalence(drawn):
    for name, got, want in (
            *((f"cables {k}", [f.cables == k for f in drawn], p)
              for k, p in ((1, .006), (2, .003), (3, .001))),
            ("swapped neighbours", [1 <= f.chest <= 5 for f in drawn], .007),
            ("too high", [f.chest == 6 for f in drawn], .010),
            ("burst", [f.burst > 0 for f in drawn], .03)):
        assert_close(name, np.mean(got), want, atol=4 * np.sqrt(want / COUNT))
    assert {f.chest for f in drawn} == set(range(7))
    sizes = np.array([f.burst for f in drawn if f.burst])
    assert sizes.min() >= .25 and sizes.min() < .35 and .9 < sizes.max() <= 1
    assert all(f.start >= 0 and f.start + f.length <= 5000 and 240 <= f.length <= 600
               and 2 <= f.frequency <= 6 for f in drawn)
    assert {f.electrode for f in drawn} == set(range(9))


def test_draw_advances_the_generator_equally():
    states = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        before = np.random.default_rng(seed)
        electrodes.draw(rng)
        before.random(9)
        before.standard_normal(600, dtype=np.float32)
        states.append((rng.random(), before.random()))
    assert all(a == b for a, b in states)


@pytest.mark.parametrize("cables, swap", [(0, ()), (1, ("LA", "RA")), (2, ("LA", "LL")),
                                          (3, ("RA", "LL"))])
def test_spoil_swaps_cables_as_potentials_do(cables, swap):
    rng = np.random.default_rng(1)
    volt = {name: rng.standard_normal(leads.SAMPLES) for name in leads.ELECTRODES}

    def record(v):
        terminal = (v["RA"] + v["LA"] + v["LL"]) / 3
        return np.array([v["LA"] - v["RA"], v["LL"] - v["RA"]]
                        + [v[f"C{k}"] - terminal for k in range(1, 7)])

    wrong = dict(volt)
    if swap:
        wrong[swap[0]], wrong[swap[1]] = volt[swap[1]], volt[swap[0]]
    got = electrodes.spoil(record(volt), NONE._replace(cables=cables))
    assert_close("leads", got, record(wrong), atol=1e-6)


def test_misplace():
    assert_equal("nothing", electrodes.misplace(leads.DOWER, NONE), leads.DOWER)
    for k in range(1, 6):
        want = leads.DOWER.copy()
        row = leads.EIGHT.index(f"V{k}")
        want[row], want[row + 1] = leads.DOWER[row + 1], leads.DOWER[row]
        assert_equal(f"V{k}", electrodes.misplace(leads.DOWER, NONE._replace(chest=k)), want)
    moved = electrodes.misplace(leads.DOWER, NONE._replace(chest=6)) - leads.DOWER
    want = np.zeros((8, 3))
    want[2:4, 1] = -.35
    assert_close("too high", moved, want, atol=1e-12)


def test_burst_and_where_it_is_seen():
    muscle = np.random.default_rng(2).standard_normal(600).astype(np.float32)
    fault = NONE._replace(burst=.8, electrode=leads.ELECTRODES.index("C3"), start=1000, length=400,
                          frequency=3.0, muscle=muscle)
    shape = electrodes.burst(fault)
    assert_shape("burst", shape, (400,))
    assert_close("mean", shape.mean(), 0.0, atol=1e-6)
    assert .5 < np.abs(shape).max() < 1.1 and np.abs(shape[:8]).max() < .02
    plain = np.zeros(400)
    for k in range(400):
        window = .5 - .5 * np.cos(2 * np.pi * k / 400)
        plain[k] = .8 * window * (np.sin(2 * np.pi * 3 * k / 500) + .04 * muscle[k])
    assert_close("burst", np.diff(shape, 2), np.diff(plain, 2), atol=2e-3)
    got = electrodes.spoil(np.zeros((8, 5000), np.float32), fault)
    want = np.zeros((8, 5000))
    want[leads.EIGHT.index("V3"), 1000:1400] = shape
    assert_close("V3 alone", got, want, atol=1e-6)
    everywhere = electrodes.spoil(np.zeros((8, 5000), np.float32), fault._replace(electrode=0))
    assert_close("RA", everywhere[:, 1200] / shape[200], [-1, -1] + 6 * [-1 / 3], atol=1e-4)
