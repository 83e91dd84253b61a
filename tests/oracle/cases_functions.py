"""Cases of the functions: masks, patches, schedules.

Each maker takes a generator and returns component, configuration, given arrays and results.
"""

from __future__ import annotations

import numpy as np

from tests.oracle import tables
from tests.oracle.drafts import Collection, Draft, normal, uniform

_CASES = Collection(first_seed=1000)
case, build = _CASES.case, _CASES.build


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
