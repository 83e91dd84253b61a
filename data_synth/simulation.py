"""Paired ECG and CMR of synthetic subjects, each subject's bytes independent of all others.

    latents     = physiology(seed, subject)
    heart       = geometry(latents; anatomy stream)      -> phenotypes, image, segmentation
    ECG         = electrocardiogram(latents, volumes of the heart; coupling, ecg_noise; ecg stream)
    labels      = (CAD, AF, DM) of the latents
    phenotypes, only if label_noise > 0: with the errors of `label_noise` (labels stream)

Glossary: latents, the shared physiology, the volumes realised by the geometry, the subject's
anatomy and what is private to each modality (see `latents`); stream, an independent random
generator (see `streams`); coupling, how much of the physiology beyond
demographics reaches the ECG; ecg_noise, factor on what hides it there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from data_synth.cmr import cine
from data_synth.ecg import electrocardiogram
from data_synth.heart import geometry, physiology
from data_synth.heart.label_noise import measured
from data_synth.heart.phenotypes import phenotypes as phenotypes_of
from data_synth.heart.phenotypes import realised
from data_synth.latents import LATENTS
from data_synth.streams import check_seed, check_subject, generator
from reference.cohort import IMAGE_SHAPE, LABELS, LEADS, PHENOTYPES, SAMPLES

VERSION = "3.1"  # changes whenever the same seed gives other bits


class Subject(NamedTuple):
    """One synthetic subject."""

    ecg: np.ndarray  # [12, 5000] float32, mV
    cmr: np.ndarray  # [3, 210, 210] float32 in [0, 1]
    segmentation: np.ndarray  # [3, 210, 210] uint8
    phenotypes: np.ndarray  # [61] float64
    labels: np.ndarray  # [3] float64
    latents: dict[str, float]


class Simulation(NamedTuple):
    """N synthetic subjects, in the order asked for."""

    ecg: np.ndarray  # [N, 12, 5000] float32, mV at 500 Hz, leads I II III aVR aVL aVF V1..V6
    cmr: np.ndarray  # [N, 3, 210, 210] float32 in [0, 1], frames ED, half-way, ES
    segmentation: np.ndarray  # [N, 3, 210, 210] uint8: 0 background, 1 LV, 2 myocardium, 3 RV
    phenotypes: np.ndarray  # [N, 61] float64, units in PHENOTYPES
    labels: np.ndarray  # [N, 3] float64: CAD, AF, DM
    latents: dict[str, np.ndarray]  # name -> [N] float64


def simulate(subjects: Sequence[int], seed: int = 0, *, coupling: float = 1.0,
             ecg_noise: float = 1.0, ecg_seed: int | None = None,
             cmr_seed: int | None = None, label_noise: float = 0.0) -> Simulation:
    """Simulate paired ECG and CMR of the given subjects.

    Args:
        subjects: subject numbers, >= 0, all different; each gives the same bits in any company.
        seed: the cohort's seed, >= 0.
        coupling: 0..1; scales every edge from the shared physiology to the ECG beyond
            demographics (sex, age, height, BMI, blood pressure); 0 = none.
        ecg_noise: >= 0; scales the private variation of ECG features that hides physiology;
            1 = realistic, 0.5 = clear; saturates at 4.
        ecg_seed: replaces the seed of the ECG's own stream alone.
        cmr_seed: replaces the seed of the image's own stream alone.
        label_noise: >= 0; factor on errors of the phenotypes like those of automated phenotyping;
            0 = exact, 1 = realistic (see `label_noise`). Latents and diagnoses stay exact.
    Returns:
        ecg, cmr, segmentation, phenotypes, labels, latents (see `Simulation`).
    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range.
    """
    numbers = check_arguments(subjects, seed, coupling, ecg_noise, ecg_seed, cmr_seed,
                              label_noise)
    n = len(numbers)
    result = Simulation(
        np.empty((n, len(LEADS), SAMPLES), np.float32), np.empty((n, *IMAGE_SHAPE), np.float32),
        np.empty((n, *IMAGE_SHAPE), np.uint8), np.empty((n, len(PHENOTYPES))),
        np.empty((n, len(LABELS))), {name: np.empty(n) for name in LATENTS})
    for row, number in enumerate(numbers):
        one = simulate_one(number, seed, coupling, ecg_noise, ecg_seed, cmr_seed, label_noise)
        for array, value in zip(result[:-1], one[:-1], strict=True):
            array[row] = value
        for name, column in result.latents.items():
            column[row] = one.latents[name]
    return result


def simulate_one(subject: int, seed: int = 0, coupling: float = 1.0, ecg_noise: float = 1.0,
                 ecg_seed: int | None = None, cmr_seed: int | None = None,
                 label_noise: float = 0.0) -> Subject:
    """Simulate one subject.

    Args, Returns: as `simulate`, for one subject; not checked beyond the seeds.
    """
    latents = physiology.sample(subject, seed)
    heart = geometry.realise(latents, generator(seed, subject, "anatomy"))
    phenotypes = phenotypes_of(heart, latents)  # [61]
    latents.update(realised(phenotypes))
    latents.update(zip(geometry.ANATOMY, heart.anatomy.tolist(), strict=True))
    scene = cine.draw_scene(generator(seed if cmr_seed is None else cmr_seed, subject, "cmr"))
    private = electrocardiogram.draw_private(
        generator(seed if ecg_seed is None else ecg_seed, subject, "ecg"))
    ecg = electrocardiogram.trace(latents, private, coupling, ecg_noise)
    cmr, segmentation = cine.paint(heart, scene)
    latents.update(electrocardiogram.private_latents(private), **cine.private_latents(scene))
    labels = np.array([latents["cad"], latents["af"], latents["dm"]])
    if label_noise:
        phenotypes = measured(phenotypes, latents["heart_rate"],
                              generator(seed, subject, "labels"), label_noise)
    return Subject(ecg, cmr, segmentation, phenotypes, labels, latents)


def check_arguments(subjects: Iterable[int], seed: int, coupling: float, ecg_noise: float,
                    ecg_seed: int | None = None, cmr_seed: int | None = None,
                    label_noise: float = 0.0) -> list[int]:
    """Check everything that `simulate` is given and return the subjects as ints.

    Args:
        subjects, seed, coupling, ecg_noise, ecg_seed, cmr_seed, label_noise: as in `simulate`.
    Returns:
        The subject numbers.
    Raises:
        TypeError, ValueError: naming what came and what was allowed.
    """
    if isinstance(subjects, (str, bytes)) or not isinstance(subjects, Iterable):
        raise TypeError(f"subjects={subjects!r} ({type(subjects).__name__}), but should be a "
                        "sequence of ints")
    numbers = [check_subject(subject) for subject in subjects]
    if len(set(numbers)) != len(numbers):
        ordered = sorted(numbers)
        twice = next(a for a, b in pairwise(ordered) if a == b)
        raise ValueError(f"subjects holds {twice} more than once, but all should be different")
    check_seed("seed", seed)
    for name, value in (("ecg_seed", ecg_seed), ("cmr_seed", cmr_seed)):
        if value is not None:
            check_seed(name, value)
    _check_real("coupling", coupling, 1.0, "0..1")
    _check_real("ecg_noise", ecg_noise, math.inf, "finite and at least 0")
    _check_real("label_noise", label_noise, math.inf, "finite and at least 0")
    return numbers


def _check_real(name: str, value: float, largest: float, allowed: str) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(
            value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}={value!r} ({type(value).__name__}), but should be a number")
    if not (math.isfinite(value) and 0 <= value <= largest):
        raise ValueError(f"{name}={value}, but should be {allowed}")
