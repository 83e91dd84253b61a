"""What the three commands share: errors of one line, progress, files that say what made them."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from reference.atomic import write_text


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")

    def add_report(self, subjects: int) -> None:
        """Add what the commands that print about simulated subjects share.

        Args:
            subjects: default of --subjects.
        """
        add = self.add_argument
        add("--subjects", type=int, default=subjects, metavar="N",
            help=f"how many (default {subjects})")
        add("--seed", type=int, default=0, metavar="S", help="seed of the cohort (default 0)")
        add("--out", type=_new_file, metavar="FILE", help="also write what is printed to FILE")
        add("--json", type=_new_file, metavar="FILE", help="also write it as JSON to FILE")


class Progress:
    """Writes how far the work is to a stream, at most once a second and once at the end."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic):
        self.stream, self.clock = stream, clock
        self.start = self.last = clock()

    def __call__(self, done: int, total: int) -> None:
        now = self.clock()
        if done < total and now - self.last < 1:
            return
        self.last = now
        rate = done / max(now - self.start, 1e-9)
        self.stream.write(f"{done:,} of {total:,} subjects, {rate:.0f} a second, "
                          f"{(total - done) / rate:.0f} s left\n")
        self.stream.flush()


def _new_file(path: str) -> str:
    """Type of an argument that names a file to write: its directory must exist."""
    if not Path(path).parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: {Path(path).parent} is no directory")
    return path


def write_results(path: str, words: Sequence[str], text: str) -> None:
    """Keep what a command printed.

    Args:
        path: file, written whole or not at all; its first line is the command that makes it.
        words: of the command line after `python -m data_synth`; text: what was printed.
    """
    write_text(path, f"{shlex.join(['python', '-m', 'data_synth', *words])}\n\n{text}")
