"""Write a synthetic cohort to disk, row by row, with one or more processes and bounded memory.

    subjects -> chunks -> workers write disjoint rows of memory-mapped arrays -> hashes, manifest

Glossary: row, a subject's place in the arrays; chunk, consecutive rows that one task writes;
worker, a process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from data_synth.latents import LATENTS
from data_synth.simulation import VERSION, check_arguments, simulate_one
from reference import cohort

CHUNK = 32  # subjects a task; about a third of a second
MAX_WORKERS = 256


class Task(NamedTuple):
    """Rows that one task writes."""

    directory: str
    first_row: int
    subjects: tuple[int, ...]
    seed: int
    coupling: float
    ecg_noise: float
    label_noise: float = 0.0


def write_cohort(directory: str | os.PathLike, subjects: Sequence[int], seed: int = 0, *,
                 coupling: float = 1.0, ecg_noise: float = 1.0, workers: int = 1,
                 ecg_dtype: str = "float32", cmr_dtype: str = "float32",
                 segmentation: bool = True, enrich: float = 0.0, label_noise: float = 0.0,
                 progress: Callable[[int, int], None] | None = None) -> dict:
    """Simulate subjects and write them as a cohort.

    The bytes do not depend on `workers`. After a failure the directory has no manifest.

    Args:
        directory: path that does not exist yet or is an empty directory.
        subjects, seed, coupling, ecg_noise: as in `simulate`.
        workers: number of processes; 1 works in this one.
        ecg_dtype: "float32" or "float16".
        cmr_dtype: "float32", "float16" or "uint8".
        segmentation: whether to write the segmentations.
        enrich: noted in the manifest: the share that the subjects were chosen for (see
            `selection.enriched_subjects`); 0 = not chosen.
        label_noise: as in `simulate`; noted in the manifest.
        progress: called with (subjects done, subjects in all) after every chunk.
    Returns:
        The manifest.
    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range; before any work.
        OSError: the disk is full or the directory cannot be written.
    """
    numbers = check_arguments(subjects, seed, coupling, ecg_noise, label_noise=label_noise)
    if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)):
        raise TypeError(f"workers={workers!r} ({type(workers).__name__}), but should be an int")
    if not 1 <= workers <= MAX_WORKERS:
        raise ValueError(f"workers={workers}, but should be in 1..{MAX_WORKERS}")
    cohort.create(directory, len(numbers), ecg_dtype=ecg_dtype, cmr_dtype=cmr_dtype,
                  segmentation=segmentation, latents=LATENTS)
    tasks = [Task(os.fspath(directory), row, tuple(numbers[row:row + CHUNK]), int(seed),
                  float(coupling), float(ecg_noise), float(label_noise))
             for row in range(0, len(numbers), CHUNK)]
    done = 0
    for count in _run(tasks, int(workers)):
        done += count
        if progress is not None:
            progress(done, len(numbers))
    return cohort.finish(directory, generator={
        "name": "data_synth", "version": VERSION, "seed": int(seed),
        "coupling": float(coupling), "ecg_noise": float(ecg_noise), "enrich": float(enrich),
        "label_noise": float(label_noise)})


def write_rows(task: Task) -> int:
    """Simulate and write the rows of one task; returns how many."""
    arrays = cohort.open_for_writing(task.directory)
    for row, subject in enumerate(task.subjects, task.first_row):
        one = simulate_one(subject, task.seed, task.coupling, task.ecg_noise,
                           label_noise=task.label_noise)
        arrays["ecg"][row] = cohort.store(one.ecg, str(arrays["ecg"].dtype))
        arrays["cmr"][row] = cohort.store(one.cmr, str(arrays["cmr"].dtype))
        if "segmentation" in arrays:
            arrays["segmentation"][row] = one.segmentation
        arrays["phenotypes"][row] = one.phenotypes
        arrays["labels"][row] = one.labels
        arrays["latents"][row] = [one.latents[name] for name in LATENTS]
        arrays["subjects"][row] = subject
    return len(task.subjects)


def _run(tasks: list[Task], workers: int) -> Iterator[int]:
    """Run the tasks in this process or in `workers` fresh ones; yields as they end."""
    if workers == 1 or len(tasks) == 1:
        yield from map(write_rows, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as pool:
        with _quiet_children():
            futures = [pool.submit(write_rows, task) for task in tasks]
        try:
            yield from (future.result() for future in as_completed(futures))
        finally:  # after a failure or Ctrl-C only the chunks under way are finished
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _quiet_children() -> Iterator[None]:
    """Start processes that leave Ctrl-C to their parent and use one thread each."""
    main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = threads or "1"
    try:
        yield
    finally:
        if threads is None:
            del os.environ["OMP_NUM_THREADS"]
        if main:
            signal.signal(signal.SIGINT, previous)
