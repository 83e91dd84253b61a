"""One measured 12-lead ECG from a file: its leads in order, in mV, at the rate of the file.

Glossary: T samples.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from reference.cohort.format import LEADS, MAX_MILLIVOLT, RATES

MAX_NAN_SHARE = 0.1  # of one lead
MIN_MILLIVOLT = 0.01  # a whole record below this is surely not in mV
MIN_SECONDS = 5.0  # one window of the model
SIGNAL_KEYS = ("ecg_mv", "ecg")
RATE_KEYS = ("fs", "sampling_rate", "sampling_rate_hz")
UNITS = {"mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3, "v": 1e3}  # to mV

# Of a file: signal, sampling rate, names of the leads, their one unit or the unit of each.
Contents = tuple[np.ndarray, float | None, list[str] | None, str | list[str]]


@dataclass(frozen=True)
class Record:
    """One ECG: ecg [12, T] float32 mV (NaN = no value), sampling_rate in Hz, leads as in LEADS."""

    ecg: np.ndarray
    sampling_rate: float
    leads: tuple[str, ...] = LEADS


def read_record(path: str | os.PathLike, sampling_rate: float | None = None, *,
                seconds: float = MIN_SECONDS) -> Record:
    """Read one 12-lead ECG.

    Args:
        path: .npz with the leads under "ecg_mv" or "ecg" (else the first array with 12 rows), the
            rate under "fs" or "sampling_rate", and optionally "leads" (names, any order) and
            "units"; .npy [12, T] in LEADS order; or a WFDB header .hea (needs the package wfdb).
        sampling_rate: Hz, for files that do not say; must agree with files that do.
        seconds: shortest duration allowed.
    Returns:
        Record with the leads in the order of LEADS, in mV, at the rate of the file.
    Raises:
        ValueError: one line that names the file and what is wrong with it: no such file, unknown
            kind, wrong lead count or names, unknown sampling rate, not in mV, a flat lead, too many
            values missing, too short.
    """
    path = Path(path)
    readers = {".npz": _read_npz, ".npy": _read_npy, ".hea": _read_wfdb}
    if path.suffix not in readers:
        raise ValueError(f"{path}: suffix must be {', '.join(readers)}, got {path.suffix!r}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    signal, rate, leads, units = readers[path.suffix](path)
    rate = _agreed_rate(path, rate, sampling_rate)
    signal = np.asarray(signal)
    if signal.dtype.kind not in "iuf":
        raise ValueError(f"{path}: the ECG must be real numbers, got {signal.dtype}")
    if signal.ndim != 2:
        raise ValueError(f"{path}: the ECG must be [12, T], got shape {list(signal.shape)}")
    signal = _in_order(path, signal, leads) * _millivolts(path, units, leads)
    _check_signal(path, signal, rate, seconds)
    return Record(signal.astype(np.float32), rate)


def _read_npz(path: Path) -> Contents:
    arrays = _loaded(path)
    listed = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
    rows = [name for name, array in arrays.items()
            if array.ndim == 2 and array.shape[0] == len(LEADS)]
    key = next((name for name in (*SIGNAL_KEYS, *rows) if name in arrays), None)
    if key is None:
        raise ValueError(f"{path}: holds no array with {len(LEADS)} rows (leads); it has "
                         f"{listed or 'nothing'}")
    rate = next((arrays[name] for name in RATE_KEYS if name in arrays), None)
    if rate is not None and (rate.size != 1 or rate.dtype.kind not in "iuf"):
        raise ValueError(f"{path}: the sampling rate must be one number, got {rate!r}")
    units = sorted({str(unit) for unit in np.ravel(arrays.get("units", "mV"))})
    if len(units) != 1:
        raise ValueError(f"{path}: must have one unit for all leads, got {', '.join(units)}")
    leads = [str(name) for name in np.ravel(arrays["leads"])] if "leads" in arrays else None
    return arrays[key], None if rate is None else float(rate.reshape(())), leads, units[0]


def _read_npy(path: Path) -> Contents:
    return _loaded(path), None, None, "mV"


def _loaded(path: Path) -> Any:
    """The array of an .npy, the arrays by name of an .npz."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, OSError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: not readable as NumPy data ({error})") from error


