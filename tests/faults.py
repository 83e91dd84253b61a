"""Faults planted in this library, each of which the conformance runner has to find.

    python -m tests.faults        the table as Markdown: every fault is planted and looked for

A fault changes one expression of one function of `reference`; the built-in adapter then plays the
port that made this mistake. `first` is the tensor that has to be named, `also` are components that
have to fail as well, because they call the same function; every other has to pass.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from types import FunctionType

from reference import adapters, conformance
from tests.faults_table import FAULTS, Fault

DTYPE = "float32"  # the looser tolerance: what it lets through is not caught anywhere


def target(fault: Fault) -> FunctionType:
    """The function that the fault changes, below any decorator."""
    module, *path = fault.function.split(".")
    found = importlib.import_module(f"reference.{module}")
    for name in path:
        found = inspect.getattr_static(found, name)
    found = getattr(found, "__func__", getattr(found, "fget", found))
    return inspect.unwrap(found)


@contextlib.contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """Change the function while the block runs.

    Raises:
        ValueError: the expression is not there exactly once.
    """
    function = target(fault)
    source = textwrap.dedent(inspect.getsource(function))
    source = source[source.index("def "):]
    if source.count(fault.before) != 1:
        raise ValueError(f"{fault.name}: {fault.function} holds {fault.before!r} "
                         f"{source.count(fault.before)} times, should be 1")
    changed = _compiled(function, source.replace(fault.before, fault.after))
    kept = function.__code__, function.__defaults__, function.__kwdefaults__
    _set(function, changed.__code__, changed.__defaults__, changed.__kwdefaults__)
    try:
        yield
    finally:
        _set(function, *kept)


def find(fault: Fault, cases: list) -> dict[str, list[conformance.Outcome]]:
    """Failing components of the library with the fault in it, each with its failing cases."""
    with planted(fault):
        checked = conformance.check(cases, adapters.builtin(), [DTYPE], "steps")
        return {summary.component: [o for o in outcomes if o.status == conformance.FAIL]
                for summary, outcomes in checked if summary.status != conformance.PASS}


def firsts(outcomes: list[conformance.Outcome]) -> list[str]:
    """Tensors named by the failing cases of one component, each once."""
    return list(dict.fromkeys(outcome.first for outcome in outcomes))


def main() -> None:
    """Plant every fault and print what finds it."""
    cases, caught = conformance.read_vectors(), 0
    print("| fault | what is wrong | component | first tensor | cases | "
          "difference / allowed |\n|---|---|---|---|---|---|")
    for fault in FAULTS:
        found = find(fault, conformance.select(cases, (fault.component,))).get(fault.component, [])
        caught += bool(found)
        ratio = max((o.worst for o in found), default=0.0)
        print(f"| {fault.name} | {fault.wrong} | `{fault.component}` | "
              f"{', '.join(f'`{name}`' for name in firsts(found)) or 'NOT CAUGHT'} | "
              f"{', '.join(o.case for o in found)} | {ratio:.1g} |")
    print(f"\n{caught} of {len(FAULTS)} caught.")


def _compiled(function: FunctionType, source: str) -> FunctionType:
    """Function of this source in the same module; `super()` finds its cell where there is one."""
    names = function.__code__.co_freevars
    cells = "".join(f"    {name} = None\n" for name in names)
    space: dict = {}
    exec(compile(f"def make():\n{cells}{textwrap.indent(source, '    ')}\n"  # noqa: S102
                 f"    return {function.__name__}\n", function.__code__.co_filename, "exec",
                 flags=_future(function)), function.__globals__, space)
    changed = space["make"]()
    if changed.__code__.co_freevars != names:
        raise ValueError(f"{function.__qualname__}: closure {changed.__code__.co_freevars}, "
                         f"should be {names}")
    return changed


def _future(function: FunctionType) -> int:
    """Flags of `from __future__ import annotations`, if the function's module has it."""
    annotations = importlib.import_module("__future__").annotations.compiler_flag
    return function.__code__.co_flags & annotations


def _set(function: FunctionType, code, defaults, kwdefaults) -> None:
    function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, kwdefaults


if __name__ == "__main__":
    main()
