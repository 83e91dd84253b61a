"""What the writing processes ask of the system."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_synth import processes

ROOT = Path(__file__).parents[1]
FAULTS = """
import resource, sys
import numpy as np
from data_synth.processes import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def churn():
    arrays = [np.ones(2**17) for _ in range(24)]  # 1 MiB each
    del arrays
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(word: str) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", FAULTS, word], cwd=ROOT, check=True, text=True,
                          env=clean, capture_output=True)
    return int(done.stdout)


def test_freed_memory_is_used_again_without_page_faults():
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("this C library has no mallopt")
    pages = 24 * 2**20 // os.sysconf("SC_PAGE_SIZE")
    assert _faults("keep") < pages / 4 < pages < _faults("default")


@pytest.mark.parametrize("fault", [AttributeError, OSError, TypeError])
def test_a_c_library_without_the_setting_is_no_failure(monkeypatch, fault):
    def library(name):
        raise fault("none here")

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert processes.keep_freed_memory() is False


@pytest.mark.parametrize("refused", [-1, -3])
def test_a_refused_setting_is_told(monkeypatch, refused):
    asked = []

    class Library:
        def mallopt(self, name, value):
            asked.append((name, value))
            return int(name != refused)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    assert processes.keep_freed_memory() is False
    assert asked[0] == (-3, 32 * 2**20)


@pytest.mark.parametrize("threads", [None, "3"])
def test_quiet_children_puts_everything_back(monkeypatch, threads):
    if threads is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError), processes.quiet_children():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert os.environ["OMP_NUM_THREADS"] == (threads or "1")
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) == before
    assert os.environ.get("OMP_NUM_THREADS") == threads
