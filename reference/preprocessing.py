"""Raw ECG to clean ECG, and short-axis cine to three-frame image.

    clean:      x <- 0 where NaN;  x <- clip(x, -4 s, 4 s), s = std(x);  x <- x - baseline(x);
                x <- (x - mean_g) / sqrt(var_g + 1e-12) for the lead groups I II III | aVR aVL aVF |
                V1..V6
    cine:       slice S // 2, frames ED, half-way, ES;  clip to the 1st and 99th percentile, scale
                to [0, 1];  centre on 210 x 210

Glossary: T samples, N records, s standard deviation over all leads and samples of a record, g group
of leads, ED end-diastole (largest volume), ES end-systole (smallest).
Source: Turgut et al. 2025, section 4.1, and the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch

from reference.baseline import asymmetric_least_squares
from reference.cohort.format import LEADS

__all__ = ["asymmetric_least_squares", "clean_ecg", "normalise", "prepare_cine"]

GROUPS = (3, 6, 12)  # ends of the lead groups
CLIP = 4.0  # standard deviations
EPSILON = 1e-12
RECORDS_AT_ONCE = 128  # fills the lanes of the baseline solver; about 0.5 GB
IMAGE_SIZE = 210  # pixels of 1.8 mm
MINIMUM_SLICES = 8
CHANNEL_ORDERS = ("ed-mid-es", "es-mid-ed")
Array = TypeVar("Array", np.ndarray, torch.Tensor)  # what comes in goes out


def normalise(ecg: Array, mode: str = "group", groups: Sequence[int] = GROUPS) -> Array:
    """Subtract the mean and divide by the standard deviation.

    Args:
        ecg: [..., leads, T], NumPy array or tensor, any unit.
        mode: what shares one mean and variance: "sample" (all leads), "channel" (each lead) or
            "group" (leads up to each end in `groups`).
        groups: ends of the lead groups, rising, the last one the number of leads; only for "group".
    Returns:
        The same shape, unit 1; float64 for float64 and whole numbers, else the dtype that came,
        after float64 arithmetic. A constant group gives 0; NaN stays in its group.
    Raises:
        ValueError: unknown mode, fewer than two axes, or groups that do not end at the last lead.
        TypeError: ecg is no array or tensor of real numbers.
    Source: authors' code (normalisation of the ECG).
    """
    _check_ecg(ecg)
    leads = ecg.shape[-2]
    ends: dict[str, tuple[int, ...]] = {
        "sample": (leads,), "channel": tuple(range(1, leads + 1)), "group": tuple(groups)}
    if mode not in ends:
        raise ValueError(f"mode must be one of {', '.join(ends)}, got {mode!r}")
    rising = all(low < high for low, high in pairwise((0, *ends[mode])))
    if not rising or ends[mode][-1:] != (leads,):
        raise ValueError(f"groups must rise and end at the number of leads {leads}, got "
                         f"{tuple(groups)}")
    x = _float64(ecg)
    _normalise_in_place(x, ends[mode])
    return _as_dtype(x, _result_dtype(ecg))


def clean_ecg(ecg: Array) -> Array:
    """The four cleaning steps: NaN, clip, baseline, z-score by lead group.

    Args:
        ecg: [..., 12, T] in mV, NumPy array or tensor, T >= 3; NaN = no value.
    Returns:
        The same shape, unit 1; float64 for float64 and whole numbers, else the dtype that came
        (computed in float64 throughout); a tensor stays on its device, without gradient. A group of
        leads that is constant gives 0.
    Raises:
        ValueError: not 12 leads, T < 3, or infinite values.
        TypeError: ecg is no array or tensor of real numbers.
    Source: Turgut et al. 2025, section 4.1; authors' code (ECG preprocessing).
    Differs: a constant lead is its own baseline (theirs divides 0 by 0 for a lead of zeros).
    """
    _check_ecg(ecg)
    if ecg.shape[-2] != len(LEADS) or ecg.shape[-1] < 3:
        raise ValueError(f"ecg must be [..., {len(LEADS)}, T] with T >= 3, got shape "
                         f"{tuple(ecg.shape)}")
    records = ecg.detach() if isinstance(ecg, torch.Tensor) else ecg
    records = records.reshape(-1, *ecg.shape[-2:])  # [N, 12, T]
    clean = _empty(records, _result_dtype(ecg))
    for start in range(0, len(records), RECORDS_AT_ONCE):
        part = slice(start, start + RECORDS_AT_ONCE)
        clean[part] = _clean(records[part])
    return clean.reshape(ecg.shape)


def prepare_cine(cine: np.ndarray, ed: int, es: int, channel_order: str = "ed-mid-es"
                 ) -> np.ndarray:
    """Three frames of the middle slice of a short-axis cine as one image.

    Args:
        cine: [x, y, slices, frames], real numbers, any unit, finite; more than 7 slices.
        ed, es: frames of the largest and of the smallest left-ventricular volume (UK Biobank: ED is
            frame 0). The third frame is half-way between, rounded towards ED; the frames are one
            heart cycle, so half-way from a late ED to an early ES goes over the last frame.
        channel_order: "ed-mid-es", or "es-mid-ed" for the authors' weights.
    Returns:
        [3, 210, 210] float32 in [0, 1]: clipped to the 1st and 99th percentile of the three frames,
        cropped or zero-padded about the centre. Zeros where those percentiles are equal.
    Raises:
        ValueError: not four axes, 7 slices or fewer, a frame that does not exist, ed = es, values
            that are not finite, or an unknown order.
    Source: code published by the authors' group for UK Biobank cines (inferred for this paper).
    Differs: their channel order is not documented; "es-mid-ed" is a guess.
    """
    cine = np.asarray(cine)
    if cine.ndim != 4:
        raise ValueError(f"cine must be [x, y, slices, frames], got shape {cine.shape}")
    slices, frames = cine.shape[2:]
    if slices < MINIMUM_SLICES:
        raise ValueError(f"cine must have at least {MINIMUM_SLICES} slices, got {slices}")
    if not (0 <= ed < frames and 0 <= es < frames and ed != es):
        raise ValueError(f"ed and es must be two different frames in 0..{frames - 1}, got ed={ed}, "
                         f"es={es}")
    if channel_order not in CHANNEL_ORDERS:
        raise ValueError(f"channel_order must be one of {', '.join(CHANNEL_ORDERS)}, got "
                         f"{channel_order!r}")
    mid = (ed + (es - ed) % frames // 2) % frames
    order = (ed, mid, es) if channel_order == "ed-mid-es" else (es, mid, ed)
    image = np.stack([cine[:, :, slices // 2, frame] for frame in order]).astype(np.float64)
    if not np.isfinite(image).all():
        raise ValueError(f"cine must be finite, got {np.sum(~np.isfinite(image))} other values in "
                         f"frames {ed}, {mid}, {es} of slice {slices // 2}")
    low, high = np.percentile(image, (1, 99))
    image = (np.clip(image, low, high) - low) / (high - low) if high > low else 0 * image
    return _centred(image.astype(np.float32), IMAGE_SIZE)  # [3, 210, 210]


def _centred(image: np.ndarray, size: int) -> np.ndarray:
    """Crop or zero-pad the last two axes about the centre; an odd pixel goes to the far side."""
    for axis in (-2, -1):
        got = image.shape[axis]
        start = max(0, (got - size) // 2)
        image = np.take(image, range(start, start + min(got, size)), axis=axis)
        before = (size - image.shape[axis]) // 2
        width = [(0, 0)] * image.ndim
        width[axis] = (before, size - image.shape[axis] - before)
        image = np.pad(image, width)
    return image


def _clean(records: Array) -> Array:
    """[n, 12, T] -> [n, 12, T] float64."""
    x = _float64(records)
    x[x != x] = 0.0
    s = _std(x)  # [n, 1, 1]
    if not bool((s < float("inf")).all()):
        raise ValueError("ecg must be finite or NaN, got an infinite value or one beyond 1e150")
    if isinstance(x, torch.Tensor):
        x = torch.clamp(x, -CLIP * s, CLIP * s)
    else:
        np.clip(x, -CLIP * s, CLIP * s, out=x)
    x -= asymmetric_least_squares(x)
    _normalise_in_place(x, GROUPS)
    return x


def _std(x: Array) -> Array:
    """Standard deviation over leads and samples, population form, [n, 1, 1]."""
    if isinstance(x, torch.Tensor):
        return x.var(dim=(-2, -1), unbiased=False, keepdim=True).sqrt()
    with np.errstate(invalid="ignore", over="ignore"):  # infinite values are refused by the caller
        return x.std(axis=(-2, -1), keepdims=True)


def _normalise_in_place(x: Array, ends: Sequence[int]) -> None:
    """Z-score of each group of leads of a float64 [..., leads, T]."""
    for start, stop in pairwise((0, *ends)):
        group = x[..., start:stop, :]
        group -= group.mean((-2, -1))[..., None, None]
        scale = (group * group).mean((-2, -1))[..., None, None] + EPSILON
        group /= scale**0.5


def _check_ecg(ecg: np.ndarray | torch.Tensor) -> None:
    if not isinstance(ecg, (np.ndarray, torch.Tensor)):
        raise TypeError(f"ecg must be a NumPy array or a tensor, got {type(ecg).__name__}")
    real = not ecg.is_complex() if isinstance(ecg, torch.Tensor) else ecg.dtype.kind in "biuf"
    if not real:
        raise TypeError(f"ecg must hold real numbers, got {ecg.dtype}")
    if ecg.ndim < 2:
        raise ValueError(f"ecg must be [..., leads, T], got shape {tuple(ecg.shape)}")


def _float64(x: Array) -> Array:
    """A float64 copy."""
    return x.to(torch.float64, copy=True) if isinstance(x, torch.Tensor) else \
        np.array(x, dtype=np.float64)


def _result_dtype(x: Array) -> torch.dtype | np.dtype:
    """The floating dtype that came, float64 for whole numbers."""
    if isinstance(x, torch.Tensor):
        return x.dtype if x.is_floating_point() else torch.float64
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)


def _as_dtype(x: Array, dtype: Any) -> Array:
    return x.to(dtype) if isinstance(x, torch.Tensor) else x.astype(dtype, copy=False)


def _empty(like: Array, dtype: Any) -> Array:
    return torch.empty_like(like, dtype=dtype) if isinstance(like, torch.Tensor) else \
        np.empty(like.shape, dtype=dtype)
