"""Cases of the functions: losses, masks, signals, images, metrics.

Each maker takes a generator and returns component, configuration, given arrays and results.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference.vectors import Case, representable
from tests.oracle import losses, tables

CASES = {}  # name -> maker, in the order of definition


class Draft(NamedTuple):
    """A case before it has a name; `tolerance` by tensor where the default does not fit."""

    component: str
    config: dict
    given: dict
    results: dict
    tolerance: dict = {}


def case(maker):
    """Register a maker under its name."""
    CASES[maker.__name__] = maker
    return maker


def build() -> list[tuple[Case, int]]:
    """Every case with the seed of its given arrays."""
    built = []
    for seed, (name, maker) in enumerate(CASES.items(), 1000):
        draft = maker(np.random.default_rng(seed))
        tensors = {**draft.given, **draft.results}
        entries = {key: {"tolerance": draft.tolerance[key]} if key in draft.tolerance else {}
                   for key in tensors}
        built.append((Case(name, draft.component, draft.config, tensors, entries), seed))
    return built


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Standard normal numbers that float32 holds."""
    return representable(scale * rng.standard_normal(shape))


def uniform(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers on [0, 1) that float32 holds."""
    return np.floor(rng.random(shape) * 2**20) / 2**20


# ---- masks ----

@case
def random_mask_300(rng):
    """59 of 300 tokens stay, not 60."""
    noise = uniform(rng, 2, 300)
    return Draft("random_mask", {"ratio": 0.8}, {"noise/mask": noise},
                 tables.random_mask(noise, 0.8))


@case
def random_mask_ties(rng):
    """Equal noise: the lower index comes first."""
    noise = np.floor(uniform(rng, 3, 11) * 4) / 4
    return Draft("random_mask", {"ratio": 0.5}, {"noise/mask": noise},
                 tables.random_mask(noise, 0.5))


@case
def gather_tokens(rng):
    """Tokens by index."""
    tokens = normal(rng, 2, 7, 5)
    keep = np.array([[6, 0, 3], [1, 5, 2]])
    return Draft("gather_tokens", {}, {"in/tokens": tokens, "in/keep": keep},
                 {"out/kept": tables.gather_tokens(tokens, keep)})


# ---- contrastive losses ----

def _clip(rng, B: int, D: int, temperature: float, weight: float, scale: float = 1.0) -> Draft:
    z_cmr, z_ecg = normal(rng, B, D), normal(rng, B, D, scale=scale)
    return Draft("clip_loss", {"temperature": temperature, "weight": weight},
                 {"in/z_cmr": z_cmr, "in/z_ecg": z_ecg},
                 losses.clip_loss(z_cmr, z_ecg, temperature, weight))


@case
def clip_loss(rng):
    """Default: 0.75 on CMR -> ECG."""
    return _clip(rng, 5, 8, 0.1, 0.75)


@case
def clip_loss_half(rng):
    """Equal weights, another temperature, lengths far from one."""
    return _clip(rng, 6, 4, 0.5, 0.5, scale=30.0)


@case
def clip_loss_one_direction(rng):
    """All weight on CMR -> ECG."""
    return _clip(rng, 3, 7, 0.1, 1.0)
