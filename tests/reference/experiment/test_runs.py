"""Stages as files: round trips, what a stage may start from, interrupts, devices, refusals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from reference import checkpoints, training
from reference.encoders import ECGEncoder
from reference.experiment import runs
from reference.experiment.runs import (
    Work,
    build_stage,
    choose_device,
    fresh,
    load_run,
    load_work,
    preset_from_dict,
    run_stage,
)
from reference.loop import warmup_cosine
from reference.masked_modelling import MaskedAutoencoder
from reference.presets import PRESETS, Stage
from reference.training import MMCL, Data, build_ecg
from reference.views import CROP_ONLY, CMRView
from tests.support.helpers import assert_equal, assert_shape

CPU = torch.device("cpu")
N, T = 40, 60
KINDS = {"mdm": MaskedAutoencoder, "mmcl": MMCL, "supervised": ECGEncoder, "finetune": ECGEncoder}


def stage(**options) -> Stage:
    return Stage(3, 8, 3e-3, 0.1, 0.0, CROP_ONLY, (0.9, 0.95), validations=3, **options)


PRESET = dataclasses.replace(
    PRESETS["smoke"], window=50, patch=10, dim=16, decoder_dim=16, image_size=16, hidden=16,
    embedding=8, mdm=stage(), mmcl=stage(), supervised=stage(), finetune=stage(layer_decay=0.5),
    cmr_view=CMRView(scale=(0.7, 0.9)))


def make_work(**options) -> Work:
    rng = np.random.default_rng(0)
    data = Data(rng.standard_normal((N, 12, T)).astype(np.float32),
                rng.integers(0, 256, (N, 3, 78, 78)).astype(np.uint8),
                (rng.random((N, 3)) < 0.5).astype(np.float32), rng.standard_normal((N, 61)),
                np.zeros(61), np.ones(61))
    split = {"train": np.arange(24), "val": np.arange(24, 34), "test": np.arange(34, 40)}
    return Work(data, split, PRESET, "toy", 3, CPU, **options)


def output(model, stage: str) -> torch.Tensor:
    """Some numbers that depend on the whole model."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, 12, 50, generator=generator)
    if stage == "mdm":
        return model(x, torch.rand(2, 60, generator=generator), 0.5)[1]
    if stage == "mmcl":
        image = torch.rand(2, 3, 16, 16, generator=generator)
        return torch.cat([model.embed_ecg(x), model.embed_cmr(image)])
    return model(x)


@pytest.mark.parametrize("name", runs.STAGES)
def test_run_stage_and_load_run(tmp_path, name):
    work, out = make_work(), tmp_path / "deep" / name
    model, history = run_stage(work, name, out)
    assert isinstance(model, KINDS[name]) and not model.training
    assert len(history.losses) == 9 and len(history.scores) == 3
    assert len(history.monitors) == (3 if name == "mmcl" else 0)
    assert sorted(path.name for path in out.iterdir()) == ["best.pt", "last.pt"]
    last, best = checkpoints.load(out / "last.pt"), checkpoints.load(out / "best.pt")
    for content in (last, best):
        assert (content["stage"], content["preset_name"], content["seed"]) == (name, "toy", 3)
        assert content["losses"] == history.losses and content["best"] == history.best
        assert [tuple(s) for s in content["scores"]] == history.scores
        assert content["interrupted"] is False and content["monitors"] == history.monitors
        assert preset_from_dict(content["preset"]) == PRESET
    for key, value in best["model"].items():
        assert_equal(key, value, history.best_state[key])
        assert_equal(key, value, model.state_dict()[key])
    loaded, stage_name, preset = load_run(out)
    assert (stage_name, preset) == (name, PRESET)
    assert isinstance(loaded, KINDS[name]) and not loaded.training
    assert_equal("output", output(loaded, name), output(model, name))
    assert_equal("by name", output(load_run(tmp_path / "deep", ("x", name))[0], name),
                 output(model, name))
    (out / "best.pt").unlink()  # the final weights, where nothing was validated
    for key, value in load_run(out)[0].state_dict().items():
        assert_equal(key, value, last["model"][key])


def test_best_and_last_differ_where_the_best_came_earlier(tmp_path, monkeypatch):
    scores = iter([0.5, 0.1, 0.2])
    monkeypatch.setattr(training, "mdm_ncc", lambda *a: next(scores))
    model, history = run_stage(make_work(), "mdm", tmp_path)
    assert history.best == 0.5
    last = checkpoints.load(tmp_path / "last.pt")["model"]
    best = checkpoints.load(tmp_path / "best.pt")["model"]
    assert not torch.equal(last["cls_token"], best["cls_token"])
    assert_equal("returned", model.cls_token, best["cls_token"])
    assert_equal("loaded", load_run(tmp_path)[0].cls_token, best["cls_token"])


