"""Measure simulated subjects on what was rendered, in bounded memory: one row of numbers each.

    record:  delineation of the trace; f waves of what is left of V1 without its beats; how the
             trace behaves as a signal (spectrum, variability, rank, noise, wander)
    mask:    r = sqrt(A_blood / pi), r' = sqrt((A_blood + A_muscle) / pi), WT = r' - r
             LVEDV = 2/3 pi R^3 lr,   R = r / sqrt(1 - .45^2),  lr = 3.2 (an average heart's)
             LVM = 1.05 * 2/3 pi [(R + h)^2 (lr R + .6 h) - R^2 lr R],  h: gap of the ring is WT
             Ecc = mean of r_ES / r_ED - 1 over both contours,   Err = WT_ES / WT_ED - 1
             RVEDV = A_RV .75 * .95 lr R
    beat:    the median beat of 8 leads at 125 Hz, for a model

Glossary: A, area of a label in the middle ring (mm2); R, short half-axis of the cavity (mm); r, r'
endo- and epicardial radius of equal area; ED, ES, ends of diastole and systole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from data_synth import processes
from data_synth.ecg.leads import EIGHT_ROWS
from data_synth.realism.delineation import (
    BEFORE,
    PER_LEAD,
    SCALARS,
    Delineation,
    delineate,
    moving_mean,
)
from data_synth.simulation import LATENTS, Subject, simulate_one
from reference.cohort import LEADS, PHENOTYPES, PIXEL_MM

SUBJECTS_A_TASK = 50  # subjects a task
BEAT_SAMPLES = 107  # of the median beat, 8 ms apart, from 300 ms before the fiducial
MASK = ("radius_index", "lvedv", "lvm", "rvedv", "wt_ed", "wt_es", "thickening", "ecc", "err",
        "area_change")
RECORD = ("spectrum_slope", "qrs_variability", "beyond_three", "noise", "wander")
ECG_COLUMNS = (*(f"ecg.{n}" for n in SCALARS),
               *(f"ecg.{row}.{lead}" for row in PER_LEAD for lead in LEADS))
COLUMNS = (*LATENTS, *(p.name for p in PHENOTYPES), *ECG_COLUMNS, *(f"mask.{n}" for n in MASK),
           *(f"record.{n}" for n in RECORD), "ecg.f_rate", "ecg.f_height")
_RING = .45  # depth of the middle ring over the cavity's length
_DEPTH = (1 - _RING ** 2) ** .5  # its radius over R
_LR = 3.2


class Measured(NamedTuple):
    """N subjects."""

    table: dict[str, np.ndarray]  # column -> [N] float64, NaN where not measurable
    beats: np.ndarray  # [N, 8, BEAT_SAMPLES] float32, mV


class Task(NamedTuple):
    """Subjects that one call measures."""

    subjects: tuple[int, ...]
    seed: int
    coupling: float
    ecg_noise: float


def measure(subjects: Sequence[int], seed: int = 0, *, coupling: float = 1.0,
            ecg_noise: float = 1.0, workers: int = 1,
            progress: Callable[[int, int], None] | None = None) -> Measured:
    """Simulate and measure subjects; only the measurements are kept.

    Args:
        subjects, seed, coupling, ecg_noise: as in `data_synth.simulate`.
        workers: processes; 1 works in this one; the result does not depend on it.
        progress: called with (subjects done, subjects in all).
    Returns:
        The measurements, in the order of the subjects.
    """
    tasks = [Task(tuple(subjects[k:k + SUBJECTS_A_TASK]), seed, coupling, ecg_noise)
             for k in range(0, len(subjects), SUBJECTS_A_TASK)]
    numbers = np.empty((len(subjects), len(COLUMNS)))
    beats = np.empty((len(subjects), len(EIGHT_ROWS), BEAT_SAMPLES), np.float32)
    done = 0
    for part, waves in processes.run(measure_chunk, tasks, workers):
        numbers[done:done + len(part)], beats[done:done + len(part)] = part, waves
        done += len(part)
        if progress is not None:
            progress(done, len(subjects))
    table = dict(zip(COLUMNS, numbers.T, strict=True))
    table.update(_derived(table))
    return Measured(table, beats)


def measure_chunk(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """[n, columns] and [n, 8, BEAT_SAMPLES] of one task's subjects."""
    results = [measure_one(simulate_one(subject, task.seed, task.coupling, task.ecg_noise))
               for subject in task.subjects]
    return np.stack([r[0] for r in results]), np.stack([r[1] for r in results])


