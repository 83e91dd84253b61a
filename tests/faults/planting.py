"""A fault in this library: one expression of one function changed, for the time of a check."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import NamedTuple


class Fault(NamedTuple):
    """One mistake: `before` becomes `after` in `function` ("module:name") of `reference`.

    `first` names the first tensor that differs, with commas between where that depends on the case.
    """

    name: str
    component: str
    wrong: str
    function: str
    before: str
    after: str
    first: str


def target(fault: Fault) -> FunctionType:
    """The function that the fault changes, below any decorator."""
    module, _, path = fault.function.partition(":")
    found = importlib.import_module(f"reference.{module}")
    for name in path.split("."):
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


def _compiled(function: FunctionType, source: str) -> FunctionType:
    """Function of this source in the same module; what it closes over (`super()`) stays."""
    names, space = function.__code__.co_freevars, {}
    if names:
        cells = "".join(f"    {name} = None\n" for name in names)
        source = f"def make():\n{cells}{textwrap.indent(source, '    ')}\n" \
                 f"    return {function.__name__}\n"
    code = compile(source, function.__code__.co_filename, "exec", flags=_future(function))
    exec(code, function.__globals__, space)
    changed = space["make"]() if names else space[function.__name__]
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
