"""Properties of the networks: any batch and order, tokens without places, dtype, device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reference.encoders import POOLINGS, CMREncoder, ECGEncoder, ProjectionHead
from reference.masked_modelling import MaskedAutoencoder
from reference.transformer import Attention, Block
from tests.support.helpers import assert_close
from tests.support.strategies import seeds

ECG, IMAGE = (1, 12, 40), (3, 32, 32)


def seeded(make) -> nn.Module:
    torch.manual_seed(0)
    return make().double().eval()


NETWORKS = {
    **{f"ecg {p}": (seeded(lambda p=p: ECGEncoder(ECG, (1, 8), 8, 2, 2, p)), ECG)
       for p in POOLINGS},
    "cmr": (seeded(lambda: CMREncoder("resnet10_narrow")), IMAGE),
    "projection": (seeded(lambda: ProjectionHead(6, 9, 4)), (6,)),
    "autoencoder": (seeded(lambda: MaskedAutoencoder(ECG, (1, 8), 8, 2, 2, 4, 1, 2)), ECG),
}


def result(name: str, x: torch.Tensor, model: nn.Module | None = None) -> torch.Tensor:
    """Output of a network; of the autoencoder the prediction, its masks following the records."""
    model = model or NETWORKS[name][0]
    if name != "autoencoder":
        return model(x)
    noise = x.flatten(1)[:, :60].sigmoid()  # any function of the record
    latent, mask = model.encode(x, noise, 0.5)
    return model.decode(latent, mask)


def batch(name: str, seed: int, count: int = 3) -> torch.Tensor:
    shape = NETWORKS[name][1]
    return torch.tensor(np.random.default_rng(seed).standard_normal((count, *shape)))


@pytest.mark.parametrize("name", NETWORKS)
@given(seed=seeds(), cut=st.integers(1, 2))
@settings(max_examples=4)
@torch.no_grad()
def test_records_come_out_alike_in_any_batch_and_order(name, seed, cut):
    x = batch(name, seed)
    want, order = result(name, x), torch.tensor(np.random.default_rng(seed).permutation(3))
    parts = torch.cat([result(name, x[:cut]), result(name, x[cut:])])
    assert_close("in parts", parts, want, rtol=1e-10, atol=1e-11)
    assert_close("permuted", result(name, x[order]), want[order], rtol=1e-10, atol=1e-11)
    assert (want[0] - want[1]).abs().max() > 1e-6  # the record matters


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_float32_agrees_with_float64(name):
    model, x = NETWORKS[name][0], batch(name, 1).float()
    want = result(name, x.double())
    try:
        got = result(name, x, model.float())
    finally:
        model.double()
    assert got.dtype == torch.float32
    assert_close(name, got, want, atol=1e-5 * float(want.abs().max()))


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_the_default_device_does_not_matter(name):
    x = batch(name, 2)
    want = result(name, x)
    with torch.device("meta"):  # a tensor made without the input's device has no values
        got = result(name, x)
    assert_close(name, got, want, atol=0.0)


@given(seeds())
@settings(max_examples=8)
@torch.no_grad()
def test_tokens_without_places_follow_their_permutation(seed):
    order = torch.tensor(np.random.default_rng(seed).permutation(7))
    z = torch.tensor(np.random.default_rng(seed).standard_normal((2, 7, 6)))
    for module in (seeded(lambda: Attention(6, 3)), seeded(lambda: Block(6, 2))):
        assert_close("tokens", module(z[:, order]), module(z)[:, order], atol=1e-12)
    weights = seeded(lambda: Attention(6, 3)).weights(z)
    assert_close("rows sum to 1", weights.sum(-1), np.ones((2, 3, 7)), atol=1e-12)
    assert (weights > 0).all()


@pytest.mark.parametrize("pooling", POOLINGS)
@torch.no_grad()
def test_position_is_all_that_tells_patches_apart(pooling):
    model = seeded(lambda: ECGEncoder(ECG, (1, 8), 8, 2, 2, pooling))
    x = torch.tensor(np.random.default_rng(0).standard_normal((2, *ECG)))
    leads = torch.arange(12).flip(0)
    assert (model(x[:, :, leads]) - model(x)).abs().max() > 1e-6
    model.pos_embed.zero_()
    assert_close("no positions", model(x[:, :, leads]), model(x), atol=1e-12)


@given(seeds(), st.floats(0.1, 10))
@settings(max_examples=8)
@torch.no_grad()
def test_a_head_without_biases_is_homogeneous(seed, gain):
    h = torch.tensor(np.random.default_rng(seed).standard_normal((5, 6)))
    head = seeded(lambda: ProjectionHead(6, 9, 4))
    for layer in (head[0], head[2]):
        layer.bias.zero_()
    assert_close("head", head(gain * h), gain * head(h), rtol=1e-11, atol=1e-12)
