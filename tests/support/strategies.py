"""Hypothesis strategies, named by what they draw; every size is capped by MAX_SIZE."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

MAX_SIZE = 24


def sizes(minimum: int = 1, maximum: int = MAX_SIZE) -> st.SearchStrategy[int]:
    """A positive dimension."""
    return st.integers(minimum, maximum)


def seeds() -> st.SearchStrategy[int]:
    """A seed for a NumPy generator; shrinks towards 0."""
    return st.integers(0, 2**31 - 1)


@st.composite
def normal_arrays(draw, *shape, dtype=np.float64):
    """Standard normal numbers of the given shape (ints or strategies of ints)."""
    dims = tuple(draw(d) if isinstance(d, st.SearchStrategy) else d for d in shape)
    return np.random.default_rng(draw(seeds())).standard_normal(dims).astype(dtype)


@st.composite
def embedding_pairs(draw, minimum_batch: int = 2):
    """Two [B, D] float64 matrices of standard normal numbers."""
    batch, dim = draw(sizes(minimum_batch)), draw(sizes(2))
    rng = np.random.default_rng(draw(seeds()))
    return rng.standard_normal((batch, dim)), rng.standard_normal((batch, dim))
