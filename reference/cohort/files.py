"""Files of large arrays: their disk space taken at the start, their rows written in little memory.

    place of row r in a .npy file   =   bytes of the header + r * bytes of one row

A memory map would do, but its written pages stay resident and a full disk ends the process by a
signal; here a full disk is an OSError, and before any work.

Glossary: row, the part of an array at one index of its first axis.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap


def require_space(directory: Path, needed: int) -> None:
    """OSError with both numbers if the disk of a directory has fewer than `needed` bytes free."""
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:,.3f} GB are needed, but {free / 1e9:,.3f} GB "
                      "are free", str(directory))


def make_array(path: Path, dtype: str, shape: Sequence[int], fill: float | None = None) -> None:
    """Make a .npy file of zeros, or of `fill`, whose space on disk is taken.

    Args:
        path: the file, replaced if it exists.
        dtype, shape: of the array.
        fill: value of every element; None leaves zeros, without touching them.
    Raises:
        OSError: the disk is full.
    """
    array = open_memmap(path, mode="w+", dtype=dtype, shape=tuple(shape))
    with open(path, "r+b") as file:
        _reserve(file.fileno(), os.fstat(file.fileno()).st_size)
    if fill is not None:
        array[...] = fill
        array.flush()
    sync(path)


def write_array_rows(path: Path, first_row: int, rows: np.ndarray) -> None:
    """Write consecutive rows of a .npy file in C order.

    Args:
        path: the file.
        first_row: where the rows begin.
        rows: [n, ...] of the file's dtype.
    Raises:
        ValueError: dtype, shape or rows that do not fit.
        OSError: the disk does not take them.
    """
    array = np.load(path, mmap_mode="r")
    if rows.dtype != array.dtype or rows.shape[1:] != array.shape[1:]:
        raise ValueError(f"{path.name}: rows are {rows.dtype} {list(rows.shape[1:])}, but should "
                         f"be {array.dtype} {list(array.shape[1:])}")
    if not 0 <= first_row <= len(array) - len(rows):
        raise ValueError(f"{path.name}: rows {first_row}..{first_row + len(rows) - 1}, but should "
                         f"be in 0..{len(array) - 1}")
    with open(path, "r+b") as file:
        file.seek(array.offset + first_row * rows[:1].nbytes)
        file.write(np.ascontiguousarray(rows).data.cast("B"))


def sync(path: Path) -> None:
    """Wait until what any process has written to a file is on the disk."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _reserve(descriptor: int, size: int) -> None:
    """Take the space of a file now, where the system can do so."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
