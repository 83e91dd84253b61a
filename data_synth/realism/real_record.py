"""A real record as the judge of the simulated ones: leads with simultaneous Frank leads.

    r_i       = correlation of lead i with (L f)_i, L the lead matrix of `leads`, f the Frank leads,
                both without what is slower than .5 Hz
    statistic = mean over 10 s strips at 500 Hz of `measurement.record_statistics`

The record: PTB Diagnostic ECG Database s0010_re, a woman of 81 with an acute inferolateral infarct
(Bousseljot et al. 1995; Goldberger et al. 2000; Open Data Commons Attribution License 1.0). Its
numbers are kept here so that a report needs no file; `statistics_of` and `lead_agreement` make them
again from the record.

Glossary: f [3, T], Frank leads X left, Y foot, Z back (mV); r, Pearson correlation.
"""

from __future__ import annotations

import numpy as np

from data_synth.ecg.leads import DOWER, EIGHT, EIGHT_ROWS
from data_synth.realism.delineation import delineate
from data_synth.realism.measurement import RECORD, record_statistics
from data_synth.realism.targets import Row, Table

STRIP = 5000  # samples of one strip at 500 Hz
SOURCE = "PTB s0010_re, 10.1515/bmte.1995.40.s1.317"
AGREEMENT = {"I": 0.9069, "II": 0.9082, "V1": 0.6007, "V2": 0.2277, "V3": 0.6082, "V4": 0.906,
    "V5": 0.7379, "V6": 0.4437}  # r, Dower's matrix
BEST = {"I": 0.9246, "II": 0.9657, "V1": 0.93, "V2": 0.941, "V3": 0.9726, "V4": 0.9873,
    "V5": 0.9759, "V6": 0.9564}
STATISTICS = {"spectrum_slope": -1.968, "qrs_variability": 0.08005, "beyond_three": 0.008402,
    "noise": 6.171, "wander": 32.23}


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


def statistics_of(ecg: np.ndarray) -> dict[str, float]:
    """Signal statistics of a record, as of a simulated one.

    Args:
        ecg: [12, T] mV at 500 Hz, at least 10 s.
    Returns:
        `measurement.RECORD` -> mean over whole strips of 10 s.
    Source: `measurement.record_statistics`.
    """
    strips = [ecg[:, k:k + STRIP] for k in range(0, ecg.shape[1] - STRIP + 1, STRIP)]
    found = [record_statistics(strip, 500.0, delineate(strip)) for strip in strips]
    return {name: float(np.mean([f[name] for f in found])) for name in RECORD}


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


def rows(table: Table) -> list[tuple[Row, float, float]]:
    """Rows of the report: does the central 95 % of the simulated traces hold the record?

    Args:
        table: from `measurement.measure`.
    Returns:
        (row, the record's value, 0) for each statistic, then r of each lead.
    """
    found = []
    for name, value in STATISTICS.items():
        simulated = table[f"record.{name}"]
        low, middle, high = np.nanpercentile(simulated, (2.5, 50, 97.5))
        found.append((Row("real", f"{name} of a real record", "", (f"record.{name}",), "record",
                          f"simulated, median {middle:.3g}", float(low), float(high), SOURCE),
                      value, 0.0))
    for lead, r in AGREEMENT.items():
        found.append((Row("real", f"lead {lead} from Frank leads, r", "", (), "record",
                          f"best dipole {BEST[lead]:.2f}", .85, 1.0, SOURCE), r, 0.0))
    return found


def _high_pass(x: np.ndarray, rate: float) -> np.ndarray:
    spectrum = np.fft.rfft(np.asarray(x, np.float64))
    spectrum[:, np.fft.rfftfreq(x.shape[1], 1 / rate) < .5] = 0
    return np.fft.irfft(spectrum, x.shape[1])