def test_every_validation_is_saved(tmp_path):
    saved = {}

    def look(name, step, steps, loss):
        if (tmp_path / "last.pt").is_file():
            saved[step] = len(checkpoints.load(tmp_path / "last.pt")["scores"])

    run_stage(make_work(progress=look), "mdm", tmp_path)
    assert saved == {4: 1, 5: 1, 6: 1, 7: 2, 8: 2, 9: 2}  # validations after steps 3, 6 and 9


def test_pairing_reaches_the_contrastive_stage(tmp_path):
    losses = [run_stage(make_work(), "mmcl", tmp_path / str(i), pairing=pairing)[1].losses
              for i, pairing in enumerate((None, np.arange(N), np.arange(N)[::-1].copy()))]
    assert losses[0] == losses[1] and losses[0][0] != losses[2][0]


def test_interrupt_is_saved_and_passed_on(tmp_path):
    def stop(name, step, steps, loss):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(make_work(progress=stop), "mdm", tmp_path)
    content = checkpoints.load(tmp_path / "last.pt")
    assert content["interrupted"] is True and len(content["losses"]) == 5
    assert len(content["scores"]) == 1 and load_run(tmp_path)[1] == "mdm"


def test_fine_tuning_takes_its_own_recipe(tmp_path):
    seen = []
    work = make_work(progress=lambda name, *_: seen.append(name))
    run_stage(work, "finetune", tmp_path / "a")
    run_stage(work, "supervised", tmp_path / "b")
    run_stage(work, "mmcl", tmp_path / "arm")
    assert seen == ["fine-tuning"] * 9 + ["supervised"] * 9 + ["arm"] * 9


# --- what a stage starts from


def perturbed(name: str) -> torch.nn.Module:
    """A stage's model none of whose parameters has its initial value."""
    model = build_stage(PRESET, name, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("name", ["mdm", "mmcl", "supervised", "finetune"])
def test_finetune_starts_from_any_encoder(name):
    source = perturbed(name)
    encoder = source.ecg if name == "mmcl" else source
    got = build_stage(PRESET, "finetune", 5, source)
    new = build_stage(PRESET, "finetune", 5)
    assert isinstance(got, ECGEncoder) and got.pooling == "attention"
    assert got.head.out_features == 64 and got.pos_embed.requires_grad
    theirs = encoder.state_dict()
    for key, value in got.state_dict().items():
        taken = key in theirs and not key.startswith("head.")
        assert_equal(key, value, theirs[key] if taken else new.state_dict()[key])
    assert any(key.startswith("blocks.") for key in theirs)
    shared = any(key.startswith("attention_pool.") for key in theirs)
    assert shared is (name == "finetune")


def test_mmcl_starts_from_a_masked_autoencoder():
    source = perturbed("mdm")
    got, new = (build_stage(PRESET, "mmcl", 5, s) for s in (source, None))
    for key in ("cls_token", "pos_embed", "blocks.0.attn.qkv.weight", "patch_embed.proj.bias"):
        assert_equal(key, got.ecg.state_dict()[key], source.state_dict()[key])
        assert not torch.equal(new.ecg.state_dict()[key], source.state_dict()[key])
    assert_equal("fresh norm", got.ecg.fc_norm.weight, np.ones(16))
    assert got.ecg.pos_embed.requires_grad and got.ecg.pooling == "average"
    with pytest.raises(ValueError, match="starts from a masked autoencoder, got ECGEncoder"):
        build_stage(PRESET, "mmcl", 0, build_ecg(PRESET))


def test_build_stage_kinds_and_refusal():
    for name, kind in KINDS.items():
        assert isinstance(build_stage(PRESET, name), kind)
    supervised = build_stage(PRESET, "supervised")
    assert (supervised.pooling, supervised.head.out_features) == ("average", 64)
    with pytest.raises(ValueError, match=r"'supervised', 'finetune'.*got 'probe'"):
        build_stage(PRESET, "probe")


def test_fresh_depends_on_the_seed_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fresh(build_ecg, 7, PRESET)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert_equal("same", fresh(build_ecg, 7, PRESET).cls_token, first.cls_token)
    assert not torch.equal(fresh(build_ecg, 8, PRESET).cls_token, first.cls_token)
    assert fresh(build_ecg, 7, PRESET, outputs=3).head.out_features == 3


# --- presets


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_survive_the_file(tmp_path, name):
    checkpoints.save(tmp_path / "a.pt", {"preset": dataclasses.asdict(PRESETS[name])})
    assert preset_from_dict(checkpoints.load(tmp_path / "a.pt")["preset"]) == PRESETS[name]


def test_the_paper_preset_carries_the_published_numbers():
    p = PRESETS["paper"]
    assert (p.input_size, p.patch_size) == ((1, 12, 2500), (1, 100))
    assert (p.mask_ratio, p.ncc_weight, p.consistency, p.ecg_lr_scale) == (0.8, 0.1, 0.0, 1.0)
    assert (p.dim, p.depth, p.heads, p.decoder_dim, p.decoder_depth, p.decoder_heads) == (
        384, 3, 6, 256, 2, 8)
    assert (p.cmr_arch, p.image_size, p.hidden, p.embedding) == ("resnet50", 210, 512, 128)
    assert (p.temperature, p.clip_weight, p.rate_hz) == (0.1, 0.75, 500)
    assert (p.mdm.epochs, p.mdm.batch, p.mdm.weight_decay, p.mdm.betas) == (400, 128, 0.15,
                                                                            (0.9, 0.95))
    assert math.isclose(p.mdm.lr, 1e-5 * 128 / 4) and p.mdm.warmup * 400 == 40
    assert (p.mmcl.epochs, p.mmcl.batch, p.mmcl.lr, p.mmcl.weight_decay) == (300, 256, 1e-4, 1e-4)
    assert p.mmcl.per_epoch and p.mmcl.warmup * 300 == 30
    assert (p.finetune.patience, p.finetune.warmup, p.finetune.layer_decay) == (25, 0.05, 0.75)
    assert warmup_cosine(400, p.mdm.lr, 40, 400) == 0.0


# --- refusals


def test_load_run_refuses(tmp_path):
    with pytest.raises(ValueError, match=r"no checkpoint in .*best.pt and last.pt there$"):
        load_run(tmp_path)
    with pytest.raises(ValueError, match="there and in mdm, mmcl"):
        load_run(tmp_path, ("mdm", "mmcl"))
    (tmp_path / "last.pt").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"last.pt was refused"):
        load_run(tmp_path)


