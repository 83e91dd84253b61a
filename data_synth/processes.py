"""What the processes that write a cohort need from the system, and no cohort knows about.

    memory that was freed and is asked for again     ->  kept in the process, `keep_freed_memory`
    Ctrl-C, the death of the parent, thread counts   ->  `quiet_children`, `begin_worker`

Glossary: worker, a process that simulates; page fault, the system's work at the first touch of each
4 KiB of memory that it gave to a process.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names in malloc.h
_KEPT = 2**29  # bytes of free memory that a process may hold at the top of its heap
_LARGEST_MMAP = 2**25  # bytes, the most that glibc takes


def keep_freed_memory() -> bool:
    """Let this process keep the memory that its arrays give back, where the C library can do so.

    By default glibc returns arrays from 128 KiB on to the system when they are freed and asks for
    them anew: about 1,100 page faults for one subject, a quarter of its time. No byte of any
    result changes; the process keeps at most 512 MiB that it has used before.

    Returns:
        Whether the C library took the setting; False where it has none (macOS, musl, Windows).
    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))


def begin_worker() -> None:
    """In a worker: keep freed memory, and end at once when the parent is killed."""
    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    keep_freed_memory()
    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def quiet_children() -> Iterator[None]:
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
