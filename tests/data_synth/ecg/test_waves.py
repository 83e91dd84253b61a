"""Kernels of QRS, T and P, rotations, and their placement against a loop over samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_synth.ecg import waves
from data_synth.ecg.leads import DOWER
from tests.support.helpers import assert_close, assert_equal, assert_shape
from tests.support.strategies import seeds

UNIT = waves.Parts(1.0, 1.0, 1.0)


def trace(kernels, times=(.5,), field=DOWER):
    """The record of beats at the given times, [8, 5000]."""
    record = waves.canvas()
    amplitude = np.broadcast_to(field @ kernels.vector, (len(times), 8, len(kernels.width)))
    waves.place(record, kernels, amplitude, np.array(times))
    return waves.cut(record)


@settings(max_examples=25)
@given(seed=seeds(), beats=st.integers(1, 3), kernels=st.integers(1, 4), own=st.booleans())
def test_place(seed, beats, kernels, own):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-.1, .4, (beats, kernels) if own else kernels)
    width = rng.uniform(.005, .05, kernels)
    amplitude, times = rng.standard_normal((beats, 8, kernels)), rng.uniform(.5, 1.5, beats)
    record = waves.canvas()
    waves.place(record, waves.Kernels(centre, width, np.zeros((3, kernels))), amplitude, times)
    got = waves.cut(record)
    for sample in rng.integers(0, 1200, 12):
        want = 0.0
        for b in range(beats):
            for k in range(kernels):
                middle = times[b] + (centre[b, k] if own else centre[k])
                z = (sample / 500 - middle) / width[k]
                want += amplitude[b, 3, k] * math.exp(-z * z / 2)
        assert_close(f"sample {sample}", got[3, sample], want, atol=2e-3 * beats * kernels)


@pytest.mark.parametrize("time", [-1.5, -.4, 0.0, 9.99, 10.6, 13.0])
def test_place_at_the_borders(time):
    kernels = waves.Kernels(np.zeros(1), np.array([.03]), np.ones((3, 1)))
    got = trace(kernels, (time,))
    want = np.exp(-.5 * ((np.arange(5000) / 500 - time) / .03) ** 2)
    assert_close("border", got, np.outer(DOWER.sum(1), want), atol=1e-3)


def test_place_nothing():
    record = waves.canvas()
    waves.place(record, waves.qrs_kernels(.09, UNIT), np.zeros((0, 8, 11)), np.zeros(0))
    assert_shape("canvas", record, (8, 6000))
    assert not record.any()


@given(frontal=st.floats(-180, 180), horizontal=st.floats(-90, 90))
def test_rotation(frontal, horizontal):
    turn = waves.rotation(frontal, horizontal)
    assert_close("orthogonal", turn @ turn.T, np.eye(3), atol=1e-12)
    assert_close("proper", np.linalg.det(turn), 1.0, atol=1e-12)


def test_rotation_directions():
    left, foot, back = np.eye(3)
    assert_close("frontal 90", waves.rotation(90, 0) @ left, foot, atol=1e-12)
    assert_close("horizontal 90", waves.rotation(0, 90) @ left, back, atol=1e-12)
    assert_close("order", waves.rotation(90, 90) @ left, foot, atol=1e-12)


def duration(record):
    """s, for which the summed leads change faster than a tenth of their fastest."""
    speed = np.abs(np.diff(record)).sum(0)
    fast = np.flatnonzero(speed > .1 * speed.max())
    return (fast[-1] - fast[0]) / 500


@pytest.mark.parametrize("wanted", [.075, .090, .110, .140])
def test_qrs_kernels_last_as_long_as_wanted(wanted):
    assert_close("normal", duration(trace(waves.qrs_kernels(wanted, UNIT))), wanted, rtol=.13)
    assert_close("left block", duration(trace(waves.left_block_kernels(wanted, 1.))), wanted,
                 rtol=.13)


def test_qrs_kernels_of_an_average_heart():
    """R in I, II, V5, V6; rS in V1 with a septal r; q in V6; transition at V3 or V4."""
    leads = dict(zip(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"),
                     .8 * trace(waves.qrs_kernels(.09, UNIT)), strict=True))
    for name in ("I", "II", "V5", "V6"):
        assert leads[name].max() > 2 * -leads[name].min(), name
    for name in ("V1", "V2"):
        assert -leads[name].min() > leads[name].max() > .1, name
        assert np.argmax(leads[name]) < np.argmin(leads[name]), f"{name}: r before S"
    assert leads["V6"][:250].min() < -.02
    assert .4 < -leads["V1"].min() < 1.2 and .7 < leads["V5"].max() < 1.8  # mV


def test_qrs_kernels_parts():
    base = waves.qrs_kernels(.09, UNIT).vector
    for part, columns in (("wall", [1, 2, 3, 5, 6, 9]), ("septum", [0, 8]), ("base", [4, 7, 10])):
        changed = waves.qrs_kernels(.09, UNIT._replace(**{part: 2.0})).vector
        want = base.copy()
        want[:, columns] *= 2
        assert_close(part, changed, want, atol=1e-12)


def test_left_block_kernels():
    """QS in V1, broad notched R without q in V6 and I."""
    leads = trace(waves.left_block_kernels(.14, 1.0))
    assert leads[2].max() < .05 and leads[2].min() < -.5
    for lead in (0, 7):
        assert leads[lead].min() > -.05
        slope = np.sign(np.diff(leads[lead][np.abs(leads[lead]) > .05]))
        assert np.count_nonzero(np.diff(slope[slope != 0]) < 0) >= 2, "notch: two peaks"


def test_t_kernels_peak_where_wanted():
    for t_peak in (.24, .33, .40):
        leads = trace(waves.t_kernels(np.array([t_peak])))
        for lead in (1, 4, 6):
            assert_close("T peak", np.argmax(leads[lead]) / 500 - .5, t_peak, atol=.03)
    assert leads[1].max() > .15 and leads[4].max() < 1.0
    assert_shape("centres", waves.t_kernels(np.array([.3, .31])).centre, (2, 8))


def test_p_kernels():
    kernels = waves.p_kernels(-.2, .11, 1.0, 1.0)
    leads = trace(kernels)
    assert .06 < leads[1].max() < .2 and leads[2].max() > .02  # II, V1
    assert_close("begin", kernels.centre[0] - 2 * kernels.width[0], -.2, atol=.005)
    assert_close("end", kernels.centre[1] + 2 * kernels.width[1], -.09, atol=.005)
    terminal = trace(waves.p_kernels(-.2, .11, 1.0, 2.0))
    assert terminal[2].min() < leads[2].min() - .02, "terminal force in V1"
    assert_close("height", trace(waves.p_kernels(-.2, .11, 2., 1.)), 2 * leads, atol=1e-5)


def test_join():
    a, b = waves.qrs_kernels(.09, UNIT), waves.p_kernels(-.2, .1, 1., 1.)
    assert_close("sum", trace(waves.join(a, b)), trace(a) + trace(b), atol=1e-3)
    assert_equal("count", len(waves.join(a, b).width), 13)
