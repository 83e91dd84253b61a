"""The masked autoencoder: parity with the authors, its loss in scalar loops, masking, gradients."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference.checkpoints import load_authors_weights
from reference.masked_modelling import (
    MDM_SIZES,
    MaskedAutoencoder,
    negative_cosine,
    normalised_cross_correlation,
    patchify,
    unpatchify,
)
from reference.masking import gather_tokens, random_mask
from reference.transformer import sincos_position_embedding
from tests.support import helpers
from tests.support.helpers import (
    assert_close,
    assert_equal,
    assert_parity,
    assert_shape,
    authors,
    larger_golden,
    portable_weights,
)
from tests.support.strategies import seeds, sizes


def portable_model(normalise: int) -> MaskedAutoencoder:
    shapes = json.loads((helpers.AUTHORS / "mdm.state.json").read_text())
    state = portable_weights(shapes, 3)
    state["pos_embed"] = sincos_position_embedding(24, (12, 10))[None]
    state["decoder_pos_embed"] = sincos_position_embedding(16, (12, 10))[None]
    for name, (_, floating) in shapes.items():  # counters of the running statistics
        if not floating:
            state[name] = np.zeros((), np.int64)
    model = load_authors_weights({"model": state}, heads=3, decoder_heads=2)
    model.normalise_patches = bool(normalise)
    return model


def check_gradients(model: MaskedAutoencoder, loss: torch.Tensor, golden: dict, title: str,
                    source: str) -> None:
    loss.backward()
    parameters = dict(model.named_parameters())
    for key in (k for k in golden if k.startswith("grad:")):
        got = parameters[key.removeprefix("grad:")].grad
        assert_parity(f"{title} {key}", got, golden[key], 1e-5, source)


@pytest.mark.parametrize("normalise", [0, 1])
def test_masked_autoencoder_portable(normalise):
    golden, model = authors(f"mdm_npl{normalise}"), portable_model(normalise)
    x = torch.tensor(np.random.default_rng(1).standard_normal((2, 1, 12, 200)), dtype=torch.float32)
    noise = torch.tensor(np.random.default_rng(2).random((2, 120)), dtype=torch.float32)
    title, source = f"MDM npl{normalise}", "portable"
    latent, mask = model.encode(x, noise, 0.8)
    prediction = model.decode(latent, mask)
    loss = model.loss(x, prediction, mask)
    assert_equal("mask", mask.mask, golden["mask"])
    assert_equal("restore", mask.restore, golden["restore"])
    assert_parity(f"{title} latent", latent, golden["latent"], 1e-5, source)
    assert_parity(f"{title} prediction", prediction, golden["prediction"], 1e-5, source)
    assert_parity(f"{title} latent_all", model.encode_all(x), golden["latent_all"], 1e-5, source)
    assert_parity(f"{title} loss", loss, golden["loss"], 1e-6, source)
    check_gradients(model, loss, golden, title, source)


@pytest.mark.parametrize("normalise", [0, 1])
def test_masked_autoencoder_larger(normalise):
    golden = larger_golden(f"mdm_mini_npl{normalise}")
    state = {k[2:]: v for k, v in golden.items() if k.startswith("w:")}
    model = load_authors_weights({"model": state}, heads=4, decoder_heads=4)
    model.normalise_patches = bool(golden["norm_pix_loss"])
    model.ncc_weight = float(golden["ncc_weight"])
    x, noise, noise2 = (torch.tensor(golden[k]) for k in ("input", "noise", "noise2"))
    title, source = f"MDM mini npl{normalise}", "larger set"
    latent, mask = model.encode(x, noise, float(golden["mask_ratio"]))
    prediction = model.decode(latent, mask)
    assert_equal("mask", mask.mask, golden["mask"])
    assert_equal("restore", mask.restore, golden["ids_restore"])
    for name, got, want in (("latent", latent, "latent"), ("prediction", prediction, "pred"),
                            ("reconstruction", model.unpatchify(prediction), "recon"),
                            ("latent_all", model.encode_all(x), "latent_all")):
        assert_parity(f"{title} {name}", got, golden[want], 1e-5, source)
    term = model.consistency_loss(latent, model.encode(x, noise2, float(golden["mask_ratio"]))[0])
    for name, want in (("loss", "loss_cos"), ("cosine", "cos_embed"), ("spread", "z_std")):
        assert_parity(f"{title} consistency {name}", term[name], golden[want], 1e-6, source)
    loss, again, _ = model(x, noise, float(golden["mask_ratio"]))
    assert_parity(f"{title} loss", loss, golden["loss"], 1e-6, source)
    assert_equal("forward", again, prediction)
    check_gradients(model, loss, golden, title, source)


def test_patchify_order_by_loops():
    B, C, V, T, pv, pt = 2, 3, 4, 6, 2, 3
    x = np.arange(B * C * V * T, dtype=np.float64).reshape(B, C, V, T)
    want = np.zeros((B, (V // pv) * (T // pt), pv * pt * C))
    for b, v, t, c in np.ndindex(B, V, T, C):
        token = (v // pv) * (T // pt) + t // pt
        want[b, token, ((v % pv) * pt + t % pt) * C + c] = x[b, c, v, t]
    assert_equal("patches", patchify(torch.tensor(x), (pv, pt)), want)
    assert_equal("record", unpatchify(torch.tensor(want), (pv, pt), (C, V, T)), x)


@given(seeds(), *(sizes(1, 4) for _ in range(5)))
def test_unpatchify_undoes_patchify(seed, C, rows, steps, pv, pt):
    size = (C, rows * pv, steps * pt)
    x = torch.tensor(np.random.default_rng(seed).standard_normal((2, *size)))
    patches = patchify(x, (pv, pt))
    assert_shape("patches", patches, (2, rows * steps, pv * pt * C))
    assert_equal("record", unpatchify(patches, (pv, pt), size), x)


def test_patchify_refuses():
    with pytest.raises(ValueError, match="12 x 250 is not a multiple of the patch 1 x 100"):
        patchify(torch.zeros(1, 1, 12, 250), (1, 100))
    with pytest.raises(ValueError, match="12 x 100 is not a multiple of the patch 5 x 100"):
        patchify(torch.zeros(1, 1, 12, 100), (5, 100))
    for shape in ((1, 24, 99), (1, 23, 100)):
        with pytest.raises(ValueError, match=r"needs \[24, 100\]"):
            unpatchify(torch.zeros(shape), (1, 100), (1, 12, 200))
    for patch, size, tokens in (((1, 100), (1, 12, 250), 24), ((5, 50), (1, 12, 100), 4)):
        with pytest.raises(ValueError, match="do not make"):  # no multiple of the patch
            unpatchify(torch.zeros(1, tokens, patch[0] * patch[1]), patch, size)


def ncc_oracle(x: np.ndarray, y: np.ndarray) -> float:
    T = len(x)
    mx, my = sum(x) / T, sum(y) / T
    vx, vy = (sum((v - m) ** 2 for v in s) / (T - 1) for s, m in ((x, mx), (y, my)))
    dot = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return dot / ((T - 1) * math.sqrt(vx + 1e-12) * math.sqrt(vy + 1e-12))


def test_normalised_cross_correlation():
    rng = np.random.default_rng(0)
    x, y = 3 + rng.standard_normal((2, 3, 9)), rng.standard_normal((2, 3, 9)) * 1e-5
    got = normalised_cross_correlation(torch.tensor(x), torch.tensor(y))
    want = [[ncc_oracle(x[b, v], y[b, v]) for v in range(3)] for b in range(2)]
    assert_shape("ncc", got, (2, 3))
    assert_close("ncc", got, want, rtol=1e-9)  # small y: the place of eps shows
    t = torch.tensor(x)
    for factor, want in ((1.0, 1.0), (7.0, 1.0), (-0.5, -1.0), (0.0, 0.0)):
        got = normalised_cross_correlation(t, factor * t + 2)
        assert_close("ncc", got, np.full((2, 3), want), atol=1e-9, call=f"factor {factor}")
    assert_equal("two constants", normalised_cross_correlation(t[..., :2] * 0, t[..., :2] * 0),
                 np.zeros((2, 3)))


@pytest.mark.parametrize("shapes", [((2, 5), (2, 6)), ((2, 1), (2, 1)), ((3, 5), (2, 5))])
def test_normalised_cross_correlation_refuses(shapes):
    with pytest.raises(ValueError, match=r"T >= 2\], got"):
        normalised_cross_correlation(*map(torch.zeros, shapes))


def small(**options) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder((1, 12, 40), (1, 8), 8, 2, 2, 4, 1, 2, **options).double().eval()


def batch(count: int = 3):
    rng = np.random.default_rng(0)
    return (torch.tensor(rng.standard_normal((count, 1, 12, 40))),
            torch.tensor(rng.random((count, 60))))


def loss_oracle(x, prediction, removed, weight, normalise, masked_only) -> float:
    """x [B, 12, 40], prediction [B, 60, 8]: token = lead * 5 + step."""
    total = count = correlation = 0.0
    for b, token in np.ndindex(len(x), 60):
        lead, step = divmod(token, 5)
        patch = x[b, lead, 8 * step:8 * step + 8]
        if normalise:
            mean = sum(patch) / 8
            spread = math.sqrt(sum((v - mean) ** 2 for v in patch) / 7 + 1e-6)
            patch = [(v - mean) / spread for v in patch]
        if removed[b, token] or not masked_only:
            total += sum((p - v) ** 2 for p, v in zip(prediction[b, token], patch, strict=True)) / 8
            count += 1
    for b, lead in np.ndindex(len(x), 12):
        rebuilt = [v for step in range(5) for v in prediction[b, lead * 5 + step]]
        correlation += ncc_oracle(x[b, lead], np.array(rebuilt)) / (12 * len(x))
    return (1 - weight) * total / (count + 1e-5) + weight * (1 - correlation)


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("masked_only", [False, True])
def test_loss_equals_its_loops(weight, normalise, masked_only):
    model = small(ncc_weight=weight, normalise_patches=normalise, masked_only=masked_only)
    x, noise = batch()
    loss, prediction, mask = model(x, noise, 0.8)
    want = loss_oracle(x[:, 0].numpy(), prediction.detach().numpy(), mask.mask.numpy(), weight,
                       normalise, masked_only)
    assert_shape("loss", loss, ())
    assert_close("loss", loss, want, rtol=1e-12)
    assert_equal("mask tensor", model.loss(x, prediction, mask.mask), loss)


def test_count_of_the_mean_carries_its_epsilon():
    model = small(ncc_weight=0.0, masked_only=True)
    x, removed = batch(1)[0], torch.zeros(1, 60).double()
    removed[0, 7] = 1
    got = model.loss(x, model.patchify(x) + 1, removed)
    assert_close("loss", got, 1 / (1 + 1e-5), rtol=1e-9)


def test_masked_only_ignores_kept_patches_and_the_default_does_not():
    x, noise = batch()
    for masked_only in (True, False):
        model = small(ncc_weight=0.0, masked_only=masked_only)
        loss, prediction, mask = model(x, noise, 0.8)
        moved = model.loss(x, prediction + 5 * (1 - mask.mask)[..., None], mask)
        assert torch.equal(moved, loss) is masked_only


@pytest.mark.parametrize("factor, want", [(1.0, 0.0), (-1.0, 0.2), (0.0, 0.1)])
def test_correlation_part_of_perfect_negated_and_constant_predictions(factor, want):
    model, (x, noise) = small(), batch()
    prediction = factor * model.patchify(x)
    error = (1 - factor) ** 2 * float((x**2).mean())
    got = model.loss(x, prediction, random_mask(noise, 0.8))
    assert_close("loss", got, 0.9 * error + want, rtol=1e-6, atol=1e-9)
    assert_shape("ncc", model.ncc(x, prediction), (3, 1, 12))


def test_loss_and_noise_refusals():
    model, (x, noise) = small(), batch()
    latent, mask = model.encode(x, noise, 0.8)
    with pytest.raises(ValueError, match=r"prediction must be \[3, 60, 8\], got \[3, 59, 8\]"):
        model.loss(x, model.decode(latent, mask)[:, :59], mask)
    with pytest.raises(ValueError, match=r"noise must be \[3, 60\], got \[3, 59\]"):
        model.encode(x, noise[:, :59], 0.8)
    with pytest.raises(ValueError, match=r"\[B, 1, 12, 40\], got \[3, 12, 40\]"):
        model.encode(x[:, 0], noise, 0.8)
    for weight in (-0.1, 1.1):
        with pytest.raises(ValueError, match=rf"\[0, 1\], got {weight}"):
            small(ncc_weight=weight)
    with pytest.raises(ValueError, match=r"^consistency_loss needs .*consistency=True.$"):
        model.consistency_loss(latent, latent)


def test_encode_all_equals_encode_without_masking():
    model, (x, noise) = small(), batch()
    with torch.no_grad():
        place = torch.linspace(-1.0, 1.0, 8).double()
        model.pos_embed[:, 0] = place  # zero in the authors' table
    latent, mask = model.encode(x, noise, 0.0)
    whole = model.encode_all(x)
    assert_shape("latent", whole, (3, 61, 8))
    assert_close("class token", latent[:, 0], whole[:, 0], atol=1e-12)
    want = torch.cat([(model.cls_token + place).expand(3, 1, 8),
                      model.patch_embed(x) + model.pos_embed[:, 1:]], dim=1)
    for block in model.blocks:
        want = block(want)
    assert_close("by hand", whole, model.norm(want), atol=1e-12)
    assert_close("tokens", gather_tokens(latent[:, 1:], mask.restore), whole[:, 1:], atol=1e-12)


@given(seeds(), st.sampled_from([0.5, 0.75, 0.8]))
def test_removed_patches_do_not_influence_the_latent(seed, ratio):
    model, (x, _) = small(), batch()
    noise = torch.tensor(np.random.default_rng(seed).random((3, 60)))
    latent, mask = model.encode(x, noise, ratio)
    hidden = mask.mask[..., None] * torch.ones(8)
    other = x + 100 * model.unpatchify(hidden)
    assert_equal("latent", model.encode(other, noise, ratio)[0], latent)
    shown = x + 100 * model.unpatchify(1 - hidden)
    assert not torch.allclose(model.encode(shown, noise, ratio)[0], latent)
    assert_shape("latent", latent, (3, 1 + int(60 * (1 - ratio)), 8))


def test_decode_puts_mask_tokens_where_patches_were_removed():
    model, (x, noise) = small(), batch()
    latent, mask = model.encode(x, noise, 0.8)
    seen = []
    model.decoder_blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    prediction = model.decode(latent, mask)
    assert_shape("prediction", prediction, (3, 60, 8))
    z = seen[0] - model.decoder_pos_embed
    embedded = model.decoder_embed(latent)
    assert_close("class token", z[:, 0], embedded[:, 0], atol=1e-12)
    for b in range(3):
        for token in range(60):
            want = model.mask_token[0, 0]
            if mask.mask[b, token] == 0:
                want = embedded[b, 1 + mask.keep[b].tolist().index(token)]
            assert_close("token", z[b, 1 + token], want, atol=1e-12, call=f"{b, token}")


def test_negative_cosine_stops_the_gradient_of_the_target():
    a, b = (torch.tensor(v, requires_grad=True) for v in ([[3.0, 4.0]], [[4.0, 3.0]]))
    loss = negative_cosine(a, b)
    loss.backward()
    assert_close("loss", loss, -0.96, rtol=1e-6)
    assert b.grad is None and a.grad is not None


def test_consistency_loss_by_hand():
    model = small(consistency=True).train()
    rng = np.random.default_rng(0)
    first, second = (torch.tensor(rng.standard_normal((5, 4, 8))) for _ in range(2))
    got = model.consistency_loss(first, second)
    h = [latent.numpy()[:, 1:].mean(axis=1) for latent in (first, second)]
    z = [model.projector(torch.tensor(v)) for v in h]
    p = [model.predictor(v) for v in z]
    want = -0.5 * sum(float(_cosine(p[i], z[1 - i]).mean()) for i in range(2))
    assert_close("loss", got["loss"], want, rtol=1e-9)
    assert_close("cosine", got["cosine"], _cosine(*map(torch.tensor, h)).mean(), rtol=1e-9)
    units = h[0] / np.linalg.norm(h[0], axis=1, keepdims=True)
    assert_close("spread", got["spread"], math.sqrt(8) * units.std(axis=0, ddof=1).mean(),
                 rtol=1e-9)
    collapsed = model.consistency_loss(first[:1].expand(5, -1, -1), second)
    assert_close("collapsed", collapsed["spread"], 0.0, atol=1e-12)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()
              if name.startswith(("projector", "predictor")) and value.ndim}
    assert shapes == {
        "projector.0.weight": (1024, 8), "projector.1.weight": (1024,),
        "projector.1.bias": (1024,), "projector.1.running_mean": (1024,),
        "projector.1.running_var": (1024,), "projector.3.weight": (8, 1024),
        "projector.4.running_mean": (8,), "projector.4.running_var": (8,),
        "predictor.0.weight": (128, 8), "predictor.1.weight": (128,),
        "predictor.1.bias": (128,), "predictor.1.running_mean": (128,),
        "predictor.1.running_var": (128,), "predictor.3.weight": (8, 128)}


def _cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = a.detach(), b.detach()
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))


@pytest.mark.parametrize("normalise, masked_only", [(False, False), (True, True)])
def test_loss_gradcheck(normalise, masked_only):
    model = MaskedAutoencoder((1, 2, 6), (1, 3), 4, 1, 1, 4, 1, 1, normalise_patches=normalise,
                              masked_only=masked_only)
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.standard_normal((2, 1, 2, 6)), requires_grad=True)
    prediction = torch.tensor(rng.standard_normal((2, 4, 3)), requires_grad=True)
    mask = random_mask(torch.tensor(rng.random((2, 4))), 0.5)
    assert torch.autograd.gradcheck(lambda x, p: model.loss(x, p, mask), (x, prediction))


def test_gradient_reaches_every_trained_parameter_and_no_position():
    model = small().train()
    model(*batch(), 0.8)[0].backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == ["pos_embed", "decoder_pos_embed"]


def test_sizes_and_defaults():
    model, width = MaskedAutoencoder(), MDM_SIZES["tiny"]
    assert width == (384, 3, 6, 256, 2, 8)
    count = {"encoder": 0, "decoder": 0}
    for name, parameter in model.named_parameters():
        part = "decoder" if name.startswith(("decoder", "mask_token")) else "encoder"
        count[part] += parameter.numel() * parameter.requires_grad
    assert count == {"encoder": 5_363_328, "decoder": 1_704_548}  # 5.36 M, 1.70 M
    assert (model.ncc_weight, model.normalise_patches, model.masked_only) == (0.1, False, False)
    assert (model.blocks[0].attn.heads, model.decoder_blocks[0].attn.heads) == (6, 8)
    assert_equal("positions", model.decoder_pos_embed[0], sincos_position_embedding(256, (12, 25)))
    assert_equal("positions", model.pos_embed[0], sincos_position_embedding(384, (12, 25)))
