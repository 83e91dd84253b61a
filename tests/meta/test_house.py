"""The plan of the house: what may import what, and a test file for every module."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.helpers import ROOT

PACKAGES = ("reference", "data_synth", "benchmarks")
WINGS = ("cohort", "conformance", "experiment", "kernels")  # of reference
OUTSIDE = {"numpy", "torch"}  # beside the standard library

# The one import of a wing by the root but for the cohort's constants: the public name has to stay
# fast, and the import is inside the function, so that the file can be lifted out without it.
ROOT_TO_WING = ("reference.baseline", "reference.kernels.baseline_solvers")

# module: why it has no test file of its own
EVERY_COMPONENT = "each component, against its vectors, in reference/conformance/test_builtin.py"
ALONE = {f"reference.conformance.builtin.{part}": EVERY_COMPONENT for part in (
    "autoencoder", "functions", "losses", "metrics", "resnet", "signals", "tools")}


class Import(NamedTuple):
    """An import statement: the module it asks for, and whether it stands inside a function."""

    module: str
    inside: bool


def module_name(path: Path) -> str:
    """Dotted name of a file below the root."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, modules: set[str]) -> list[Import]:
    """What a module's source imports; `from a import b` is a.b where that is one of the modules."""
    found = []

    def walk(node: ast.AST, inside: bool) -> None:
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.Import):
                found.extend(Import(alias.name, inside) for alias in part.names)
            elif isinstance(part, ast.ImportFrom):
                assert part.level == 0, "a relative import"
                whole = [f"{part.module}.{alias.name}" for alias in part.names]
                found.extend(Import(name if name in modules else part.module, inside)
                             for name in whole)
            else:
                walk(part, inside or isinstance(part, ast.FunctionDef | ast.Lambda))

    walk(ast.parse(source), False)
    return list(dict.fromkeys(found))


def within(module: str, *packages: str) -> bool:
    """Is the module one of the packages, or in one?"""
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def loaded(module: str, asked: str) -> list[str]:
    """Modules that an import loads: the one asked for and the packages it is in.

    Left out are the packages that the importing module is in itself: they are being loaded.
    """
    parts = asked.split(".")
    names = [".".join(parts[:k]) for k in range(1, len(parts) + 1)]
    return [name for name in names if name == asked or not within(module, name)]


