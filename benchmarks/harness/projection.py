"""Paper-scale run times from measured steps: `python -m benchmarks project A.json`.

    steps = epochs (subjects // batch);   time = steps p50 batch / B;   floor likewise

A step that was not measured at the paper's batch is scaled by the number of records, which the
table says; small batches use a device badly, so such a time is an upper estimate. The baselines of
the whole cohort are one step of 40,044 records.

Glossary: B measured batch, batch that of the paper, p50 median seconds of a step, floor least
seconds that the same run's roofline allows.
Source: Turgut et al. 2025, section 4 (batch sizes, epochs, 40,044 subjects, 28,030 for training).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from benchmarks.harness.tables import Row, Run, grid

SUBJECTS, COHORT = 28_030, 40_044  # of the training split; with an ECG


class Training(NamedTuple):
    """One stage: the operation that measured its step, its shape's beginning, batch, epochs."""

    name: str
    operation: str
    shape: str
    batch: int
    epochs: int
    subjects: int = SUBJECTS

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run; an incomplete last batch is dropped."""
        return self.epochs * (self.subjects // self.batch)


STAGES = (Training("MDM", "mdm_step", "", 128, 400),
          Training("MMCL", "mmcl_step", "resnet50-", 256, 300),
          Training("MMCL, ResNet-18", "mmcl_step", "resnet18-", 256, 300),
          Training("baselines", "als", "records", COHORT, 1, COHORT))


class Projection(NamedTuple):
    """Seconds of a whole stage, from one row."""

    stage: Training
    row: Row
    batch: int  # measured
    seconds: float
    low: float
    high: float
    floor: float


def batch_of(shape: str) -> int:
    """Batch in a shape's name: "resnet50-B256" -> 256, "records8" -> 8.

    Raises:
        ValueError: the name has none.
    """
    found = re.search(r"(?:^|-)(?:B|records)(\d+)$", shape)
    if not found:
        raise ValueError(f"shape {shape!r} does not end in B or records and a number")
    return int(found.group(1))


def project(run: Run) -> list[Projection]:
    """Every stage by every way its step was measured, each at the batch nearest the paper's.

    Args:
        run: as `tables.read` gives it.
    Returns:
        Projections, stage by stage, the fastest first.
    Raises:
        ValueError: no training step was timed.
    """
    found = []
    for stage in STAGES:
        nearest: dict[tuple, Row] = {}
        for row in run.rows.values():
            if row["operation"] != stage.operation or not row["shape"].startswith(stage.shape):
                continue
            key = row["implementation"], row["mode"], _pixels(row["shape"])
            best = nearest.get(key)
            if best is None or _distance(row, stage) < _distance(best, stage):
                nearest[key] = row
        found += sorted((_projected(stage, row) for row in nearest.values()),
                        key=lambda p: p.seconds)
    if not found:
        raise ValueError(f"{run.path}: no timed step (mdm_step, mmcl_step, als) in it")
    return found


def table(run: Run) -> str:
    """Markdown table of `project`."""
    cells = [[p.stage.name, p.row["implementation"], p.row["mode"], p.row["shape"],
              str(p.stage.steps), _long(p.seconds), f"{_long(p.low)} - {_long(p.high)}",
              _long(p.floor), f"{p.seconds / p.floor:.2f}",
              "" if p.batch == p.stage.batch else f"scaled from B {p.batch} to {p.stage.batch}"]
             for p in project(run)]
    return grid(["stage", "implementation", "mode", "step measured", "steps", "time", "p20 - p80",
                 "floor", "time / floor", ""], cells)


def _projected(stage: Training, row: Row) -> Projection:
    batch = batch_of(row["shape"])
    scale = stage.steps * stage.batch / batch
    return Projection(stage, row, batch, *(scale * row[k] for k in ("p50", "p20", "p80", "floor")))


def _distance(row: Row, stage: Training) -> int:
    return abs(batch_of(row["shape"]) - stage.batch)


def _pixels(shape: str) -> str:
    found = re.search(r"\d+px", shape)
    return found.group(0) if found else ""


def _long(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
