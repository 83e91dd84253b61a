"""How a case is drafted and collected, and the numbers it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from reference.conformance.vectors import Case, formula_tensor, representable


class Draft(NamedTuple):
    """A case before it has a name; `tolerance` by tensor where the default does not fit.

    A given entry that is a `Formula` is stored as such, a result named in `every` as every k-th
    entry.
    """

    component: str
    config: dict
    given: dict
    results: dict
    tolerance: Mapping = MappingProxyType({})
    every: Mapping = MappingProxyType({})


class Formula(NamedTuple):
    """A given tensor that any language makes from integers (`conformance.vectors`)."""

    shape: tuple[int, ...]
    seed: int
    scale: float
    shift: float = 0.0

    def value(self) -> np.ndarray:
        """The tensor itself."""
        return formula_tensor(self.shape, self.seed, self.scale, self.shift)


class Collection:
    """Makers of cases by name; the n-th one gets a generator seeded with first_seed + n."""

    def __init__(self, first_seed: int):
        self.first_seed = first_seed
        self.makers = {}

    def case(self, maker):
        """Register a maker under its name."""
        self.makers[maker.__name__] = maker
        return maker

    def build(self) -> list[tuple[Case, int]]:
        """Every case with the seed of its given arrays."""
        seeds = range(self.first_seed, self.first_seed + len(self.makers))
        return [(finished(name, maker(np.random.default_rng(seed))), seed)
                for seed, (name, maker) in zip(seeds, self.makers.items(), strict=True)]


def finished(name: str, draft: Draft) -> Case:
    """A draft as a case: formulas and sampled results become facts of the manifest."""
    tensors, entries = {}, {}
    for key, value in {**draft.given, **draft.results}.items():
        entries[key] = {"tolerance": draft.tolerance[key]} if key in draft.tolerance else {}
        if isinstance(value, Formula):
            formula = {"seed": value.seed, "scale": value.scale, "shift": value.shift}
            entries[key].update(shape=list(value.shape), formula=formula)
        elif key in draft.every:
            value = np.asarray(value)
            entries[key].update(shape=list(value.shape), every=draft.every[key])
            tensors[key] = value.reshape(-1)[::draft.every[key]]
        else:
            tensors[key] = value
    return Case(name, draft.component, draft.config, tensors, entries)


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Standard normal numbers that float32 holds."""
    return representable(scale * rng.standard_normal(shape))


def uniform(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers on [0, 1) that float32 holds."""
    return np.floor(rng.random(shape) * 2**20) / 2**20
