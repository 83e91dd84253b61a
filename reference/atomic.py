"""Files that a crash leaves whole: either the old one or the new one.

    written to DIR/.NAME.PID.tmp, brought to the disk, then renamed onto DIR/NAME
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes the place of `path` when the block ends well.

    Args:
        path: destination; its directory must exist.
    Returns:
        Context of the open file; after any exception the destination is what it was.
    Raises:
        OSError: the disk does not take it.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8, as `replacing` does."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write plain values as JSON, as `replacing` does; ValueError for NaN and infinity."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
