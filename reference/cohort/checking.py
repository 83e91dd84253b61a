"""Every fault of a cohort on disk, in words, with bounded memory.

    manifest -> headers of the arrays -> hashes -> contents, CHUNK_BYTES at a time

Each fault is one line: the file, what came, what was allowed. The ranges below refuse what cannot
be the quantity at all (wrong unit, wrong column), not what is merely unusual.

Glossary: N subjects, row = place of a subject in the arrays, share = part of one record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from reference.cohort.format import (
    LABELS,
    LAYOUTS,
    LEADS,
    MANIFEST,
    MAX_MILLIVOLT,
    PHENOTYPES,
    PIXEL_MM,
    SAMPLING_RATE,
    SCHEMA_VERSION,
    SPLITS,
    sha256,
    split_rows,
)

CHUNK_BYTES = 1 << 25
MAX_NAN_SHARE = 0.1  # of a record; cleaning sets the rest to 0 mV
ROWS_NAMED = 5  # rows listed in one fault
RANGES = {"ml": (0.0, 1000.0), "l/min": (0.0, 40.0), "g": (0.0, 1000.0), "mm": (0.0, 60.0)}
PERCENT_RANGES = {"LV": (0.0, 100.0), "RV": (0.0, 100.0), "Ecc": (-100.0, 100.0),
                  "Err": (-200.0, 500.0)}


def check(directory: str | os.PathLike) -> list[str]:
    """Every fault of a cohort in words.

    Args:
        directory: path of the cohort.
    Returns:
        One readable line a fault; empty for a valid cohort. Contents are only read once manifest
        and headers are sound.
    """
    path = Path(directory)
    faults = header_faults(path)
    if faults:
        return faults
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    faults += _hash_faults(path, manifest)
    arrays = {Path(file).stem: np.load(path / file, mmap_mode="r") for file in manifest["arrays"]}
    for name, array in arrays.items():
        faults += content_faults(name, array, f"{name}.npy")
    return faults + _split_faults(manifest, arrays["subjects"])


def header_faults(path: Path) -> list[str]:
    """Faults of the manifest, of the set of files and of their headers; reads no contents.

    Args:
        path: of the cohort.
    Returns:
        One line a fault.
    """
    if not path.is_dir():
        return [f"{path}: no such directory"]
    if not (path / MANIFEST).is_file():
        return [f"{MANIFEST}: missing, so the cohort was never finished"]
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        return [f"{MANIFEST}: not readable as JSON ({error})"]
    faults = _manifest_faults(manifest)
    if faults:
        return faults
    present = {file.name for file in path.iterdir()}
    faults += [f"{name}: not part of the format and not named in {MANIFEST}"
               for name in sorted(present - {MANIFEST, *manifest["arrays"]})]
    for file, entry in manifest["arrays"].items():
        faults += _file_faults(path / file, entry)
    return faults


def content_faults(name: str, array: np.ndarray, title: str) -> list[str]:
    """Faults in the values of one array.

    Args:
        name: which array of the format, a key of LAYOUTS.
        array: [N, ...] in a storage dtype, possibly a memory map; read CHUNK_BYTES at a time.
        title: what to call the array in the faults.
    Returns:
        One line a kind of fault, with the first rows that have it.
    """
    bad: dict[str, list[int]] = {}
    for start, chunk in chunks(array):
        for fault, rows in _CONTENTS[name](chunk):
            bad.setdefault(fault, []).extend((start + rows).tolist())
    faults = [f"{title}: {fault} in {name_rows(rows)}" for fault, rows in bad.items() if rows]
    if name == "subjects":
        values, counts = np.unique(array, return_counts=True)
        faults += [f"{title}: subject {values[k]} has {counts[k]} rows, but every subject has one"
                   for k in np.flatnonzero(counts > 1)[:ROWS_NAMED]]
    return faults


def chunks(array) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows as an array) of at most CHUNK_BYTES each, at least one row each."""
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        yield start, np.asarray(array[start:start + step])


