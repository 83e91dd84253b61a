"""One stage as files: build it, train it, save it, load it again.

    RUN/last.pt, RUN/best.pt   {"model": state dict, "stage", "preset", "seed", "losses", "scores",
                               "monitors", "best", "interrupted"}: final weights and those with
                               the best validation score

Glossary: N subjects; a run is a directory that holds one trained stage.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import nn

from reference import checkpoints
from reference import cohort as cohorts
from reference.encoders import ECGEncoder
from reference.experiment.prepare import load_prepared, prepare
from reference.loop import History, Progress
from reference.masked_modelling import MaskedAutoencoder
from reference.presets import PRESETS, Preset, Stage
from reference.training import (
    MMCL,
    Data,
    build_ecg,
    build_mdm,
    build_mmcl,
    train_labels,
    train_mdm,
    train_mmcl,
)
from reference.views import CMRView, ECGView

STAGES = ("mdm", "mmcl", "supervised", "finetune")
Model = MaskedAutoencoder | MMCL | ECGEncoder  # of mdm, of mmcl, of the two others
Arguments = ParamSpec("Arguments")
Built = TypeVar("Built")


@dataclass
class Work:
    """What every stage needs: data in memory, rows per split, preset, seed, device, reporting."""

    data: Data
    split: dict[str, np.ndarray]
    preset: Preset
    preset_name: str
    seed: int
    device: torch.device
    progress: Progress | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def choose_device(name: str) -> torch.device:
    """Device by name.

    Args:
        name: as torch calls it, or "auto": the first accelerator that torch can use, else the CPU.
    Returns:
        The device.
    Raises:
        ValueError: torch knows no such device, or cannot use it here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" makes tensors but holds no numbers
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} cannot be used here: {reason}") from None
    return device


def load_work(cohort_dir: str | os.PathLike, prepared: str | os.PathLike, preset_name: str,
              seed: int, device: torch.device, *, preset: Preset | None = None, workers: int = 1,
              progress: Progress | None = None) -> Work:
    """Open a cohort and prepare it for a preset.

    Args:
        cohort_dir: cohort directory.
        prepared: directory of the prepared arrays; made if needed.
        preset_name: a key of `PRESETS`, or any name if `preset` is given.
        seed: of everything random in training.
        device: where to compute.
        preset: instead of the named one.
        workers, progress: as `prepare`.
    Returns:
        Work.
    Raises:
        ValueError: not a valid cohort, or a split with fewer than 2 subjects.
    """
    cohort, preset = cohorts.load(cohort_dir), preset or PRESETS[preset_name]
    split = cohort.split()
    empty = [name for name, rows in split.items() if len(rows) < 2]
    if empty:
        raise ValueError(f"{cohort_dir}: {len(cohort)} subjects leave fewer than 2 in {empty}")
    prepare(cohort, preset.rate_hz, prepared, workers, progress)
    return Work(load_prepared(cohort, prepared), split, preset, preset_name, seed, device, progress)