def measure_one(one: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Subject -> [columns] numbers and the [8, BEAT_SAMPLES] beat; NaN if no beat is found."""
    try:
        seen = delineate(one.ecg)
    except ValueError:  # fewer than three whole beats that look alike
        trace, record = np.full(len(ECG_COLUMNS), np.nan), np.full(len(RECORD) + 2, np.nan)
        beat = np.zeros((len(EIGHT_ROWS), BEAT_SAMPLES), np.float32)
    else:
        trace = np.concatenate([[seen.values[n] for n in SCALARS], seen.leads.ravel()])
        signal = record_statistics(one.ecg, 500.0, seen)
        record = np.concatenate([[signal[n] for n in RECORD], _f_wave(one.ecg, seen)])
        first = round((BEFORE - .30) * 500)
        part = seen.beat[EIGHT_ROWS, first:first + 4 * BEAT_SAMPLES]
        beat = part.reshape(len(EIGHT_ROWS), BEAT_SAMPLES, 4).mean(axis=2).astype(np.float32)
    mask = mask_measures(one.segmentation, one.latents["bsa"])
    latents = [one.latents[n] for n in LATENTS]
    return np.concatenate([latents, one.phenotypes, trace, [mask[n] for n in MASK], record]), beat


def mask_measures(segmentation: np.ndarray, bsa: float) -> dict[str, float]:
    """Radii, thickness, strain and estimated volumes from a segmentation of the middle ring.

    Args:
        segmentation: [3, 210, 210] uint8, frames ED, half-way, ES; bsa: m2.
    Returns:
        `MASK` -> mm, mm per m2, ml, g, %.
    Source: areas as in cardiac_utils of ukbb_cardiac (Bai et al. 2020); volumes after the
        ellipsoid of an average heart.
    """
    area = [[np.count_nonzero(segmentation[k] == label) * PIXEL_MM ** 2 for label in (1, 2, 3)]
            for k in (0, 2)]  # mm2
    (blood, muscle, right), (blood_es, muscle_es, _) = area
    endo, endo_es = np.sqrt(blood / np.pi), np.sqrt(blood_es / np.pi)
    epi, epi_es = (np.sqrt((b + m) / np.pi) for b, m in ((blood, muscle), (blood_es, muscle_es)))
    wall, wall_es = epi - endo, epi_es - endo_es
    half = endo / _DEPTH
    length, thick = _LR * half, wall
    for _ in range(8):  # thickness of an ellipsoid whose gap in this ring is `wall`
        height = _RING * length / (length + .6 * thick)
        thick += wall - ((half + thick) * np.sqrt(1 - height ** 2) - endo)
    outer = (half + thick) ** 2 * (length + .6 * thick) - half ** 2 * length
    return {"radius_index": endo / bsa, "lvedv": 2 / 3 * np.pi * half ** 2 * length / 1000,
            "lvm": 1.05 * 2 / 3 * np.pi * outer / 1000, "rvedv": right * .75 * .95 * length / 1000,
            "wt_ed": wall, "wt_es": wall_es, "thickening": wall_es - wall,
            "ecc": 50 * ((endo_es / endo - 1) + (epi_es / epi - 1)),
            "err": 100 * (wall_es / wall - 1), "area_change": 100 * (1 - blood_es / blood)}


def record_statistics(ecg: np.ndarray, rate: float, seen: Delineation) -> dict[str, float]:
    """How a trace behaves as a signal, whatever it shows.

    Args:
        ecg: [12, T] mV; rate: Hz; seen: its delineation.
    Returns:
        spectrum_slope: of log power over log frequency, 5-40 Hz (mean of 8 leads);
        qrs_variability: RMS of beat - median beat over RMS of the median, in the QRS;
        beyond_three: share of the QRS's energy beyond three components;
        noise: robust SD of the trace less its 20 ms mean (uV, median lead);
        wander: RMS of the 1 s mean (uV, median lead).
    Source: own definitions; the same code measures real and simulated records.
    """
    x = np.asarray(ecg, np.float64)[EIGHT_ROWS]
    onset, end, _ = seen.bounds
    qrs = seen.beat[EIGHT_ROWS, onset:end + 1]
    rows = seen.beats[seen.normal][:, None] + np.arange(onset, end + 1) - round(BEFORE * rate)
    single = x[:, rows]  # [8, B, n]
    single = single - single[:, :, :1] + qrs[:, None, :1]
    energy = np.linalg.svd(qrs, compute_uv=False) ** 2
    fine = x - moving_mean(x, round(.02 * rate))
    slow = moving_mean(x - x.mean(axis=1, keepdims=True), round(rate))
    return {"spectrum_slope": _slope(x, rate),
            "qrs_variability": float(np.sqrt(((single - qrs[:, None]) ** 2).mean()
                                             / (qrs ** 2).mean())),
            "beyond_three": float(energy[3:].sum() / energy.sum()),
            "noise": 1000 * float(np.median(1.4826 * np.median(np.abs(fine), axis=1))),
            "wander": 1000 * float(np.median(slow.std(axis=1)))}


def _slope(x: np.ndarray, rate: float) -> float:
    """Slope of the log spectrum between 5 and 40 Hz, over 12 bands of equal log width."""
    window = round(4 * rate)
    parts = [x[:, k:k + window] for k in range(0, x.shape[1] - window + 1, window // 2)]
    power = np.sum([np.abs(np.fft.rfft((p - p.mean(axis=1, keepdims=True)) * np.hanning(window)))
                    ** 2 for p in parts], axis=0)  # [8, F]
    f = np.fft.rfftfreq(window, 1 / rate)
    edges = np.geomspace(5, 40, 13)
    bands = np.stack([power[:, (f >= a) & (f < b)].mean(axis=1)
                      for a, b in pairwise(edges)], axis=1)  # [8, 12]
    middle = np.log(np.sqrt(edges[1:] * edges[:-1]))
    middle = middle - middle.mean()
    return float((np.log(bands) @ middle / (middle @ middle)).mean())


def _f_wave(ecg: np.ndarray, seen: Delineation) -> tuple[float, float]:
    """Frequency (Hz) and amplitude (mV) of the fundamental f wave in V1; NaN in sinus rhythm."""
    if seen.values["rr_cv"] < .10 or seen.values["p_seen"]:
        return np.nan, np.nan
    rest, v1 = ecg[6].astype(np.float64), seen.beat[6]
    onset, _, t_end = seen.bounds
    wave = v1[onset - 8:t_end] * np.hanning(2 * (t_end - onset + 8))[-(t_end - onset + 8):] ** .25
    for beat in seen.beats:
        first = beat - 200 + onset - 8
        if first >= 0 and first + len(wave) <= len(rest):
            rest[first:first + len(wave)] -= wave
    power = np.abs(np.fft.rfft((rest - rest.mean()) * np.hanning(len(rest)))) ** 2
    f = np.fft.rfftfreq(len(rest), 1 / 500)
    inside = (f >= 4) & (f <= 9.5)
    peak = float(f[inside][np.argmax(power[inside])])
    near = power[np.abs(f - peak) < .6].sum()
    return peak, float(np.sqrt(4 * near / (len(rest) * (np.hanning(len(rest)) ** 2).sum())))


def _derived(t: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns that follow from others."""
    lvmi = t["LVM"] / t["bsa"]
    ecc = np.stack([t[f"Ecc_AHA_{k}"] for k in range(1, 17)])
    offsets = {f"wt_offset_{k}": t[f"WT_AHA_{k}"] - t["WT_Global"] for k in range(1, 17)}
    return {"lvmi": lvmi, "lvh": (lvmi > np.where(t["male"] > .5, 72, 55)).astype(float),
            "rvedvi": t["RVEDV"] / t["bsa"], "mass_ratio": t["LVM"] / t["LVEDV"],
            "low_ef": (t["LVEF"] < 40).astype(float),
            "ecc_apex_base": ecc[12:].mean(axis=0) - ecc[:6].mean(axis=0),
            "ecc_lateral_septal": ecc[[4, 5, 10, 11]].mean(axis=0) - ecc[[1, 2, 7, 8]].mean(axis=0),
            **offsets}
