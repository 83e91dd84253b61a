"""Normal numbers from a table of quantiles: `data_synth.streams.places` and `quantiles`."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from data_synth.streams import places, quantiles


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
