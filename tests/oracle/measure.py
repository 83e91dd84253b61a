"""Measure this library's float32 errors against the golden vectors: golden/errors.json.

    python -m tests.oracle.measure          then: python -m tests.oracle.generate

An error is noted, relative to the largest magnitude of its tensor, where the default tolerance
leaves less than 8 times the error. A tensor with a tolerance of its own keeps that.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

import numpy as np

from reference.atomic import write_json
from reference.conformance.builtin import COMPONENTS
from reference.conformance.vectors import TOLERANCE, Case, compare, read_case
from tests.oracle import generate


def notable(case: Case, got: dict) -> dict[str, dict[str, float]]:
    """{tensor: {"float32": error}} of the errors to be noted, rounded up to two digits."""
    found = {}
    for name, want in case.expected().items():
        largest = float(np.abs(want).max(initial=0.0)) or 1.0
        error = compare(name, got[name], want, case.entries[name], "float32").largest / largest
        judged = "tolerance" not in case.entries[name] and want.dtype.kind == "f"
        if judged and generate.MARGIN * error > TOLERANCE["float32"]:
            unit = 10.0 ** (math.floor(math.log10(error)) - 1)
            found[name] = {"float32": float(f"{math.ceil(error / unit) * unit:.1e}")}
    return found


def measured() -> dict[str, dict]:
    """Notable errors of every case, by its name."""
    known, found = COMPONENTS, {}
    with tempfile.TemporaryDirectory() as fresh:
        for case, seed in generate.build():
            generate.write(case, seed, Path(fresh), errors={})
            errors = notable(read_case(Path(fresh) / case.name),
                             known[case.component](case, "float32"))
            found |= {case.name: errors} if errors else {}
    return found


def main(directory: Path = generate.GOLDEN) -> int:
    """Write errors.json."""
    found, path = measured(), directory / "errors.json"
    write_json(path, found)
    print(f"{sum(map(len, found.values()))} errors of {len(found)} cases written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