def name_rows(rows: list[int]) -> str:
    """"row 3" or "12 rows: 0, 1, 2, 3, 4, ..."."""
    if len(rows) == 1:
        return f"row {rows[0]}"
    listed = ", ".join(str(row) for row in rows[:ROWS_NAMED])
    return f"{len(rows)} rows: {listed}" + (", ..." if len(rows) > ROWS_NAMED else "")


def _manifest_faults(manifest: object) -> list[str]:
    """Wrong or missing entries; the arrays named are known ones with allowed dtype and shape."""
    if not isinstance(manifest, dict):
        return [f"{MANIFEST}: holds a {type(manifest).__name__}, but should hold an object"]
    if manifest.get("schema") != SCHEMA_VERSION:
        return [f"{MANIFEST}: schema is {manifest.get('schema')!r}, but this code reads "
                f"{SCHEMA_VERSION}"]
    faults = [f"{MANIFEST}: {key} {_difference(manifest.get(key), want)}"
              for key, want in _fixed_entries().items() if manifest.get(key) != want]
    count, latents = manifest.get("count"), manifest.get("latents")
    if type(count) is not int or count < 1:
        faults.append(f"{MANIFEST}: count is {count!r}, but should be an integer >= 1")
    if not isinstance(latents, list) or not all(isinstance(name, str) for name in latents) \
            or len(set(latents)) != len(latents):
        faults.append(f"{MANIFEST}: latents is {latents!r}, but should be a list of names that "
                      "all differ")
    if not isinstance(manifest.get("arrays"), dict):
        faults.append(f"{MANIFEST}: arrays is missing or no object")
    if faults:
        return faults
    for name, layout in LAYOUTS.items():
        entry = manifest["arrays"].get(f"{name}.npy")
        demanded = not layout.optional or (name == "latents" and latents)
        if entry is None and demanded:
            faults.append(f"{MANIFEST}: arrays has no {name}.npy")
        elif entry is not None:
            tail = (len(manifest["latents"]),) if name == "latents" else layout.shape
            faults += _entry_faults(f"{name}.npy", entry, (count, *tail), layout.dtypes)
    known = {f"{name}.npy" for name in LAYOUTS}
    return faults + [f"{MANIFEST}: arrays names {file!r}, which the format does not know"
                     for file in sorted(set(manifest["arrays"]) - known)]


def _fixed_entries() -> dict:
    return {"sampling_rate_hz": SAMPLING_RATE, "pixel_mm": PIXEL_MM, "leads": list(LEADS),
            "labels": list(LABELS),
            "phenotypes": [phenotype._asdict() for phenotype in PHENOTYPES]}


def _difference(got: object, want: object) -> str:
    """What differs, without printing 61 names."""
    if isinstance(got, list) and isinstance(want, list):
        if len(got) != len(want):
            return f"has {len(got)} entries, but should have {len(want)}"
        place = next(k for k, entry in enumerate(got) if entry != want[k])
        return f"entry {place} is {got[place]!r}, but should be {want[place]!r}"
    return f"is {got!r}, but should be {want!r}"


def _entry_faults(file: str, entry: object, shape: tuple, dtypes: tuple[str, ...]) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{MANIFEST}: {file} is {entry!r}, but should be an object"]
    faults = []
    if entry.get("dtype") not in dtypes:
        faults.append(f"{MANIFEST}: {file} has dtype {entry.get('dtype')!r}, but should have "
                      + " or ".join(dtypes))
    if entry.get("shape") != list(shape):
        faults.append(f"{MANIFEST}: {file} has shape {entry.get('shape')}, but should have "
                      f"{list(shape)}")
    return faults


