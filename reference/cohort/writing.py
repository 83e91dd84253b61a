"""Write a cohort: empty arrays and a draft of the manifest, rows in any order, the manifest last.

    create -> rows by `write_rows`, `mark_written` (or by `open_for_writing`) -> finish

    DIR/manifest.draft.json   what is being written; becomes manifest.json
    DIR/subjects.npy          row -> its subject, or -1 where the row is not yet on the disk

A writer that is killed at any point leaves either nothing or a draft that `create(resume=True)`
takes up; no reader accepts it before `finish`.

Glossary: N subjects, row = place of a subject in the arrays, draft = manifest of unfinished work.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from reference.atomic import write_json
from reference.cohort.files import make_array, require_space, sync, write_array_rows
from reference.cohort.format import (
    DRAFT,
    LABELS,
    LAYOUTS,
    LEADS,
    MANIFEST,
    PHENOTYPES,
    PIXEL_MM,
    SAMPLING_RATE,
    SCHEMA_VERSION,
    require_new,
    sha256,
    split_rows,
)

_HASHED_AT_ONCE = 2  # files; the two largest hold nine tenths of the bytes
_MISSING = {"float64": np.nan, "int64": -1}  # in rows not written yet; large arrays hold 0


def create(directory: str | os.PathLike, count: int, *, ecg_dtype: str = "float32",
           cmr_dtype: str = "float32", segmentation: bool = True, latents: Sequence[str] = (),
           generator: Mapping[str, Any] | None = None, resume: bool = False) -> np.ndarray:
    """Make the empty arrays of a new cohort; `finish` turns them into a valid one.

    All disk space is taken here, so that a full disk is reported before any work.

    Args:
        directory: path that does not exist yet or is an empty directory.
        count: N, number of subjects, >= 1.
        ecg_dtype: "float32" or "float16".
        cmr_dtype: "float32", "float16" or "uint8".
        segmentation: whether the cohort carries segmentations.
        latents: names of the latent columns; none means no latents.npy.
        generator: how the data will be made, for the manifest.
        resume: take up the unfinished cohort of an earlier `create` with the same arguments.
    Returns:
        Subject of each row, [N] int64; -1 = not written yet, as all are at first. Phenotypes,
        labels and latents start as NaN.
    Raises:
        ValueError: directory not empty, or unfinished with other arguments; count < 1, dtype not
            allowed, a latent named twice.
        OSError: too little space, or the directory cannot be written; nothing is left then.
    """
    arrays = _planned(count, {"ecg": ecg_dtype, "cmr": cmr_dtype}, segmentation, latents)
    manifest = _manifest(count, arrays, latents)
    manifest["generator"] = None if generator is None else dict(generator)
    path = Path(directory)
    for file in path.glob(f".{DRAFT}.*.tmp") if resume else ():  # its writer was killed
        file.unlink()
    if resume and (path / DRAFT).is_file():
        _require_same(path, manifest)
    else:
        require_new(path)
    if not (path / "subjects.npy").is_file():  # made last
        _make_arrays(path, manifest)
    return np.load(path / "subjects.npy")


def open_for_writing(directory: str | os.PathLike) -> dict[str, np.memmap]:
    """The arrays of an unfinished cohort, writable; processes may write disjoint rows at once.

    Args:
        directory: what `create` made.
    Returns:
        Array name ("ecg", "cmr", ...) -> memory map.
    Raises:
        ValueError: the directory holds no unfinished cohort.
    """
    path = Path(directory)
    draft = _read_draft(path)
    return {Path(file).stem: np.load(path / file, mmap_mode="r+") for file in draft["arrays"]}


def write_rows(directory: str | os.PathLike, first_row: int, arrays: Mapping[str, np.ndarray]
               ) -> None:
    """Write consecutive rows of an unfinished cohort; processes may write disjoint rows at once.

    Args:
        directory: what `create` made.
        first_row: where the rows begin.
        arrays: array name ("ecg", "cmr", ...) -> [n, ...] in its storage dtype.
    Returns:
        Nothing. The rows count as written after `mark_written`.
    Raises:
        ValueError: dtype, shape or rows that do not fit; the directory holds no unfinished cohort.
        OSError: the disk does not take them.
    """
    path = Path(directory)
    _read_draft(path)
    for name, rows in arrays.items():
        write_array_rows(path / f"{name}.npy", first_row, rows)


def mark_written(directory: str | os.PathLike, rows: Sequence[int], subjects: Sequence[int]
                 ) -> None:
    """Record that rows are complete: their data reaches the disk first, their subjects after it.

    Args:
        directory: what `create` made.
        rows: row indices, every array of which has been written.
        subjects: the subject of each, >= 0.
    Returns:
        Nothing; after a crash at any point, a row with a subject is complete.
    """
    path = Path(directory)
    for file in set(_read_draft(path)["arrays"]) - {"subjects.npy"}:
        sync(path / file)
    column = np.load(path / "subjects.npy", mmap_mode="r+")
    column[np.asarray(rows, dtype=np.int64)] = subjects
    column.flush()


def finish(directory: str | os.PathLike, *, generator: Mapping[str, Any] | None = None) -> dict:
    """Hash the arrays and write the manifest, atomically and last.

    Args:
        directory: what `create` made, with every row written and no writer left.
        generator: how the data was made, as JSON-able values; None keeps what `create` was given
            (nothing for measured data).
    Returns:
        The manifest.
    Raises:
        ValueError: the directory holds no unfinished cohort, or a row has no subject number.
    """
    path = Path(directory)
    manifest = _read_draft(path)
    subjects = np.load(path / "subjects.npy")
    unwritten = np.flatnonzero(subjects < 0)
    if unwritten.size:
        raise ValueError(f"{path}: {unwritten.size} of {subjects.size} rows were not written, "
                         f"the first is row {unwritten[0]}; every row needs a subject >= 0")
    if generator is not None:
        manifest["generator"] = dict(generator)
    manifest["split"] = {name: int(rows.size) for name, rows in split_rows(subjects).items()}
    files = [path / file for file in manifest["arrays"]]
    for file in files:
        np.load(file, mmap_mode="r+").flush()
    with ThreadPoolExecutor(_HASHED_AT_ONCE) as pool:  # hashing lets other threads run
        for file, digest in zip(files, pool.map(sha256, files), strict=True):
            manifest["arrays"][file.name]["sha256"] = digest
    write_json(path / DRAFT, manifest)
    os.replace(path / DRAFT, path / MANIFEST)
    return manifest


def _planned(count: int, dtypes: Mapping[str, str], segmentation: bool, latents: Sequence[str]
             ) -> dict[str, dict]:
    """File -> dtype, shape, unit of the arrays asked for; `subjects.npy` is the last."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if len(set(latents)) != len(latents):
        raise ValueError(f"latent names must all differ, got {list(latents)}")
    for name, dtype in dtypes.items():
        if dtype not in LAYOUTS[name].dtypes:
            raise ValueError(f"{name}_dtype must be one of {LAYOUTS[name].dtypes}, got {dtype!r}")
    absent = {"segmentation": not segmentation, "latents": not latents}
    arrays = {}
    for name, layout in LAYOUTS.items():
        if not absent.get(name, False):
            tail = (len(latents),) if name == "latents" else layout.shape
            arrays[f"{name}.npy"] = {"dtype": dtypes.get(name, layout.dtypes[0]),
                                     "shape": [int(count), *tail], "unit": layout.unit}
    return arrays


