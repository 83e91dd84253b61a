"""Where results live: device and dtype of the input decide, not the defaults of the session.

Every call is made twice, as it is and with "meta" as torch's default device: a tensor created
without the input's device would land there, where nothing has a value.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference import augmentation as aug
from reference import contrastive_loss as cl
from reference.baseline import asymmetric_least_squares
from reference.masking import random_mask, random_mask_explicit
from reference.transformer import Block, sincos_position_embedding
from reference.views import CMRView, ECGView
from tests.support.helpers import assert_equal

VIEW = ECGView(surrogate=0.1, surrogate_rate=0.5, jitter=0.2, rescale=0.3, rate=0.9)


def normal(*shape: int) -> torch.Tensor:
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return torch.tensor(values, device="cpu")


def generator() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(3)


CALLS = {
    "random_mask": lambda: random_mask(normal(2, 9), 0.5),
    "random_mask_explicit": lambda: random_mask_explicit(normal(2, 9), 0.5),
    "clip_loss": lambda: [cl.clip_loss(normal(5, 3), normal(5, 4)[:, :3])],
    "nt_xent_loss": lambda: [cl.nt_xent_loss(normal(5, 3), normal(5, 4)[:, :3])],
    "soft_positive_loss": lambda: [cl.soft_positive_loss(
        normal(5, 3), normal(5, 4)[:, :3], normal(5, 5), 0.5)],
    "false_negative_removal_loss": lambda: [cl.false_negative_removal_loss(
        normal(5, 3), normal(5, 4)[:, :3], normal(5, 5), 0.5)],
    "barlow_twins_loss": lambda: [cl.barlow_twins_loss(normal(5, 3), normal(5, 4)[:, :3])],
    "crop": lambda: [aug.crop(normal(2, 3, 9), torch.tensor([0, 4], device="cpu"), 5)],
    "ecg_view": lambda: [aug.ecg_view(normal(2, 3, 90), VIEW, 50, generator())],
    "cmr_view": lambda: [aug.cmr_view(normal(2, 3, 20, 20).sigmoid(),
                                      aug.image_noise(2, generator()), CMRView(), 12)],
    "baseline": lambda: [asymmetric_least_squares(normal(2, 3, 9), method="reduction")],
}


@pytest.mark.parametrize("name", CALLS)
def test_the_default_device_does_not_matter(name):
    want = CALLS[name]()
    with torch.device("meta"):
        got = CALLS[name]()
    for g, w in zip(got, want, strict=True):
        assert g.device.type == "cpu" and g.dtype == w.dtype
        assert_equal(name, g, w)


def test_stochastic_depth_draws_on_the_device_of_the_branch():
    block = Block(4, 2, drop_path=0.5).train()
    branch = normal(6, 3, 4)
    with torch.device("meta"):
        got = block.skip(branch)
    assert got.device.type == "cpu" and got.dtype == branch.dtype


def test_the_generator_may_be_on_another_device_than_the_record():
    uniform, gauss = aug._draws(generator(), torch.zeros(1, device="meta", dtype=torch.float64))
    assert uniform(2).device.type == gauss(2).device.type == "meta"
    assert gauss(2).dtype == torch.float64


@pytest.mark.parametrize("name", CALLS)
def test_the_default_dtype_does_not_matter(name):
    want = CALLS[name]()
    torch.set_default_dtype(torch.float16)
    try:
        got = CALLS[name]()
    finally:
        torch.set_default_dtype(torch.float32)
    for g, w in zip(got, want, strict=True):
        assert g.dtype == w.dtype
        assert_equal(name, g, w)


def test_a_default_wider_than_the_embeddings_does_not_widen_the_loss():
    z0, z1 = normal(5, 3).float(), normal(5, 4)[:, :3].float()
    want = cl.barlow_twins_loss(z0, z1)
    torch.set_default_dtype(torch.float64)
    try:
        got = cl.barlow_twins_loss(z0, z1)
    finally:
        torch.set_default_dtype(torch.float32)
    assert got.dtype == torch.float32
    assert_equal("loss", got, want)


def test_similarity_may_be_on_another_device_than_the_embeddings():
    positive = cl._positives(*[torch.zeros(3, 2, device="meta")] * 2, torch.eye(3), 0.5)
    assert positive.device.type == "meta" and positive.dtype == torch.bool


def test_embeddings_of_two_devices_are_refused():
    z = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="z_ecg is on meta; the others are on cpu"):
        cl.clip_loss(z, z.to("meta"))


@pytest.mark.parametrize("shape", [(9,), (2, 8), (2, 3, 9)])
def test_the_reduction_stays_on_the_device_of_the_signal(shape):
    for method in ("auto", "reduction"):
        got = asymmetric_least_squares(torch.zeros(shape, device="meta"), method=method)
        assert got.device.type == "meta" and tuple(got.shape) == shape
        assert got.dtype == torch.float64
    for method in ("rows", "chunks"):
        with pytest.raises(ValueError, match=f"'{method}' runs on the CPU, got a tensor on meta"):
            asymmetric_least_squares(torch.zeros(shape, device="meta"), method=method)


def test_the_position_table_is_float32_whatever_the_default():
    want = sincos_position_embedding(16, (3, 5))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        angles = sincos_position_embedding(16, (3, 5))
    finally:
        torch.set_default_dtype(before)
    assert_equal("table", angles.float(), want)
