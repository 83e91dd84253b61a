"""Features, maps and reconstructions of a model on prepared data."""

from __future__ import annotations

import numpy as np
import torch

from reference.experiment import features
from reference.experiment.runs import build_stage
from reference.presets import PRESETS
from tests.support.helpers import assert_close, assert_equal, assert_shape

SMOKE = PRESETS["smoke"]
CPU = torch.device("cpu")


def test_ecg_features_use_the_first_window(work):
    encoder = build_stage(SMOKE, "mmcl").ecg
    got = features.ecg_features(encoder, work.data, np.arange(5), SMOKE.window, CPU)
    assert_shape("features", got, (5, SMOKE.dim))
    x = torch.from_numpy(work.data.ecg[:5, None, :, :SMOKE.window])
    with torch.no_grad():
        assert_close("features", got, encoder.features(x), atol=1e-5)


def test_ecg_features_of_a_masked_autoencoder_are_its_mean_token(work):
    model = build_stage(SMOKE, "mdm").eval()
    got = features.ecg_features(model, work.data, np.arange(5), SMOKE.window, CPU)
    x = torch.from_numpy(work.data.ecg[:5, None, :, :SMOKE.window])
    with torch.no_grad():
        assert_close("features", got, model.encode_all(x)[:, 1:].mean(1), atol=1e-5)


def test_features_do_not_depend_on_the_chunk(work):
    cmr = build_stage(SMOKE, "mmcl").cmr
    rows = np.arange(20)
    whole = features.cmr_features(cmr, work.data, rows, SMOKE.image_size, CPU)
    one = features.cmr_features(cmr, work.data, rows[7:8], SMOKE.image_size, CPU)
    assert_close("features", whole[7:8], one, atol=1e-4)


def test_subject_maps_are_those_of_one_row(work):
    model = build_stage(SMOKE, "mmcl").eval()
    maps = features.subject_maps(model, work, 7)
    leads, steps = model.ecg.grid
    size = (SMOKE.image_size, SMOKE.image_size)
    for name, shape in (("ecg", (12, SMOKE.window)), ("ecg_map", (12, SMOKE.window)),
                        ("image", (3, *size)), ("cmr_map", size)):
        assert_shape(name, maps[name], shape)
    assert leads == 12 and maps["pairwise"].shape[0] == steps
    assert_equal("ecg", maps["ecg"], work.data.ecg[7, :, :SMOKE.window])
    other = features.subject_maps(model, work, 8)
    assert all((maps[name] != other[name]).any() for name in maps)


def test_reconstruct_window_hides_by_seed(work):
    model = build_stage(SMOKE, "mdm").eval()
    x = torch.from_numpy(work.data.ecg[:1, None, :, :SMOKE.window])
    shown, mask, ncc = features.reconstruct_window(model, x, SMOKE, 3)
    steps = SMOKE.window // SMOKE.patch
    assert_shape("reconstruction", shown, (12, SMOKE.window))
    assert_shape("mask", mask, (12, steps))
    assert mask.sum() == 12 * steps - int(12 * steps * (1 - SMOKE.mask_ratio))
    for lead in range(12):
        assert_close("ncc", ncc[lead], np.corrcoef(shown[lead], x[0, 0, lead])[0, 1], atol=1e-5)
    again, _, _ = features.reconstruct_window(model, x, SMOKE, 3)
    _, elsewhere, _ = features.reconstruct_window(model, x, SMOKE, 4)
    assert_equal("same seed", again, shown)
    assert (elsewhere != mask).any()
