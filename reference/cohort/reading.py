"""A finished cohort, opened without reading it: every array is a read-only memory map.

    load(DIR) -> Cohort;  its rows as float32:  ecg_mv(rows), cmr_image(rows);  its splits: split()

Glossary: N subjects, row = place of a subject in the arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reference.cohort.checking import header_faults
from reference.cohort.format import LAYOUTS, MANIFEST, split_rows

Index = slice | Sequence[int] | np.ndarray  # rows by number, mask or slice


@dataclass(frozen=True)
class Cohort:
    """A finished cohort, read lazily: every array is a read-only memory map."""

    path: Path
    manifest: dict
    ecg: np.ndarray  # [N, 12, 5000] storage dtype
    cmr: np.ndarray  # [N, 3, 210, 210] storage dtype
    segmentation: np.ndarray | None  # [N, 3, 210, 210] uint8
    phenotypes: np.ndarray  # [N, 61] float64
    labels: np.ndarray  # [N, 3] float64
    subjects: np.ndarray  # [N] int64
    latents: dict[str, np.ndarray]  # name -> [N] float64

    def __len__(self) -> int:
        return len(self.subjects)

    def ecg_mv(self, rows: Index) -> np.ndarray:
        """ECGs of these rows (indices, mask or slice) as float32 [n, 12, 5000] in mV, a copy."""
        return np.array(self.ecg[rows], dtype=np.float32)

    def cmr_image(self, rows: Index) -> np.ndarray:
        """Images of these rows as float32 [n, 3, 210, 210] in [0, 1], a copy."""
        image = np.array(self.cmr[rows], dtype=np.float32)
        return image / np.float32(255) if self.cmr.dtype == np.uint8 else image

    def split(self) -> dict[str, np.ndarray]:
        """Row indices of "train", "val" and "test"; see `split_of`."""
        return split_rows(self.subjects)


def load(directory: str | os.PathLike) -> Cohort:
    """Open a finished cohort after checking its manifest and the headers of its arrays.

    Args:
        directory: path of the cohort.
    Returns:
        Cohort of read-only memory maps; contents and hashes are not read (see `check`).
    Raises:
        ValueError: no such cohort, or the manifest and the files do not agree; names each fault.
    """
    path = Path(directory)
    faults = header_faults(path)
    if faults:
        raise ValueError(f"{path} is not a valid cohort: " + "; ".join(faults))
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in LAYOUTS
              if f"{name}.npy" in manifest["arrays"]}
    latents = {name: arrays["latents"][:, k] for k, name in enumerate(manifest["latents"])}
    return Cohort(path, manifest, arrays["ecg"], arrays["cmr"], arrays.get("segmentation"),
                  arrays["phenotypes"], arrays["labels"], arrays["subjects"], latents)
