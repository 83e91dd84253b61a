"""Which random numbers a view takes: strict rates, one set of phases a record, none in vain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference import augmentation as aug
from reference.transformer import Block
from reference.views import CMRView, ECGView
from tests.support.helpers import assert_close, assert_equal

EVERYTHING = {"surrogate": 0.3, "surrogate_rate": 0.5, "jitter": 0.2, "rescale": 0.3,
              "time_flip": 0.5, "sign_flip": 0.5}


def ecg(*shape: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).standard_normal(shape))


def constant_noise(uniform: float, normal: float, B: int, V: int, length: int) -> aug.ECGNoise:
    """Every uniform number and every normal number the same."""
    u = torch.full((B,), uniform)
    return aug.ECGNoise(u, u, torch.full((B, (length - 1) // 2), uniform), u,
                        torch.full((B, V, length), normal), torch.full((B,), normal), u, u)


def test_a_uniform_number_equal_to_the_rate_does_not_apply():
    x, at = ecg(2, 3, 20), constant_noise(0.5, 0.0, 2, 3, 20)  # normal 0 changes nothing
    view = ECGView(**EVERYTHING, rate=1.0)
    assert_equal("each step", aug.ecg_view_from(x, at, view, 20), x)
    moving, half = constant_noise(0.5, 1.0, 2, 3, 20), ECGView(jitter=0.2, rate=0.5)
    assert_equal("the whole view", aug.ecg_view_from(x, moving, half, 20), x)
    below = constant_noise(0.25, 0.0, 2, 3, 20)  # both flips, after the surrogate
    shifted = aug.fourier_surrogate(x, 0.3, below.phase)
    got = aug.ecg_view_from(x, below, view, 20)
    assert_close("applied", got, -shifted.flip(-1), atol=1e-12)


def test_an_image_at_the_rate_stays_plain():
    image = ecg(2, 3, 12, 12).sigmoid()
    noise = aug.ImageNoise(*torch.full((11, 2), 0.5))
    view = CMRView(rate=0.5, scale=(0.3, 0.4))
    assert_equal("at the rate", aug.cmr_view(image, noise, view, 8), aug.resize(image, 8))
    below = aug.cmr_view(image, noise._replace(apply=torch.tensor([0.4, 0.6])), view, 8)
    assert not torch.equal(below[0], aug.resize(image, 8)[0])
    assert_equal("above", below[1], aug.resize(image, 8)[1])


@pytest.mark.parametrize("length", [20, 21])
def test_every_record_gets_its_own_phases(length):
    x = ecg(1, 2, length).expand(4, 2, length)
    view = ECGView(surrogate=1.0, surrogate_rate=1.0, jitter=0.0, rescale=0.0, rate=1.0)
    y = aug.ecg_view(x, view, length, torch.Generator().manual_seed(0))
    again = torch.Generator().manual_seed(0)
    torch.rand(4, generator=again), torch.rand(4, generator=again)  # starts, rate
    phases = torch.rand(4, (length - 1) // 2, generator=again)
    assert_close("view", y, aug.fourier_surrogate(x, 1.0, phases), atol=1e-12)
    assert (y[0] - y[1]).abs().max() > 0.1


def test_a_step_that_is_off_draws_nothing():
    generator, again = (torch.Generator().manual_seed(4) for _ in range(2))
    aug.ecg_view(ecg(3, 2, 30), ECGView(jitter=0, rescale=0, surrogate=0, rate=0.5), 20, generator)
    torch.rand(3, generator=again), torch.rand(3, generator=again)  # starts, rate
    assert_equal("next", torch.rand(5, generator=generator), torch.rand(5, generator=again))


def test_the_surrogate_names_both_numbers():
    for samples, needed in ((9, 4), (8, 3)):
        with pytest.raises(ValueError, match=f"end in {needed} for {samples} samples, got 5$"):
            aug.fourier_surrogate(ecg(2, 3, samples), 0.1, torch.zeros(2, 7, 5))


def test_stochastic_depth_is_strict(monkeypatch):
    branch, block = ecg(3, 2, 4), Block(4, 2, drop_path=0.5).train()
    monkeypatch.setattr(torch, "rand", lambda *shape, device: torch.full(shape, 0.5))
    assert_equal("at the rate", block.skip(branch), torch.zeros_like(branch))
    block.drop_path = 0.25
    assert_close("kept", block.skip(branch), branch / 0.75, rtol=1e-12)


def test_stochastic_depth_of_rate_zero_draws_nothing():
    block, branch = Block(4, 2).train(), ecg(3, 2, 4)
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    assert_equal("branch", block.skip(branch), branch)
    assert_equal("next", torch.rand(3), want)
