"""Worker processes, and what they need from the system; no cohort and no report knows about it.

    tasks in order -> K fresh processes -> results in the same order, `run`
    memory that was freed and is asked for again  ->  kept in the worker, by glibc's own variables
    Ctrl-C, the death of the parent, thread counts

Glossary: worker, a process that simulates; K, how many; task, a few subjects.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_ENVIRONMENT = {  # of workers, where the user has not set it
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),  # bytes, the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(2**29),  # bytes of free memory that a worker may hold
}


def run(function: Callable[[_Task], _Result], tasks: Sequence[_Task], workers: int
        ) -> Iterator[_Result]:
    """Do all tasks in this process, or in several fresh ones that leave Ctrl-C to it.

    By default glibc returns arrays from 128 KiB on to the system when they are freed and asks for
    them anew: about 1,100 page faults for one subject. Workers keep them instead (at most 512 MiB
    each), which changes no byte of any result. With one worker this process does the work, and
    nothing of it is tuned; set the same variables before it starts, if that matters.

    Args:
        function: importable by name; tasks: its arguments, N; workers: K, 1 works in this process.
    Returns:
        Iterator of N results in the order of the tasks; those that were taken are not kept.
    Raises:
        BrokenProcessPool: a worker was killed; whatever `function` raises.
    Source: mallopt(3), environment variables; other C libraries ignore them.
    """
    if workers == 1 or len(tasks) <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context,
                             initializer=_end_with_parent) as pool:
        with quiet_children():
            futures: list[Future[_Result]] = [pool.submit(function, task) for task in tasks]
        futures.reverse()
        try:
            while futures:
                yield futures.pop().result()
        finally:  # after a failure or Ctrl-C only the tasks under way are finished
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def quiet_children() -> Iterator[None]:
    """Start processes that leave Ctrl-C to their parent, use one thread and keep freed memory."""
    main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
        if main:
            signal.signal(signal.SIGINT, previous)


def _end_with_parent() -> None:
    """In a worker: end at once when the parent is killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
