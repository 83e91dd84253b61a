"""Hold a port against the golden vectors, component by component.

    share of a tensor    largest difference / what its entry allows; it passes at share <= 1
    case                 passes if every tensor of the asked level passes
    component            passes if every case that is there passes

Levels include those before them: forward (mid/ out/), loss, gradient, steps. Every tensor of the
asked level has to be there, but for the intermediate ones (mid/), which are compared where they
are returned; a case of which nothing was compared fails. A port without gradients passes at the
level loss. A NaN or an infinity never passes, and neither does an exception.

The function under test sees configuration and given arrays, never the results.
"""

from __future__ import annotations

import copy
import fnmatch
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reference import atomic
from reference.conformance.adapters import GROUPS, Adapter, one_line, place, require_known
from reference.conformance.vectors import GIVEN, VECTORS, Case, Difference, compare, read_cases

PASS, FAIL, ABSENT, NOTHING = "pass", "fail", "not implemented", "nothing at this level"
_WILD = set("*?[")


class Outcome(NamedTuple):
    """One case in one precision: what became of it, and the first tensor that is wrong.

    `compared` of `tensors` vectors were held against results, `worst` is the largest share,
    `largest` and `index` belong to `first`, `words` say what is wrong with it.
    """

    case: str
    component: str
    dtype: str
    status: str
    tensors: int = 0
    compared: int = 0
    worst: float = 0.0
    first: str = ""
    largest: float = 0.0
    index: tuple[int, ...] = ()  # type: ignore[assignment]  # hides a method of tuples
    words: str = ""


class Summary(NamedTuple):
    """One component over its cases and precisions."""

    component: str
    status: str
    cases: int
    passed: int
    failed: int
    absent: int
    tensors: int
    compared: int
    worst: float


def read_vectors(directory: Path | None = None) -> list[Case]:
    """Every case of a directory, by name.

    Args:
        directory: of the vectors; default those of the package.
    Returns:
        Cases.
    Raises:
        ValueError: no vectors there, or a damaged case.
    """
    return read_cases(VECTORS if directory is None else directory)


def select(cases: list[Case], only: Iterable[str] = ()) -> list[Case]:
    """Cases asked for, in the order of work.

    Args:
        cases: all there are.
        only: groups, components or cases by name, or patterns with `*`; all where empty.
    Returns:
        Cases by the place of their component, then by name.
    Raises:
        ValueError: a name that is none of these, or a pattern that fits none.
    """
    only = list(only)
    names = {case.name: {case.name, case.component, *(
        group for group, members in GROUPS.items() if case.component in members)}
        for case in cases}
    known = set().union(*names.values())
    require_known([name for name in only if not _matches(known, name)], known,
                  "group, component or case")
    return sorted((case for case in cases if not only or any(
        _matches(names[case.name], name) for name in only)),
        key=lambda case: (place(case.component), case.name))


def check(cases: Iterable[Case], adapters: Mapping[str, Adapter], dtypes: Iterable[str],
          level: str) -> Iterator[tuple[Summary, list[Outcome]]]:
    """Check component by component, in the order in which the cases name them.

    Args:
        cases: as `select` gives them.
        adapters: component -> function.
        dtypes: precisions to check in.
        level: one of `vectors.LEVELS`.
    Returns:
        Iterator of summary and outcomes of each component.
    Raises:
        ValueError: unknown dtype or level.
    """
    by_component: dict[str, list[Case]] = {}
    for case in cases:
        by_component.setdefault(case.component, []).append(case)
    dtypes = list(dtypes)
    for name, its_cases in by_component.items():
        outcomes = [check_case(case, adapters.get(name), dtype, level)
                    for case in its_cases for dtype in dtypes]
        yield summarise(name, outcomes), outcomes


def check_case(case: Case, function: Adapter | None, dtype: str, level: str) -> Outcome:
    """Run one case and compare its results in the order of computation.

    Args:
        case: with its results.
        function: of the component; None where there is none.
        dtype: "float64" or "float32".
        level: up to which results are compared.
    Returns:
        Outcome; an exception of the function is a failure, NotImplementedError an absence.
    Raises:
        ValueError: unknown dtype or level.
    """
    expected = case.expected(level)
    base = Outcome(case.name, case.component, dtype, PASS, len(expected))
    if not expected:
        return base._replace(status=NOTHING)
    if function is None:
        return base._replace(status=ABSENT)
    try:
        results = function(_without_results(case), dtype)
    except NotImplementedError:
        return base._replace(status=ABSENT)
    except (Exception, SystemExit) as error:
        return _broken(base, f"raised {one_line(error)}")
    if not isinstance(results, Mapping):
        return _broken(base, f"returned {type(results).__name__}, should be a dictionary of "
                             "arrays")
    return _judge(base, case, expected, results)


def summarise(component: str, outcomes: list[Outcome]) -> Summary:
    """Outcomes of one component -> its summary."""
    count = {status: sum(o.status == status for o in outcomes)
             for status in (PASS, FAIL, ABSENT, NOTHING)}
    status = next(s for s in (FAIL, PASS, ABSENT, NOTHING) if count[s] or s == NOTHING)
    return Summary(component, status, len({o.case for o in outcomes}), count[PASS], count[FAIL],
                   count[ABSENT], sum(o.tensors for o in outcomes),
                   sum(o.compared for o in outcomes), max((o.worst for o in outcomes), default=0))


