"""Independent random streams, and normal numbers from a table of quantiles."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_synth import streams
from data_synth.streams import places, quantiles
from tests.support.helpers import assert_equal
from tests.support.strategies import seeds


class Counter:
    """A source of bits that count up, so that each place comes in turn."""

    def integers(self, low, high, size, dtype):
        assert (low, high, dtype) == (0, 2**64, np.uint64)
        return np.arange(4 * size, dtype=np.uint64).astype("<u2").view("<u8").astype(dtype)


def test_quantiles_are_those_of_the_normal_distribution():
    levels = quantiles()
    assert levels.shape == (2**16,) and levels.dtype == np.float32
    levels = levels.astype(float)
    assert np.all(np.diff(levels) > 0)
    np.testing.assert_allclose([levels.mean(), levels.std()], [0, 1], atol=1e-6)
    np.testing.assert_array_equal(levels, -levels[::-1])
    assert 4.3 < levels[-1] < 4.34
    for share in (.0001, .025, .3, .5, .9, .9999):
        want = NormalDist().inv_cdf((int(share * 2**16) + .5) / 2**16)
        np.testing.assert_allclose(levels[int(share * 2**16)], want, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 2**16 + 2])
def test_places_use_all_bits_in_order(count):
    got = places(Counter(), count)
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got, np.arange(count) % 2**16)


def test_drawn_numbers_are_normal_and_independent():
    drawn = quantiles()[places(np.random.default_rng(3), 264_600)].astype(float)
    se = 1 / np.sqrt(len(drawn))
    assert abs(drawn.mean()) < 4 * se and abs(drawn.std() - 1) < 4 * se * np.sqrt(.5)
    assert abs(np.mean(drawn**4) - 3) < 4 * se * np.sqrt(96)
    for lag in (1, 2, 3, 4, 5):  # four numbers come from one 64-bit number
        assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < 4.5 * se, lag


def test_places_advance_the_generator_by_whole_words():
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    np.testing.assert_array_equal(places(first, 5), places(second, 8)[:5])
    assert first.random() == second.random()


# ---- streams -------------------------------------------------------------------------------------

@given(seed=seeds(), subject=st.integers(0, 2**62))
def test_generator_streams_never_meet(seed, subject):
    drawn = {}
    for s, n in ((seed, subject), (seed + 1, subject), (seed, subject + 1), (seed, subject ^ 2**32),
                 (seed + 2**32, subject)):
        for stream in streams.STREAMS:
            drawn[s, n, stream] = streams.generator(s, n, stream).integers(2**63)
    assert len(set(drawn.values())) == len(drawn)
    again = streams.generator(seed, subject, "ecg").integers(2**63)
    assert again == drawn[seed, subject, "ecg"]


def test_generator_is_pinned():
    """The same numbers on every machine and in every version; a change needs a new VERSION."""
    want = np.random.Generator(np.random.PCG64(np.random.SeedSequence(7, spawn_key=(2, 11, 0))))
    assert_equal("ecg", streams.generator(7, 11, "ecg").random(4), want.random(4))
    assert streams.STREAMS == {"physiology": 0, "anatomy": 1, "ecg": 2, "cmr": 3,
                               "labels": 4}


def test_generator_refuses():
    with pytest.raises(ValueError, match=r"'noise'.*physiology, anatomy, ecg, cmr"):
        streams.generator(0, 0, "noise")
    with pytest.raises(ValueError, match="subject=-1"):
        streams.generator(0, -1, "ecg")
    with pytest.raises(TypeError, match=r"seed=0\.5"):
        streams.generator(.5, 0, "ecg")


def test_streams_of_neighbours_are_uncorrelated():
    table = np.array([streams.generator(0, subject, stream).standard_normal(2000)
                      for subject in range(4) for stream in streams.STREAMS])
    r = np.corrcoef(table) - np.eye(len(table))
    assert np.abs(r).max() < 5 / np.sqrt(2000)