def good_content() -> dict:
    model = build_stage(PRESET, "mdm")
    return {"model": model.state_dict(), "stage": "mdm", "preset": dataclasses.asdict(PRESET)}


@pytest.mark.parametrize("change, words", [
    ({"preset": None}, "not a checkpoint of this project"),
    ({"preset": {"mdm": {}}}, "not a checkpoint of this project"),
    ({"preset": "smoke"}, "not a checkpoint of this project"),
    ({"preset": {**dataclasses.asdict(PRESET), "extra": 1}}, "unexpected keyword argument 'extra'"),
    ({"model": {}}, "Missing key|Error.s. in loading"), ({"model": None}, "not a checkpoint"),
    ({"stage": "mmcl"}, "not a checkpoint"), ({"stage": "probe"}, "got 'probe'")])
def test_load_run_refuses_foreign_content(tmp_path, change, words):
    checkpoints.save(tmp_path / "best.pt", {**good_content(), **change})
    with pytest.raises(ValueError, match=words):
        load_run(tmp_path)
    content = good_content()
    for name in change:
        content.pop(name)
    checkpoints.save(tmp_path / "best.pt", content)
    with pytest.raises(ValueError, match=f"not a checkpoint of this project.*{name}"):
        load_run(tmp_path)


def test_choose_device(monkeypatch):
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU


@pytest.mark.parametrize("name", ["banana", "", "cuda:99", "meta", "hpu", "cpu:x"])
def test_choose_device_refuses(name):
    with pytest.raises(ValueError, match=f"device '{name}' cannot be used here: .+"):
        choose_device(name)


class FakeCohort:
    """Sixty subjects, split as given."""

    def __init__(self, **count: int):
        self.count = count

    def split(self):
        return {name: np.arange(n) for name, n in self.count.items()}

    def __len__(self):
        return sum(self.count.values())


def test_load_work(monkeypatch):
    prepared, asked, read = make_work().data, [], []
    monkeypatch.setattr(runs.cohorts, "load", lambda _: FakeCohort(train=8, val=2, test=2))
    monkeypatch.setattr(runs, "prepare", lambda *a: asked.append(a))
    monkeypatch.setattr(runs, "load_prepared", lambda *a: read.append(a) or prepared)
    work = load_work("cohort", "prepared", "quick", 5, CPU, workers=2)
    assert work.preset is PRESETS["quick"] and work.data is prepared and work.seed == 5
    assert_shape("train", work.split["train"], (8,))
    assert [call[1] for call in read] == ["prepared"] and len(read[0][0]) == 12
    assert [call[1:] for call in asked] == [(100, "prepared", 2, None)]
    assert load_work("c", "p", "mine", 5, CPU, preset=PRESET).preset is PRESET
    monkeypatch.setattr(runs.cohorts, "load", lambda _: FakeCohort(train=8, val=1, test=0))
    with pytest.raises(ValueError, match=r"9 subjects leave fewer than 2 in \['val', 'test'\]"):
        load_work("cohort", "prepared", "quick", 5, CPU)
