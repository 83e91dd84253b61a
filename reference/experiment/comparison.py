"""The main job: five arms on the same data and budget, compared by probes and retrieval.

    supervised   random weights -> labels of the training split
    mdm          stage 1 -> linear probe on frozen features
    mmcl         random weights -> stage 2 -> linear probe
    mdm+mmcl     stage 1 -> stage 2 -> linear probe          (the method)
    cmr          CMR encoder of mdm+mmcl -> linear probe      (upper bound)

Glossary: N subjects, D feature width, K phenotypes, E embedding width.
Source: Turgut et al. 2025, sections 3 and 4.
"""

from __future__ import annotations

import math
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reference import cohort as cohorts
from reference.encoders import ECGEncoder
from reference.evaluation import auroc, bootstrap_difference, r2
from reference.experiment.features import cmr_features, ecg_features
from reference.experiment.runs import Work, run_stage
from reference.loop import History
from reference.presets import Preset
from reference.probes import logistic_fit, ridge_fit
from reference.retrieval import on_plateau, retrieval
from reference.training import MMCL, centre, chunks, embed_pairs, mdm_ncc

GROUPS = ("LV", "RV", "WT", "Ecc", "Err")
ARMS = ("supervised", "mdm", "mmcl", "mdm+mmcl", "cmr")


def probe(features: dict[str, np.ndarray], work: Work) -> dict[str, np.ndarray]:
    """Linear probes on frozen features, fitted on train, chosen on val, applied to test.

    Args:
        features: split -> [n, D].
        work: phenotypes and labels.
    Returns:
        "phenotypes" [n_test, 61] in their units and "risk" [n_test, 3] (log odds; NaN where a
        label has one class only in the training split).
    """
    y = {name: work.data.phenotypes[rows] for name, rows in work.split.items()}
    label = {name: work.data.labels[rows] for name, rows in work.split.items()}
    ridge = ridge_fit(features["train"], y["train"], features["val"], y["val"])
    risk = np.full_like(label["test"], np.nan, dtype=np.float64)
    for k in range(risk.shape[1]):
        if len(np.unique(label["train"][~np.isnan(label["train"][:, k]), k])) == 2:
            fitted = logistic_fit(features["train"], label["train"][:, k], features["val"],
                                  label["val"][:, k])
            risk[:, k] = fitted.logits(features["test"])
    return {"phenotypes": ridge.predict(features["test"]), "risk": risk}


def score(prediction: dict[str, np.ndarray], work: Work) -> dict[str, dict]:
    """Mean R2 per phenotype group and AUROC per risk on the test split.

    Args:
        prediction: as `probe` returns it.
        work: phenotypes and labels.
    Returns:
        "phenotypes", group -> mean R2, and "risk", label -> AUROC; NaN where not defined.
    """
    rows = work.split["test"]
    per_column = np.asarray(r2(work.data.phenotypes[rows], prediction["phenotypes"]))
    group = np.array([p.group for p in cohorts.PHENOTYPES])
    defined = ~np.isnan(per_column)
    means = {g: _mean(per_column[(group == g) & defined]) for g in GROUPS}
    means["mean"] = _mean(np.array(list(means.values())))
    return {"phenotypes": means, "risk": {
        name: _auroc(work.data.labels[rows, k], prediction["risk"][:, k])
        for k, name in enumerate(cohorts.LABELS)}}


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    return math.nan if np.isnan(scores).any() else float(auroc(labels, scores))


def gain(better: dict, worse: dict, work: Work, rounds: int = 200) -> dict[str, float]:
    """Gain in mean R2 over all phenotypes: value and paired bootstrap interval over subjects."""
    def mean_r2(target: np.ndarray, prediction: np.ndarray) -> float:
        return float(np.nanmean(r2(target, prediction)))

    interval = bootstrap_difference(mean_r2, work.data.phenotypes[work.split["test"]],
                                    better["phenotypes"], worse["phenotypes"],
                                    np.random.default_rng(work.seed), rounds)
    return {name: float(value) for name, value in interval._asdict().items()}


