"""What the docstrings of reference and data_synth state, and in which order.

    all       every module, public class, function and method has a docstring
    order     Args, Returns, Raises, Source, Differs, each at most once; those that share a line
              ("Args, Raises: as `f1`.") stand where the first of them belongs
    long      with parameters and more than 8 lines: Args and Returns, unless the first sentence
              gives them with an arrow ([B, N] -> [B]) or nothing is returned
    raising   Raises, or a docstring of one sentence, names every exception that the function
              raises itself; for `__init__` that of the class does
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.helpers import ROOT

SECTIONS = ("Args", "Returns", "Raises", "Source", "Differs")
LONG = 8
MODULES = sorted(path.relative_to(ROOT).as_posix() for folder in ("reference", "data_synth")
                 for path in (ROOT / folder).rglob("*.py"))
_NAMES = "|".join(SECTIONS)
_HEADING = re.compile(rf"(?:^|(?<=[.;] ))((?:{_NAMES})(?:, (?:{_NAMES}))*):", re.MULTILINE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def faults(source: str) -> list[str]:
    """Every fault of the docstrings in a module's source: "line name: what is wrong"."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else ["1 module: no docstring"]
    for name, node in _public(tree.body):
        doc = ast.get_docstring(node)
        words = ["no docstring"] if doc is None else _faults_of(node, doc)
        found += [f"{node.lineno} {name}: {word}" for word in words]
    return found


def _public(body: list[ast.stmt], prefix: str = ""
            ) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{prefix}{node.name}.")


def _faults_of(node: Function | ast.ClassDef, doc: str) -> Iterator[str]:
    headings = [heading.split(", ") for heading in _HEADING.findall(doc)]
    stated = [section for heading in headings for section in heading]
    for sections in ([heading[0] for heading in headings], *headings):
        if sections != sorted(sections, key=SECTIONS.index):
            yield f"{', '.join(sections)} in this order"
    if len(set(stated)) < len(stated):
        yield "a section twice"
    if isinstance(node, ast.ClassDef):
        makers = [part for part in node.body if getattr(part, "name", "") == "__init__"]
        raised = {name for maker in makers for name in _raised(maker)}
    else:
        yield from (f"{section} not stated" for section in ("Args", "Returns")
                    if _is_long(node, doc) and section not in stated)
        raised = set(_raised(node))
    if "Raises" in stated or len(doc.splitlines()) == 1:
        raised = {name for name in raised if name not in doc}
    yield from (f"raises {name}, which is not stated" for name in sorted(raised))


def _is_long(node: Function, doc: str) -> bool:
    """Whether Args and Returns have to be stated."""
    given = node.args
    names = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    parameters = {name.arg for name in names if name} - {"self", "cls"}
    lines = node.end_lineno - node.body[0].end_lineno  # of the body, below the docstring
    nothing = isinstance(node.returns, ast.Constant) and node.returns.value is None
    return bool(parameters) and lines > LONG and not nothing and "->" not in doc.split("\n\n")[0]


def _raised(node: ast.AST) -> Iterator[str]:
    """Names of the exceptions that a function raises, those of inner functions left out."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.Raise) and part.exc is not None:
            raised = part.exc.func if isinstance(part.exc, ast.Call) else part.exc
            yield ast.unparse(raised).rpartition(".")[2]
        if not isinstance(part, Function | ast.Lambda | ast.ClassDef):
            yield from _raised(part)


# ---- the two packages ----

@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module):
    assert faults((ROOT / module).read_text(encoding="utf-8")) == []


# ---- the checker ----

HEAD = '"""A module."""\n'
LINES = "\n".join(f"    x{k} = {k}" for k in range(LONG)) + "\n    return x0\n"  # 9 of a body


def function(doc: str, body: str = "    return 1\n", head: str = "def f(x) -> int:") -> str:
    """Source of a module with one function."""
    return HEAD + f'{head}\n    """{doc}"""\n{body}'


@pytest.mark.parametrize("source", [
    HEAD + "def _private(x):\n    pass\n",
    HEAD + 'class C:\n    """A class."""\n\n    def __len__(self):\n        return 1\n',
    function("One sentence."),
    function("One.\n\n    Args: a number x.\n    Returns: one.\n    Source: here.\n    ", LINES),
    function("One.\n\n    Args:\n        x: one.\n    Returns:\n        One.\n    ", LINES),
    function("One.\n\n    Args, Raises, Source: as `g`.\n    Returns: one.\n    ", LINES),
    function("One. Args, Returns: as `g`.", LINES),
    function("Whole numbers [N] -> whole numbers [N].", LINES),
    function("One.", LINES, "def f() -> int:"),
    function("One.", LINES, "def f(x) -> None:"),
    function("One; ValueError for others.", "    raise ValueError(x)\n"),
    function("One.", "    def g():\n        raise ValueError\n    return g\n"),
    function("One.", "    try:\n        return x\n    except OSError:\n        raise\n"),
    function("One.\n\n    Raises: ArgumentTypeError always.\n    ",
             "    raise argparse.ArgumentTypeError(x)\n")])
def test_faultless_docstrings_pass(source):
    assert faults(source) == []


@pytest.mark.parametrize("source, fault", [
    ("x = 1\n", "1 module: no docstring"),
    (HEAD + "def f(x):\n    pass\n", "2 f: no docstring"),
    (HEAD + "class C:\n    pass\n", "2 C: no docstring"),
    (HEAD + 'class C:\n    """One."""\n    def f(self):\n        pass\n', "4 C.f: no docstring"),
    (function("One.\n\n    Returns: one.\n    Args: x.\n    "), "2 f: Returns, Args in this order"),
    (function("One.\n\n    Differs: x.\n    Source: here.\n    "),
     "2 f: Differs, Source in this order"),
    (function("One.\n\n    Args, Source: as `g`.\n    Raises: x.\n    Returns: one.\n    "),
     "2 f: Args, Raises, Returns in this order"),
    (function("One. Source, Args: as `g`."), "2 f: Source, Args in this order"),
    (function("One.\n\n    Args, Returns: as `g`.\n    Returns: one.\n    "),
     "2 f: a section twice"),
    (function("One.\n\n    Args: x.\n    ", LINES), "2 f: Returns not stated"),
    (function("One.\n\n    Returns: [N] -> [N].\n    ", LINES), "2 f: Args not stated"),
    (function("One.\n\n    More.\n    ", "    raise ValueError(x)\n"),
     "2 f: raises ValueError, which is not stated"),
    (function("One; a ValueError.\n\n    Args: x.\n    ", "    raise ValueError(x)\n"),
     "2 f: raises ValueError, which is not stated"),
    (function("One.\n\n    Raises: OSError.\n    ", "    if x:\n        raise ValueError(x)\n"),
     "2 f: raises ValueError, which is not stated"),
    (HEAD + 'class C:\n    """One."""\n    def __init__(self):\n        raise OSError\n',
     "2 C: raises OSError, which is not stated")])
def test_every_fault_is_named(source, fault):
    assert faults(source) == [fault]


def test_both_packages_are_read():
    assert {module.split("/")[0] for module in MODULES} == {"reference", "data_synth"}
    assert len(MODULES) > 90
