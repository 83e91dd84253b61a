"""Pictures of a run, with the `figures` extra: reconstruction, similarity maps, bars, loss curves.

Every function takes plain arrays and writes one PNG atomically.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from reference.atomic import replacing
from reference.cohort.format import LEADS

MISSING = "figures need matplotlib: pip install 'ecgcmr-reference[figures]'"


def available() -> bool:
    """Is matplotlib installed?"""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def _figure(**options):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ModuleNotFoundError(MISSING) from None
    return Figure(layout="constrained", **options)


def _save(figure, path: str | os.PathLike) -> None:
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=110)


def reconstruction(path: str | os.PathLike, ecg: np.ndarray, prediction: np.ndarray,
                   mask: np.ndarray, rate_hz: float, ncc: np.ndarray) -> None:
    """Twelve leads, input and reconstruction, hidden patches shaded.

    Args:
        path: PNG file.
        ecg, prediction: [12, T] cleaned (no unit).
        mask: [12, steps], 1 = hidden.
        rate_hz: samples a second.
        ncc: [12] correlation per lead, for the titles.
    """
    figure = _figure(figsize=(12, 9))
    axes = figure.subplots(6, 2, sharex=True)
    time = np.arange(ecg.shape[1]) / rate_hz
    width = ecg.shape[1] / mask.shape[1] / rate_hz
    for lead, axis in enumerate(axes.T.ravel()):
        for step in np.flatnonzero(mask[lead]):
            axis.axvspan(step * width, (step + 1) * width, color="0.9", lw=0)
        axis.plot(time, ecg[lead], color="0.35", lw=0.9, label="input")
        axis.plot(time, prediction[lead], color="crimson", lw=0.9, label="reconstruction")
        axis.set_title(f"{LEADS[lead]}   NCC {ncc[lead]:.2f}", loc="left", fontsize=9)
        axis.margins(x=0)
    axes[0, 0].legend(loc="upper right", fontsize=8, ncols=2)
    for axis in axes[-1]:
        axis.set_xlabel("time (s); grey = hidden from the model")
    _save(figure, path)


def similarity(path: str | os.PathLike, ecg: np.ndarray, ecg_map: np.ndarray, image: np.ndarray,
               cmr_map: np.ndarray, rate_hz: float) -> None:
    """Where the two modalities of one subject agree.

    Args:
        path: PNG file.
        ecg: [12, T] cleaned; ecg_map: [12, T] similarity with the subject's CMR.
        image: [3, h, w] in [0, 1]; cmr_map: [h, w] similarity with the subject's ECG.
        rate_hz: samples a second.
    """
    figure = _figure(figsize=(13, 7))
    left, right = figure.subfigures(1, 2, width_ratios=[3, 1.3])
    axes = left.subplots(6, 2, sharex=True)
    time = np.arange(ecg.shape[1]) / rate_hz
    limits = {"vmin": float(ecg_map.min()), "vmax": float(ecg_map.max()), "cmap": "viridis"}
    for lead, axis in enumerate(axes.T.ravel()):
        points = axis.scatter(time, ecg[lead], c=ecg_map[lead], s=2, **limits)
        axis.set_title(LEADS[lead], loc="left", fontsize=8)
        axis.margins(x=0)
    left.colorbar(points, ax=axes, label="similarity with the CMR embedding", shrink=0.6)
    top, bottom = right.subplots(2, 1)
    top.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    top.set_title("end-diastole", fontsize=9)
    bottom.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    shown = bottom.imshow(cmr_map, cmap="inferno", alpha=0.55)
    right.colorbar(shown, ax=bottom, label="similarity with the ECG embedding", shrink=0.8)
    for axis in (top, bottom):
        axis.set_axis_off()
    _save(figure, path)


def phenotype_bars(path: str | os.PathLike, scores: dict[str, dict[str, float]]) -> None:
    """Mean R2 per phenotype group and arm, as bars: scores[arm][group]."""
    figure = _figure(figsize=(9, 4))
    axis = figure.subplots()
    groups = list(next(iter(scores.values())))
    width = 0.8 / len(scores)
    for k, (arm, values) in enumerate(scores.items()):
        heights = [values[g] for g in groups]
        axis.bar(np.arange(len(groups)) + (k - (len(scores) - 1) / 2) * width, heights, width,
                 label=arm)
    axis.set_xticks(range(len(groups)), groups)
    axis.axhline(0, color="0.5", lw=0.6)
    axis.set_ylabel("mean R2 on test subjects")
    axis.legend(fontsize=8)
    _save(figure, path)


def loss_curves(path: str | os.PathLike, losses: dict[str, Sequence[float]], chance: float) -> None:
    """Training loss per step and stage, smoothed; `chance` is drawn for the contrastive arms."""
    figure = _figure(figsize=(4 * len(losses), 3.4))
    axes = np.atleast_1d(figure.subplots(1, len(losses)))
    for axis, (name, values) in zip(axes, losses.items(), strict=True):
        window = max(1, len(values) // 50)
        axis.plot(values, color="0.8", lw=0.6)
        smooth = np.convolve(values, np.ones(window) / window, "valid")
        axis.plot(np.arange(len(smooth)) + window // 2, smooth, color="navy", lw=1.2)
        if "mmcl" in name:
            axis.axhline(chance, color="crimson", ls="--", lw=0.8, label="nothing learnt (ln B)")
            axis.legend(fontsize=8)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step")
    _save(figure, path)