def run(work: Work, out: Path) -> dict:
    """Train and compare the five arms; every stage's time goes to `work.seconds`.

    Args:
        work: data and settings.
        out: directory of the job.
    Returns:
        Everything that report.json holds beside the time, and "histories" and "models".
    """
    models: dict[str, Any] = {}  # arm -> module of its class
    histories: dict[str, History] = {}
    for arm, stage in (("mdm", "mdm"), ("mdm+mmcl", "mmcl"), ("mmcl", "mmcl"),
                       ("supervised", "supervised")):
        source = models["mdm"] if arm == "mdm+mmcl" else None
        models[arm], histories[arm] = run_stage(work, stage, out / arm, source)
        work.seconds[arm] = round(histories[arm].seconds, 2)
    start = time.perf_counter()
    predictions = {arm: predict_arm(arm, models, work) for arm in ARMS}
    scores = {arm: score(predictions[arm], work) for arm in ARMS}
    retrieved = retrieve(models["mdm+mmcl"], work)
    result = {
        "mdm": {"val_ncc": histories["mdm"].best,
                "test_ncc": mdm_ncc(models["mdm"], work.data, work.split["test"], work.preset,
                                    work.device)},
        "retrieval": retrieved["ecg_to_cmr"], "retrieval_cmr_to_ecg": retrieved["cmr_to_ecg"],
        "retrieval_mmcl": retrieve(models["mmcl"], work)["ecg_to_cmr"],
        "phenotypes": {arm: scores[arm]["phenotypes"] for arm in ARMS},
        "risk": {arm: scores[arm]["risk"] for arm in ARMS},
        "gain": {f"mdm+mmcl over {arm}": gain(predictions["mdm+mmcl"], predictions[arm], work)
                 for arm in ("mdm", "mmcl", "supervised")},
        "warnings": plateau_warnings(histories, work.preset)}
    work.seconds["evaluation"] = round(time.perf_counter() - start, 2)
    return {**result, "histories": histories, "models": models}


def predict_arm(arm: str, models: dict[str, Any], work: Work) -> dict[str, np.ndarray]:
    """Test predictions of one arm: the head's for `supervised`, a linear probe's for the others.

    Args:
        arm: "cmr", or one of the models.
        models: arm -> its module; "cmr" takes the CMR encoder of "mdm+mmcl".
        work: data and settings.
    Returns:
        As `probe`.
    """
    window, device, data = work.preset.window, work.device, work.data
    if arm == "supervised":
        return predict_head(models[arm], work)
    if arm == "cmr":
        features = {name: cmr_features(models["mdm+mmcl"].cmr, data, rows, work.preset.image_size,
                                       device) for name, rows in work.split.items()}
    else:
        encoder = models[arm].ecg if isinstance(models[arm], MMCL) else models[arm]
        features = {name: ecg_features(encoder, data, rows, window, device)
                    for name, rows in work.split.items()}
    return probe(features, work)


def predict_head(model: ECGEncoder, work: Work) -> dict[str, np.ndarray]:
    """Test predictions of an encoder with a head, phenotypes in their units, risks as log odds."""
    with torch.no_grad():
        output = np.concatenate([
            model(centre(work.data.signals(part, work.device), work.preset.window)).cpu().numpy()
            for part in chunks(work.split["test"])]).astype(np.float64)
    K = work.data.targets.shape[1]
    units = output[:, :K] * work.data.target_scale + work.data.target_mean
    return {"phenotypes": units, "risk": output[:, K:]}


def retrieve(model: MMCL, work: Work) -> dict[str, dict]:
    """Retrieval in both directions on the test split: {"ecg_to_cmr": ..., "cmr_to_ecg": ...}."""
    z_ecg, z_cmr = embed_pairs(model, work.data, work.split["test"], work.preset, work.device)
    size = work.preset.candidates
    return {"ecg_to_cmr": retrieval(z_ecg, z_cmr, size, generator=np.random.default_rng(work.seed)),
            "cmr_to_ecg": retrieval(z_cmr, z_ecg, size, generator=np.random.default_rng(work.seed))}


def plateau_warnings(histories: dict[str, History], preset: Preset) -> list[str]:
    """One line for every contrastive arm whose loss ended where it began, at ln B."""
    lines = []
    for arm in ("mmcl", "mdm+mmcl"):
        if on_plateau(np.array(histories[arm].losses[-50:]), preset.mmcl.batch):
            chance = f"ln {preset.mmcl.batch} = {math.log(preset.mmcl.batch):.3f}"
            lines.append(f"{arm}: the contrastive loss ended on its plateau, {chance}: nothing was "
                         "transferred; train longer or more gently")
    return lines


def machine() -> dict[str, str | int]:
    """What the job ran on: processor, threads, versions, accelerator if any."""
    facts: dict[str, str | int] = {
        "platform": platform.platform(), "processor": _processor(),
        "threads": torch.get_num_threads(), "python": platform.python_version(),
        "torch": torch.__version__, "numpy": np.__version__}
    if torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        named = (line for line in lines if line.startswith("model name"))
        return next(named).split(":", 1)[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
