"""Programs that tests wait for, run beside the other tests by one thread.

    @program
    def job() -> Path: ...        in a test module; `job()` in a test waits for it, or runs it

conftest.py starts the programs of the collected modules, in the order of their definition, and puts
the tests of those modules last.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

_HOME = tempfile.TemporaryDirectory(prefix="ahead")  # removed at the end of the process
_PROGRAMS: list[Program] = []


class Program:
    """A function without arguments that runs once, whoever asks first."""

    def __init__(self, function: Callable[[], Any]):
        self.function, self.module = function, function.__module__
        self.lock, self.outcome = threading.Lock(), None

    def __call__(self) -> Any:
        """Its result, or what it raised."""
        with self.lock:
            if self.outcome is None:
                try:
                    self.outcome = (self.function(), None)
                except BaseException as error:
                    self.outcome = (None, error)
        value, error = self.outcome
        if error is not None:
            raise error
        return value


def program(function: Callable[[], Any]) -> Program:
    """Register a function as a program."""
    _PROGRAMS.append(Program(function))
    return _PROGRAMS[-1]


def folder(name: str) -> Path:
    """A new empty directory of that name, for all programs together."""
    path = Path(_HOME.name) / name
    path.mkdir()
    return path


def modules() -> set[str]:
    """Names of the modules that have programs."""
    return {each.module for each in _PROGRAMS}


def start(collected: Collection[str]) -> None:
    """Run the programs of the collected modules in a thread that does not outlive the process."""
    def run() -> None:
        for each in _PROGRAMS:
            if each.module in collected:
                try:
                    each()
                except Exception:  # told to the test that asks
                    continue

    threading.Thread(target=run, daemon=True).start()
