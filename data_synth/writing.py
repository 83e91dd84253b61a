"""Write a synthetic cohort to disk, chunk by chunk, with one or more processes and bounded memory.

    subjects -> chunks -> workers write disjoint rows -> rows marked as written -> hashes, manifest

A run that was killed at any point is continued by the same call: rows whose subject is on disk are
complete (`reference.cohort.writing.mark_written`), and every subject's bytes depend on nothing but
(VERSION, seed, subject, options), so the files equal those of an undisturbed run.

Glossary: row, a subject's place in the arrays; chunk, consecutive rows that one task writes;
worker, a process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_synth import processes
from data_synth.latents import LATENTS
from data_synth.simulation import VERSION, Subject, check_arguments, simulate_one
from reference import cohort
from reference.cohort import writing as cohort_writing

try:
    import fcntl
except ModuleNotFoundError:  # not a POSIX system: two runs on one directory are not noticed
    fcntl = None  # type: ignore[assignment]

SUBJECTS_A_TASK = 16  # subjects a task; about an eighth of a second, at most 15 MB
COMMIT_SECONDS = 1.0  # finished chunks are marked as written this often
MAX_WORKERS = 256


class Task(NamedTuple):
    """Rows that one task writes."""

    directory: str
    first_row: int
    subjects: tuple[int, ...]
    seed: int
    coupling: float
    ecg_noise: float
    label_noise: float
    ecg_dtype: str
    cmr_dtype: str
    segmentation: bool


def write_cohort(directory: str | os.PathLike, subjects: Sequence[int], seed: int = 0, *,
                 coupling: float = 1.0, ecg_noise: float = 1.0, workers: int = 1,
                 ecg_dtype: str = "float32", cmr_dtype: str = "float32",
                 segmentation: bool = True, enrich: float = 0.0, label_noise: float = 0.0,
                 progress: Callable[[int, int], None] | None = None) -> dict:
    """Simulate subjects and write them as a cohort, or continue where such a run was stopped.

    The bytes do not depend on `workers`, nor on interruptions. After a failure the directory has
    no manifest; the same call continues.

    Args:
        directory: path that does not exist yet, is an empty directory, or was left unfinished by
            an earlier call with the same arguments (`workers` may differ).
        subjects, seed, coupling, ecg_noise: as in `simulate`.
        workers: number of processes; 1 works in this one.
        ecg_dtype: "float32" or "float16" (error at most 2^-11 of the value: 0.5 uV at 1 mV).
        cmr_dtype: "float32", "float16" or "uint8" (error at most 1/510).
        segmentation: whether to write the segmentations.
        enrich: noted in the manifest: the share that the subjects were chosen for (see
            `selection.enriched_subjects`); 0 = not chosen.
        label_noise: as in `simulate`; noted in the manifest.
        progress: called with (subjects done by this call, subjects it has to do).
    Returns:
        The manifest.
    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range, or a directory in
            use or unfinished with other arguments; before any work.
        OSError: the disk is full or the directory cannot be written.
    """
    numbers = check_arguments(subjects, seed, coupling, ecg_noise, label_noise=label_noise)
    if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)):
        raise TypeError(f"workers={workers!r} ({type(workers).__name__}), but should be an int")
    if not 1 <= workers <= MAX_WORKERS:
        raise ValueError(f"workers={workers}, but should be in 1..{MAX_WORKERS}")
    generator = {"name": "data_synth", "version": VERSION, "seed": int(seed),
                 "coupling": float(coupling), "ecg_noise": float(ecg_noise),
                 "enrich": float(enrich), "label_noise": float(label_noise)}
    with _only_writer(Path(directory)):
        held = cohort_writing.create(
            directory, len(numbers), ecg_dtype=ecg_dtype, cmr_dtype=cmr_dtype,
            segmentation=segmentation, latents=LATENTS, generator=generator, resume=True)
        missing = _missing_rows(held, numbers, directory)
        tasks = [Task(os.fspath(directory), row, tuple(numbers[row:row + SUBJECTS_A_TASK]),
                      int(seed), float(coupling), float(ecg_noise), float(label_noise),
                      ecg_dtype, cmr_dtype, bool(segmentation))
                 for row in range(0, len(numbers), SUBJECTS_A_TASK)
                 if missing[row:row + SUBJECTS_A_TASK].any()]
        _write_all(tasks, int(workers), progress)
        return cohort_writing.finish(directory)


def write_rows(task: Task) -> Task:
    """Simulate and write the rows of a task: task -> the task, not yet marked as written."""
    rows: dict[str, np.ndarray] = {}
    for k, subject in enumerate(task.subjects):
        one = simulate_one(subject, task.seed, task.coupling, task.ecg_noise, None, None,
                           task.label_noise)
        for name, row in _stored(one, task).items():
            if k == 0:
                rows[name] = np.empty((len(task.subjects), *row.shape), row.dtype)
            rows[name][k] = row
    cohort_writing.write_rows(task.directory, task.first_row, rows)
    return task


def _stored(one: Subject, task: Task) -> dict[str, np.ndarray]:
    """Array name -> a subject's row as it is on disk."""
    row = {"ecg": cohort.store(one.ecg, task.ecg_dtype),
           "cmr": cohort.store(one.cmr, task.cmr_dtype), "phenotypes": one.phenotypes,
           "labels": one.labels, "latents": np.array([one.latents[name] for name in LATENTS])}
    return {**row, "segmentation": one.segmentation} if task.segmentation else row


def _missing_rows(held: np.ndarray, numbers: list[int], directory: str | os.PathLike
                  ) -> np.ndarray:
    """Which rows are still to be written, [N] bool; those written hold the subjects asked for."""
    missing = held < 0
    wrong = np.flatnonzero(~missing & (held != np.array(numbers, dtype=np.int64)))
    if wrong.size:
        row = wrong[0]
        raise ValueError(f"{directory} holds an unfinished cohort with other subjects: row {row} "
                         f"is subject {held[row]} there, but {numbers[row]} is asked for")
    return missing


def _write_all(tasks: list[Task], workers: int, progress: Callable[[int, int], None] | None
               ) -> None:
    """Run the tasks, marking the rows of finished ones as written about once a second."""
    total, done, pending = sum(len(task.subjects) for task in tasks), 0, []
    last = time.monotonic()
    try:
        for task in processes.run(write_rows, tasks, workers):
            pending.append(task)
            done += len(task.subjects)
            if time.monotonic() - last >= COMMIT_SECONDS:
                _mark(pending)
                pending, last = [], time.monotonic()
            if progress is not None:
                progress(done, total)
    finally:  # after a failure or Ctrl-C as well
        _mark(pending)


def _mark(tasks: list[Task]) -> None:
    if tasks:
        rows = [task.first_row + k for task in tasks for k in range(len(task.subjects))]
        subjects = [subject for task in tasks for subject in task.subjects]
        cohort_writing.mark_written(tasks[0].directory, rows, subjects)


@contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Hold a directory against other runs; made if need be, and removed again if left empty."""
    if path.is_file():
        cohort.require_new(path)  # says so
    new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY) if fcntl else None
    try:
        if descriptor is not None:
            _lock(descriptor, path)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
        if new:
            with suppress(OSError):  # not empty
                path.rmdir()


def _lock(descriptor: int, path: Path) -> None:
    """Lock until the descriptor is closed or the process ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"{path} is being written by another run") from None
    except OSError:  # a file system without locks
        return
