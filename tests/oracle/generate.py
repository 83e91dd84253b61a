"""Write the golden vectors, or hold them against the oracle.

    python -m tests.oracle.generate [CASE ...] [--check]

The tolerance of a tensor is 8 times its measured error (golden/errors.json, relative to the
largest magnitude), rounded up to 1, 2 or 5 times a power of ten, and at least 1e-6. Where no error
was measured the case's own tolerance holds, else the default of the format.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

from reference.conformance.vectors import VECTORS as GOLDEN
from reference.conformance.vectors import Case, read_case, write_case
from tests.oracle.cases import MODULES

FLOOR = 1e-6  # smallest tolerance of a measured tensor
MARGIN = 8  # times the measured error: another library adds in another order
AGREEMENT = 1e-12  # of an array made again, relative to its largest magnitude


def build(names=()) -> list[tuple[Case, int]]:
    """Cases of all modules, or those named, with their seeds.

    Raises:
        ValueError: an unknown name, or one that two cases share.
    """
    built = [pair for module in MODULES for pair in module.build()]
    known = [case.name for case, _ in built]
    if len(set(known)) < len(known):
        raise ValueError(f"cases share a name: {sorted(n for n in known if known.count(n) > 1)}")
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"no case is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [pair for pair in built if not names or pair[0].name in names]


def rounded_tolerance(error: float) -> float:
    """8 errors, rounded up to 1, 2 or 5 times 10^k, at least 1e-6."""
    wanted = MARGIN * error
    if not wanted > FLOOR:
        return FLOOR
    power = math.floor(math.log10(wanted))
    steps = (float(f"{digit}e{k}") for k in (power, power + 1) for digit in (1, 2, 5))
    return next(step for step in steps if step >= wanted)


def with_tolerances(case: Case, errors: dict) -> Case:
    """The case with tolerances from its measured errors {tensor: {dtype: error}}."""
    entries = {}
    for name, entry in case.entries.items():
        measured = {dtype: rounded_tolerance(error)
                    for dtype, error in errors.get(name, {}).items()}
        tolerance = {**entry.get("tolerance", {}), **measured}
        entries[name] = {**entry, "tolerance": tolerance} if tolerance else dict(entry)
    return case._replace(entries=entries)


def measured_errors(directory: Path) -> dict:
    """{case: {tensor: {dtype: error}}} of golden/errors.json, empty without that file."""
    path = directory / "errors.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(case: Case, seed: int, directory: Path, errors: dict) -> None:
    """One case, with its tolerances, into a directory."""
    case = with_tolerances(case, errors.get(case.name, {}))
    write_case(directory, case, seed=seed, command=f"python -m tests.oracle.generate {case.name}")


def differences(case: Case, seed: int, directory: Path, errors: dict) -> list[str]:
    """What differs between the stored files of a case and those the oracle makes now."""
    with tempfile.TemporaryDirectory() as fresh:
        write(case, seed, Path(fresh), errors)
        made = read_case(Path(fresh) / case.name)
        made_manifest = (Path(fresh) / case.name / "manifest.json").read_text()
    try:
        stored = read_case(directory / case.name)
    except ValueError as error:
        return [str(error)]
    found = []
    if (directory / case.name / "manifest.json").read_text() != made_manifest:
        found.append(f"{case.name}: the manifest differs")
    for name in sorted(made.tensors.keys() | stored.tensors.keys()):
        if not _agree(made.tensors.get(name), stored.tensors.get(name)):
            found.append(f"{case.name}: {name} differs")
    return found


def _agree(made: np.ndarray | None, stored: np.ndarray | None) -> bool:
    if made is None or stored is None or made.shape != stored.shape or made.dtype != stored.dtype:
        return False
    if made.dtype.kind != "f":
        return bool((made == stored).all())
    largest = np.abs(made).max(initial=0.0)
    return bool((np.abs(made - stored) <= AGREEMENT * largest).all())


def strays(directory: Path) -> list[str]:
    """Stored cases that no module makes."""
    known = {case.name for case, _ in build()}
    stored = sorted(path.parent.name for path in directory.glob("*/manifest.json"))
    return [f"{name}: no module makes it" for name in stored if name not in known]


def main(arguments=None, directory: Path = GOLDEN) -> int:
    """Exit status: 1 where --check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.generate",
                                     description="Write the golden vectors, or check them.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all where none is named")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    options = parser.parse_args(arguments)
    try:
        built = build(options.cases)
    except ValueError as error:
        parser.error(str(error))
    errors = measured_errors(directory)
    if not options.check:
        for case, seed in built:
            write(case, seed, directory, errors)
        print(f"{len(built)} cases written to {directory}")
        return 0
    found = [line for case, seed in built for line in differences(case, seed, directory, errors)]
    found += [] if options.cases else strays(directory)
    print("\n".join(found) or f"{len(built)} cases agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
