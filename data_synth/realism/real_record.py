"""A real record as the judge of the simulated ones: leads with simultaneous Frank leads.

    r_i       = correlation of lead i with (L f)_i, L the lead matrix of `leads`, f the Frank leads,
                both without what is slower than .5 Hz
    statistic = mean over 10 s strips at 500 Hz of `measurement.record_statistics`
    error     = SD over the strips / sqrt(number of strips), of either

Glossary: f [3, T], Frank leads X left, Y foot, Z back (mV); r, Pearson correlation.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_synth.ecg.leads import DOWER, EIGHT, EIGHT_ROWS
from data_synth.realism.delineation import delineate
from data_synth.realism.measurement import RECORD, record_statistics
from data_synth.realism.targets import Row, Table

STRIP_SECONDS = 10
RATES = (500, 1000)  # Hz


class RealRecord(NamedTuple):
    """One recording of both lead systems."""

    name: str
    ecg: np.ndarray  # [12, T] mV
    frank: np.ndarray  # [3, T] mV
    rate: int  # Hz, of `RATES`


def read(path: str | os.PathLike) -> RealRecord:
    """Read a record.

    Args:
        path: NPZ file with ecg_mv [12, T], frank_xyz_mv [3, T] and fs (Hz), at least 10 s.
    Returns:
        The record, named after the file.
    Raises:
        OSError: the file cannot be read; ValueError: it holds something else.
    """
    path = Path(path)
    try:
        with np.load(path) as file:
            ecg, frank = file["ecg_mv"].astype(float), file["frank_xyz_mv"].astype(float)
            rate = int(file["fs"])
    except (KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no NPZ file with ecg_mv, frank_xyz_mv and fs: "
                         f"{error}") from None
    if rate not in RATES:
        raise ValueError(f"{path}: fs={rate}, but should be one of {RATES} Hz")
    if ecg.ndim != 2 or len(ecg) != 12 or frank.shape != (3, ecg.shape[1]):
        raise ValueError(f"{path}: ecg_mv is {ecg.shape} and frank_xyz_mv {frank.shape}, but "
                         "should be (12, T) and (3, T)")
    if ecg.shape[1] < STRIP_SECONDS * rate:
        raise ValueError(f"{path}: {ecg.shape[1] / rate:.1f} s, but should be at least "
                         f"{STRIP_SECONDS} s")
    return RealRecord(path.stem, ecg, frank, rate)


def halve(x: np.ndarray, rate: float) -> np.ndarray:
    """A record of 1000 Hz at 500 Hz: means of neighbours.

    Args:
        x: [L, T] mV; rate: Hz, 1000.
    Returns:
        [L, T // 2].
    Raises:
        ValueError: another rate.
    Source: a two-tap mean loses 3 % at 80 Hz.
    """
    if rate != 1000:
        raise ValueError(f"rate={rate}, but should be 1000")
    even = x.shape[1] // 2 * 2
    return x[:, :even].reshape(len(x), -1, 2).mean(axis=2)


def statistics_of(ecg: np.ndarray) -> dict[str, tuple[float, float]]:
    """Signal statistics of a record, as of a simulated one.

    Args:
        ecg: [12, T] mV at 500 Hz, at least 10 s.
    Returns:
        `measurement.RECORD` -> mean over whole strips of 10 s, and its standard error.
    Source: `measurement.record_statistics`.
    """
    found = [record_statistics(ecg[:, strip], 500.0, delineate(ecg[:, strip]))
             for strip in _strips(ecg.shape[1], 500)]
    values = {name: [statistics[name] for statistics in found] for name in RECORD}
    return {name: (float(np.mean(value)), _error(value)) for name, value in values.items()}


def lead_agreement(ecg: np.ndarray, frank: np.ndarray, rate: float,
                   matrix: np.ndarray = DOWER) -> dict[str, float]:
    """How well a lead matrix makes the leads from the Frank leads.

    Args:
        ecg: [12, T] mV; frank: [3, T] mV; rate: Hz; matrix: [8, 3].
    Returns:
        I, II, V1..V6 -> r.
    Source: Dower et al. 1980 (10.1002/clc.1980.3.2.87).
    """
    want, got = _high_pass(ecg[EIGHT_ROWS], rate), matrix @ _high_pass(frank, rate)
    return {name: float(np.corrcoef(got[k], want[k])[0, 1]) for k, name in enumerate(EIGHT)}


def best_matrix(ecg: np.ndarray, frank: np.ndarray, rate: float) -> np.ndarray:
    """The [8, 3] matrix that fits this record best: what any dipole could do.

    Args:
        ecg: [12, T] mV; frank: [3, T] mV; rate: Hz.
    Returns:
        [8, 3].
    Source: least squares.
    """
    x, y = _high_pass(frank, rate), _high_pass(ecg[EIGHT_ROWS], rate)
    return np.linalg.lstsq(x.T, y.T, rcond=None)[0].T


def rows(table: Table, record: RealRecord) -> list[tuple[Row, float, float]]:
    """Rows of the report: does the central 95 % of the simulated traces hold the record?

    Args:
        table: from `measurement.measure`; record: from `read`.
    Returns:
        (row, the record's value, its standard error) for each statistic, then r of each lead.
    """
    name, ecg, frank, rate = record
    found = []
    for statistic, measured in statistics_of(ecg if rate == 500 else halve(ecg, rate)).items():
        column = f"record.{statistic}"
        low, middle, high = np.nanpercentile(table[column], (2.5, 50, 97.5)).tolist()
        found.append((Row(f"{statistic} of a real record", "", (column,), "record",
                          f"simulated, median {middle:.3g}", low, high, name, section="record"),
                      *measured))
    best = lead_agreement(ecg, frank, rate, best_matrix(ecg, frank, rate))
    strips = [lead_agreement(ecg[:, strip], frank[:, strip], rate)
              for strip in _strips(ecg.shape[1], rate)]
    for lead, r in lead_agreement(ecg, frank, rate).items():
        row = Row(f"lead {lead} from Frank leads, r", "", (), "record",
                  f"best dipole {best[lead]:.2f}", .85, 1.0, name, section="record")
        found.append((row, r, _error([strip[lead] for strip in strips])))
    return found


def _strips(samples: int, rate: int) -> list[slice]:
    """Whole strips of 10 s."""
    length = STRIP_SECONDS * rate
    return [slice(k, k + length) for k in range(0, samples - length + 1, length)]


def _error(values: list[float]) -> float:
    """Standard error of a mean; NaN for fewer than two values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def _high_pass(x: np.ndarray, rate: float) -> np.ndarray:
    spectrum = np.fft.rfft(np.asarray(x, np.float64))
    spectrum[:, np.fft.rfftfreq(x.shape[1], 1 / rate) < .5] = 0
    return np.fft.irfft(spectrum, x.shape[1])