def _read_wfdb(path: Path) -> Contents:
    try:
        import wfdb  # type: ignore[import]  # the extra `records`
    except ImportError as error:
        raise ValueError(f"{path}: reading WFDB records needs the package wfdb (pip install wfdb)"
                         ) from error
    try:
        record = wfdb.rdrecord(str(path.with_suffix("")))
    except Exception as error:  # wfdb raises many kinds for a bad header or a missing signal file
        raise ValueError(f"{path}: not readable as a WFDB record ({error})") from error
    if record.p_signal is None:
        raise ValueError(f"{path}: must hold signals of one length and rate, got another kind")
    return record.p_signal.T, float(record.fs), list(record.sig_name), list(record.units)


def _agreed_rate(path: Path, stored: float | None, given: float | None) -> float:
    rate = given if stored is None else stored
    if rate is None:
        raise ValueError(f"{path}: unknown sampling rate; the file has none under "
                         f"{', '.join(RATE_KEYS)}, so it must be given in Hz")
    if stored is not None and given is not None and float(stored) != float(given):
        raise ValueError(f"{path}: sampling rate is {stored:g} Hz in the file, but {given:g} Hz "
                         "was given")
    _check_rate(f"{path}: sampling rate", float(rate))
    return float(rate)


def _check_rate(name: str, rate: float) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"{name} must be in {RATES[0]:g}..{RATES[1]:g} Hz, got {rate:g}")


def _in_order(path: Path, signal: np.ndarray, leads: Sequence[str] | None) -> np.ndarray:
    """Rows in the order of LEADS; without names they must be 12 and are taken to be in order."""
    if leads is None and len(signal) != len(LEADS):
        hint = "; perhaps transposed" if signal.shape[1] == len(LEADS) else ""
        raise ValueError(f"{path}: must have {len(LEADS)} leads, got {len(signal)} (shape "
                         f"{list(signal.shape)}{hint})")
    if leads is None:
        return signal
    if len(leads) != len(signal):
        raise ValueError(f"{path}: must have a row for each lead, got {len(signal)} rows and "
                         f"{len(leads)} lead names")
    places = {name.strip().lower(): row for row, name in reversed(list(enumerate(leads)))}
    missing = [lead for lead in LEADS if lead.lower() not in places]
    if missing:
        raise ValueError(f"{path}: must have the {len(LEADS)} leads {', '.join(LEADS)}; "
                         f"{', '.join(missing)} missing among {len(leads)}: {', '.join(leads)}")
    return signal[[places[lead.lower()] for lead in LEADS]]


def _millivolts(path: Path, units: str | Sequence[str], leads: Sequence[str] | None) -> np.ndarray:
    """Factor to mV of each lead, [12, 1]."""
    names = LEADS if leads is None else leads
    each = [units] * len(names) if isinstance(units, str) else units
    table = {name.strip().lower(): unit
             for name, unit in reversed(list(zip(names, each, strict=True)))}
    wrong = sorted({table[lead.lower()] for lead in LEADS
                    if table[lead.lower()].strip().lower() not in UNITS})
    if wrong:
        raise ValueError(f"{path}: units must be mV, uV or V, got {', '.join(wrong)}")
    return np.array([[UNITS[table[lead.lower()].strip().lower()]] for lead in LEADS])


def _check_signal(path: Path, x: np.ndarray, rate: float, seconds: float) -> None:
    """x [12, T] in mV can be an ECG."""
    got = x.shape[1] / rate
    if got < seconds:
        raise ValueError(f"{path}: too short, {got:g} s ({x.shape[1]} samples at {rate:g} Hz), but "
                         f"at least {seconds:g} s are needed")
    missing = np.isnan(x).mean(axis=1)
    worst = int(missing.argmax())
    if missing[worst] > MAX_NAN_SHARE:
        raise ValueError(f"{path}: lead {LEADS[worst]} has {missing[worst]:.1%} values missing, "
                         f"but at most {MAX_NAN_SHARE:.0%} are allowed")
    low, high = np.nanmin(x, axis=1), np.nanmax(x, axis=1)
    flat = [lead for lead, same in zip(LEADS, low == high, strict=True) if same]
    if flat:
        raise ValueError(f"{path}: flat lead {', '.join(flat)} (one value throughout), but all "
                         f"{len(LEADS)} leads must vary")
    largest = float(max(-low.min(), high.max()))
    if largest > MAX_MILLIVOLT:
        raise ValueError(f"{path}: values up to {largest:g} mV, but at most {MAX_MILLIVOLT:g} mV "
                         "can be an ECG; perhaps these are microvolts")
    if (high - low).max() < MIN_MILLIVOLT:
        raise ValueError(f"{path}: the largest lead spans {(high - low).max():g} mV, but at least "
                         f"{MIN_MILLIVOLT:g} mV are expected; perhaps these are volts")
