"""The contrastive losses at their limits: gradients, dtypes, extreme logits, zeros, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reference import contrastive_loss as cl
from tests.reference.test_contrastive_loss import PAIR_LOSSES, normal, tensors
from tests.support.helpers import assert_close, assert_equal

# ---- gradients, dtypes, extremes ----

@pytest.mark.parametrize("name", PAIR_LOSSES)
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_gradcheck(name, temperature):
    a, b = tensors(normal(1, 4, 3), normal(2, 4, 3), gradient=True)
    assert torch.autograd.gradcheck(lambda x, y: PAIR_LOSSES[name](x, y, temperature), (a, b))


def test_gradcheck_barlow_and_byol():
    a, b = tensors(normal(1, 4, 3), normal(2, 4, 3), gradient=True)
    c, d = tensors(normal(3, 4, 3), normal(4, 4, 3))
    assert torch.autograd.gradcheck(cl.barlow_twins_loss, (a, b))
    assert torch.autograd.gradcheck(lambda x, y: cl.byol_loss(x, c, y, d), (a, b))


@pytest.mark.parametrize("name", PAIR_LOSSES)
@pytest.mark.parametrize("temperature", [1e-4, 0.01])  # logits up to 1e4
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_extreme_logits_are_finite(name, temperature, sign):
    a = torch.eye(4, 6).mul(3).requires_grad_()
    loss = PAIR_LOSSES[name](a, sign * a.detach(), temperature)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(a.grad).all()
    if name == "clip":  # every subject at its partner's pole: 0, or one unit of 1 / T
        want = 0.0 if sign > 0 else 1 / temperature + math.log(3 + math.exp(-1 / temperature))
        assert_close("clip", loss, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [*PAIR_LOSSES, "barlow", "byol"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_zero_embeddings_are_finite(name, dtype):
    functions = {**PAIR_LOSSES, "barlow": cl.barlow_twins_loss,
                 "byol": lambda a, b: cl.byol_loss(a, b, b, a)}
    a, b = (torch.tensor(normal(s, 4, 3)).to(dtype) for s in (1, 2))
    a[1], b[2] = 0, 0
    for x, y in ((a, b), (torch.zeros_like(a), torch.zeros_like(b))):
        x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
        loss = functions[name](x, y)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(x.grad).all()
        assert y.grad is None or torch.isfinite(y.grad).all()


def test_unit_rows():
    z = torch.tensor([[3.0, -4.0], [0.0, 0.0], [3e-13, 4e-13], [3e-11, 4e-11]],
                     dtype=torch.float64, requires_grad=True)
    got = cl.unit_rows(z)
    assert_close("unit", got, [[0.6, -0.8], [0, 0], [0.3, 0.4], [0.6, 0.8]], atol=1e-12)
    got[:, 0].sum().backward()
    assert_equal("short rows' gradient", z.grad[1:3], np.zeros((2, 2)))
    assert_close("gradient", z.grad[0], [0.64 / 5, 0.48 / 5], rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    a, b = (torch.tensor(normal(s, 8, 16)).to(dtype) for s in (1, 2))
    for name, function in {**PAIR_LOSSES, "barlow": cl.barlow_twins_loss}.items():
        got = function(a, b)
        assert got.dtype == torch.float32
        assert_equal(name, got, function(a.float(), b.float()))


def test_autocast_does_not_round_the_cosines():
    a, b = (torch.tensor(normal(s, 8, 16), dtype=torch.float32) for s in (1, 2))
    for name, function in {**PAIR_LOSSES, "barlow": cl.barlow_twins_loss}.items():
        want = function(a, b)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert_equal(name, function(a, b), want)
    mixed = cl.clip_loss(a, b.double())
    assert mixed.dtype == torch.float64


@pytest.mark.parametrize("function", [cl.clip_loss, cl.nt_xent_loss])
def test_one_subject_has_loss_and_gradient_zero(function):
    z = torch.tensor([[1.0, 2.0]], requires_grad=True)
    loss = function(z, torch.tensor([[3.0, -1.0]]))
    loss.backward()
    assert_equal("loss", loss, 0.0)
    assert_equal("gradient", z.grad, np.zeros((1, 2)))


def test_unit_rows_of_more_dimensions_and_at_the_threshold():
    z = torch.tensor(normal(1, 2, 3, 4))
    z[1, 2] = 0
    z.requires_grad_()
    got = cl.unit_rows(z)
    assert_close("lengths", got.norm(dim=2), [[1, 1, 1], [1, 1, 0]], rtol=1e-12)
    got.sum().backward()
    assert_equal("rows with a gradient", z.grad.abs().sum(dim=2) > 0, [[1, 1, 1], [1, 1, 0]])
    at = torch.tensor([[1e-12, 0.0]], dtype=torch.float64, requires_grad=True)
    cl.unit_rows(at)[0, 1].backward()  # exactly 1e-12 is no direction yet
    assert_equal("gradient at 1e-12", at.grad, np.zeros((1, 2)))


def test_partner_ranks_tie_up_to_sixteen_units():
    unit = torch.finfo(torch.float64).eps
    cosines = torch.tensor([[0.0, 16 * unit], [17 * unit, 0.0]], dtype=torch.float64)
    above, level = cl.partner_ranks(cosines)
    assert_equal("above", above, [0, 1])
    assert_equal("level", level, [2, 1])


def test_cosine_logits_are_cosines_by_default():
    a, b = (torch.tensor(v, dtype=torch.float64) for v in ([[3, 4]], [[5, 0], [0, -2]]))
    assert_close("cosines", cl.cosine_logits(a, b), [[0.6, -0.8]], rtol=1e-12)


# ---- refusals ----

def test_bad_embeddings_are_refused():
    good = torch.zeros(4, 3)
    bad = [(torch.zeros(4, 2), ValueError, r"\(4, 2\)"),
           (torch.zeros(5, 3), ValueError, r"\(5, 3\)"),
           (torch.zeros(4), ValueError, r"\(4,\)"), (good.long(), TypeError, "int64"),
           (np.zeros((4, 3)), TypeError, "float64")]
    functions = [*PAIR_LOSSES.values(), cl.barlow_twins_loss, cl.in_batch_accuracy,
                 lambda a, b: cl.byol_loss(a, b, a, a)]
    for function in functions:
        for z, error, message in bad:
            with pytest.raises(error, match=message):
                function(good, z)
    for place in range(4):
        four = [good] * 4
        four[place] = good.long()
        name = ("p0", "t1", "p1", "t0")[place]
        with pytest.raises(TypeError, match=f"{name} is torch.int64; a floating torch tensor is"):
            cl.byol_loss(*four)
    with pytest.raises(TypeError, match="z_cmr is list; a floating torch tensor is needed"):
        cl.clip_loss([[1.0]], good)
    for shape in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="B, D >= 1"):
            cl.clip_loss(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("temperature", [0.0, -0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_bad_temperature_is_refused(name, temperature):
    with pytest.raises(ValueError, match=f"temperature={temperature}"):
        PAIR_LOSSES[name](torch.ones(2, 2), torch.ones(2, 2), temperature)


def test_bad_numbers_are_refused():
    z = torch.ones(2, 2)
    for weight in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"weight={weight}"):
            cl.clip_loss(z, z, 0.1, weight)
    for weight in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"weight={weight}"):
            cl.barlow_twins_loss(z, z, weight)
    with pytest.raises(ValueError, match="1 subject"):
        cl.barlow_twins_loss(z[:1], z[:1])
    for function in (cl.soft_positive_loss, cl.false_negative_removal_loss):
        with pytest.raises(ValueError, match=r"similarity is \(2, 3\); \(2, 2\)"):
            function(z, z, torch.ones(2, 3), 0.5)
        with pytest.raises(ValueError, match="threshold=nan"):
            function(z, z, torch.ones(2, 2), math.nan)
    with pytest.raises(ValueError, match="k=0"):
        cl.in_batch_accuracy(z, z, 0)
