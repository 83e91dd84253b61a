"""A small case of golden vectors, and results that are right or wrong."""

from __future__ import annotations

import numpy as np

from reference.conformance.vectors import Case

RESULTS = {"mid/half": np.array([0.5, 1.0, 1.5]), "out/z": np.array([1.0, 2.0, 3.0]),
           "loss/total": np.array(6.0), "grad/x": np.array([1.0, 1.0, 1.0]),
           "step/x": np.array([0.9, 1.9, 2.9])}


def made_case(name="sum_one", component="sum", results=RESULTS, **entries) -> Case:
    tensors = {"in/x": np.array([1.0, 2.0, 3.0]), "in/n": np.array([4, 5]), **results}
    facts = {key: {"shape": list(value.shape), "dtype": str(value.dtype), **entries.get(key, {})}
             for key, value in tensors.items()}
    return Case(name, component, {"scale": 2, "sizes": [1]}, tensors, facts)


def right(case, dtype):
    return dict(RESULTS)


def but(**changes):
    """The right results with some changed (kind__name=value) or left out (None)."""
    changed = {name.replace("__", "/"): value for name, value in changes.items()}
    return lambda case, dtype: {name: changed.get(name, value) for name, value in RESULTS.items()
                                if changed.get(name, value) is not None}
