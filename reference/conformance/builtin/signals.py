"""The built-in adapter, signals: cleaning and views of ECG and CMR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from reference import augmentation, preprocessing, resampling
from reference.conformance.builtin.tools import Results, arrays, tensors
from reference.conformance.vectors import Case
from reference.views import CMRView, ECGView


def asymmetric_least_squares(case: Case, dtype: str) -> Results:
    """Baseline of every signal, float64 by contract."""
    signal = tensors(case, "in", dtype)["signal"]
    return arrays(out__baseline=preprocessing.asymmetric_least_squares(signal, **case.config))


def normalise(case: Case, dtype: str) -> Results:
    """Z-score."""
    return arrays(out__ecg=preprocessing.normalise(tensors(case, "in", dtype)["ecg"],
                                                   **case.config))


def clean_ecg(case: Case, dtype: str) -> Results:
    """All four steps; NaN where a sample is missing."""
    given = tensors(case, "in", dtype)
    ecg = given["ecg"].masked_fill(given["missing"], torch.nan)
    return arrays(out__ecg=preprocessing.clean_ecg(ecg))


def resample(case: Case, dtype: str) -> Results:
    """Another sampling rate; NaN where a sample is missing."""
    given = case.given("in", dtype)
    given["ecg"][given["missing"]] = np.nan
    return arrays(out__ecg=resampling.resample(given["ecg"], **case.config))


def prepare_cine(case: Case, dtype: str) -> Results:
    """Three frames as an image, float32 by contract."""
    return arrays(out__image=preprocessing.prepare_cine(case.given("in", dtype)["cine"],
                                                        **case.config))


def crop(case: Case, dtype: str) -> Results:
    """Start from uniform numbers, and the crop."""
    x, noise = tensors(case, "in", dtype)["x"], tensors(case, "noise", dtype)["start"]
    start = augmentation.random_start(noise, x.shape[2], case.config["length"])
    return arrays(mid__start=start, out__x=augmentation.crop(x, start, case.config["length"]))


def _view(function: Callable[..., torch.Tensor], case: Case, dtype: str) -> Results:
    """A view of x from one array of noise."""
    x, noise = tensors(case, "in", dtype)["x"], tensors(case, "noise", dtype)
    return arrays(out__x=function(x, **noise, **case.config))


def fourier_surrogate(case: Case, dtype: str) -> Results:
    """Phases turned by the noise."""
    return _view(augmentation.fourier_surrogate, case, dtype)


def jitter(case: Case, dtype: str) -> Results:
    """Noise on every sample."""
    return _view(augmentation.jitter, case, dtype)


def rescale(case: Case, dtype: str) -> Results:
    """A factor on every record."""
    return _view(augmentation.rescale, case, dtype)


def ecg_view(case: Case, dtype: str) -> Results:
    """The crop, and the whole view."""
    x, length = tensors(case, "in", dtype)["x"], case.config["length"]
    noise, view = augmentation.ECGNoise(**tensors(case, "noise", dtype)), case.config["view"]
    start = augmentation.random_start(noise.start, x.shape[2], length)
    return arrays(mid__crop=augmentation.crop(x, start, length),
                  out__x=augmentation.ecg_view_from(x, noise, ECGView(**view), length))


def heart_box(case: Case, dtype: str) -> Results:
    """The fixed box."""
    return arrays(out__image=augmentation.heart_box(tensors(case, "in", dtype)["image"]))


def resize(case: Case, dtype: str) -> Results:
    """The validation view."""
    image = tensors(case, "in", dtype)["image"]
    return arrays(out__image=augmentation.resize(image, case.config["size"]))


def _recipe(case: Case, dtype: str) -> tuple[augmentation.ImageNoise, CMRView]:
    view = dict(case.config["view"])
    view["scale"], view["ratio"] = tuple(view["scale"]), tuple(view["ratio"])
    return augmentation.ImageNoise(**tensors(case, "noise", dtype)), CMRView(**view)


def colour_jitter(case: Case, dtype: str) -> Results:
    """Brightness, contrast, saturation."""
    noise, view = _recipe(case, dtype)
    image = tensors(case, "in", dtype)["image"]
    return arrays(out__image=augmentation.colour_jitter(image, noise, view))


def cmr_view(case: Case, dtype: str) -> Results:
    """The affine map and the view."""
    noise, view = _recipe(case, dtype)
    image = tensors(case, "in", dtype)["image"]
    return arrays(mid__affine=augmentation.affine(noise, view),
                  out__image=augmentation.cmr_view(image, noise, view, case.config["size"]))


COMPONENTS = {function.__name__: function for function in (
    asymmetric_least_squares, normalise, clean_ecg, resample, prepare_cine, crop, fourier_surrogate,
    jitter, rescale, ecg_view, heart_box, resize, colour_jitter, cmr_view)}
