"""The whole job through the command line: mechanics of `smoke`, reproducibility, interruption."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from reference import cohort as cohorts
from reference.experiment import figures
from reference.experiment.comparison import ARMS, GROUPS
from reference.experiment.runs import fresh, load_run, load_work
from reference.presets import PRESETS
from reference.training import build_mdm, mdm_ncc
from tests.support import ahead, helpers
from tests.support.helpers import ROOT, SHARED

pytestmark = pytest.mark.end_to_end


def command(*arguments, **options) -> subprocess.CompletedProcess:
    """Run `python -m reference`."""
    return subprocess.run([sys.executable, "-m", "reference", *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True, timeout=300, check=False, **options)


@ahead.program
def smoke() -> Path:
    """A finished smoke job."""
    out = ahead.folder("smoke")
    done = command("run", "--preset", "smoke", "--out", out, "--workers", 2, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return out


def on_cohort(*words) -> subprocess.CompletedProcess:
    """A command on the cohort of the smoke job."""
    return command(*words, "--cohort", smoke() / "cohort", "--device", "cpu")


def stage(name: str, *words) -> Path:
    """The directory of a stage trained on that cohort."""
    out = ahead.folder(name)
    done = on_cohort("train", *words, "--preset", "smoke", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@ahead.program
def again() -> Path:
    """The smoke job once more on the same cohort."""
    out = ahead.folder("again")
    done = on_cohort("run", "--preset", "smoke", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@ahead.program
def another_seed() -> Path:
    """Stage 1 with seed 1."""
    return stage("another_seed", "mdm", "--seed", 1)


@ahead.program
def continued() -> Path:
    """Stage 2 from stage 1 of the smoke job."""
    return stage("continued", "mmcl", "--from", smoke() / "mdm")


@ahead.program
def finetuned() -> Path:
    """Fine-tuning from the smoke job."""
    return stage("finetuned", "finetune", "--from", smoke())


@ahead.program
def probed() -> subprocess.CompletedProcess:
    """Probes of the smoke job's method."""
    return on_cohort("probe", "--run", smoke() / "mdm+mmcl")


