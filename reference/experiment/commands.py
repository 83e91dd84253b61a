"""What each command of the command line does; arguments are those of `reference.__main__`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch

from reference import cohort as cohorts
from reference.atomic import replacing
from reference.cohort.record import read_record
from reference.experiment import comparison, figures
from reference.experiment.features import (
    cmr_features,
    ecg_features,
    reconstruct_window,
    subject_maps,
)
from reference.experiment.prepare import clean_record
from reference.experiment.progress import ProgressLine
from reference.experiment.report import markdown, world_line, write_report
from reference.experiment.runs import Model, Work, choose_device, load_run, load_work, run_stage
from reference.masked_modelling import MaskedAutoencoder
from reference.presets import PRESETS, Preset
from reference.training import MMCL, centre, embed_pairs

ECG_RUNS = ("mdm+mmcl", "mmcl", "mdm", "supervised")


def run(options: argparse.Namespace) -> int:
    """The main job: cohort, five arms, report and pictures.

    Args: options, as parsed.
    Returns: exit status.
    Raises: ValueError for options that exclude each other, or a generator that fails.
    """
    device, preset = choose_device(options.device), PRESETS[options.preset]
    out = options.out or Path("runs") / f"{options.preset}-{options.seed}"
    if options.cohort is not None and (options.subjects or options.ecg_noise is not None):
        raise ValueError("--subjects and --ecg-noise belong to a generated cohort, not to --cohort")
    out.mkdir(parents=True, exist_ok=True)
    progress, start = ProgressLine(), time.perf_counter()
    seconds: dict[str, float] = {}
    report = {"preset": options.preset, "seed": options.seed, "machine": comparison.machine(),
              "seconds": seconds, "world": "World: not generated yet."}
    try:
        directory = options.cohort or _generated(options, preset, out / "cohort")
        seconds["cohort"] = round(time.perf_counter() - start, 2)
        start = time.perf_counter()
        work = load_work(directory, out / "prepared", options.preset, options.seed, device,
                         workers=options.workers, progress=progress)
        seconds["prepare"] = round(time.perf_counter() - start, 2)
        work.seconds = seconds
        manifest = cohorts.load(directory).manifest
        report.update(world=world_line(manifest["generator"]), subjects=manifest["count"],
                      split=manifest["split"])
        result = comparison.run(work, out)
    except KeyboardInterrupt:
        write_report(out, {**report, "interrupted": True})
        raise
    histories, models = result.pop("histories"), result.pop("models")
    report.update(result)
    report["curves"] = {arm: {"scores": h.scores, "monitors": h.monitors}
                        for arm, h in histories.items()}
    _draw(out, work, histories, models, report)
    write_report(out, report)
    progress.close()
    print(markdown(report))
    print(f"\nWritten: {out / 'report.json'}, {out / 'report.md'}"
          + (f", {out / 'figures'}" if figures.available() else
             " (no pictures: pip install 'ecgcmr-reference[figures]')"))
    return 0


def _generated(options: argparse.Namespace, preset: Preset, directory: Path) -> Path:
    """Write the preset's synthetic cohort with the generator's own command, or take it as it is.

    What an interrupted job left is continued. The generator is started as a process of its own:
    the method never imports it.
    """
    subjects = options.subjects or preset.subjects
    noise = preset.ecg_noise if options.ecg_noise is None else options.ecg_noise
    if (directory / cohorts.MANIFEST).is_file():
        _require_same(directory, subjects, options.seed, noise)
        return directory
    command = [sys.executable, "-m", "data_synth", "--subjects", str(subjects), "--out",
               str(directory), "--seed", str(options.seed), "--ecg-noise", str(noise),
               "--enrich", str(preset.enrich), "--workers", str(options.workers),
               "--ecg-dtype", "float16", "--cmr-dtype", "uint8", "--no-segmentation"]
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    status = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": path}).returncode
    if status in (130, -2):
        raise KeyboardInterrupt
    if status:
        raise ValueError(f"the generator ended with exit status {status}")
    return directory


def _require_same(directory: Path, subjects: int, seed: int, noise: float) -> None:
    manifest = cohorts.load(directory).manifest
    made = manifest["generator"] or {}
    got = (manifest["count"], made.get("seed"), made.get("ecg_noise"))
    if got != (subjects, seed, noise):
        raise ValueError(f"{directory} holds (subjects, seed, ecg_noise) = {got}, but this job "
                         f"needs {(subjects, seed, noise)}: choose another --out or --cohort")


def _draw(out: Path, work: Work, histories: dict, models: dict, report: dict) -> None:
    if not figures.available():
        return
    directory = out / "figures"
    directory.mkdir(exist_ok=True)
    first = work.split["test"][:1]
    x = centre(work.data.signals(first, work.device), work.preset.window)
    prediction, mask, ncc = reconstruct_window(models["mdm"], x, work.preset, work.seed)
    figures.reconstruction(directory / "reconstruction.png", x[0, 0].cpu().numpy(), prediction,
                           mask, work.preset.rate_hz, ncc)
    maps = subject_maps(models["mdm+mmcl"], work, int(first[0]))
    figures.similarity(directory / "similarity.png", maps["ecg"], maps["ecg_map"], maps["image"],
                       maps["cmr_map"], work.preset.rate_hz)
    figures.phenotype_bars(directory / "phenotypes.png", report["phenotypes"])
    figures.loss_curves(directory / "losses.png", {a: h.losses for a, h in histories.items()},
                        float(np.log(work.preset.mmcl.batch)))


def train(options: argparse.Namespace) -> int:
    """One stage on a cohort.

    Args, Returns: as `run`.
    Raises: ValueError for a source that the stage does not take, or of another shape.
    """
    device = choose_device(options.device)
    if options.stage in ("mdm", "supervised") and options.source is not None:
        raise ValueError(f"stage {options.stage} starts from random weights, --from is not for it")
    if options.stage == "finetune" and options.source is None:
        raise ValueError("stage finetune needs --from RUN")
    source = None
    if options.source is not None:
        wanted = ("mdm",) if options.stage == "mmcl" else ECG_RUNS
        source, _, made = load_run(options.source, wanted)
        if (made.input_size, made.patch_size, made.dim) != _shape(options.preset):
            raise ValueError(f"{options.source} has (input, patch, width) = "
                             f"{(made.input_size, made.patch_size, made.dim)}, preset "
                             f"{options.preset} needs {_shape(options.preset)}")
    progress = ProgressLine()
    options.out.mkdir(parents=True, exist_ok=True)
    work = load_work(options.cohort, _prepared(options.out, options.source), options.preset,
                     options.seed, device, workers=options.workers, progress=progress)
    _, history = run_stage(work, options.stage, options.out, source)
    progress.close()
    print(f"{options.stage}: best validation score {history.best:.4f} after "
          f"{len(history.losses)} steps, {history.seconds:.0f} s; {options.out / 'last.pt'}")
    return 0


def _shape(preset_name: str) -> tuple:
    preset = PRESETS[preset_name]
    return preset.input_size, preset.patch_size, preset.dim


def _prepared(run_directory: Path, source: Path | None = None) -> Path:
    """Directory of prepared arrays: that of the main job or earlier run if there is one."""
    source = source or run_directory
    owners = (run_directory, run_directory.parent, source, source.parent)
    places = [owner / "prepared" for owner in owners]
    return next((p for p in places if (p / "prepared.json").is_file()), places[0])


def _loaded(options: argparse.Namespace, needs_pair: bool = False) -> tuple[Model, Work]:
    device = choose_device(options.device)
    model, stage, preset = load_run(options.run, ECG_RUNS)
    if needs_pair and not isinstance(model, MMCL):
        raise ValueError(f"{options.run} is a run of stage {stage}; a run of mmcl is needed")
    work = load_work(options.cohort, _prepared(options.run), stage, 0, device, preset=preset,
                     workers=options.workers, progress=ProgressLine())
    return model.to(device), work


def probe(options: argparse.Namespace) -> int:
    """Linear probes on the frozen features of a run, printed.

    Args, Returns: as `run`.
    """
    model, work = _loaded(options, needs_pair=options.encoder == "cmr")
    models = {"mdm+mmcl": model, "run": model}
    scores = comparison.score(
        comparison.predict_arm("cmr" if options.encoder == "cmr" else "run", models, work), work)
    print("R2     " + "  ".join(f"{g} {v:.3f}" for g, v in scores["phenotypes"].items()))
    print("AUROC  " + "  ".join(f"{n} {v:.3f}" for n, v in scores["risk"].items()))
    return 0


def embed(options: argparse.Namespace) -> int:
    """Features and, for a run of mmcl, projected embeddings of a whole cohort.

    Args, Returns: as `run`.
    """
    model, work = _loaded(options)
    rows = np.arange(len(work.data.ecg))
    encoder = model.ecg if isinstance(model, MMCL) else model
    arrays = {"subjects": np.array(cohorts.load(options.cohort).subjects),
              "ecg_features": ecg_features(encoder, work.data, rows, work.preset.window,
                                                    work.device)}
    if isinstance(model, MMCL):
        arrays["cmr_features"] = cmr_features(model.cmr, work.data, rows,
                                                       work.preset.image_size, work.device)
        z_ecg, z_cmr = embed_pairs(model, work.data, rows, work.preset, work.device)
        arrays.update(z_ecg=z_ecg.numpy(), z_cmr=z_cmr.numpy())
    _save_npz(options.out, arrays)
    print(f"{options.out}: " + ", ".join(f"{n} {list(a.shape)}" for n, a in arrays.items()))
    return 0


def localise(options: argparse.Namespace) -> int:
    """Similarity maps of one subject.

    Args, Returns: as `run`.
    Raises: ValueError for a run of another stage, or a subject that the cohort lacks.
    """
    model, work = _loaded(options, needs_pair=True)
    subjects = np.array(cohorts.load(options.cohort).subjects)
    found = np.flatnonzero(subjects == options.subject)
    if not len(found):
        raise ValueError(f"subject {options.subject} is not in the cohort of {len(subjects)} "
                         f"({subjects.min()}..{subjects.max()})")
    maps = subject_maps(cast(MMCL, model), work, int(found[0]))
    _save_npz(options.out.with_suffix(".npz"), maps)
    if figures.available() or options.out.suffix == ".png":
        figures.similarity(options.out.with_suffix(".png"), maps["ecg"], maps["ecg_map"],
                           maps["image"], maps["cmr_map"], work.preset.rate_hz)
    print(f"{options.out.with_suffix('.npz')}: " + ", ".join(
        f"{n} {list(a.shape)}" for n, a in maps.items()))
    return 0


def reconstruct(options: argparse.Namespace) -> int:
    """Mask and reconstruct one real record.

    Args, Returns: as `run`.
    Raises: ValueError for a run of another stage or a record that is too short,
        ModuleNotFoundError for a picture without matplotlib.
    """
    record = read_record(options.record, options.rate)
    model, stage, preset = load_run(options.run, ("mdm",))
    if not isinstance(model, MaskedAutoencoder):
        raise ValueError(f"{options.run} is a run of stage {stage}; a run of mdm is needed")
    first = round(options.start * record.sampling_rate)
    last = first + round(10 * record.sampling_rate)  # the model was trained on 10 s records
    need = first + preset.window / preset.rate_hz * record.sampling_rate
    if options.start < 0 or record.ecg.shape[1] < need:
        raise ValueError(f"{options.record}: {record.ecg.shape[1] / record.sampling_rate:.2f} s, "
                         f"but {need / record.sampling_rate:.2f} s are needed from --start "
                         f"{options.start:g}")
    clean = clean_record(record.ecg[:, first:last], record.sampling_rate, preset.rate_hz)
    x = centre(torch.from_numpy(clean)[None], preset.window)
    prediction, mask, ncc = reconstruct_window(model, x, preset, options.seed)
    print("NCC  " + "  ".join(f"{lead} {value:.3f}"
                               for lead, value in zip(cohorts.LEADS, ncc, strict=True)))
    print(f"mean NCC {np.mean(ncc):.3f}, {int(mask.sum())} of {mask.size} patches hidden, "
          f"{preset.window / preset.rate_hz:g} s at {preset.rate_hz} Hz")
    if figures.available():
        path = options.out or options.run / f"reconstruct-{options.record.stem}.png"
        figures.reconstruction(path, x[0, 0].numpy(), prediction, mask, preset.rate_hz, ncc)
        print(f"picture: {path}")
    elif options.out is not None:
        raise ModuleNotFoundError(figures.MISSING)
    return 0


def _save_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # taken for allow_pickle
