"""What the working processes ask of the system, and the order of their results."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from data_synth import processes
from tests.support.helpers import ROOT

FAULTS = """
import resource
import numpy as np
def churn():
    arrays = [np.ones(2**17) for _ in range(24)]  # 1 MiB each
    del arrays
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def slow_first(task: int) -> tuple[int, int]:
    """The task and the process that did it; the first one ends last."""
    time.sleep(.3 * (task == 0))
    return task, os.getpid()


def fail_at_two(task: int) -> int:
    if task == 2:
        raise ValueError("task 2")
    return task


@pytest.mark.parametrize("workers", [1, 2])
def test_run_gives_results_in_the_order_of_the_tasks(workers):
    got = list(processes.run(slow_first, range(6), workers))
    assert [task for task, _ in got] == list(range(6))
    assert (os.getpid() in {process for _, process in got}) == (workers == 1)
    assert list(processes.run(slow_first, [], workers)) == []


def test_run_of_one_task_needs_no_process():
    assert list(processes.run(slow_first, [3], 2)) == [(3, os.getpid())]


@pytest.mark.parametrize("workers", [1, 2])
def test_run_gives_what_was_done_before_a_failure(workers):
    seen = []
    with pytest.raises(ValueError, match="task 2"):
        for result in processes.run(fail_at_two, range(5), workers):
            seen.append(result)
    assert seen == [0, 1]


def _faults() -> int:
    return int(subprocess.run([sys.executable, "-c", FAULTS], cwd=ROOT, check=True, text=True,
                              capture_output=True).stdout)


def test_freed_memory_is_used_again_without_page_faults(monkeypatch):
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("this C library has no MALLOC_ variables")
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    pages = 24 * 2**20 // os.sysconf("SC_PAGE_SIZE")
    default = _faults()
    with processes.quiet_children():
        assert _faults() < pages / 4 < pages < default


@pytest.mark.parametrize("mine", [None, "3"])
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_",
                                  "MALLOC_TRIM_THRESHOLD_"])
def test_quiet_children_puts_everything_back(monkeypatch, name, mine):
    """Also after a failure; and what the user has set is left alone."""
    monkeypatch.delenv(name, raising=False)
    if mine is not None:
        monkeypatch.setenv(name, mine)
    before, environment = signal.getsignal(signal.SIGINT), dict(os.environ)
    with pytest.raises(RuntimeError), processes.quiet_children():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert os.environ[name] == (mine or processes._ENVIRONMENT[name])
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) == before
    assert dict(os.environ) == environment
