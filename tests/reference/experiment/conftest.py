"""Prepared data in which something can be learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference.experiment.runs import Work
from reference.presets import PRESETS
from reference.training import Data


@pytest.fixture(scope="module")
def work() -> Work:
    """Eighty subjects of noise whose mean is every phenotype and decides the labels."""
    rng = np.random.default_rng(0)
    N = 80
    signal = rng.standard_normal(N)
    ecg = (rng.standard_normal((N, 12, 300)) + signal[:, None, None]).astype(np.float32)
    box = np.clip(128 + 40 * signal[:, None, None, None] + rng.normal(0, 5, (N, 3, 78, 78)), 0,
                  255).astype(np.uint8)
    phenotypes = 5 + 2 * signal[:, None] + 0.1 * rng.standard_normal((N, 61))
    phenotypes[3, 4] = np.nan
    labels = (signal[:, None] + 0.1 * rng.standard_normal((N, 3)) > 0).astype(np.float32)
    data = Data(ecg, box, labels, phenotypes, np.full(61, 5.0), np.full(61, 2.0))
    split = {"train": np.arange(40), "val": np.arange(40, 60), "test": np.arange(60, 80)}
    return Work(data, split, PRESETS["smoke"], "smoke", 0, torch.device("cpu"))
