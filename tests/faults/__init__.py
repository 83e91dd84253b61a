"""Faults planted in this library, each of which the conformance runner has to find.

    python -m tests.faults        the table as Markdown: every fault is planted and looked for

A fault changes one expression of one function of `reference`; the built-in adapter then plays the
port that made this mistake. In the order of work its component is the first that fails. Those after
it may fail with it, where they call the same function.
"""

from __future__ import annotations

import functools
import sys
from types import CodeType

from reference.conformance import adapters, runner
from reference.conformance.builtin import COMPONENTS
from reference.conformance.runner import Outcome
from tests.faults.planting import Fault, planted, target
from tests.faults.table import FAULTS

DTYPE = "float32"  # the looser tolerance: what it lets through is not caught anywhere
LEVEL = "steps"


def find(fault: Fault, everywhere: bool = False) -> dict[str, list[Outcome]]:
    """Failing components of the library with the fault in it, each with its failing cases.

    Args:
        fault: to plant.
        everywhere: look at all components; else at those that call the function and come, in the
            order of work, no later than the fault's own.
    """
    last = adapters.place(fault.component)
    names = list(calls()) if everywhere else [
        name for name in callers(fault) if adapters.place(name) <= last]
    cases = runner.select(_cases(), names) if names else []
    with planted(fault):
        checked = runner.check(cases, COMPONENTS, [DTYPE], LEVEL)
        return {summary.component: [o for o in outcomes if o.status == runner.FAIL]
                for summary, outcomes in checked if summary.status != runner.PASS}


def callers(fault: Fault) -> set[str]:
    """Components that call the function that the fault changes, directly or not."""
    return {name for name, called in calls().items() if target(fault).__code__ in called}


def firsts(outcomes: list[Outcome]) -> list[str]:
    """Tensors named by the failing cases of one component, each once."""
    return list(dict.fromkeys(outcome.first for outcome in outcomes))


def main() -> None:
    """Plant every fault and print what finds it."""
    caught = 0
    print("| fault | what is wrong | component | first tensor | failing cases | "
          "difference / allowed |\n|---|---|---|---|---|---|")
    for fault in FAULTS:
        found = find(fault).get(fault.component, [])
        caught += bool(found)
        ratio = max((o.worst for o in found), default=0.0)
        print(f"| {fault.name} | {fault.wrong} | `{fault.component}` | "
              f"{', '.join(f'`{name}`' for name in firsts(found)) or 'NOT CAUGHT'} | "
              f"{', '.join(o.case for o in found)} | {ratio:.1g} |")
    print(f"\n{caught} of {len(FAULTS)} caught.")


@functools.cache
def _cases() -> list:
    return runner.read_vectors()


@functools.cache
def calls() -> dict[str, set[CodeType]]:
    """Functions that every component calls, directly or not."""
    return {name: _calls_of(name) for name in COMPONENTS}


def _calls_of(component: str) -> set[CodeType]:
    seen: set[CodeType] = set()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, _: seen.add(frame.f_code) if event == "call" else None)
    try:
        for case in runner.select(_cases(), [component]):
            runner.check_case(case, COMPONENTS[component], DTYPE, LEVEL)
    finally:
        sys.setprofile(before)
    return seen