def fresh(build: Callable[Arguments, Built], seed: int, *args: Arguments.args,
          **options: Arguments.kwargs) -> Built:
    """Build a module whose random weights depend on the seed alone: build(*args, **options)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(*args, **options)


def run_stage(work: Work, stage: str, out: Path, source: nn.Module | None = None,
              pairing: np.ndarray | None = None) -> tuple[Model, History]:
    """Train one stage and write OUT/last.pt and OUT/best.pt.

    Args:
        work: data and settings.
        stage: "mdm", "mmcl", "supervised" or "finetune".
        out: directory of the run; made if needed.
        source: for "mmcl" an optional MaskedAutoencoder, for "finetune" an MMCL, ECGEncoder or
            MaskedAutoencoder to start from.
        pairing: control for "mmcl": row of the image beside each ECG.
    Returns:
        The module with its best weights, in evaluation mode, and the history.
    Raises:
        KeyboardInterrupt: training was interrupted; what was reached is written.
    """
    out.mkdir(parents=True, exist_ok=True)
    model = build_stage(work.preset, stage, work.seed, source).to(work.device)

    def checkpoint(history: History) -> None:
        save_run(out, work, stage, model, history)

    if isinstance(model, MaskedAutoencoder):
        history = train_mdm(model, work.data, work.split, work.preset, seed=work.seed,
                            device=work.device, progress=work.progress, checkpoint=checkpoint)
    elif isinstance(model, MMCL):
        history = train_mmcl(model, work.data, work.split, work.preset, seed=work.seed,
                             device=work.device, name=out.name, progress=work.progress,
                             pairing=pairing, checkpoint=checkpoint)
    else:
        history = train_labels(model, work.data, work.split, work.preset, seed=work.seed,
                               device=work.device, fine_tune=stage == "finetune",
                               progress=work.progress, checkpoint=checkpoint)
    save_run(out, work, stage, model, history)
    if history.best_state is not None:
        model.load_state_dict(history.best_state)
    if history.interrupted:
        raise KeyboardInterrupt
    return model.eval(), history


def build_stage(preset: Preset, stage: str, seed: int = 0, source: nn.Module | None = None
                ) -> Model:
    """Module of a stage, fresh or from an earlier stage.

    Args:
        preset: sizes.
        stage, source: as `run_stage`.
        seed: of the random weights.
    Returns:
        The module, on the CPU.
    Raises:
        ValueError: unknown stage, or a source that the stage cannot start from.
    """
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {STAGES}, got {stage!r}")
    outputs = len(cohorts.PHENOTYPES) + len(cohorts.LABELS)
    if stage == "mdm":
        return fresh(build_mdm, seed, preset)
    if stage == "mmcl":
        ecg = None if source is None else fresh(
            checkpoints.encoder_from_autoencoder, seed, _autoencoder(source))
        return fresh(build_mmcl, seed, preset, ecg)
    if stage == "supervised":
        return fresh(build_ecg, seed, preset, outputs=outputs)
    return _finetune_model(preset, seed, source, outputs)


def _autoencoder(source: nn.Module) -> MaskedAutoencoder:
    if not isinstance(source, MaskedAutoencoder):
        raise ValueError(f"stage mmcl starts from a masked autoencoder, got "
                         f"{type(source).__name__}")
    return source


def _finetune_model(preset: Preset, seed: int, source: nn.Module | None,
                    outputs: int) -> ECGEncoder:
    model = fresh(build_ecg, seed, preset, pooling="attention", outputs=outputs)
    if source is not None:
        encoder = source.ecg if isinstance(source, MMCL) else source
        known = model.state_dict()
        state = {n: v for n, v in encoder.state_dict().items()
                 if n in known and not n.startswith("head.")}
        model.load_state_dict(state, strict=False)
    return model


def save_run(out: Path, work: Work, stage: str, model: nn.Module, history: History) -> None:
    """Write OUT/last.pt (final weights) and OUT/best.pt (best validation score) atomically."""
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    content = {"model": state, "stage": stage, "preset": dataclasses.asdict(work.preset),
               "preset_name": work.preset_name, "seed": work.seed, "losses": history.losses,
               "scores": history.scores, "monitors": history.monitors, "best": history.best,
               "interrupted": history.interrupted}
    checkpoints.save(out / "last.pt", content)
    if history.best_state is not None:
        checkpoints.save(out / "best.pt", {**content, "model": history.best_state})


def load_run(directory: str | os.PathLike, prefer: tuple[str, ...] = ()) -> tuple[
        Model, str, Preset]:
    """Model of a finished stage.

    Args:
        directory: of a stage (holding best.pt or last.pt), or of a main job, in which the first
            existing of `prefer` is taken.
        prefer: names of stage directories.
    Returns:
        Module in evaluation mode on the CPU, stage, preset.
    Raises:
        ValueError: no checkpoint there, or one that is damaged or not of this project.
    """
    directory = Path(directory)
    places = [directory, *(directory / name for name in prefer)]
    files = [place / name for place in places for name in ("best.pt", "last.pt")]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise ValueError(f"no checkpoint in {directory}: looked for best.pt and last.pt there"
                         + (f" and in {', '.join(prefer)}" if prefer else ""))
    content = checkpoints.load(path)
    try:
        preset, stage = preset_from_dict(content["preset"]), content["stage"]
        model = build_stage(preset, stage)
        model.load_state_dict(content["model"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is not a checkpoint of this project: "
                         f"{str(error).splitlines()[0]}") from None
    return model.eval(), stage, preset


def preset_from_dict(values: dict) -> Preset:
    """Preset of a checkpoint: its nested dictionary -> Preset."""
    values = dict(values)
    for name in STAGES:
        stage = dict(values[name])
        stage["view"], stage["betas"] = ECGView(**stage["view"]), tuple(stage["betas"])
        values[name] = Stage(**stage)
    view = dict(values["cmr_view"])
    values["cmr_view"] = CMRView(**{**view, "scale": tuple(view["scale"]),
                                    "ratio": tuple(view["ratio"])})
    return Preset(**values)
