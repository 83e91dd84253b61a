"""The command `verify`; options are those of `reference.__main__`."""

from __future__ import annotations

import argparse

from reference.conformance import adapters, exchange, runner
from reference.conformance.builtin import COMPONENTS


def verify(options: argparse.Namespace) -> int:
    """Hold a port, or this library, against the golden vectors.

    Args: options, as parsed.
    Returns: exit status, 1 if anything fails.
    """
    every_case = runner.read_vectors(options.vectors)
    cases = runner.select(every_case, filter(None, options.only.split(",")))
    if options.list:
        print("\n".join(map(runner.description, cases)))
        return 0
    if options.export is not None:
        return _export(options, cases)
    subject, found = _subject(options, {case.component for case in every_case})
    default = "float32" if options.adapter or options.results else "both"
    chosen = options.dtype or default
    dtypes = ("float64", "float32") if chosen == "both" else (chosen,)
    level, components = options.level or "steps", {case.component for case in cases}
    summaries, outcomes = [], []
    print(runner.table_head(components))
    for summary, some in runner.check(cases, found, dtypes, level):
        print(runner.table_row(summary, components), flush=True)
        summaries.append(summary)
        outcomes += some
    failed = [runner.failure_line(o) for o in outcomes if o.status == runner.FAIL]
    line, passed = runner.verdict(summaries)
    print("\n".join(["", *failed, *([""] if failed else []), f"{subject}: {line}"]))
    if options.json is not None:
        runner.write_json(options.json, summaries, outcomes, subject=subject, level=level,
                               dtypes=dtypes)
    return 0 if passed else 1


def _subject(options: argparse.Namespace, known: set[str]) -> tuple[str, dict]:
    """Name and functions of what is to be verified."""
    if options.adapter is not None:
        return str(options.adapter), adapters.load(options.adapter, sorted(known))
    if options.results is None:
        return "reference", COMPONENTS
    if options.dtype == "both":
        raise ValueError("--import takes the one precision of the files, --dtype float32 or "
                         "float64")
    return str(options.results), dict.fromkeys(known, exchange.result_files(options.results))


def _export(options: argparse.Namespace, cases: list) -> int:
    """Write what a port starts from as files."""
    if options.json is not None or options.level is not None or options.dtype == "both":
        raise ValueError("--export takes --only, --vectors and one --dtype; --level and --json "
                         "belong to a comparison")
    count = exchange.export_cases(options.export, cases, options.dtype or "float32")
    print(f"{options.export}: {len(cases)} cases, {count} arrays; see README.md there")
    return 0
