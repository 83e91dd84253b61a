"""The contrastive losses: parity with the authors, loops over scalars, closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reference import contrastive_loss as cl
from reference import retrieval
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    authors,
    larger_golden,
)
from tests.support.strategies import embedding_pairs, seeds

PORTABLE = ("B7_D5_w0.5_T0.1", "B16_D12_w0.75_T0.07")
LARGER = ("B8_D128_lam0.5_T0.1", "B256_D128_lam0.5_T0.1", "B32_D64_lam0.75_T0.07")
SHAPES = ((1, 3), (2, 2), (2, 5), (7, 5), (16, 12))  # B, D; odd ones among them
PAIR_LOSSES = {
    "clip": cl.clip_loss,
    "nt_xent": cl.nt_xent_loss,
    "soft_positive": lambda a, b, temperature=0.1: cl.soft_positive_loss(
        a, b, similarity_of(len(a)).to(a.device), 0.5, temperature),
    "false_negative_removal": lambda a, b, temperature=0.1: cl.false_negative_removal_loss(
        a, b, similarity_of(len(a)).to(a.device), 0.5, temperature),
}


def tensors(*arrays, gradient: bool = False):
    return [torch.tensor(a, requires_grad=gradient) for a in arrays]


def normal(seed: int, *shape: int, dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def similarity_of(batch: int) -> torch.Tensor:
    s = torch.tensor(np.random.default_rng(batch).random((batch, batch)))
    return ((s + s.T) / 2).fill_diagonal_(1.0)


def numbers(case: str) -> dict[str, float]:
    """"B7_D5_w0.5_T0.1" -> {"B": 7, "D": 5, "w": .5, "T": .1}."""
    fields = {part.rstrip("0123456789."): part for part in case.split("_")}
    return {name: float(part[len(name):]) for name, part in fields.items()}


# ---- the oracles: loops over scalars ----

def cosine(a, b) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    lengths = [math.sqrt(sum(float(x) ** 2 for x in row)) for row in (a, b)]
    return dot / (lengths[0] * lengths[1])


def log_sum_exp(values) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def clip_oracle(z_cmr, z_ecg, temperature, weight) -> float:
    batch, total = len(z_cmr), 0.0
    for i in range(batch):
        forward = [cosine(z_cmr[i], z_ecg[j]) / temperature for j in range(batch)]
        backward = [cosine(z_cmr[j], z_ecg[i]) / temperature for j in range(batch)]
        total += weight * (log_sum_exp(forward) - forward[i])
        total += (1 - weight) * (log_sum_exp(backward) - backward[i])
    return total / batch


def nt_xent_oracle(z0, z1, temperature) -> float:
    views, batch, total = [*z0, *z1], len(z0), 0.0
    for a in range(2 * batch):
        partner = a + batch if a < batch else a - batch
        others = [cosine(views[a], views[b]) / temperature for b in range(2 * batch) if b != a]
        total += log_sum_exp(others) - cosine(views[a], views[partner]) / temperature
    return total / (2 * batch)


def soft_positive_oracle(z_cmr, z_ecg, similarity, threshold, temperature) -> float:
    batch, total = len(z_cmr), 0.0
    for queries, targets in ((z_cmr, z_ecg), (z_ecg, z_cmr)):
        for i in range(batch):
            logits = [cosine(queries[i], targets[j]) / temperature for j in range(batch)]
            chosen = [j for j in range(batch) if j == i or similarity[i][j] > threshold]
            total += sum(log_sum_exp(logits) - logits[j] for j in chosen) / len(chosen)
    return total / (2 * batch)


def removal_oracle(z_cmr, z_ecg, similarity, threshold, temperature) -> float:
    batch, total = len(z_cmr), 0.0
    for queries, targets in ((z_cmr, z_ecg), (z_ecg, z_cmr)):
        for i in range(batch):
            own = cosine(queries[i], targets[i]) / temperature
            kept = [cosine(queries[i], targets[j]) / temperature for j in range(batch)
                    if j == i or not similarity[i][j] > threshold]
            total += log_sum_exp(kept) - own
    return total / (2 * batch)


def barlow_oracle(z0, z1, weight) -> float:
    batch, dim = z0.shape

    def standard(z, i, d):
        column = [z[n][d] for n in range(batch)]
        mean = sum(column) / batch
        variance = sum((v - mean) ** 2 for v in column) / batch
        return (z[i][d] - mean) / math.sqrt(variance + 1e-5)

    total = 0.0
    for d in range(dim):
        for e in range(dim):
            c = sum(standard(z0, i, d) * standard(z1, i, e) for i in range(batch)) / batch
            total += (1 - c) ** 2 if d == e else weight * c**2
    return total


def byol_oracle(p0, t1, p1, t0) -> float:
    pairs = [*zip(p0, t1, strict=True), *zip(p1, t0, strict=True)]
    return sum(2 - 2 * cosine(p, t) for p, t in pairs) / len(p0)


# ---- parity with the authors' code ----

@pytest.mark.parametrize("case", PORTABLE)
def test_clip_loss_portable(case):
    golden, n = authors("clip_loss"), numbers(case)
    shape = int(n["B"]), int(n["D"])
    cmr, ecg = tensors(normal(8, *shape, dtype=np.float32), normal(9, *shape, dtype=np.float32),
                       gradient=True)
    loss = cl.clip_loss(cmr, ecg, n["T"], n["w"])
    loss.backward()
    assert_parity(f"clip_loss {case}", loss, golden[f"{case}:loss"], 1e-6, "portable")
    for name, z in (("cmr", cmr), ("ecg", ecg)):
        want = golden[f"{case}:grad_{name}"]
        assert_parity(f"clip_loss {case} grad_{name}", z.grad, want, 1e-5, "portable")


@pytest.mark.parametrize("case", LARGER)
def test_clip_loss_larger(case):
    golden, n = larger_golden("clip_loss"), numbers(case)
    cmr, ecg = tensors(golden[f"{case}:cmr"], golden[f"{case}:ecg"], gradient=True)
    loss = cl.clip_loss(cmr, ecg, n["T"], n["lam"])
    loss.backward()
    logits = golden[f"{case}:logits"]
    got = cl.cosine_logits(cmr, ecg, n["T"])[: len(logits)]
    assert_parity(f"clip_loss {case}", loss, golden[f"{case}:loss"], 1e-6, "larger set")
    assert_parity(f"clip_loss {case} logits", got, logits, 1e-5, "larger set")
    for name, z in (("cmr", cmr), ("ecg", ecg)):
        want = golden[f"{case}:grad_{name}"]
        assert_parity(f"clip_loss {case} grad_{name}", z.grad, want, 1e-5, "larger set")


def test_nt_xent_loss_larger():
    golden = larger_golden("ntxent_loss")
    z0, z1 = tensors(golden["z0"], golden["z1"], gradient=True)
    loss = cl.nt_xent_loss(z0, z1, float(golden["temperature"]))
    loss.backward()
    assert_parity("nt_xent_loss", loss, golden["loss"], 1e-6, "larger set")
    assert_parity("nt_xent_loss grad0", z0.grad, golden["grad0"], 1e-5, "larger set")
    assert_parity("nt_xent_loss grad1", z1.grad, golden["grad1"], 1e-5, "larger set")


@pytest.mark.parametrize("function, key", [(cl.soft_positive_loss, "supcon"),
                                           (cl.false_negative_removal_loss, "remove_fn")])
def test_soft_positives_larger(function, key):
    golden = larger_golden("soft_positive_losses")
    z_cmr, z_ecg, similarity = tensors(golden["z_cmr"], golden["z_ecg"], golden["similarity"])
    got = function(z_cmr, z_ecg, similarity, float(golden["threshold"]),
                   float(golden["temperature"]))
    assert_parity(function.__name__, got, golden[key], 1e-6, "larger set")


def test_barlow_twins_loss_larger():
    golden = larger_golden("barlow_loss")
    got = cl.barlow_twins_loss(*tensors(golden["z1"], golden["z2"]), float(golden["lambda_coeff"]))
    assert_parity("barlow_twins_loss", got, golden["loss"], 1e-6, "larger set")


# ---- loops over scalars ----

@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_losses_equal_their_oracles(shape, dtype, rtol):
    a, b = normal(1, *shape, dtype=dtype), normal(2, *shape, dtype=dtype)
    s = similarity_of(shape[0])
    ta, tb = tensors(a, b)
    pairs = {
        "clip": (cl.clip_loss(ta, tb, 0.2, 0.3), clip_oracle(a, b, 0.2, 0.3)),
        "nt_xent": (cl.nt_xent_loss(ta, tb, 0.2), nt_xent_oracle(a, b, 0.2)),
        "soft": (cl.soft_positive_loss(ta, tb, s, 0.6, 0.2),
                 soft_positive_oracle(a, b, s, 0.6, 0.2)),
        "removal": (cl.false_negative_removal_loss(ta, tb, s, 0.6, 0.2),
                    removal_oracle(a, b, s, 0.6, 0.2)),
        "byol": (cl.byol_loss(ta, tb, tb * 2, ta + 1), byol_oracle(a, b, b * 2, a + 1)),
    }
    if shape[0] > 1:
        pairs["barlow"] = (cl.barlow_twins_loss(ta, tb, 0.02), barlow_oracle(a, b, 0.02))
    for name, (got, want) in pairs.items():
        assert got.dtype == ta.dtype, f"{name} came as {got.dtype}"
        assert_shape(name, got, ())
        assert_close(name, got, want, rtol=rtol, atol=rtol, call=f"{shape} {dtype.__name__}")


def test_documented_defaults():
    a, b = normal(3, 6, 4), normal(4, 6, 4)
    ta, tb = tensors(a, b)
    s = similarity_of(6)
    assert_close("clip", cl.clip_loss(ta, tb), clip_oracle(a, b, 0.1, 0.75), rtol=1e-12)
    assert_close("nt_xent", cl.nt_xent_loss(ta, tb), nt_xent_oracle(a, b, 0.1), rtol=1e-12)
    assert_close("barlow", cl.barlow_twins_loss(ta, tb), barlow_oracle(a, b, 5e-3), rtol=1e-12)
    assert_close("soft", cl.soft_positive_loss(ta, tb, s, 0.5),
                 soft_positive_oracle(a, b, s, 0.5, 0.1), rtol=1e-12)
    assert_close("removal", cl.false_negative_removal_loss(ta, tb, s, 0.5),
                 removal_oracle(a, b, s, 0.5, 0.1), rtol=1e-12)


def test_asymmetric_similarity_serves_both_directions_by_row():
    a, b = normal(5, 4, 3), normal(6, 4, 3)
    s = np.random.default_rng(7).random((4, 4))
    for function, oracle in ((cl.soft_positive_loss, soft_positive_oracle),
                             (cl.false_negative_removal_loss, removal_oracle)):
        got = function(*tensors(a, b, s), 0.5, 0.3)
        assert_close(function.__name__, got, oracle(a, b, s, 0.5, 0.3), rtol=1e-12)


# ---- closed forms and invariances ----

@pytest.mark.parametrize("batch", [1, 2, 9])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_parallel_embeddings_carry_nothing(batch, temperature):
    z = torch.ones(batch, 1, dtype=torch.float64) * torch.tensor([3.0, -4.0, 1.0])
    near = pytest.approx
    for weight in (0.0, 0.75, 1.0):
        assert cl.clip_loss(z, 2 * z, temperature, weight).item() == near(math.log(batch), abs=1e-9)
    assert cl.nt_xent_loss(z, z, temperature).item() == near(math.log(2 * batch - 1), abs=1e-9)
    nobody, everybody = torch.zeros(batch, batch), torch.ones(batch, batch)
    for s in (nobody, everybody):
        got = cl.soft_positive_loss(z, z, s, 0.5, temperature)
        assert got.item() == near(math.log(batch), abs=1e-9)
    got = cl.false_negative_removal_loss(z, z, everybody, 0.5, temperature)
    assert_equal("all negatives removed", got, 0.0)


def test_orthonormal_pairs():
    z = torch.eye(5, dtype=torch.float64)
    want = math.log(1 + 4 * math.exp(-1 / 0.25))
    assert cl.clip_loss(z, z, 0.25, 0.3).item() == pytest.approx(want, rel=1e-12)
    want = math.log(1 + 8 * math.exp(-1 / 0.25))
    assert cl.nt_xent_loss(z, z, 0.25).item() == pytest.approx(want, rel=1e-12)


@given(embedding_pairs(1), st.floats(0.05, 2), st.floats(0, 1))
@settings(max_examples=40)
def test_clip_loss_swap_exchanges_the_weights(pair, temperature, weight):
    a, b = tensors(*pair)
    swapped = cl.clip_loss(b, a, temperature, 1 - weight)
    want = cl.clip_loss(a, b, temperature, weight)
    assert_close("swapped", swapped, want, rtol=1e-11, atol=1e-11)


@given(embedding_pairs(3), st.floats(1e-3, 1e3), seeds())
@settings(max_examples=40)
def test_scale_and_permutation_invariance(pair, scale, seed):
    a, b = tensors(*pair)
    order = torch.tensor(np.random.default_rng(seed).permutation(len(a)))
    for name in ("clip", "nt_xent"):
        want = PAIR_LOSSES[name](a, b)
        assert_close(f"{name} scaled", PAIR_LOSSES[name](a * scale, b), want, rtol=1e-9, atol=1e-9)
        got = PAIR_LOSSES[name](a[order], b[order])
        assert_close(f"{name} permuted", got, want, rtol=1e-9, atol=1e-9)
    assert_close("barlow", cl.barlow_twins_loss(a[order], b[order]), cl.barlow_twins_loss(a, b),
                 rtol=1e-9)


def test_clip_loss_weight_is_on_the_cmr_to_ecg_direction():
    z_cmr = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)  # both CMR alike
    z_ecg = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    high, low = math.log(1 + math.exp(-1)), math.log(1 + math.e)
    assert cl.clip_loss(z_cmr, z_ecg, 1.0, 1.0).item() == pytest.approx((high + low) / 2)
    assert cl.clip_loss(z_cmr, z_ecg, 1.0, 0.0).item() == pytest.approx(math.log(2))


@given(embedding_pairs(2))
@settings(max_examples=20)
def test_without_similar_subjects_both_forms_are_the_clip_loss(pair):
    a, b = tensors(*pair)
    nobody = torch.zeros(len(a), len(a))
    want = cl.clip_loss(a, b, 0.2, 0.5)
    for function in (cl.soft_positive_loss, cl.false_negative_removal_loss):
        got = function(a, b, nobody, 0.5, 0.2)
        assert_close(function.__name__, got, want, rtol=1e-10, atol=1e-12)


def test_threshold_is_strict():
    a, b = tensors(normal(1, 3, 4), normal(2, 3, 4))
    at = torch.full((3, 3), 0.5, dtype=torch.float64)
    for function in (cl.soft_positive_loss, cl.false_negative_removal_loss):
        assert_close("at the threshold", function(a, b, at, 0.5), cl.clip_loss(a, b, 0.1, 0.5),
                     rtol=1e-12)
        assert abs(function(a, b, at, 0.49) - function(a, b, at, 0.5)) > 1e-3


def test_barlow_twins_loss_of_decorrelated_views():
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    shrink = 1 / (1 + 1e-5)  # the variance's 1e-5
    assert cl.barlow_twins_loss(signs, signs, 1.0).item() == pytest.approx(2 * (1 - shrink) ** 2)
    mirrored = cl.barlow_twins_loss(signs, -signs, 1.0)
    assert mirrored.item() == pytest.approx(2 * (1 + shrink) ** 2)
    swapped = cl.barlow_twins_loss(signs, signs.flip(1), 0.25)
    assert swapped.item() == pytest.approx(2 + 0.25 * 2 * shrink**2)


def test_byol_loss_range_and_stop_gradient():
    p, q = (torch.tensor(normal(s, 6, 4), requires_grad=True) for s in (1, 2))
    t, u = (torch.tensor(normal(s, 6, 4), requires_grad=True) for s in (3, 4))
    assert cl.byol_loss(t, t, u, u).item() == pytest.approx(0, abs=1e-12)
    assert cl.byol_loss(t, -t, u, -u).item() == pytest.approx(8)
    cl.byol_loss(p, t, q, u).backward()
    assert t.grad is None and u.grad is None
    assert p.grad.abs().min() > 0 and q.grad.abs().min() > 0


@given(embedding_pairs(2), st.floats(0.01, 1))
@settings(max_examples=25)
def test_aligning_lowers_the_loss(pair, temperature):
    a, b = tensors(*pair)
    a.requires_grad_()
    loss = cl.clip_loss(a, b, temperature)
    (gradient,) = torch.autograd.grad(loss, a)
    assume(gradient.norm() > 1e-4)
    step = 1e-6 * gradient / gradient.norm()
    assert cl.clip_loss(a - step, b, temperature) < loss


# ---- BYOL's target, CLOCS, accuracy ----

def test_byol_momentum():
    assert cl.byol_momentum(0, 10) == 0.9996
    assert cl.byol_momentum(10, 10) == 1.0
    assert cl.byol_momentum(5, 10, base=0.5) == pytest.approx(0.75)
    assert cl.byol_momentum(1, 3, base=0.0) == pytest.approx(0.25)
    for bad in ((-1, 10), (11, 10), (0, 0)):
        with pytest.raises(ValueError, match=f"step={bad[0]}"):
            cl.byol_momentum(*bad)
    assert cl.byol_momentum(0, 1, base=1.0) == 1.0 and cl.byol_momentum(1, 1, base=0.5) == 1.0
    for base in (-0.1, 1.1):
        with pytest.raises(ValueError, match=rf"^base={base}; a finite number in \[0.0, 1.0\]"):
            cl.byol_momentum(0, 1, base)


def test_update_target():
    online, target = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(online.weight, 5.0)
    online.running_mean.fill_(9.0)
    cl.update_target(target, online, 0.75)
    assert_equal("weight", target.weight, [2.0, 2.0])  # 0.75 * 1 + 0.25 * 5
    assert_equal("online", online.weight, [5.0, 5.0])
    assert_equal("buffer", target.running_mean, [0.0, 0.0])
    before = target.weight.clone()
    for other in (torch.nn.BatchNorm1d(3), torch.nn.Linear(2, 2)):
        with pytest.raises(ValueError, match="differ in"):
            cl.update_target(target, other, 0.5)
    with pytest.raises(ValueError, match=r"tau=1.5"):
        cl.update_target(target, online, 1.5)
    assert_equal("unchanged", target.weight, before)


def test_clocs_views():
    ecg = torch.arange(24.0).reshape(1, 2, 12)
    first, second = cl.clocs_views(ecg)
    assert_equal("first", first[0, 1], np.arange(12.0, 18))
    assert_equal("second", second[0, 1], np.arange(18.0, 24))
    for samples in (0, 1, 7):
        with pytest.raises(ValueError, match=f"{samples} samples"):
            cl.clocs_views(torch.zeros(2, samples))
    with pytest.raises(ValueError, match="0 samples"):
        cl.clocs_views(torch.tensor(1.0))
    assert_equal("shortest", torch.stack(cl.clocs_views(torch.tensor([3.0, 4.0]))), [[3], [4]])
    assert_equal("no multiple of 3", cl.clocs_views(torch.arange(4.0))[1], [2.0, 3.0])


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
    functions = [*PAIR_LOSSES.values(), cl.barlow_twins_loss, retrieval.in_batch_accuracy,
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
