"""The one on-disk format of paired ECG and CMR data, synthetic or real: arrays and a manifest.

    DIR/ecg.npy           [N, 12, 5000]      float32 | float16           mV, 500 Hz, leads LEADS
    DIR/cmr.npy           [N, 3, 210, 210]   float32 | float16 | uint8   1 (uint8: round(255 x))
    DIR/segmentation.npy  [N, 3, 210, 210]   uint8       class 0..3, optional
    DIR/phenotypes.npy    [N, 61]            float64     units of PHENOTYPES, NaN = missing
    DIR/labels.npy        [N, 3]             float64     0 | 1, NaN = missing
    DIR/subjects.npy      [N]                int64       >= 0, all different; -1 = not written yet
    DIR/latents.npy       [N, K]             float64     of a generator, optional
    DIR/manifest.json     written last and atomically: without it there is no cohort

Reading is in `reading`, writing in `writing`, checking in `checking`, import in `importing`.

    split(subject) = train | val | test   where   floor(100 h / 2^64)   is   < 70 | < 85 | else,
    h = the first eight bytes (big-endian) of SHA-256(decimal subject number)

Glossary: N subjects, K latents, row = place of a subject in the arrays.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Phenotype(NamedTuple):
    """One CMR-derived measurement: its name, its group of joint regression, its unit."""

    name: str
    group: str
    unit: str


def _phenotypes() -> tuple[Phenotype, ...]:
    left = {"LVEDV": "ml", "LVESV": "ml", "LVSV": "ml", "LVEF": "%", "LVCO": "l/min", "LVM": "g"}
    right = {"RVEDV": "ml", "RVESV": "ml", "RVSV": "ml", "RVEF": "%"}
    places = [f"AHA_{segment}" for segment in range(1, 17)] + ["Global"]
    return (*(Phenotype(name, "LV", unit) for name, unit in left.items()),
            *(Phenotype(name, "RV", unit) for name, unit in right.items()),
            *(Phenotype(f"{group}_{place}", group, unit)
              for group, unit in (("WT", "mm"), ("Ecc", "%"), ("Err", "%")) for place in places))


PHENOTYPES = _phenotypes()  # UK Biobank fields 24100-24109, 24124-24140, 24141-24157, 24158-24174
LABELS = ("CAD", "AF", "DM")
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SCHEMA_VERSION = 1
SAMPLING_RATE = 500  # Hz
SAMPLES = 5000  # 10 s
RATES = (50.0, 20_000.0)  # Hz, what can be the sampling rate of an ECG
PIXEL_MM = 1.8
IMAGE_SHAPE = (3, 210, 210)  # ED, half-way, ES
MAX_MILLIVOLT = 50.0  # beyond this a record is surely not in mV
MANIFEST, DRAFT = "manifest.json", "manifest.draft.json"
SPLITS = ("train", "val", "test")


class Layout(NamedTuple):
    """What one array of the format may look like; shape is that of one row."""

    shape: tuple[int, ...]
    dtypes: tuple[str, ...]
    unit: str
    optional: bool = False


LAYOUTS = {
    "ecg": Layout((len(LEADS), SAMPLES), ("float32", "float16"), "mV"),
    "cmr": Layout(IMAGE_SHAPE, ("float32", "float16", "uint8"), "1"),
    "segmentation": Layout(IMAGE_SHAPE, ("uint8",), "class", optional=True),
    "phenotypes": Layout((len(PHENOTYPES),), ("float64",), "see phenotypes"),
    "labels": Layout((len(LABELS),), ("float64",), "0 | 1"),
    "subjects": Layout((), ("int64",), "number"),
    "latents": Layout((-1,), ("float64",), "see latents", optional=True),
}


def split_of(subject: int) -> str:
    """The split of a subject: 70 % train, 15 % val, 15 % test, by the subject number alone.

    Args:
        subject: subject number, >= 0.
    Returns:
        "train", "val" or "test".
    Source: Turgut et al. 2025, section 4.1 (28,030 / 6,007 / 6,007 subjects).
    Differs: by hash, so a subject keeps its split when a cohort grows, shrinks or is re-ordered.
    """
    digest = hashlib.sha256(str(int(subject)).encode("ascii")).digest()
    percent = int.from_bytes(digest[:8], "big") * 100 >> 64
    return "train" if percent < 70 else "val" if percent < 85 else "test"


def split_rows(subjects: Iterable[int]) -> dict[str, np.ndarray]:
    """Row indices of each split, ascending, in the order of SPLITS."""
    names = np.array([split_of(subject) for subject in subjects])
    return {split: np.flatnonzero(names == split) for split in SPLITS}


def store(array: np.ndarray, dtype: str) -> np.ndarray:
    """Convert to a storage dtype: floats are rounded to it, uint8 holds round(255 x).

    Args:
        array: any shape, floating; for uint8 values in [0, 1].
        dtype: "float32", "float16" or "uint8".
    Returns:
        The same shape in that dtype, `array` itself if that is its own; worst error 2^-11 |x| for
        float16 (normal range), 1/510 for uint8.
    Raises:
        ValueError: unknown dtype; values that the dtype cannot hold.
    """
    if dtype not in ("float32", "float16", "uint8"):
        raise ValueError(f"dtype must be float32, float16 or uint8, got {dtype!r}")
    array = np.asarray(array)
    bottom, top = (0.0, 1.0) if dtype == "uint8" else (np.finfo(dtype).min, np.finfo(dtype).max)
    low = np.fmin.reduce(array, axis=None, initial=0.0)  # these two pass over NaN
    high = np.fmax.reduce(array, axis=None, initial=0.0)
    if low < bottom or high > top:
        raise ValueError(f"values for {dtype} must be in [{bottom:g}, {top:g}], got {low:g}.."
                         f"{high:g}")
    if dtype == "uint8" and np.isnan(array).any():
        raise ValueError(f"uint8 cannot hold NaN, got {np.isnan(array).sum()} of them")
    if dtype == "uint8":
        return np.rint(array * 255.0).astype(np.uint8)
    return array.astype(dtype, copy=False)


def require_new(directory: str | os.PathLike) -> Path:
    """The path, if it does not exist yet or is an empty directory; ValueError otherwise."""
    path = Path(directory)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} must be a new or empty directory, but is a file")
    held = sorted(file.name for file in path.iterdir()) if path.exists() else []
    if held:
        raise ValueError(f"{path} must be a new or empty directory, but holds {len(held)} files, "
                         f"{held[0]} among them")
    return path


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file as hex, read in chunks of 1 MiB."""
    digest, chunk = hashlib.sha256(), memoryview(bytearray(1 << 20))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(chunk):
            digest.update(chunk[:count])
    return digest.hexdigest()
