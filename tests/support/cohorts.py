"""Small valid cohorts for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reference import cohort

COUNT = 3
LATENTS = ("age", "male")


def some_arrays(count: int = COUNT, seed: int = 0) -> dict[str, np.ndarray]:
    """Valid contents of a small cohort, with missing values where they are allowed."""
    rng = np.random.default_rng(seed)
    phenotypes = rng.uniform(5, 55, (count, 61))
    phenotypes[:, 4] = 5.0  # LVCO, l/min
    labels = rng.integers(0, 2, (count, 3)).astype(float)
    phenotypes[0, 7] = labels[-1, 2] = np.nan
    ecg = rng.normal(0, 0.5, (count, 12, 5000)).astype(np.float32)
    ecg[0, 0, :5] = np.nan
    return {"ecg": ecg, "cmr": rng.random((count, 3, 210, 210), dtype=np.float32),
            "segmentation": rng.integers(0, 4, (count, 3, 210, 210), dtype=np.uint8),
            "phenotypes": phenotypes, "labels": labels,
            "subjects": 7 + 11 * np.arange(count, dtype=np.int64),
            "latents": rng.normal(0, 1, (count, len(LATENTS)))}


def write(directory: Path, arrays: dict[str, np.ndarray], **options) -> dict:
    """Create, fill and finish."""
    cohort.create(directory, len(arrays["ecg"]), latents=LATENTS, **options)
    files = cohort.open_for_writing(directory)
    for name, file in files.items():
        storable = name in ("ecg", "cmr")
        file[...] = cohort.store(arrays[name], str(file.dtype)) if storable else arrays[name]
    return cohort.finish(directory, generator={"name": "test", "seed": 0})
