"""The comparison of the arms: probes, scores, gains, warnings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from reference import cohort as cohorts
from reference.experiment import comparison
from reference.experiment.runs import build_stage
from reference.loop import History
from reference.presets import PRESETS
from tests.support.helpers import assert_close

SMOKE = PRESETS["smoke"]


def test_probe_finds_a_linear_signal_and_scores_it(work):
    mean = work.data.ecg.mean(axis=(1, 2))
    features = {name: np.stack([mean[rows], mean[rows] ** 2], 1) for name, rows in
                work.split.items()}
    scores = comparison.score(comparison.probe(features, work), work)
    assert set(scores["phenotypes"]) == {*comparison.GROUPS, "mean"}
    assert all(value > 0.95 for value in scores["phenotypes"].values())
    assert all(value > 0.95 for value in scores["risk"].values())
    noise = {name: np.random.default_rng(1).standard_normal((len(rows), 2)) for name, rows in
             work.split.items()}
    chance = comparison.score(comparison.probe(noise, work), work)
    assert all(value < 0.5 for value in chance["phenotypes"].values())


def test_score_is_the_mean_r2_of_each_group(work):
    rows = work.split["test"]
    y = work.data.phenotypes[rows]
    group = [p.group for p in cohorts.PHENOTYPES]
    wrong = y.copy()
    wrong[:, group.index("RV")] = y[:, group.index("RV")].mean()  # one of four RV: R2 0
    scores = comparison.score({"phenotypes": wrong, "risk": work.data.labels[rows] * 1.0}, work)
    assert scores["phenotypes"]["RV"] == pytest.approx(0.75)
    assert scores["phenotypes"]["LV"] == pytest.approx(1.0)
    assert scores["phenotypes"]["mean"] == pytest.approx((4 + 0.75) / 5)
    assert scores["risk"] == {"CAD": 1.0, "AF": 1.0, "DM": 1.0}


def test_label_with_one_class_has_no_score(work):
    labels = work.data.labels.copy()
    labels[work.split["train"], 1] = 0
    other = dataclasses.replace(work, data=dataclasses.replace(work.data, labels=labels))
    mean = work.data.ecg.mean(axis=(1, 2))[:, None]
    features = {name: mean[rows] for name, rows in work.split.items()}
    risk = comparison.score(comparison.probe(features, other), other)["risk"]
    assert np.isnan(risk["AF"]) and risk["CAD"] > 0.9


def test_head_predictions_come_back_in_units(work):
    model = build_stage(SMOKE, "supervised").eval()
    prediction = comparison.predict_arm("supervised", {"supervised": model}, work)
    x = torch.from_numpy(work.data.ecg[60:, None, :, :SMOKE.window])
    with torch.no_grad():
        output = model(x).numpy()
    assert_close("phenotypes", prediction["phenotypes"], output[:, :61] * 2 + 5, atol=1e-4)
    assert_close("risk", prediction["risk"], output[:, 61:], atol=1e-4)


def test_gain_is_paired_and_signed(work):
    y = work.data.phenotypes[work.split["test"]]
    rng = np.random.default_rng(0)
    good = {"phenotypes": np.nan_to_num(y, nan=5.0) + 0.1 * rng.standard_normal(y.shape)}
    bad = {"phenotypes": np.nan_to_num(y, nan=5.0) + 1.0 * rng.standard_normal(y.shape)}
    up, down = comparison.gain(good, bad, work), comparison.gain(bad, good, work)
    assert up["low"] > 0 and down["high"] < 0
    assert up["value"] == pytest.approx(-down["value"])
    same = comparison.gain(good, good, work)
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_retrieval_of_paired_embeddings(work):
    model = build_stage(SMOKE, "mmcl")
    found = comparison.retrieve(model, work)
    assert set(found) == {"ecg_to_cmr", "cmr_to_ecg"}
    assert found["ecg_to_cmr"]["candidates"] == 20


def test_plateau_warning_names_the_arm():
    flat = History(losses=[3.4657] * 60)
    falling = History(losses=[3.4657] * 10 + [2.0] * 60)
    lines = comparison.plateau_warnings({"mmcl": flat, "mdm+mmcl": falling}, SMOKE)
    assert len(lines) == 1 and lines[0].startswith("mmcl:") and "ln 32" in lines[0]
    assert comparison.plateau_warnings({"mmcl": falling, "mdm+mmcl": falling}, SMOKE) == []


def test_machine_names_what_figures_depend_on():
    facts = comparison.machine()
    assert facts["torch"] == torch.__version__ and facts["threads"] >= 1 and facts["processor"]