def _make_arrays(path: Path, manifest: dict) -> None:
    """Draft, then arrays with their space reserved, `subjects.npy` last; all of it or nothing."""
    arrays, new = manifest["arrays"], not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        require_space(path, sum(_size(entry) for entry in arrays.values()))
        write_json(path / DRAFT, manifest)
        for file in sorted(arrays, key=lambda file: file == "subjects.npy"):
            temporary, dtype = path / f".{DRAFT}.{file}.tmp", arrays[file]["dtype"]
            make_array(temporary, dtype, arrays[file]["shape"], _MISSING.get(dtype))
            os.replace(temporary, path / file)
    except BaseException:
        for file in (*arrays, DRAFT, *path.glob(f".{DRAFT}.*.tmp")):
            (path / file).unlink(missing_ok=True)
        if new:
            path.rmdir()
        raise


def _size(entry: dict) -> int:
    return int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize


def _require_same(path: Path, wanted: dict) -> None:
    """Refuse to go on with an unfinished cohort that was begun otherwise, naming what differs."""
    held = _plain_options(_read_draft(path))
    asked = _plain_options(json.loads(json.dumps(wanted)))
    absent = "absent"
    faults = [f"{key} is {held.get(key, absent)} there, but {asked.get(key, absent)} is asked for"
              for key in {**held, **asked} if held.get(key, absent) != asked.get(key, absent)]
    if faults:
        raise ValueError(f"{path} holds an unfinished cohort with other options: "
                         + ", ".join(faults))


def _plain_options(draft: dict) -> dict:
    """What decides the bytes of a cohort, name -> value."""
    stored = {file.removesuffix(".npy"): entry["dtype"] for file, entry in draft["arrays"].items()}
    names = hashlib.sha256(json.dumps(draft["latents"]).encode()).hexdigest()[:8]
    return {"schema": draft["schema"], "count": draft["count"], **(draft["generator"] or {}),
            **stored, "latents": f"{len(draft['latents'])} names ({names})"}


def _manifest(count: int, arrays: dict[str, dict], latents: Sequence[str]) -> dict:
    return {"schema": SCHEMA_VERSION, "count": int(count), "generator": None,
            "leads": list(LEADS), "sampling_rate_hz": SAMPLING_RATE, "pixel_mm": PIXEL_MM,
            "phenotypes": [phenotype._asdict() for phenotype in PHENOTYPES],
            "labels": list(LABELS), "latents": list(latents), "arrays": arrays}


def _read_draft(path: Path) -> dict:
    if (path / MANIFEST).exists():
        raise ValueError(f"{path} must hold an unfinished cohort, but is finished ({MANIFEST})")
    if not (path / DRAFT).is_file():
        raise ValueError(f"{path} must hold an unfinished cohort, but has no {DRAFT}")
    try:
        return json.loads((path / DRAFT).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path / DRAFT} is not readable as JSON ({error})") from error
