"""The built-in adapter, functions: masks and patches."""

from __future__ import annotations

from reference import masking
from reference.adapter_tools import Results, arrays, tensors
from reference.vectors import Case


def random_mask(case: Case, dtype: str) -> Results:
    """Mask and number of kept tokens."""
    noise = tensors(case, "noise", dtype)["mask"]
    keep, restore, mask = masking.random_mask(noise, case.config["ratio"])
    kept = masking.kept_tokens(noise.shape[1], case.config["ratio"])
    return arrays(out__keep=keep, out__restore=restore, out__mask=mask, out__kept=kept)


def gather_tokens(case: Case, dtype: str) -> Results:
    """Tokens by index."""
    given = tensors(case, "in", dtype)
    return arrays(out__kept=masking.gather_tokens(given["tokens"], given["keep"]))


COMPONENTS = {function.__name__: function for function in (random_mask, gather_tokens)}
