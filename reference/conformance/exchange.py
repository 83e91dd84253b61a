"""Golden vectors as plain .npy files, for ports in any language.

    DIR/README.md                        this layout, for the reader of the files
    DIR/CASE/config.json                   component, configuration, given files, wanted results
    DIR/CASE/KIND/NAME.npy               given arrays: KIND in, noise or param

A port writes its results beside them, DIR/CASE/KIND/NAME.npy with KIND mid, out, loss, grad or
step, of the names in config.json. The results to be reached are not in the files.

In NAME every character but letters, digits, `_`, `.`, `-` and `~` is %XX of its UTF-8 bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np

from reference.conformance.adapters import Adapter
from reference.conformance.vectors import GIVEN, Case, level_of

README = """# Golden vectors for a port

One folder a case. `config.json` holds

- `component`: the function under test, `config`: what it is called with;
- `given`: the arrays to start from, with their files: inputs (`in/`), random numbers (`noise/`),
  parameters by state-dict name (`param/`);
- `results`: the arrays to compute, in the order of computation, with shape, dtype, level (forward,
  loss, gradient, steps) and the file to write each to.

Arrays are .npy files of version 1.0: the bytes 93 4E 55 4D 50 59 01 00, a little-endian 16-bit
length, a Python dictionary in ASCII of that length ('descr': '<f4', 'fortran_order': False,
'shape': (5, 8)), then the numbers, little-endian, last index fastest. Floating arrays here are
{dtype}. Results may be of any real dtype and byte order.

Write what the port has, then compare:

    python -m reference verify --import DIR --dtype {dtype} [--only COMPONENT,...] [--level LEVEL]

Cases without any result count as not implemented. Intermediate results (`mid/`) may be left out.
"""


def file_of(name: str) -> str:
    """File of a tensor relative to its case: "param/a.b" -> "param/a.b.npy"."""
    kind, rest = name.split("/", 1)
    return f"{kind}/{quote(rest, safe='')}.npy"


def export_cases(directory: Path, cases: Iterable[Case], dtype: str) -> int:
    """Write given arrays of cases as .npy files, all or nothing.

    Args:
        directory: to make; may exist if it is empty.
        cases: to write.
        dtype: of the floating arrays, "float64" or "float32".
    Returns:
        Number of .npy files.
    Raises:
        ValueError: a file of that name, or a directory that holds something.
        OSError: the disk does not take it.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file, --export needs a directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise ValueError(f"{directory} is not empty; --export writes into a new directory")
    draft = directory.resolve().with_name(f".{directory.resolve().name}.{os.getpid()}")
    draft.mkdir(parents=True)
    try:
        count = sum(_export_case(draft / case.name, case, dtype) for case in cases)
        (draft / "README.md").write_text(README.format(dtype=dtype), encoding="utf-8")
        if directory.is_dir():
            directory.rmdir()
        os.replace(draft, directory)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return count


def result_files(directory: Path) -> Adapter:
    """Adapter of every component that reads the results of a port from files.

    Args:
        directory: as `export_cases` made it, with results.
    Returns:
        Function (case, dtype) -> mapping that reads an array when asked for it; it raises
        NotImplementedError for a case without results.
    Raises:
        ValueError: no such directory.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise ValueError(f"no directory of results at {directory}")

    def read(case: Case, dtype: str) -> Mapping[str, np.ndarray]:
        results = ResultFiles(directory / case.name, case)
        if not len(results):
            raise NotImplementedError(f"no result of {case.name} in {directory}")
        return results

    return read


class ResultFiles(Mapping):
    """Arrays of one case's folder by vector name; only the results that have a file are there."""

    def __init__(self, folder: Path, case: Case):
        files = {name: folder / file_of(name) for name in case.entries
                 if name.split("/", 1)[0] not in GIVEN}
        self.files = {name: path for name, path in files.items() if path.is_file()}

    def __getitem__(self, name: str) -> np.ndarray:
        path = self.files[name]
        try:
            with open(path, "rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError, SyntaxError, MemoryError) as error:
            raise ValueError(f"{path.name} is not a readable .npy file: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def write_array(path: Path, value: np.ndarray) -> None:
    """Little-endian .npy file in C order; its folder is made."""
    value = np.asarray(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        np.lib.format.write_array(file, np.asarray(value, value.dtype.newbyteorder("<"), order="C"),
                                  version=(1, 0), allow_pickle=False)


def _export_case(folder: Path, case: Case, dtype: str) -> int:
    """Given arrays and config.json of one case; number of arrays."""
    given, results = {}, {}
    for name, entry in case.entries.items():
        kind = name.split("/", 1)[0]
        floating = np.dtype(entry["dtype"]).kind == "f"
        facts = {"file": file_of(name), "shape": entry["shape"],
                 "dtype": dtype if floating else entry["dtype"]}
        if kind in GIVEN:
            given[name] = facts
        else:
            results[name] = {**facts, "level": level_of(name)}
    for kind in GIVEN:
        for name, value in case.given(kind, dtype).items():
            write_array(folder / given[f"{kind}/{name}"]["file"], value)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"case": case.name, "component": case.component, "config": case.config,
                       "given": given, "results": results}, indent=1)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    return len(given)