def description(case: Case) -> str:
    """What a case gives and what it wants, as lines."""
    shapes = {name: f"{name} {entry['shape']}" for name, entry in case.entries.items()}
    given = [text for name, text in shapes.items() if name.split("/", 1)[0] in GIVEN]
    results = [text for name, text in shapes.items() if name.split("/", 1)[0] not in GIVEN]
    config = [f"{name}={json.dumps(value)}" for name, value in case.config.items()]
    rows = (("config", config), ("given", given), ("results", results))
    return "\n".join([f"{case.component}, case {case.name}",
                      *(f"    {title:<9}{', '.join(items) or '-'}" for title, items in rows)])


def table_head(components: Iterable[str]) -> str:
    """First line of the table; its first column fits the names."""
    return _columns(_width(components), "component", "cases", "tensors", "worst", "result")


def table_row(summary: Summary, components: Iterable[str]) -> str:
    """Line of a component: cases, tensors compared, worst share of the tolerance, result."""
    partly = summary.absent and summary.status in (PASS, FAIL)
    result = summary.status + (f", {summary.absent} not implemented" if partly else "")
    ran = summary.passed + summary.failed
    return _columns(_width(components), summary.component, str(summary.cases),
                    f"{summary.compared}/{summary.tensors}", f"{summary.worst:.2g}" if ran else "-",
                    result)


def failure_line(outcome: Outcome) -> str:
    """A failed case in one line: the first tensor that differs and how."""
    return " ".join(f"{outcome.component}, case {outcome.case}, {outcome.dtype}: {outcome.first} "
                    f"{outcome.words}".split())


def verdict(summaries: list[Summary]) -> tuple[str, bool]:
    """Last line of the report, and whether the port passes: something is there and none fails."""
    count = {status: sum(s.status == status for s in summaries) for status in (PASS, FAIL, ABSENT)}
    there = count[PASS] + count[FAIL]
    if not there and not count[ABSENT]:
        return f"none of the {len(summaries)} components has a tensor at this level", False
    if not there:
        return f"nothing is implemented, of {len(summaries)} components", False
    return (f"{count[PASS]} of {there} implemented components pass, {count[FAIL]} fail, "
            f"{count[ABSENT]} not implemented"), not count[FAIL]


def write_json(path: Path, summaries: list[Summary], outcomes: list[Outcome], **facts: Any) -> None:
    """The report as a file, atomically.

    Args:
        path: the file: {facts..., "passed", "components": [Summary], "cases": [Outcome]}; a share
            or difference that is not finite is null.
        summaries, outcomes: of all components.
        facts: what was checked: adapter, level, ...
    """
    report = {**facts, "passed": verdict(summaries)[1],
              "components": [_plain(s._asdict()) for s in summaries],
              "cases": [_plain(o._asdict()) for o in outcomes]}
    atomic.write_json(path, report)


def _broken(base: Outcome, words: str) -> Outcome:
    """A case of which no tensor came."""
    return base._replace(status=FAIL, worst=math.inf, largest=math.inf, words=words)


def _judge(base: Outcome, case: Case, expected: Mapping[str, np.ndarray],
           results: Mapping) -> Outcome:
    """Compare what was returned; required is everything but mid/, and at least one tensor."""
    returned = set(results)
    present = [name for name in expected if name in returned]
    wanted = [name for name in expected if name in present or not name.startswith("mid/")]
    differences = [_difference(case, name, expected[name], results, base.dtype)
                   for name in wanted or list(expected)[:1]]
    worst = max(_share(d) for d in differences)
    wrong = [d for d in differences if not d.ok]
    base = base._replace(compared=len(present), worst=worst)
    if not wrong:
        return base
    first = wrong[0]
    return base._replace(status=FAIL, first=first.name, largest=first.largest, index=first.index,
                         words=first.words)


def _difference(case: Case, name: str, want: np.ndarray, results: Mapping, dtype: str
                ) -> Difference:
    if name not in set(results):
        others = sorted(str(key) for key in results if key not in case.entries)
        words = "is missing" + (f" (returned: {', '.join(others[:3])})" if others else "")
        return Difference(name, False, math.inf, 0.0, (), words)
    try:
        got = results[name]
    except Exception as error:  # a file of results that cannot be read
        return Difference(name, False, math.inf, 0.0, (), f"raised {one_line(error)}")
    return compare(name, got, want, case.entries[name], dtype)


def _share(difference: Difference) -> float:
    if difference.allowed > 0 and difference.largest < math.inf:
        return difference.largest / difference.allowed
    return 0.0 if difference.ok else math.inf


def _without_results(case: Case) -> Case:
    """The case as the function under test sees it, its own copy."""
    given = {name: value.copy() for name, value in case.tensors.items()
             if name.split("/", 1)[0] in GIVEN}
    return case._replace(config=copy.deepcopy(case.config), tensors=given,
                         entries=copy.deepcopy(case.entries))


def _matches(names: Iterable[str], pattern: str) -> bool:
    if not _WILD & set(pattern):
        return pattern in names
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _width(components: Iterable[str]) -> int:
    return max([len("component"), *(len(name) for name in components)])


def _columns(width: int, name: str, cases: str, tensors: str, worst: str, result: str) -> str:
    return f"{name:<{width}}  {cases:>5}  {tensors:>9}  {worst:>8}  {result}"


def _plain(facts: Mapping) -> dict:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in facts.items()}