def _file_faults(path: Path, entry: dict) -> list[str]:
    if not path.is_file():
        return [f"{path.name}: missing, but named in {MANIFEST}"]
    try:
        array = np.load(path, mmap_mode="r")
        shape, dtype = list(array.shape), str(array.dtype)
    except (ValueError, OSError, EOFError, AttributeError) as error:
        return [f"{path.name}: not readable as a .npy array ({str(error).splitlines()[0]})"]
    faults = []
    if dtype != entry["dtype"]:
        faults.append(f"{path.name}: dtype is {dtype}, but {MANIFEST} says {entry['dtype']}")
    if shape != entry["shape"]:
        faults.append(f"{path.name}: shape is {shape}, but {MANIFEST} says {entry['shape']}")
    return faults


def _hash_faults(path: Path, manifest: dict) -> list[str]:
    faults = []
    for file, entry in manifest["arrays"].items():
        digest, want = sha256(path / file), str(entry.get("sha256"))
        if digest != want:
            faults.append(f"{file}: SHA-256 is {digest[:12]}..., but {MANIFEST} says "
                          f"{want[:12]}...: the file was changed")
    return faults


def _split_faults(manifest: dict, subjects: np.ndarray) -> list[str]:
    counts = {name: int(rows.size) for name, rows in split_rows(subjects).items()}
    if manifest.get("split") == counts:
        return []
    return [f"{MANIFEST}: split is {manifest.get('split')}, but the subjects give "
            + ", ".join(f"{name} {counts[name]}" for name in SPLITS)]


def _rows(bad: np.ndarray) -> np.ndarray:
    """Rows in which any value is marked."""
    return np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))


def _ecg_faults(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    flat = x.reshape(len(x), -1).astype(np.float32, copy=False)
    missing = np.isnan(flat).mean(axis=1)
    zeroed = np.nan_to_num(flat, nan=0.0, posinf=np.inf, neginf=-np.inf)
    low, high = zeroed.min(axis=1), zeroed.max(axis=1)
    infinite = np.isinf(low) | np.isinf(high)
    large = np.maximum(-low, high) > MAX_MILLIVOLT
    yield "infinite value", np.flatnonzero(infinite)
    yield (f"more than {MAX_NAN_SHARE:.0%} of the record is NaN",
           np.flatnonzero(missing > MAX_NAN_SHARE))
    yield (f"value beyond +-{MAX_MILLIVOLT:g} mV (perhaps microvolts)",
           np.flatnonzero(large & ~infinite))
    yield "constant record (nothing measured)", np.flatnonzero(low == high)


def _cmr_faults(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    flat = x.reshape(len(x), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)  # NaN propagates
    finite = np.isfinite(low) & np.isfinite(high)
    top = 255 if x.dtype == np.uint8 else 1
    yield "NaN or infinite value", np.flatnonzero(~finite)
    yield f"value outside [0, {top}]", np.flatnonzero(finite & ((low < 0) | (high > top)))
    yield "constant image (nothing recorded)", np.flatnonzero(low == high)


def _segmentation_faults(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "class above 3", np.flatnonzero(x.reshape(len(x), -1).max(axis=1) > 3)


def _phenotype_faults(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for column, (name, group, unit) in enumerate(PHENOTYPES):
        low, high = PERCENT_RANGES[group] if unit == "%" else RANGES[unit]
        value = x[:, column]
        yield (f"{name} outside [{low:g}, {high:g}] {unit}",
               np.flatnonzero((value < low) | (value > high)))  # NaN compares false


def _label_faults(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for column, name in enumerate(LABELS):
        value = x[:, column]
        yield (f"{name} is neither 0, 1 nor NaN",
               np.flatnonzero(~((value == 0) | (value == 1) | np.isnan(value))))


def _subject_faults(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "negative subject number", np.flatnonzero(x < 0)


def _latent_faults(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "infinite value", _rows(np.isinf(x))


_CONTENTS: dict[str, Callable[[np.ndarray], Iterator[tuple[str, np.ndarray]]]] = {
    "ecg": _ecg_faults, "cmr": _cmr_faults, "segmentation": _segmentation_faults,
    "phenotypes": _phenotype_faults, "labels": _label_faults, "subjects": _subject_faults,
    "latents": _latent_faults,
}
