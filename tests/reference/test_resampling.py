"""reference.resampling: sines, lines, the explicit sum, no aliases, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import resampling
from reference.resampling import resample
from tests.support.helpers import assert_close, assert_equal, assert_shape
from tests.support.strategies import seeds, sizes

RATES = (1000.0, 250.0, 360.0, 257.0, 128.5, 2000.0, 499.0)


@pytest.mark.parametrize("rate", RATES)
def test_resample_sines(rate):
    """Away from the ends, every frequency below 0.9 of the lower Nyquist frequency survives."""
    t = np.arange(int(10 * rate)) / rate
    n = np.arange(5000) / 500
    for share, phase in ((0.005, 0.0), (0.1, 0.3), (0.5, 1.0), (0.9, 2.0)):
        f = share * min(rate, 500) / 2
        got = resample(np.sin(2 * np.pi * f * t + phase)[None], rate)
        assert_shape("resampled", got, (1, 5000))
        want = np.sin(2 * np.pi * f * n + phase)
        assert_close("sine", got[0, 600:-600], want[600:-600], atol=1.2e-4, call=f"{f} Hz")


@pytest.mark.parametrize("f", [250.0, 251.0, 270.0, 333.0, 480.0])
def test_resample_removes_what_would_alias(f):
    t = np.arange(10_000) / 1000
    for phase in (0.0, np.pi / 2):
        got = resample(np.sin(2 * np.pi * f * t + phase), 1000)
        assert np.abs(got[400:-400]).max() < 1.2e-4


@pytest.mark.parametrize("rate", RATES)
def test_resample_lines_are_exact(rate):
    x = np.stack((np.full(700, 2.5), 0.01 * np.arange(700) - 1.0))
    got = resample(x, rate)
    count = int(700 * 500 // rate)
    assert_shape("resampled", got, (2, count))
    want = 0.01 * np.arange(count) * rate / 500 - 1.0
    assert_close("constant", got[0], np.full(count, 2.5), atol=1e-12)
    assert_close("line", got[1], want, atol=2e-4)


def resample_explicit(x: np.ndarray, rate: float, to: float, samples: range) -> list[float]:
    """Sample by sample, the sum over all inputs of the windowed sinc, ends left out."""
    narrow = min(1.0, to / rate)
    width = 64 / narrow
    cutoff = narrow * (1 - 0.0785 / 2)
    out = []
    for n in samples:
        total = weight = 0.0
        for k in range(len(x)):
            u = n * rate / to - k
            if abs(u) <= width:
                angle = np.pi * cutoff * u
                h = (np.sin(angle) / angle if angle else 1.0) \
                    * float(np.i0(7.86 * (1 - (u / width) ** 2) ** 0.5))
                total, weight = total + h * x[k], weight + h
        out.append(total / weight)
    return out


@pytest.mark.parametrize("rate, to", [(300.0, 500.0), (800.0, 500.0), (257.0, 250.0)])
def test_resample_is_the_sum(rate, to):
    x = np.random.default_rng(1).normal(0, 1, 300)
    got, edge = resample(x, rate, to), int(110 * to / rate)
    inner = range(edge, len(got) - edge)
    assert_close("resampled", got[inner], resample_explicit(x, rate, to, inner), atol=1e-9)


@settings(max_examples=25)
@given(seed=seeds(), T=st.integers(2, 300), lanes=sizes(1, 3), rate=st.sampled_from(RATES))
def test_resample_shapes_and_linearity(seed, T, lanes, rate):
    x = np.random.default_rng(seed).normal(0, 1, (2, lanes, T))
    got = resample(x, rate)
    assert_shape("resampled", got, (2, lanes, int(T * 500 // rate)))
    assert_close("scaled", resample(-3.0 * x, rate), -3.0 * got, atol=1e-9)
    assert_close("alone", resample(x[1, 0], rate), got[1, 0], atol=1e-12)
    assert resample(x.astype(np.float32), rate).dtype == np.float32


def test_resample_in_chunks(monkeypatch):
    x = np.random.default_rng(0).normal(0, 1, (2, 900))
    whole = resample(x, 360)
    monkeypatch.setattr(resampling, "OUTPUTS_AT_ONCE", 7)
    assert_close("chunks", resample(x, 360), whole, atol=1e-14)


def test_resample_same_rate_is_a_copy():
    x = np.random.default_rng(0).normal(0, 0.4, (12, 50)).astype(np.float32)
    got = resample(x, 500)
    assert_equal("copy", got, x)
    assert not np.shares_memory(got, x)


def test_resample_bridges_nan():
    t = np.arange(3000) / 1000
    x = np.stack((0.5 * t, np.sin(2 * np.pi * t), np.full(3000, np.nan)))
    y = x.copy()
    y[0, 100:140] = y[1, 1000:1004] = y[0, -5:] = np.nan
    got, want = resample(y, 1000), resample(x, 1000)
    assert_close("line", got[0, :1300], want[0, :1300], atol=1e-4)
    assert_close("sine", got[1], want[1], atol=1e-3)
    assert_equal("nothing", got[2], np.zeros(1500))
    assert np.isnan(y[0, 100])  # the input is left as it was


@pytest.mark.parametrize("x, rate, to, words", [
    (np.zeros((12, 1)), 1000, 500, r"T >= 2, got shape \(12, 1\)"),
    (np.zeros((12, 9)), 0, 500, r"rate must be in 50..20000 Hz, got 0"),
    (np.zeros((12, 9)), 500, float("nan"), r"to must be in 50..20000 Hz, got nan"),
    (np.zeros((12, 9)), 30_000, 500, "got 30000"),
])
def test_resample_refuses(x, rate, to, words):
    with pytest.raises(ValueError, match=words):
        resample(x, rate, to)
    with pytest.raises(TypeError, match="floating NumPy array, got int64"):
        resample(x.astype(np.int64), rate, to)
