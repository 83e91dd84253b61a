"""The three stages: losses by loops, what each stage is wired to, and that it learns."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from reference import training
from reference.augmentation import resize
from reference.contrastive_loss import clip_loss
from reference.experiment.runs import fresh
from reference.masked_modelling import normalised_cross_correlation
from reference.presets import PRESETS, Stage
from reference.training import (
    MMCL,
    Data,
    build_ecg,
    build_mdm,
    build_mmcl,
    masked_bce,
    masked_mse,
    mdm_ncc,
    train_labels,
    train_mdm,
    train_mmcl,
)
from reference.views import CROP_ONLY, CMRView, ECGView
from tests.support.helpers import assert_close, assert_equal, assert_shape

CPU = torch.device("cpu")
N, T, WINDOW = 40, 60, 50
ROWS = {"train": np.arange(0, 24), "val": np.arange(24, 34), "test": np.arange(34, 40)}


def stage(epochs: int, lr: float, **options) -> Stage:
    return Stage(epochs, 8, lr, 0.1, 0.0, CROP_ONLY, (0.9, 0.95), validations=2, **options)


PRESET = dataclasses.replace(
    PRESETS["smoke"], window=WINDOW, patch=10, dim=16, decoder_dim=16, image_size=16, hidden=16,
    embedding=8, mdm=stage(10, 3e-3), mmcl=stage(8, 3e-3), supervised=stage(8, 3e-3),
    finetune=stage(8, 3e-3, layer_decay=0.5), ecg_lr_scale=0.5, mask_ratio=0.6, temperature=0.2,
    clip_weight=0.75, cmr_view=CMRView(rate=0.0))


@pytest.fixture(scope="module")
def data() -> Data:
    """Sines whose amplitude is seen in the image, the phenotypes and the labels."""
    rng = np.random.default_rng(0)
    size = rng.standard_normal(N)
    phase = np.arange(T) * 0.3 + rng.uniform(0, 6, (N, 1))
    leads = np.linspace(0.5, 1.5, 12)[:, None]
    ecg = (1 + 0.4 * size[:, None, None]) * leads * np.sin(phase)[:, None]
    ecg = (ecg + 0.05 * rng.standard_normal((N, 12, T))).astype(np.float32)
    box = np.clip(128 + 40 * size[:, None, None, None] + rng.normal(0, 9, (N, 3, 78, 78)), 0, 255)
    phenotypes = 7 + 3 * (size[:, None] + 0.1 * rng.standard_normal((N, 61)))
    phenotypes[3, 4] = np.nan
    labels = (size[:, None] + 0.2 * rng.standard_normal((N, 3)) > 0.4).astype(np.float32)
    labels[5, 1] = np.nan
    return Data(ecg, box.astype(np.uint8), labels, phenotypes, np.full(61, 7.0), np.full(61, 3.0))


def wiring(monkeypatch, function, model, data, preset=PRESET, **options) -> dict:
    """The arguments with which a stage calls the loop, instead of the loop."""
    seen = {}

    def fit(name, model, optimiser, stage, rows, loss_of, validate, **rest):
        seen.update(name=name, model=model, optimiser=optimiser, stage=stage, rows=rows,
                    loss_of=loss_of, validate=validate, **rest)

    monkeypatch.setattr(training, "fit", fit)
    reporting = {"progress": print, "checkpoint": repr}  # any two functions
    function(model, data, ROWS, preset, seed=3, device=CPU, **reporting, **options)
    assert {key: seen[key] for key in reporting} == reporting
    return seen


# --- data and losses


def test_data_gives_rows_in_the_units_of_the_model(data):
    rows = np.array([5, 2])
    assert_equal("signals", data.signals(rows, CPU), data.ecg[rows])
    half = dataclasses.replace(data, ecg=data.ecg.astype(np.float16)).signals(rows, CPU)
    assert half.dtype == torch.float32
    assert_close("half", half, data.ecg[rows], atol=2e-3)
    assert_close("images", data.images(rows, CPU), data.box[rows] / 255.0, atol=1e-7)
    floats = dataclasses.replace(data, box=(data.box / 255).astype(np.float32))
    assert_close("images", floats.images(rows, CPU), data.box[rows] / 255.0, atol=1e-7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.ecg = data.ecg
    assert data.targets.dtype == np.float32 and np.isnan(data.targets[3, 4])
    assert_close("targets", data.targets[2], (data.phenotypes[2] - 7) / 3, atol=1e-6)


def test_centre_is_the_start_of_the_record(data):
    x = data.signals(np.arange(3), CPU)
    assert_equal("centre", training.centre(x, 20), data.ecg[:3, None, :, :20])


def target_oracle(prediction, target, authors_count) -> float:
    total = count = 0.0
    for index in np.ndindex(*target.shape):
        if not math.isnan(target[index]):
            total += (prediction[index] - target[index]) ** 2
        count += authors_count or not math.isnan(target[index])
    return total / count


@pytest.mark.parametrize("authors_count", [False, True])
def test_masked_mse_equals_its_loops(authors_count):
    rng = np.random.default_rng(0)
    prediction, target = rng.standard_normal((2, 5, 3))
    target[1, 2] = target[4, 0] = np.nan
    p = torch.tensor(prediction, requires_grad=True)
    got = masked_mse(p, torch.tensor(target), authors_count=authors_count)
    assert_close("loss", got, target_oracle(prediction, target, authors_count), rtol=1e-12)
    got.backward()
    assert_equal("no gradient where missing", (p.grad == 0).numpy(), np.isnan(target))
    empty = masked_mse(p, torch.full((5, 3), torch.nan).double(), authors_count=authors_count)
    assert_equal("nothing observed", empty, 0.0)
    with_default = masked_mse(p, torch.tensor(target))
    assert_close("default", with_default, target_oracle(prediction, target, False), rtol=1e-12)


def test_masked_bce_equals_its_loops():
    rng = np.random.default_rng(0)
    logits, weight = 2 * rng.standard_normal((6, 3)), np.array([1.0, 3.0, 0.5])
    labels = (rng.random((6, 3)) < 0.5).astype(float)
    labels[2, 1] = labels[5, 2] = np.nan
    total = count = 0.0
    for n, k in np.ndindex(6, 3):
        if math.isnan(labels[n, k]):
            continue
        p = 1 / (1 + math.exp(-logits[n, k]))
        total -= weight[k] * math.log(p) if labels[n, k] else math.log(1 - p)
        count += 1
    z = torch.tensor(logits, requires_grad=True)
    got = masked_bce(z, torch.tensor(labels), torch.tensor(weight))
    assert_close("loss", got, total / count, rtol=1e-12)
    got.backward()
    assert_equal("no gradient where missing", (z.grad == 0).numpy(), np.isnan(labels))
    assert_equal("nothing observed", masked_bce(z, torch.full((6, 3), torch.nan).double(),
                                                torch.tensor(weight)), 0.0)


# --- builders


def test_builders_follow_the_preset():
    model = build_mdm(PRESETS["paper"])
    assert (model.input_size, model.patch_size) == ((1, 12, 2500), (1, 100))
    shape = (model.cls_token.shape[-1], len(model.blocks), model.blocks[0].attn.heads,
             model.mask_token.shape[-1], len(model.decoder_blocks),
             model.decoder_blocks[0].attn.heads)
    assert shape == (384, 3, 6, 256, 2, 8) and not hasattr(model, "projector")
    assert model.ncc_weight == PRESETS["paper"].ncc_weight == 0.1
    assert hasattr(build_mdm(dataclasses.replace(PRESET, consistency=0.1)), "projector")
    encoder = build_ecg(PRESET, pooling="cls", outputs=3)
    assert (encoder.grid, encoder.dim, encoder.pooling) == ((12, 5), 16, "cls")
    pair = build_mmcl(PRESETS["paper"])
    widths = [(head[0].in_features, head[0].out_features, head[2].out_features)
              for head in (pair.ecg_head, pair.cmr_head)]
    assert widths == [(384, 512, 128), (2048, 512, 128)]
    assert build_mmcl(PRESET, encoder).ecg is encoder


def test_embeddings_are_projected_features(data):
    model = fresh(build_mmcl, 0, PRESET).eval()
    x, image = training.centre(data.signals(np.arange(3), CPU), WINDOW), torch.rand(3, 3, 16, 16)
    assert_equal("ecg", model.embed_ecg(x), model.ecg_head(model.ecg.features(x)))
    assert_equal("cmr", model.embed_cmr(image), model.cmr_head(model.cmr.features(image)))


# --- stage 1


def test_mdm_wiring(monkeypatch, data):
    model = fresh(build_mdm, 0, PRESET)
    preset = dataclasses.replace(PRESET, mdm=dataclasses.replace(PRESET.mdm, weight_decay=0.15))
    seen = wiring(monkeypatch, train_mdm, model, data, preset)
    assert (seen["name"], seen["seed"], seen["higher_is_better"]) == ("mdm", 3, True)
    assert seen["stage"] is preset.mdm and seen["rows"] is ROWS["train"]
    assert type(seen["optimiser"]) is torch.optim.AdamW
    assert [g["weight_decay"] for g in seen["optimiser"].param_groups] == [0.15, 0.0]
    assert all(g["betas"] == (0.9, 0.95) for g in seen["optimiser"].param_groups)
    calls = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda *a: calls.append(a) or encode(*a))
    loss, rows = seen["loss_of"](ROWS["train"][:4]), data.ecg[:4]
    (x, noise, ratio), = calls
    latent, mask = encode(x, noise, ratio)
    assert_close("loss", loss, model.loss(x, model.decode(latent, mask), mask), rtol=1e-6)
    assert ratio == PRESET.mask_ratio
    for b in range(4):  # a crop of its own record
        starts = [s for s in range(T - WINDOW + 1)
                  if np.array_equal(rows[b, :, s:s + WINDOW], x[b, 0].numpy())]
        assert len(starts) == 1
    assert_shape("noise", noise, (4, 60))
    assert float(noise.min()) >= 0 and float(noise.max()) < 1 and len(noise.unique()) > 200
    seen["loss_of"](ROWS["train"][:4])
    assert not torch.equal(calls[1][1], noise)  # other masks in every step
    assert seen["validate"]() == mdm_ncc(model, data, ROWS["val"], preset, CPU)


def test_mdm_consistency_term_is_weighted_and_uses_a_second_mask(monkeypatch, data):
    preset = dataclasses.replace(PRESET, consistency=0.3)
    model = fresh(build_mdm, 0, preset)
    seen = wiring(monkeypatch, train_mdm, model, data, preset)
    noises, terms = [], []
    encode, term = model.encode, model.consistency_loss
    monkeypatch.setattr(model, "encode", lambda x, n, r: noises.append((x, n)) or encode(x, n, r))
    monkeypatch.setattr(model, "consistency_loss",
                        lambda *a: terms.append((a, term(*a))) or terms[-1][1])
    loss = seen["loss_of"](ROWS["train"][:4])
    (x, first), (again, second) = noises
    assert_equal("same view", again, x)
    assert not torch.equal(first, second)
    latent, mask = encode(x, first, 0.6)
    plain = model.loss(x, model.decode(latent, mask), mask)
    (latents, values), = terms
    assert_close("first", latents[0], latent, atol=1e-6)
    assert_close("second", latents[1], encode(x, second, 0.6)[0], atol=1e-6)
    assert_close("loss", loss, plain + 0.3 * values["loss"], rtol=1e-6)


def test_mdm_ncc_is_the_mean_over_records_with_fixed_masks():
    rng = np.random.default_rng(0)
    ecg = rng.standard_normal((300, 12, T)).astype(np.float32)  # two pieces: 256 and 44
    rest = np.zeros((300, 1))
    many = Data(ecg, rest, rest, rest, rest[:1], rest[:1])
    model, rows = fresh(build_mdm, 0, PRESET).eval(), np.arange(299, -1, -1)
    got = mdm_ncc(model, many, rows, PRESET, CPU)
    generator, values = torch.Generator().manual_seed(0), []
    for part in (rows[:256], rows[256:]):
        x = torch.tensor(ecg[part][:, None, :, :WINDOW])
        noise = torch.rand(len(part), 60, generator=generator)
        with torch.no_grad():
            rebuilt = model.unpatchify(model(x, noise, 0.6)[1])
        values += normalised_cross_correlation(x, rebuilt).mean(dim=(1, 2)).tolist()
    assert_close("ncc", got, np.mean(values), atol=1e-7)
    assert got == mdm_ncc(model, many, rows, PRESET, CPU)
    assert got != mdm_ncc(model, many, rows, PRESET, CPU, seed=1)
    late = dataclasses.replace(many, ecg=np.concatenate([ecg[..., :WINDOW], ecg[..., :10]], 2))
    assert got == mdm_ncc(model, late, rows, PRESET, CPU)  # only the first window counts


# --- stage 2


def test_mmcl_wiring(monkeypatch, data):
    model, pairing = fresh(build_mmcl, 0, PRESET), np.roll(np.arange(N), 7)
    seen = wiring(monkeypatch, train_mmcl, model, data, name="arm", pairing=pairing)
    assert (seen["name"], seen["seed"], seen["higher_is_better"]) == ("arm", 3, False)
    assert seen["stage"] is PRESET.mmcl and seen["rows"] is ROWS["train"]
    optimiser = seen["optimiser"]
    assert type(optimiser) is torch.optim.Adam and optimiser.defaults["betas"] == (0.9, 0.95)
    encoder, others = optimiser.param_groups
    assert (encoder["lr_scale"], others["lr_scale"]) == (0.5, 1.0)
    assert encoder["weight_decay"] == others["weight_decay"] == 0.1
    inside = {id(p) for p in encoder["params"]}
    assert inside == {id(p) for p in model.ecg.parameters()}
    assert inside | {id(p) for p in others["params"]} == {id(p) for p in model.parameters()}
    # one whole record: the crop can only start at 0, so that the loss is known
    preset = dataclasses.replace(PRESET, window=T)
    model = fresh(build_mmcl, 0, preset)
    rows = ROWS["train"][3:11]
    for pairs in (None, pairing):
        seen = wiring(monkeypatch, train_mmcl, model, data, preset, pairing=pairs)
        beside = rows if pairs is None else pairs[rows]
        z_ecg = model.embed_ecg(torch.tensor(data.ecg[rows])[:, None])
        z_cmr = model.embed_cmr(resize(torch.tensor(data.box[beside]) / 255, 16))
        want = clip_loss(z_cmr, z_ecg, 0.2, 0.75)
        assert_close("loss", seen["loss_of"](rows), want, rtol=1e-6)
        swapped = clip_loss(z_ecg, z_cmr, 0.2, 0.75)  # the weight stands on CMR -> ECG
        assert not torch.isclose(swapped, want, rtol=1e-5)


def test_mmcl_validation_is_the_mean_over_whole_batches_from_start_0(monkeypatch, data):
    model, pairing = fresh(build_mmcl, 0, PRESET).eval(), np.roll(np.arange(N), 7)
    recipe = dataclasses.replace(PRESET.mmcl, batch=4)  # 10 rows: 4, 4 and two left over
    preset = dataclasses.replace(PRESET, mmcl=recipe)
    got = wiring(monkeypatch, train_mmcl, model, data, preset, pairing=pairing)["validate"]()
    z_ecg = model.embed_ecg(torch.tensor(data.ecg[ROWS["val"]])[:, None, :, :WINDOW])
    z_cmr = model.embed_cmr(resize(torch.tensor(data.box[pairing[ROWS["val"]]]) / 255, 16))
    want = [clip_loss(z_cmr[i:i + 4], z_ecg[i:i + 4], 0.2, 0.75).item() for i in (0, 4)]
    assert_close("score", got, np.mean(want), rtol=1e-5)
    recipe = dataclasses.replace(PRESET.mmcl, batch=16)  # larger than the split: all at once
    preset = dataclasses.replace(PRESET, mmcl=recipe)
    got = wiring(monkeypatch, train_mmcl, model, data, preset, pairing=pairing)["validate"]()
    assert_close("score", got, clip_loss(z_cmr, z_ecg, 0.2, 0.75).item(), rtol=1e-5)


def test_retrieval_monitors():
    ecg = torch.eye(8)
    cmr = ecg + 2 * torch.roll(ecg, 1, dims=1)  # image i looks more like ECG i + 1
    cmr[0] = ecg[0]  # only the first image finds its own; from the ECG side, two would
    found = training.retrieval_monitors({"ecg": ecg, "cmr": cmr}, 8)
    assert (found["top1"], found["top5"]) == (0.125, 1.0)
    assert_close("cosine", found["mean_cosine_ecg"], 0.0, atol=1e-6)
    cmr[7] = -ecg[7]  # batches of 3: rows 6 and 7 are left over
    found = training.retrieval_monitors({"ecg": ecg, "cmr": cmr}, 3)
    assert_close("top1", found["top1"], 0.5, atol=1e-6)  # 0; 2 and 5, whose rival is elsewhere
    # every image points one way: the partner of image i is the i-th most similar ECG
    turn = torch.arange(8) * 0.1
    fan, point = torch.stack([turn.cos(), turn.sin()], dim=1), torch.tensor([[1.0, 0.0]] * 8)
    found = training.retrieval_monitors({"ecg": fan, "cmr": point}, 8)
    assert (found["top1"], found["top5"]) == (1 / 8, 5 / 8)
    assert_close("collapsed", found["mean_cosine_cmr"], 1.0, atol=1e-6)


def test_mmcl_monitors_the_embeddings_of_the_validation(monkeypatch, data):
    model = fresh(build_mmcl, 0, PRESET).eval()
    seen = wiring(monkeypatch, train_mmcl, model, data)
    seen["validate"]()
    z_ecg, z_cmr = training.embed_pairs(model, data, ROWS["val"], PRESET, CPU)
    want = training.retrieval_monitors({"ecg": z_ecg, "cmr": z_cmr}, PRESET.mmcl.batch)
    assert seen["monitor"]() == want
    assert set(want) == {"top1", "top5", "mean_cosine_ecg", "mean_cosine_cmr"}


def test_mmcl_views_are_those_of_the_preset(monkeypatch, data):
    model = fresh(build_mmcl, 0, PRESET)
    loud = dataclasses.replace(PRESET.mmcl, view=ECGView(rescale=5.0))
    losses = []
    for preset in (PRESET, dataclasses.replace(PRESET, mmcl=loud),
                   dataclasses.replace(PRESET, cmr_view=CMRView(brightness=0.9))):
        seen = wiring(monkeypatch, train_mmcl, copy.deepcopy(model), data, preset)
        losses.append(float(seen["loss_of"](ROWS["train"][:8]).detach()))
    assert len(set(losses)) == 3


def test_embed_pairs(data):
    model, rows = fresh(build_mmcl, 0, PRESET), np.array([7, 2, 9])
    z_ecg, z_cmr = training.embed_pairs(model, data, rows, PRESET, CPU)
    assert not model.training
    assert_shape("z_ecg", z_ecg, (3, 8))
    assert_close("z_ecg", z_ecg, model.embed_ecg(torch.tensor(data.ecg[rows])[:, None, :, :WINDOW]),
                 atol=1e-6)
    assert_close("z_cmr", z_cmr, model.embed_cmr(resize(torch.tensor(data.box[rows]) / 255, 16)),
                 atol=1e-6)
    pairing = np.arange(N)[::-1].copy()
    again, moved = training.embed_pairs(model, data, rows, PRESET, CPU, pairing)
    assert_equal("z_ecg", again, z_ecg)
    assert_close("z_cmr", moved, training.embed_pairs(model, data, pairing[rows], PRESET, CPU)[1],
                 atol=1e-6)


# --- stage 3


@pytest.mark.parametrize("fine_tune", [False, True])
def test_labels_wiring(monkeypatch, data, fine_tune):
    preset = dataclasses.replace(PRESET, window=T)
    model = fresh(build_ecg, 0, preset, outputs=64)
    seen = wiring(monkeypatch, train_labels, model, data, preset, fine_tune=fine_tune)
    assert seen["name"] == ("fine-tuning" if fine_tune else "supervised")
    assert seen["stage"] is (preset.finetune if fine_tune else preset.supervised)
    assert seen["higher_is_better"] is False and seen["rows"] is ROWS["train"]
    scales = {g["lr_scale"] for g in seen["optimiser"].param_groups}
    assert scales == ({0.25, 0.5, 1.0} if fine_tune else {1.0})
    assert {g["weight_decay"] for g in seen["optimiser"].param_groups} == {0.0, 0.1}
    assert type(seen["optimiser"]) is torch.optim.AdamW
    rows = np.arange(2, 8)
    share = [np.nanmean(data.labels[ROWS["train"], k]) for k in range(3)]
    weight = torch.tensor([math.sqrt((1 - s) / s) for s in share])
    output = model(torch.tensor(data.ecg[rows])[:, None])
    want = (masked_mse(output[:, :61], torch.tensor(data.targets[rows]))
            + masked_bce(output[:, 61:], torch.tensor(data.labels[rows]), weight))
    assert_close("loss", seen["loss_of"](rows), want, rtol=1e-5)


def test_labels_validation_weighs_records_equally(monkeypatch, data):
    model = fresh(build_ecg, 0, PRESET, outputs=64).eval()
    big = dataclasses.replace(data, ecg=np.tile(data.ecg, (8, 1, 1)), box=np.tile(data.box[:1], (
        320, 1, 1, 1)), labels=np.tile(np.nan_to_num(data.labels), (8, 1)), phenotypes=np.tile(
        np.nan_to_num(data.phenotypes, nan=7.0), (8, 1)))
    split, seen = {"train": np.arange(8), "val": np.arange(300)}, {}  # pieces of 256 and 44
    monkeypatch.setattr(training, "fit", lambda *a, **k: seen.update(validate=a[6], loss_of=a[5]))
    train_labels(model, big, split, PRESET, seed=0, device=CPU)
    share = big.labels[:8].mean(axis=0).clip(1e-3, 1 - 1e-3)
    weight = torch.tensor(((1 - share) / share) ** 0.5)
    with torch.no_grad():
        output = model(torch.tensor(big.ecg[:300])[:, None, :, :WINDOW])
        want = (masked_mse(output[:, :61], torch.tensor(big.targets[:300]))
                + masked_bce(output[:, 61:], torch.tensor(big.labels[:300]), weight))
        assert_close("score", seen["validate"](), want, rtol=1e-5)


def test_labels_without_two_observed_classes_have_bounded_weights(monkeypatch, data):
    labels, train, rows = data.labels.copy(), ROWS["train"], np.arange(24, 32)
    labels[train] = [np.nan, 0.0, 1.0]  # never observed, always absent, always present
    labels[rows] = 1.0
    preset = dataclasses.replace(PRESET, window=T)
    model = fresh(build_ecg, 0, preset, outputs=64)
    changed = dataclasses.replace(data, labels=labels)
    seen = wiring(monkeypatch, train_labels, model, changed, preset)
    output = model(torch.tensor(data.ecg[rows])[:, None])
    weight = torch.tensor([1.0, math.sqrt(999), 1 / math.sqrt(999)])
    want = (masked_mse(output[:, :61], torch.tensor(data.targets[rows]))
            + masked_bce(output[:, 61:], torch.tensor(labels[rows]), weight))
    assert_close("loss", seen["loss_of"](rows), want, rtol=1e-5)


def test_mean_label():
    labels = np.array([[np.nan, 1, 0, 1], [np.nan, np.nan, 1, 1], [np.nan, np.nan, 0, np.nan]])
    assert_close("share", training._mean_label(labels), [0.5, 1, 1 / 3, 1])


# --- they learn


RECIPES = {"mdm": (build_mdm, train_mdm, {}), "mmcl": (build_mmcl, train_mmcl, {}),
           "labels": (build_ecg, train_labels, {"outputs": 64})}


def trained(data: Data, name: str, seed: int = 0) -> tuple[nn.Module, training.History]:
    build, train, options = RECIPES[name]
    model = fresh(build, 0, PRESET, **options)
    return model, train(model, data, ROWS, PRESET, seed=seed, device=CPU)


@pytest.mark.parametrize("name, fall", [("mdm", 0.8), ("mmcl", 0.9), ("labels", 0.8)])
def test_a_few_steps_lower_the_loss_and_repeat(data, name, fall):
    model, history = trained(data, name)
    assert np.mean(history.losses[-3:]) < fall * np.mean(history.losses[:3])
    assert len(history.scores) == 2
    if name == "mdm":
        untrained = mdm_ncc(fresh(build_mdm, 0, PRESET).eval(), data, ROWS["val"], PRESET, CPU)
        assert history.best > untrained + 0.1
    again, repeat = trained(data, name)
    assert repeat.losses == history.losses and repeat.scores == history.scores
    for key, value in model.state_dict().items():
        assert_equal(key, again.state_dict()[key], value)
    assert trained(data, name, seed=1)[1].losses != history.losses


@pytest.mark.parametrize("name, moves", [("mdm", False), ("mmcl", True), ("labels", True)])
def test_position_embedding_is_fixed_in_stage_1_and_trained_later(data, name, moves):
    model, _ = trained(data, name)
    build, _, options = RECIPES[name]
    start = fresh(build, 0, PRESET, **options)
    encoder = (lambda m: m.ecg) if isinstance(model, MMCL) else (lambda m: m)
    assert torch.equal(encoder(model).pos_embed, encoder(start).pos_embed) is not moves
    assert not torch.equal(encoder(model).cls_token, encoder(start).cls_token)