@ahead.program
def embedded() -> Path:
    """Features and embeddings of the smoke job."""
    path = ahead.folder("embedded") / "e.npz"
    done = on_cohort("embed", "--run", smoke(), "--out", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def job() -> Path:
    return smoke()


@pytest.fixture
def report(job) -> dict:
    return json.loads((job / "report.json").read_text())


def test_report_has_every_field_and_all_are_finite(report):
    assert report["preset"] == "smoke" and report["seed"] == 0
    assert {"processor", "threads", "torch", "numpy", "python"} <= set(report["machine"])
    assert {"cohort", "prepare", "mdm", "mmcl", "mdm+mmcl", "supervised", "evaluation"} <= set(
        report["seconds"])
    assert -1 <= report["mdm"]["val_ncc"] <= 1
    assert set(report["phenotypes"]) == set(report["risk"]) == set(ARMS)
    for arm in ARMS:
        assert set(report["phenotypes"][arm]) == {*GROUPS, "mean"}
        assert set(report["risk"][arm]) == set(cohorts.LABELS)
        assert all(0 <= value <= 1 for value in report["risk"][arm].values())
    for direction in ("retrieval", "retrieval_cmr_to_ecg"):
        r = report[direction]
        assert 0 <= r["top1"] <= r["top5"] <= 1 and 1 <= r["median_rank"] <= r["candidates"]
        assert r["candidates"] == PRESETS["smoke"].candidates
    assert _all_finite({k: report[k] for k in ("seconds", "mdm", "retrieval", "phenotypes", "risk",
                                               "gain")})


def _all_finite(value) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(map(_all_finite, value.values()))
    return isinstance(value, (int, float)) and math.isfinite(value)


def test_first_line_of_the_report_names_the_world(job, report):
    noise = PRESETS["smoke"].ecg_noise
    first = (job / "report.md").read_text().splitlines()[0]
    assert first == report["world"]
    assert f"ecg_noise {noise:g}" in first and "clearer than realistic" in first


@pytest.mark.parametrize("arm", ["mdm", "supervised"])
def test_loss_falls(job, arm):
    losses = torch.load(job / arm / "last.pt", weights_only=True)["losses"]
    tenth = max(1, len(losses) // 10)
    assert np.mean(losses[-tenth:]) < 0.97 * np.mean(losses[:tenth])


@pytest.mark.parametrize("arm", ["mmcl", "mdm+mmcl"])
def test_contrastive_loss_falls_to_chance_or_below(job, arm):
    losses = torch.load(job / arm / "last.pt", weights_only=True)["losses"]
    chance = math.log(PRESETS["smoke"].mmcl.batch)  # of embeddings that say nothing
    assert losses[0] > chance + 0.02 > np.mean(losses[-10:]) > 0.5 * chance


def test_reconstruction_beats_an_untrained_model(job, report):
    device, preset = torch.device("cpu"), PRESETS["smoke"]
    work = load_work(job / "cohort", job / "prepared", "smoke", 0, device)
    untrained = fresh(build_mdm, 0, preset).eval()
    chance = mdm_ncc(untrained, work.data, work.split["val"], preset, device)
    trained, stage, _ = load_run(job, ("mdm",))
    assert stage == "mdm"
    reached = mdm_ncc(trained, work.data, work.split["val"], preset, device)
    assert reached == pytest.approx(report["mdm"]["val_ncc"], abs=1e-6)
    assert reached > chance + 0.1


def test_same_seed_same_numbers(report):
    found = json.loads((again() / "report.json").read_text())
    for key in ("mdm", "retrieval", "retrieval_cmr_to_ecg", "phenotypes", "risk", "gain", "curves"):
        assert found[key] == report[key], key


def test_another_seed_gives_other_numbers(job):
    first = torch.load(job / "mdm" / "last.pt", weights_only=True)
    other = torch.load(another_seed() / "last.pt", weights_only=True)
    assert first["losses"] != other["losses"] and len(first["losses"]) == len(other["losses"])


def test_train_continues_from_an_earlier_stage(job):
    ours = torch.load(continued() / "last.pt", weights_only=True)
    theirs = torch.load(job / "mdm+mmcl" / "last.pt", weights_only=True)
    assert ours["losses"] == theirs["losses"]  # the same stage as in the main job
    assert "ecg.blocks.0.attn.qkv.weight" in ours["model"]


def test_finetune_starts_from_the_job():
    assert (finetuned() / "best.pt").is_file()


def test_probe_prints_both_scores():
    assert probed().returncode == 0
    assert "R2" in probed().stdout and "AUROC" in probed().stdout


def test_embed_and_localise(job, tmp_path):
    with np.load(embedded()) as file:
        count = len(file["subjects"])
        assert file["z_ecg"].shape == file["z_cmr"].shape == (count, PRESETS["smoke"].embedding)
        assert file["ecg_features"].shape == (count, PRESETS["smoke"].dim)
        subject = int(file["subjects"][5])
    done = on_cohort("localise", "--run", job, "--subject", subject, "--out",
                     tmp_path / "maps.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "maps.npz") as file:
        assert file["ecg_map"].shape == (12, PRESETS["smoke"].window)
        assert file["cmr_map"].shape == (PRESETS["smoke"].image_size,) * 2
        assert np.abs(file["ecg_map"]).max() <= 1 / 0.6 + 1e-5


def test_check_accepts_the_generated_cohort(job):
    done = command("check", job / "cohort")
    assert done.returncode == 0 and "valid" in done.stdout


def test_real_record_is_reconstructed(job, tmp_path):
    record = SHARED / "real" / "ptb_s0010_re.npz"
    if not record.is_file():
        pytest.skip("real record not available: ptb_s0010_re.npz")
    done = command("reconstruct", record, "--run", job, *_picture(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    values = [float(v) for v in lines[0].replace("NCC", "").split()[1::2]]
    assert len(values) == 12 and all(-1 <= v <= 1 for v in values)
    assert lines[1].startswith("mean NCC ")
    assert float(lines[1].split()[2].rstrip(",")) == pytest.approx(np.mean(values), abs=1.1e-3)


def _picture(folder: Path) -> list:
    return ["--out", folder / "picture.png"] if figures.available() else []


@pytest.mark.parametrize("fault, wanted", [
    ({"ecg": np.zeros((11, 6000), np.float32), "fs": 500}, "12"),
    ({"ecg": np.ones((12, 6000), np.float32)}, "rate"),
    ({"ecg": np.zeros((12, 6000), np.float32), "fs": 500}, "flat"),
    ({"ecg": np.random.default_rng(0).standard_normal((12, 300)).astype(np.float32), "fs": 500},
     "s"),
])
def test_bad_records_are_refused_with_one_line(job, tmp_path, fault, wanted):
    np.savez(tmp_path / "bad.npz", **fault)
    done = command("reconstruct", tmp_path / "bad.npz", "--run", job)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and wanted in done.stderr


def test_interrupt_saves_what_was_reached(job, tmp_path):
    out = tmp_path / "stopped"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "reference", "run", "--preset", "quick", "--out", str(out),
         "--cohort", str(job / "cohort"), "--device", "cpu"], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=helpers.heed_interrupts)
    deadline = time.monotonic() + 120
    while not (out / "mdm" / "last.pt").is_file() and process.poll() is None:
        assert time.monotonic() < deadline, "stage 1 wrote no checkpoint"
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "interrupted" in errors
    assert json.loads((out / "report.json").read_text())["interrupted"] is True
    model, stage, _ = load_run(out, ("mdm",))
    assert stage == "mdm" and all(torch.isfinite(p).all() for p in model.parameters())