def circle(graph: dict[str, list[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; [] if none do."""
    done: set[str] = set()

    def search(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node):], node]
        if node in done:
            return []
        for following in graph.get(node, []):
            found = search(following, [*way, node])
            if found:
                return found
        done.add(node)
        return []

    return next((found for node in graph if (found := search(node, []))), [])


FILES = {module_name(path): path for package in (*PACKAGES, "tests")
         for path in sorted((ROOT / package).rglob("*.py"))}
IMPORTS = {name: imports_of(path.read_text(encoding="utf-8"), set(FILES))
           for name, path in FILES.items()}


def crossing(sources: tuple[str, ...], targets: tuple[str, ...]) -> list[str]:
    """Imports, wherever they stand, of one part of the house by another, in words."""
    return [f"{name} imports {found.module}" for name, imports in IMPORTS.items()
            if within(name, *sources) for found in imports if within(found.module, *targets)]


# ---- imports ----

def test_no_module_imports_itself_in_a_circle():
    graph = {name: [part for found in imports if not found.inside and found.module in FILES
                    for part in loaded(name, found.module)]
             for name, imports in IMPORTS.items() if within(name, *PACKAGES)}
    assert circle(graph) == []


def test_reference_imports_nothing_that_is_built_upon_it():
    assert crossing(("reference",), ("data_synth", "benchmarks", "tests")) == []


def test_the_root_imports_no_wing_but_the_constants_of_the_cohort():
    wings = tuple(f"reference.{wing}" for wing in WINGS)
    outside_wings = [name for name in IMPORTS if within(name, "reference")
                     and not within(name, *wings) and name != "reference.__main__"]
    found = [(name, asked) for name in outside_wings for asked in IMPORTS[name]
             if within(asked.module, *wings) and asked.module != "reference.cohort.format"]
    assert found == [(ROOT_TO_WING[0], Import(ROOT_TO_WING[1], inside=True))]


def test_the_cohort_needs_neither_the_method_nor_torch():
    asked = [(name, found) for name, imports in IMPORTS.items()
             if within(name, "reference.cohort") for found in imports]
    assert [(name, found) for name, found in asked if within(found.module, *PACKAGES)
            and not within(found.module, "reference.cohort", "reference.atomic")] == []
    assert [(name, found) for name, found in asked
            if within(found.module, "torch") and not found.inside] == []


def test_signal_and_image_are_simulated_apart():
    assert crossing(("data_synth.ecg",), ("data_synth.cmr",)) == []
    assert crossing(("data_synth.cmr",), ("data_synth.ecg",)) == []


@pytest.mark.parametrize("wing", ["reference.conformance", "reference.experiment"])
def test_nothing_in_reference_imports(wing):
    others = tuple(name for name in IMPORTS if name.count(".") == 1
                   and within(name, "reference") and name != wing)
    assert crossing(others, (wing,)) == []


def test_no_test_file_imports_another():
    tests = tuple(name for name in FILES if within(name, "tests")
                  and name.rpartition(".")[2].startswith("test_"))
    assert crossing(("tests",), tests) == []


def test_at_the_top_only_numpy_and_torch_are_needed():
    def allowed(name: str, module: str) -> bool:
        top = module.partition(".")[0]
        kernel = name.startswith("reference.kernels.triton_") and top == "triton"
        return top in sys.stdlib_module_names or top in OUTSIDE or top in PACKAGES or kernel

    assert [f"{name} imports {found.module}" for name, imports in IMPORTS.items()
            if within(name, "reference", "data_synth") for found in imports
            if not found.inside and not allowed(name, found.module)] == []


# ---- test files ----

def test_every_module_has_its_test_file():
    tested = [name for name, path in FILES.items() if path.name != "__init__.py"
              and (within(name, "reference", "data_synth", "benchmarks.harness")
                   or name == "benchmarks.__main__")]
    missing = [name for name in tested if not _test_file(name).is_file()]
    assert missing == [name for name in tested if name in ALONE]
    assert set(ALONE) <= set(missing)


def _test_file(name: str) -> Path:
    *folders, last = name.split(".")
    return ROOT.joinpath("tests", *folders, f"test_{last.strip('_')}.py")


# ---- the tools of this file ----

def test_imports_are_found_wherever_they_stand():
    source = ("import a.b\nfrom a import b, c\ntry:\n    import d\nexcept ImportError:\n    pass\n"
              "class C:\n    import e\n\n    def f(self):\n        from a import b\n")
    assert imports_of(source, {"a", "a.b"}) == [
        Import("a.b", False), Import("a", False), Import("d", False), Import("e", False),
        Import("a.b", True)]


def test_packages_are_told_apart_from_names_that_begin_alike():
    assert within("a.b", "a.b") and within("a.b.c", "x", "a.b")
    assert not within("a.bc", "a.b") and not within("a", "a.b")


def test_an_import_loads_the_packages_around_it():
    assert loaded("a.b.c", "a.d.e") == ["a.d", "a.d.e"]
    assert loaded("a.b.c", "a.b") == ["a.b"]
    assert loaded("x", "a.b") == ["a", "a.b"]


@pytest.mark.parametrize("graph, found", [
    ({"a": ["b"], "b": ["c"], "c": []}, []),
    ({"a": ["b", "c"], "b": ["c"], "c": ["d"]}, []),
    ({"a": ["a"]}, ["a", "a"]),
    ({"a": ["b"], "b": ["c", "d"], "d": ["b"]}, ["b", "d", "b"])])
def test_circles_are_found(graph, found):
    assert circle(graph) == found


def test_the_whole_house_is_read():
    assert all(sum(within(name, package) for name in FILES) > 30
               for package in (*PACKAGES, "tests"))
