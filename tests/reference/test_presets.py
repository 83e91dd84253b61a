"""The paper preset holds the published numbers, and its shapes train for one step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from reference.augmentation import CMRView, ECGView
from reference.encoders import CMR_SIZES
from reference.masking import kept_tokens
from reference.presets import PRESETS
from reference.training import Data, build_mdm, build_mmcl, train_mdm, train_mmcl

PAPER = PRESETS["paper"]


def test_presets_are_frozen_and_complete():
    assert set(PRESETS) == {"smoke", "quick", "paper"}
    for preset in PRESETS.values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            preset.dim = 1
        assert preset.window % preset.patch == 0 and preset.dim % 4 == 0
        assert preset.dim % preset.heads == 0 == preset.decoder_dim % preset.decoder_heads
        assert preset.window <= 10 * preset.rate_hz and preset.cmr_arch in CMR_SIZES


def test_paper_shapes():
    assert PAPER.subjects == 40044 and PAPER.ecg_noise == 1.0 and PAPER.enrich == 0.0
    assert PAPER.rate_hz == 500 and PAPER.input_size == (1, 12, 2500)
    assert PAPER.patch_size == (1, 100) and kept_tokens(300, PAPER.mask_ratio) == 59
    assert (PAPER.dim, PAPER.depth, PAPER.heads) == (384, 3, 6)
    assert (PAPER.decoder_dim, PAPER.decoder_depth, PAPER.decoder_heads) == (256, 2, 8)
    assert (PAPER.cmr_arch, PAPER.image_size) == ("resnet50", 210)
    assert (PAPER.hidden, PAPER.embedding) == (512, 128)


def test_paper_stage_1():
    s = PAPER.mdm
    assert (s.epochs, s.batch, s.weight_decay, s.warmup) == (400, 128, 0.15, 0.1)
    assert s.lr == pytest.approx(1e-5 * 128 / 4) and s.betas == (0.9, 0.95) and not s.per_epoch
    assert PAPER.ncc_weight == 0.1 and PAPER.consistency == 0.0
    assert s.view == ECGView(surrogate=0.075, surrogate_rate=0.5, jitter=0.2, rescale=0.5, rate=1.0)


def test_paper_stage_2():
    s = PAPER.mmcl
    assert (s.epochs, s.batch, s.lr, s.weight_decay) == (300, 256, 1e-4, 1e-4)
    assert s.warmup * s.epochs == 30 and s.per_epoch and s.betas == (0.9, 0.999)
    assert (PAPER.temperature, PAPER.clip_weight, PAPER.ecg_lr_scale) == (0.1, 0.75, 1.0)
    assert s.view == ECGView(surrogate=0.1, surrogate_rate=1.0, jitter=0.25, rescale=0.5, rate=0.95)
    assert PAPER.cmr_view == CMRView(rate=0.95, flip=0.5, rotation=45.0, rotation_rate=0.5,
                                     brightness=0.5, contrast=0.5, saturation=0.25,
                                     scale=(0.6, 1.0), ratio=(3 / 4, 4 / 3))


def test_paper_stage_3():
    for stage in (PAPER.finetune, PAPER.supervised):
        assert (stage.epochs, stage.warmup, stage.patience) == (400, 0.05, 25)
        assert stage.lr in [pytest.approx(b * stage.batch / 4) for b in (1e-6, 3e-6, 1e-5, 3e-5)]
    assert PAPER.finetune.layer_decay in (0.5, 0.75)


@pytest.fixture(scope="module")
def paper_data() -> tuple[Data, dict]:
    """Four subjects at the paper's shapes."""
    rng = np.random.default_rng(0)
    data = Data(rng.standard_normal((4, 12, 5000)).astype(np.float32),
                rng.integers(0, 256, (4, 3, 78, 78), dtype=np.uint8),
                np.zeros((4, 3), np.float32), np.zeros((4, 61)), np.zeros(61), np.ones(61))
    return data, {"train": np.arange(2), "val": np.arange(2, 4), "test": np.arange(2, 4)}


@pytest.mark.parametrize("stage", ["mdm", "mmcl"])
def test_paper_shapes_train_one_step(paper_data, stage):
    data, split = paper_data
    short = dataclasses.replace(getattr(PAPER, stage), epochs=1, batch=2, warmup=0.0, validations=1)
    preset = dataclasses.replace(PAPER, **{stage: short})
    torch.manual_seed(0)
    build, train = (build_mdm, train_mdm) if stage == "mdm" else (build_mmcl, train_mmcl)
    model = build(preset)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    history = train(model, data, split, preset, seed=0, device=torch.device("cpu"))
    assert len(history.losses) == 1 and np.isfinite(history.losses[0])
    assert len(history.scores) == 1 and np.isfinite(history.best)
    changed = [name for name, p in model.named_parameters()
               if name in before and not torch.equal(p, before[name])]
    assert len(changed) > 0.9 * len(before)
