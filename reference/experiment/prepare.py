"""Cohort on disk -> arrays that training reads: ECGs cleaned and resampled, heart boxes cut out.

    DIR/ecg.npy        [N, 12, 10 s x rate]  float32   cleaned at 500 Hz, then brought to the rate
    DIR/box.npy        [N, 3, 78, 78]        uint8     the fixed box around the heart, x 255
    DIR/prepared.json  what they were made of; written last, so a half-made set is made again

Glossary: N subjects, rate working sampling rate in Hz.
Source: Turgut et al. 2025, section 3; authors' code (preprocessing, box).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch

from reference import cohort as cohorts
from reference.atomic import write_json
from reference.augmentation import heart_box
from reference.preprocessing import clean_ecg
from reference.resampling import resample
from reference.training import Data

SUBJECTS_A_TASK = 128  # subjects a task: what the batched baseline solver likes


def prepare(cohort: cohorts.Cohort, rate_hz: int, directory: str | os.PathLike, workers: int = 1,
            progress: Callable[[str, int, int], None] | None = None) -> None:
    """Clean every ECG and cut every heart box, unless that was done before from the same files.

    Args:
        cohort: as loaded.
        rate_hz: sampling rate the model sees, at most 500.
        directory: where the arrays go; made if needed.
        workers: processes.
        progress: called with ("prepare", done, count).
    Raises:
        ValueError: workers < 1, or a rate outside 1..500.
    """
    if workers < 1 or not 1 <= rate_hz <= cohorts.SAMPLING_RATE:
        raise ValueError(f"need workers >= 1 and 1 <= rate_hz <= {cohorts.SAMPLING_RATE}, got "
                         f"{workers}, {rate_hz}")
    directory, N = Path(directory), len(cohort)
    directory.mkdir(parents=True, exist_ok=True)
    key = _key(cohort, rate_hz)
    if _current(directory, key):
        return
    (directory / "prepared.json").unlink(missing_ok=True)
    samples = cohort.ecg.shape[-1] * rate_hz // cohorts.SAMPLING_RATE
    for name, shape, dtype in (("ecg", (N, 12, samples), np.float32),
                               ("box", (N, 3, 78, 78), np.uint8)):
        np.lib.format.open_memmap(directory / f"{name}.npy", "w+", dtype, shape).flush()
    starts = range(0, N, SUBJECTS_A_TASK)
    tasks = [(str(cohort.path), str(directory), rate_hz, s, min(s + SUBJECTS_A_TASK, N))
             for s in starts]
    done = 0
    for count in _run(tasks, workers):
        done += count
        if progress:
            progress("prepare", done, N)
    write_json(directory / "prepared.json", key)


def _run(tasks: list[tuple], workers: int) -> Iterator[int]:
    workers = min(workers, len(tasks))
    if workers == 1:
        yield from map(_prepare_rows, tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_single_thread) as pool:
        futures = [pool.submit(_prepare_rows, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _single_thread() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    torch.set_num_threads(1)


def _prepare_rows(task: tuple[str, str, int, int, int]) -> int:
    source, directory, rate_hz, start, stop = task
    cohort, rows = cohorts.load(source), slice(start, stop)
    ecg = np.load(Path(directory) / "ecg.npy", mmap_mode="r+")
    box = np.load(Path(directory) / "box.npy", mmap_mode="r+")
    ecg[rows] = clean_record(cohort.ecg_mv(rows), cohorts.SAMPLING_RATE, rate_hz)
    box[rows] = np.rint(heart_box(cohort.cmr_image(rows)) * 255).astype(np.uint8)
    return stop - start


def clean_record(ecg: np.ndarray, rate_in: float, rate_out: float) -> np.ndarray:
    """Clean at 500 Hz, then bring to the working rate: [..., 12, T] mV -> [..., 12, T'] float32."""
    ecg = np.asarray(ecg, np.float64)
    if rate_in != cohorts.SAMPLING_RATE:
        ecg = resample(ecg, rate_in, cohorts.SAMPLING_RATE)
    clean = clean_ecg(ecg)
    if rate_out != cohorts.SAMPLING_RATE:
        clean = resample(clean, cohorts.SAMPLING_RATE, rate_out)
    return clean.astype(np.float32)


def load_prepared(cohort: cohorts.Cohort, directory: str | os.PathLike) -> Data:
    """Prepared arrays beside labels and phenotypes.

    Args:
        cohort: as loaded.
        directory: as given to `prepare`.
    Returns:
        Data; mean and scale of the targets are those of the training split.
    """
    directory = Path(directory)
    mean, scale = target_scale(cohort)
    ecg = np.load(directory / "ecg.npy", mmap_mode="r")
    box = np.load(directory / "box.npy", mmap_mode="r")
    if ecg.nbytes + box.nbytes < 2**31:  # small enough to keep in memory
        ecg, box = np.array(ecg), np.array(box)
    return Data(ecg, box, np.asarray(cohort.labels, np.float32), np.array(cohort.phenotypes), mean,
                scale)


def target_scale(cohort: cohorts.Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [61] of the training phenotypes (0 and 1 where none is seen)."""
    y = np.asarray(cohort.phenotypes[cohort.split()["train"]])
    seen = ~np.isnan(y)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.nansum(y, axis=0) / count
    var = np.where(seen, (np.nan_to_num(y) - mean) ** 2, 0).sum(axis=0) / count
    return mean, np.where(var > 0, np.sqrt(var), 1.0)


def _key(cohort: cohorts.Cohort, rate_hz: int) -> dict:
    arrays = cohort.manifest["arrays"]
    return {"version": 1, "rate_hz": rate_hz, "ecg": arrays["ecg.npy"]["sha256"],
            "cmr": arrays["cmr.npy"]["sha256"]}


def _current(directory: Path, key: dict) -> bool:
    path = directory / "prepared.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) == key
    except (OSError, ValueError):
        return False
