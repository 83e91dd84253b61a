"""The commands `check` and `import`; options are those of `reference.__main__`."""

from __future__ import annotations

import argparse

from reference.cohort.checking import check as find_faults
from reference.cohort.importing import import_files
from reference.cohort.reading import load


def check(options: argparse.Namespace) -> int:
    """Validate a cohort: every fault on a line; exit status 1 if there is any."""
    faults = find_faults(options.directory)
    for fault in faults:
        print(fault)
    if not faults:
        cohort = load(options.directory)
        split = ", ".join(f"{name} {n}" for name, n in cohort.manifest["split"].items())
        print(f"{options.directory}: valid, {len(cohort)} subjects ({split})")
    return 1 if faults else 0


def import_(options: argparse.Namespace) -> int:
    """Build a cohort from tensor or array files."""
    manifest = import_files(
        options.out, ecg=options.ecg, cmr=options.cmr, phenotypes=options.phenotypes,
        labels=options.labels, label_mask=options.label_mask, subjects=options.subjects)
    print(f"{options.out}: {manifest['count']} subjects")
    return 0
